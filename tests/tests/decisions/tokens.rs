//! Tokens that must be refused: by their claims, their form and their signature.

use cellway_testbed::unsigned;
use cellway_tests::decide::{claims, signer, token};

use crate::{bearer, core, normal, signed, table};

/// `{"alg":"HS256","kid":"current","typ":"JWT"}`
const HS256_HEADER: &str = "eyJhbGciOiJIUzI1NiIsImtpZCI6ImN1cnJlbnQiLCJ0eXAiOiJKV1QifQ";

/// Tokens with a good signature that say something else than they must.
#[test]
fn claims_of_tokens() {
    let acme = || claims("acme");
    let rows = [
        (
            "tier contradicts the registry",
            signed(acme().with("tier", "enterprise")),
        ),
        ("expired", signed(acme().with("exp", 1_800_000_009))),
        ("not yet valid", signed(acme().with("nbf", 1_800_000_060))),
        ("wrong audience", signed(acme().with("aud", "elsewhere"))),
        (
            "wrong issuer",
            signed(acme().with("iss", "https://elsewhere")),
        ),
        ("no exp", signed(acme().without("exp"))),
        ("exp as a string", signed(acme().with("exp", "1800000100"))),
        ("no tenant", signed(acme().without("tenant_id"))),
        ("tenant with a comma", signed(claims("a,b"))),
        (
            "a token type of its own",
            signed(acme().typ(Some("cba+jwt"))),
        ),
        ("unknown kid", signed(acme().kid("other"))),
    ];
    insta::assert_snapshot!(table(&mut core(Some(normal())), &rows));
}

/// Tokens whose form or signature is wrong.
#[test]
fn forged_tokens() {
    let good = token("acme");
    let parts: Vec<_> = good.split('.').collect();
    let [head, payload, signature] = parts[..] else {
        panic!("three parts");
    };
    let another = token("globex");
    let other = another.split('.').nth(1).unwrap();
    let stranger = claims("acme").kid("current").sign(&signer("stranger"));
    let rows = [
        ("alg none", bearer(&unsigned(&claims("acme")))),
        (
            "alg HS256",
            bearer(&format!("{HS256_HEADER}.{payload}.{signature}")),
        ),
        ("another key under the same kid", bearer(&stranger.unwrap())),
        (
            "payload of another token",
            bearer(&format!("{head}.{other}.{signature}")),
        ),
        ("signature missing", bearer(&format!("{head}.{payload}."))),
        ("two parts", bearer(&format!("{head}.{payload}"))),
        ("four parts", bearer(&format!("{good}.{signature}"))),
        ("padding", bearer(&format!("{good}="))),
        ("oversized", bearer(&"a".repeat(20_000))),
    ];
    insta::assert_snapshot!(table(&mut core(Some(normal())), &rows));
}
