//! The test vectors of the documentation, for those who write a verifier in another language.

use std::fmt::Write;

use http::Method;

use super::*;
use crate::{Unix, base64url};

const PAGE: &str = include_str!("../../../../docs/envelope.md");

const BEGIN: &str = "<!-- The test `vectors` of cellway-core writes from here -->\n";
const END: &str = "<!-- to here -->\n";

/// The 32 bytes 0, 1, 2 … 31: the seed of the private key, and the shared secret.
fn bytes() -> [u8; 32] {
    std::array::from_fn(|i| u8::try_from(i).unwrap())
}

fn case() -> Case {
    Case {
        method: Method::POST,
        target: "/orders?id=7".to_owned(),
        ..Case::default()
    }
}

/// The generated section.
fn section() -> String {
    let case = case();
    let sealing = EnvelopeContents {
        now: Unix::from_secs(1_800_000_000),
        ..case.sealing()
    };
    let key = SigningKey::from_seed("2026-11", &bytes()).unwrap();
    let jws = seal(&key, &sealing);
    let shared = HmacKey::new("eu-1-a", "eu-1", &bytes()).unwrap();
    let stamps = seal_hmac(&shared, &sealing);
    let [kid, cell, issued, expires, claims, _] = stamps.each_ref().map(|v| v.to_str().unwrap());
    let message = canonical(
        [kid, cell, issued, expires, claims],
        &case.method,
        &case.target,
    );

    let mut text = String::new();
    let mut block = |title: &str, content: &str| {
        let _ = writeln!(text, "{title}\n\n```text\n{content}\n```\n");
    };
    block("The public key of the JWS, as it is published:", &key.jwk());
    let claims_of = |text: &str| String::from_utf8(base64url::decode(text.as_bytes()).unwrap());
    let payload = jws.to_str().unwrap().split('.').nth(1).unwrap();
    block("Its claims:", &claims_of(payload).unwrap());
    block(
        "The whole of it, `x-cellway-envelope`:",
        jws.to_str().unwrap(),
    );
    block("The claims of the HMAC form:", &claims_of(claims).unwrap());
    let rules = HeaderRules::default();
    let names = rules.envelope_hmac().iter().zip(&stamps);
    let headers: Vec<String> = names
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    block("Its headers:", &headers.join("\n"));
    let message = String::from_utf8(message).unwrap();
    block(
        "The bytes under its signature, with no newline at the end:",
        &message,
    );
    let stamps = seal_compatible(&shared, &sealing);
    let [alg, kid, issued, expires, claims, _] = stamps.each_ref().map(|v| v.to_str().unwrap());
    let message = canonical_compatible(
        [alg, kid, issued, expires, claims],
        &case.method,
        &case.target,
    );
    let claims = claims_of(claims).unwrap();
    block("The claims of the compatible form:", &claims);
    let names = rules.envelope_compatible().iter().zip(&stamps);
    let headers: Vec<String> = names
        .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
        .collect();
    block("Its headers:", &headers.join("\n"));
    let message = String::from_utf8(message).unwrap();
    block("The bytes under its signature:", &message);
    text
}

#[test]
fn the_page_has_the_vectors() {
    let written = PAGE
        .split(BEGIN)
        .nth(1)
        .and_then(|rest| rest.split(END).next());
    let expected = format!("\n{}", section());
    assert!(
        written == Some(&expected),
        "docs/envelope.md should have, between its two comments:\n{expected}"
    );
}

/// What the page shows is read from the page, and verified as a service would.
#[test]
fn the_vectors_of_the_page_hold() {
    let blocks: Vec<&str> = (PAGE.split(BEGIN).nth(1).unwrap())
        .split("```text\n")
        .skip(1)
        .map(|block| block.split("\n```").next().unwrap())
        .collect();
    let [jwk, _, jws, _, hmac, message, _, compatible, signed] = *blocks.first_chunk().unwrap();
    let set = format!("{{\"keys\":[{jwk}]}}");
    let keys = KeySet::parse(set.as_bytes(), &Verifier::ALGORITHMS).unwrap();
    let shared = HmacKey::new("eu-1-a", "eu-1", &bytes()).unwrap();
    let verifier = Verifier::new(VerifierSpec {
        hmac: vec![shared],
        ..VerifierSpec::new("eu-1")
    });
    let verifier = verifier.unwrap();
    let header = |line: &str| {
        let (name, value) = line.split_once(": ").unwrap();
        let name = http::HeaderName::try_from(name).unwrap();
        (name, http::HeaderValue::try_from(value).unwrap())
    };
    let jws = HeaderMap::from_iter([header(&format!("x-cellway-envelope: {jws}"))]);
    let [hmac, compatible] =
        [hmac, compatible].map(|lines| lines.lines().map(header).collect::<HeaderMap>());
    let case = case();
    for headers in [jws, hmac, compatible] {
        let check = |target: &str, secs: u64| {
            let now = Unix::from_secs(1_800_000_000 + secs);
            verifier.check(Some(&keys), &case.method, target, &headers, now)
        };
        let verdict = check(&case.target, 0).unwrap();
        let verified = verdict.verified().unwrap();
        assert_eq!(verified.tenant, case.identity.tenant);
        assert_eq!(verified.roles, case.identity.roles);
        assert!(check("/orders?id=8", 0).is_err());
        assert!(check(&case.target, 36).is_err());
    }
    assert_eq!(message.lines().count(), 8);
    assert_eq!(signed.lines().count(), 8);
    assert!(signed.starts_with("cellway-envelope-compatible-v1\nHS256\neu-1-a\n1800000000\n"));
    assert!(message.starts_with("cellway-envelope-hmac-sha256-v1\neu-1-a\neu-1\n1800000000\n"));
}
