//! Bearer tokens.

use std::sync::LazyLock;

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cellway_core::Text;
use http::HeaderValue;
use serde_json::{Value, json};

use crate::identity::{Core, NOW};

const ISSUER: &str = "https://idp.example";
const AUDIENCE: &str = "cellway";
/// The most that a date may be rounded and `nbf` may lie ahead.
const LEEWAY_SECS: f64 = 6.0;

static KEY: LazyLock<Ed25519KeyPair> =
    LazyLock::new(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("any seed is a key"));

static CORE: LazyLock<Core> = LazyLock::new(|| {
    let x = URL_SAFE_NO_PAD.encode(KEY.public_key());
    let jwk = json!({"kty": "OKP", "crv": "Ed25519", "kid": "k", "x": x});
    let config = json!({
        "issuer": [{"name": "main", "issuer": ISSUER, "audience": AUDIENCE,
                    "claims": {"tenants": "tenants", "roles": ["realm", "roles"], "org": "org"}}],
        "policy": [{"name": "default", "any_of": ["jwt"]}],
    });
    let keys = json!({ "keys": [jwk] }).to_string();
    Core::new(config, Some(keys.into())).expect("a good configuration")
});

/// With a line break in it the input is a header and claims to be signed, so that the fuzzer gets
/// past the signature; else it is a token.
pub(crate) fn run(data: &[u8]) {
    let token = match data.iter().position(|byte| *byte == b'\n') {
        Some(at) => signed(&data[..at], &data[at + 1..]).into_bytes(),
        None => data.to_vec(),
    };
    let Ok(authorization) = HeaderValue::from_bytes(&[b"Bearer ", &token[..]].concat()) else {
        return;
    };
    let Ok(identity) = CORE.ask(Some(authorization), None) else {
        return;
    };
    let spaces = token.iter().take_while(|byte| **byte == b' ').count();
    let claims = read_again(&token[spaces..]);
    let tenant = identity
        .tenant
        .as_ref()
        .expect("a verified caller has a tenant");
    Text::check(tenant.as_str()).expect("a tenant can stand in a header");
    let subject = identity.subject.as_ref().expect("somebody to revoke");
    assert_eq!(claims["sub"], *subject.decode(), "no two subjects are one");
    if let Some(org) = &identity.org {
        assert_eq!(claims["org"], *org.decode());
    }
    for role in &identity.roles {
        let role = json!(role.as_str());
        let named = &claims["realm"]["roles"];
        let listed = named.as_array().is_some_and(|all| all.contains(&role));
        assert!(listed || *named == role, "{role} is not in {claims}");
    }
    let one = claims["tenant_id"].as_str() == Some(tenant.as_str());
    let only =
        json!([tenant.as_str()]) == claims["tenants"] || claims["tenants"] == tenant.as_str();
    let all_same = claims["tenants"].as_array().is_some_and(|all| {
        all.iter()
            .all(|held| held.as_str() == Some(tenant.as_str()))
    });
    assert!(one || only || all_same, "{tenant} is not in {claims}");
}

/// What a lenient reader finds in a token that was taken.
fn read_again(token: &[u8]) -> Value {
    let parts: Vec<&[u8]> = token.split(|byte| *byte == b'.').collect();
    assert_eq!(parts.len(), 3);
    let decoded: Vec<Vec<u8>> = parts
        .iter()
        .map(|part| {
            let decoded = URL_SAFE_NO_PAD.decode(part).expect("base64url");
            assert_eq!(
                URL_SAFE_NO_PAD.encode(&decoded).as_bytes(),
                *part,
                "one spelling"
            );
            decoded
        })
        .collect();
    let header: Value = serde_json::from_slice(&decoded[0]).expect("JSON");
    for member in ["crit", "b64", "zip", "enc"] {
        assert!(header[member].is_null(), "{header}");
    }
    assert_eq!(header["alg"], "EdDSA");
    let claims: Value = serde_json::from_slice(&decoded[1]).expect("JSON");
    assert_eq!(claims["iss"], ISSUER);
    let held = claims["aud"] == AUDIENCE
        || claims["aud"]
            .as_array()
            .is_some_and(|all| all.contains(&json!(AUDIENCE)));
    assert!(held, "{claims}");
    assert!(claims["exp"].as_f64().expect("a number") >= NOW as f64);
    for claim in ["nbf", "iat"] {
        if let Some(date) = claims.get(claim).filter(|date| !date.is_null()) {
            assert!(date.as_f64().expect("a number") <= NOW as f64 + LEEWAY_SECS);
        }
    }
    assert!(claims["cnf"].is_null(), "there is no certificate");
    claims
}

fn signed(header: &[u8], claims: &[u8]) -> String {
    let mut token = URL_SAFE_NO_PAD.encode(header);
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(claims, &mut token);
    let signature = KEY.sign(token.as_bytes());
    token.push('.');
    URL_SAFE_NO_PAD.encode_string(signature, &mut token);
    token
}

pub(crate) fn seeds() -> Vec<Vec<u8>> {
    let header = json!({"alg": "EdDSA", "kid": "k", "typ": "JWT"});
    let rich = json!({"alg": "EdDSA", "kid": "k", "typ": "at+jwt", "cty": "json", "x5t": "AAAA"});
    let claims = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "sub": "ada",
        "tenant_id": "acme", "org": "Acme, Inc.", "nbf": null});
    let several = json!({"iss": ISSUER, "aud": [AUDIENCE, "other"], "exp": NOW as f64 + 0.5,
        "nbf": NOW, "iat": NOW, "sub": "CN=100%,OU=jos\u{e9}", "tenant_id": "acme", "tenants": ["acme", "globex"],
        "realm": {"roles": ["a", "b,c", "", 1]}, "org": 7, "x": {"y": [null, true, -1, "\u{1f600}"]}});
    let bound = json!({"iss": ISSUER, "aud": AUDIENCE, "exp": NOW + 600, "tenants": "acme",
        "cnf": {"x5t#S256": URL_SAFE_NO_PAD.encode([0; 32])}});
    let bad = json!({"alg": "none", "kid": "k", "crit": ["exp"], "b64": false, "zip": "DEF"});
    let mut seeds = Vec::new();
    for header in [&header, &rich, &bad] {
        for claims in [&claims, &several, &bound] {
            seeds.push(format!("{header}\n{claims}").into_bytes());
        }
    }
    seeds.push(signed(header.to_string().as_bytes(), claims.to_string().as_bytes()).into_bytes());
    seeds
}
