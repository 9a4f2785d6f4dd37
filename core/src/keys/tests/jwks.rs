use serde_json::{Value, json};

use crate::keys::jwks::Found;
use crate::keys::{Algorithm, KeySet, KeysRefused};
use crate::testing::{Signer, jwks};

const ALL: &[Algorithm] = &Algorithm::ALL;

/// `base` with the members of `change` set, or removed where they are null.
fn with(base: &Value, change: Value) -> Value {
    let mut jwk = base.clone();
    for (name, value) in change.as_object().unwrap() {
        match value {
            Value::Null => _ = jwk.as_object_mut().unwrap().remove(name),
            _ => jwk[name] = value.clone(),
        }
    }
    jwk
}

#[test]
fn each_key_gets_one_algorithm() {
    use Algorithm::*;
    let (rsa, p256) = (Signer::rsa().jwk("k"), Signer::p256().jwk("k"));
    let (p384, ed) = (Signer::p384().jwk("k"), Signer::ed25519(1).jwk("k"));
    for (jwk, allowed, expected) in [
        (rsa.clone(), ALL, Some(RS256)),
        (rsa.clone(), &[ES256, PS384, RS256], Some(PS384)),
        (with(&rsa, json!({"alg": "RS512"})), ALL, Some(RS512)),
        (with(&rsa, json!({"alg": "RS512"})), &[RS256], None),
        (with(&rsa, json!({"alg": "ES256"})), ALL, None),
        (with(&rsa, json!({"alg": "RSA-OAEP"})), ALL, None),
        (rsa, &[ES256, EdDSA], None),
        (p256.clone(), ALL, Some(ES256)),
        (with(&p256, json!({"alg": "ES384"})), ALL, None),
        (p256, &[ES384], None),
        (p384, ALL, Some(ES384)),
        (ed, ALL, Some(EdDSA)),
    ] {
        let found = match KeySet::parse(&jwks(std::slice::from_ref(&jwk)), allowed) {
            Ok(set) => ALL
                .iter()
                .copied()
                .find(|a| matches!(set.find(Some("k"), *a), Found::Keys(_))),
            Err(_) => None,
        };
        assert_eq!(found, expected, "{jwk} of {allowed:?}");
    }
}

#[test]
fn one_bad_key_is_skipped_and_the_others_stay() {
    let (rsa, p256) = (Signer::rsa().jwk("bad"), Signer::p256().jwk("bad"));
    let ed = Signer::ed25519(1).jwk("bad");
    let short = "A".repeat(255);
    let long = format!("_{}", "A".repeat(1366));
    for bad in [
        json!(null),
        json!("key"),
        json!({}),
        json!({"kty": "unheard-of", "kid": "bad"}),
        json!({"kty": "oct", "kid": "bad", "k": "c2VjcmV0"}),
        with(&ed, json!({"d": "AAAA"})),
        with(&ed, json!({"use": "enc"})),
        with(&ed, json!({"use": 1})),
        with(&ed, json!({"key_ops": ["sign"]})),
        with(&ed, json!({"key_ops": "verify"})),
        with(&ed, json!({"key_ops": []})),
        with(&ed, json!({"key_ops": ["verify", 1]})),
        with(&ed, json!({"key_ops": ["verify", "verify"]})),
        with(&ed, json!({"key_ops": ["sign", "verify", "sign"]})),
        with(&ed, json!({"use": "sig", "key_ops": ["verify", "encrypt"]})),
        with(&ed, json!({"use": "enc", "key_ops": ["verify"]})),
        with(&ed, json!({"x": crate::testing::base64url([0; 32])})),
        with(&ed, json!({"x": crate::testing::base64url([0xff; 32])})),
        with(&ed, json!({"kid": 7})),
        with(&ed, json!({"kid": ""})),
        with(&ed, json!({"crv": "Ed448"})),
        with(&ed, json!({"crv": "X25519"})),
        with(&ed, json!({"x": "AAAA"})),
        with(&ed, json!({"x": null})),
        with(&ed, json!({"alg": "HS256"})),
        with(&ed, json!({"alg": "none"})),
        with(&p256, json!({"crv": "P-521"})),
        with(&p256, json!({"crv": "secp256k1"})),
        with(&p256, json!({"crv": "P-384"})),
        with(&p256, json!({"x": "A".repeat(43)})),
        with(&p256, json!({"y": p256["x"]})),
        with(&rsa, json!({"n": short})),
        with(&rsa, json!({"n": long})),
        with(&rsa, json!({"n": "not base64url!"})),
        with(&rsa, json!({"e": "AQ"})),
        with(&rsa, json!({"e": "Ag"})),
        with(&rsa, json!({"e": ""})),
        with(&rsa, json!({"e": "AQAAAAAB"})),
        with(&rsa, json!({"d": "AAAA", "p": "AAAA"})),
    ] {
        let body = jwks(&[bad.clone(), Signer::ed25519(2).jwk("good")]);
        let set = KeySet::parse(&body, ALL).unwrap();
        assert_eq!((set.len(), set.skipped().len()), (1, 1), "{bad}");
        assert!(set.has("good"), "{bad}");
    }
}

#[test]
fn takes_what_issuers_really_write() {
    let (rsa, ed) = (Signer::rsa().jwk("k"), Signer::ed25519(1).jwk("k"));
    // A leading zero byte, as some write it against RFC 7518.
    let n = crate::base64url::decode(rsa["n"].as_str().unwrap().as_bytes()).unwrap();
    let padded = crate::testing::base64url([&[0][..], &n].concat());
    for jwk in [
        with(&rsa, json!({"n": padded})),
        with(
            &rsa,
            json!({"use": "sig", "alg": "RS256", "x5c": ["AA"], "x5t": "AA"}),
        ),
        with(&ed, json!({"key_ops": ["verify"], "ext": true})),
        with(&ed, json!({"key_ops": ["sign", "verify"], "use": "sig"})),
        with(&ed, json!({"kid": null})),
    ] {
        assert_eq!(
            KeySet::parse(&jwks(std::slice::from_ref(&jwk)), ALL)
                .unwrap()
                .len(),
            1,
            "{jwk}"
        );
    }
}

#[test]
fn refuses_documents_that_are_no_key_set() {
    use KeysRefused::*;
    let ed = Signer::ed25519(1).jwk("k").to_string();
    let many = vec![Signer::ed25519(1).jwk("k"); 65];
    for (body, expected) in [
        (String::new(), Malformed),
        ("<html>".into(), Malformed),
        ("[]".into(), Malformed),
        (format!("[[{ed}]]"), Malformed),
        (r#"{"keys":null}"#.into(), Malformed),
        ("{}".into(), Malformed),
        (r#"{"keys":{}}"#.into(), Malformed),
        (r#"{"keys":[],"keys":[]}"#.into(), Malformed),
        (format!(r#"{{"keys":[{ed}]}}x"#), Malformed),
        (r#"{"keys":[]}"#.into(), NoUsableKey),
        (r#"{"keys":[{"kty":"oct","k":"AAAA"}]}"#.into(), NoUsableKey),
        (
            format!(r#"{{"keys":[{}]}}"#, ed.replace('{', r#"{"kty":"OKP","#)),
            NoUsableKey,
        ),
        (
            String::from_utf8(jwks(&many).to_vec()).unwrap(),
            TooManyKeys,
        ),
        (
            format!(r#"{{"keys":[{ed}]}}{}"#, " ".repeat(1024 * 1024)),
            Oversized,
        ),
    ] {
        let shown = &body[..body.len().min(80)];
        assert_eq!(
            KeySet::parse(body.as_bytes(), ALL).unwrap_err(),
            expected,
            "{shown}"
        );
    }
}

#[test]
fn finds_a_key_by_id_and_algorithm() {
    let (a, b) = (Signer::ed25519(1), Signer::ed25519(2));
    let ec = Signer::p256();
    let body = jwks(&[a.jwk("one"), b.jwk("one"), ec.jwk("two")]);
    let set = KeySet::parse(&body, ALL).unwrap();

    let verifies = |kid, signer: &Signer| match set.find(kid, Algorithm::EdDSA) {
        Found::Keys(keys) => keys.verify(b"m", &signer.sign("EdDSA", b"m")),
        other => panic!("{other:?}"),
    };
    assert!(verifies(Some("one"), &a), "one kid, two keys");
    assert!(verifies(Some("one"), &b));
    assert!(!verifies(Some("one"), &Signer::ed25519(3)));

    assert!(matches!(
        set.find(Some("two"), Algorithm::EdDSA),
        Found::OtherAlgorithm
    ));
    assert!(matches!(set.find(Some("x"), Algorithm::EdDSA), Found::None));
    assert!(matches!(set.find(None, Algorithm::EdDSA), Found::Ambiguous));
    assert!(matches!(set.find(None, Algorithm::RS256), Found::None));
    let Found::Keys(only) = set.find(None, Algorithm::ES256) else {
        panic!("the only key that fits");
    };
    let signature = ec.sign("ES256", b"m");
    assert!(only.verify(b"m", &signature));
    assert!(!only.verify(b"m", &signature[..63]), "a short signature");
    assert!(
        !only.verify(b"m", &[&signature[..], &[0]].concat()),
        "a long signature"
    );
}

#[test]
fn the_digest_names_the_keys_and_not_their_spelling() {
    let digest =
        |body: &[u8], allowed: &[Algorithm]| *KeySet::parse(body, allowed).unwrap().digest();
    let (one, two) = (Signer::ed25519(1), Signer::ed25519(2));
    let x = one.jwk("k")["x"].as_str().unwrap().to_owned();
    let of = |keys: &[Value]| digest(&jwks(keys), ALL);
    let plain = of(&[one.jwk("k")]);
    for same in [
        format!("{{\n \"keys\": [ {} ] }}\n", one.jwk("k")),
        format!(r#"{{"x":1,"keys":[{{"x":"{x}","kid":"\u006b","crv":"Ed25519","kty":"OKP"}}]}}"#),
        format!(
            r#"{{"keys":[{{"use":"sig","alg":"EdDSA","kid":"k","kty":"OKP","crv":"Ed25519","x":"{x}"}}]}}"#
        ),
        format!(
            r#"{{"keys":[{0},{{"kty":"oct","k":"AAAA"}},{0}]}}"#,
            one.jwk("k")
        ),
    ] {
        assert_eq!(digest(same.as_bytes(), ALL), plain, "{same}");
    }
    assert_eq!(
        of(&[one.jwk("k"), two.jwk("l")]),
        of(&[two.jwk("l"), one.jwk("k")])
    );
    for other in [
        of(&[two.jwk("k")]),
        of(&[one.jwk("K")]),
        of(&[with(&one.jwk("k"), json!({"kid": null}))]),
        of(&[one.jwk("k"), one.jwk("l")]),
        of(&[one.jwk("k"), two.jwk("k")]),
    ] {
        assert_ne!(other, plain);
    }
    let rsa = jwks(&[Signer::rsa().jwk("k")]);
    assert_ne!(
        digest(&rsa, &[Algorithm::RS256]),
        digest(&rsa, &[Algorithm::PS256]),
        "the algorithm that a key verifies belongs to it"
    );
}

#[test]
fn an_entry_that_cannot_be_read_costs_no_other() {
    let good = Signer::ed25519(1).jwk("good").to_string();
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    for bad in [
        deep.clone(),
        format!(r#"{{"kty":"OKP","x":{deep}}}"#),
        r#"{"kty":"RSA","n":1e999}"#.to_owned(),
        r#"{"kty":"\ud800"}"#.to_owned(),
        format!(r#"{{"kty":{}}}"#, "9".repeat(10_000)),
        r#"{"kid":"a","kid":"b"}"#.to_owned(),
        "0".to_owned(),
        r#""""#.to_owned(),
    ] {
        let body = format!(r#"{{"keys":[{bad},{good}]}}"#);
        let set = KeySet::parse(body.as_bytes(), ALL).unwrap();
        assert!(set.has("good"), "{}", &bad[..bad.len().min(60)]);
        assert_eq!((set.len(), set.skipped().len()), (1, 1));
    }
}
