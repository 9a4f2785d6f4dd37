use serde_json::{Value, json};

use crate::keys::jwks::Found;
use crate::keys::{Algorithm, JwksErrorReason, KeySet};
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

/// Catches: a key that verifies an algorithm that its issuer didn't intend, and one that verifies
/// nothing because another algorithm is first on the list.
#[test]
fn each_key_has_its_algorithms_for_good() {
    use Algorithm::*;
    let (rsa, p256) = (Signer::rsa().jwk("k"), Signer::p256().jwk("k"));
    let (p384, ed) = (Signer::p384().jwk("k"), Signer::ed25519(1).jwk("k"));
    let all_rsa = [RS256, RS384, RS512, PS256, PS384, PS512];
    for (jwk, allowed, expected) in [
        (rsa.clone(), ALL, &all_rsa[..]),
        (rsa.clone(), &[ES256, PS384, RS256], &[RS256, PS384]),
        (with(&rsa, json!({"alg": "RS512"})), ALL, &[RS512]),
        (with(&rsa, json!({"alg": "RS512"})), &[RS256], &[]),
        (with(&rsa, json!({"alg": "ES256"})), ALL, &[]),
        (with(&rsa, json!({"alg": "RSA-OAEP"})), ALL, &[]),
        (rsa, &[ES256, EdDSA], &[]),
        (p256.clone(), ALL, &[ES256]),
        (with(&p256, json!({"alg": "ES384"})), ALL, &[]),
        (p256, &[ES384], &[]),
        (p384, ALL, &[ES384]),
        (ed, ALL, &[EdDSA]),
    ] {
        let found: Vec<_> = match KeySet::parse(&jwks(std::slice::from_ref(&jwk)), allowed) {
            Ok(set) => {
                assert_eq!(set.len(), 1, "one entry is one key");
                let finds = |a: &Algorithm| matches!(set.find(Some("k"), *a), Found::Keys(_));
                ALL.iter().copied().filter(finds).collect()
            }
            Err(_) => Vec::new(),
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
        with(&ed, json!({"kid": [7]})),
        with(&ed, json!({"x5c": ["AAAA"], "x": null})),
        with(&ed, json!({"x5c": [], "x": null})),
        with(&rsa, json!({"x5c": ["?"], "n": null})),
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
fn accepts_key_sets_of_real_issuers() {
    let (rsa, ed) = (Signer::rsa().jwk("k"), Signer::ed25519(1).jwk("k"));
    let p256 = Signer::p256().jwk("k");
    let padded = |jwk: &Value, name: &str| {
        let value = jwk[name].as_str().unwrap();
        let padding = "=".repeat(value.len().wrapping_neg() % 4);
        with(jwk, json!({name: format!("{value}{padding}")}))
    };
    // A leading zero byte, as some write it against RFC 7518.
    let n = crate::base64url::decode(rsa["n"].as_str().unwrap().as_bytes()).unwrap();
    let leading = crate::testing::base64url([&[0][..], &n].concat());
    let nothing = |jwk: &Value| {
        let mut jwk = jwk.clone();
        for name in ["use", "alg", "key_ops", "x5c", "x5t", "d", "k", "p", "q"] {
            jwk[name] = Value::Null;
        }
        jwk
    };
    let kid_null = {
        let mut jwk = ed.clone();
        jwk["kid"] = Value::Null;
        jwk
    };
    for jwk in [
        with(&rsa, json!({"n": leading})),
        padded(&rsa, "n"),
        padded(&rsa, "e"),
        padded(&p256, "x"),
        padded(&p256, "y"),
        padded(&ed, "x"),
        with(
            &rsa,
            json!({"use": "sig", "alg": "RS256", "x5c": ["AA"], "x5t": "AA"}),
        ),
        with(&ed, json!({"key_ops": ["verify"], "ext": true})),
        with(&ed, json!({"key_ops": ["sign", "verify"], "use": "sig"})),
        with(&ed, json!({"kid": null})),
        with(&ed, json!({"kid": 7})),
        kid_null,
        nothing(&rsa),
        nothing(&ed),
    ] {
        let body = jwks(std::slice::from_ref(&jwk));
        let marked = [b"\xef\xbb\xbf", &body[..]].concat();
        for body in [&body[..], &marked] {
            assert_eq!(KeySet::parse(body, ALL).unwrap().len(), 1, "{jwk}");
        }
    }
}

/// Catches: an entry whose key is only in a certificate and is not read, and an entry that gets
/// another key from its certificate.
#[test]
fn a_key_without_members_is_read_from_its_certificate() {
    use base64::Engine;
    use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
    for (kind, kty) in [
        (&rcgen::PKCS_RSA_SHA256, "RSA"),
        (&rcgen::PKCS_ECDSA_P256_SHA256, "EC"),
        (&rcgen::PKCS_ECDSA_P384_SHA384, "EC"),
        (&rcgen::PKCS_ED25519, "OKP"),
    ] {
        let key = rcgen::KeyPair::generate_for(kind).unwrap();
        // Long expired: the key is trusted because of the set's source, not the certificate.
        let mut params = rcgen::CertificateParams::default();
        params.not_after = rcgen::date_time_ymd(1990, 1, 1);
        let der = params.self_signed(&key).unwrap().der().to_vec();
        let only = json!({"kty": kty, "kid": "k", "x5c": [STANDARD.encode(&der)]});
        let set = KeySet::parse(&jwks(std::slice::from_ref(&only)), ALL).unwrap();
        let unpadded = json!({"kid": "k", "x5c": [STANDARD_NO_PAD.encode(&der), "?"]});
        let same = KeySet::parse(&jwks(&[unpadded]), ALL).unwrap();
        assert_eq!(set.digest(), same.digest(), "{kty}");
        let other = if kty == "EC" { "RSA" } else { "EC" };
        let refused = KeySet::parse(&jwks(&[with(&only, json!({"kty": other}))]), ALL);
        let refused = refused.unwrap_err().to_string();
        assert!(
            refused.ends_with("1 whose certificate holds a key of another type"),
            "{refused}"
        );
        // An entry's own members are the key, even if it has a certificate.
        let own = Signer::ed25519(1).jwk("k");
        let beside = with(&own, json!({"x5c": only["x5c"]}));
        let digest = |jwk| *KeySet::parse(&jwks(&[jwk]), ALL).unwrap().digest();
        assert_eq!(digest(beside), digest(own));
    }
}

#[test]
fn only_keys_that_can_be_used_count_against_the_bound() {
    let good: Vec<_> = (0..64)
        .map(|i| Signer::ed25519(i).jwk(&format!("k{i}")))
        .collect();
    let bad = vec![json!({"kty": "oct", "k": "AAAA"}); KeySet::ENTRIES_MAX - 64];
    let both = |more: &[Value]| jwks(&[&bad[..], &good, more].concat());
    let set = KeySet::parse(&both(&[]), ALL).unwrap();
    assert_eq!((set.len(), set.skipped().len()), (64, bad.len()));
    let entries = KeySet::parse(&both(&[json!({})]), ALL).unwrap_err();
    assert_eq!(&*entries.detail, "1025 entries; at most 1024 are accepted");
    let more = jwks(&[&good[..], &[Signer::ed25519(99).jwk("k99")]].concat());
    let more = KeySet::parse(&more, ALL).unwrap_err();
    assert_eq!(
        &*more.detail,
        "65 keys that can be used; at most 64 are accepted"
    );
    for refused in [entries, more] {
        assert_eq!(refused.reason, JwksErrorReason::TooManyKeys);
    }
}

#[test]
fn a_refused_set_lists_the_reasons_of_its_entries() {
    use Algorithm::*;
    let rsa = Signer::rsa().jwk("r");
    let no_n = with(&rsa, json!({"n": null}));
    let oct = json!({"kty": "oct", "k": "AAAA"});
    let set = jwks(&[no_n.clone(), with(&no_n, json!({"kid": null})), oct]);
    let refused = KeySet::parse(&set, &[RS256, ES256]).unwrap_err();
    assert_eq!(
        &*refused.detail,
        r#"no key is usable for RS256, ES256: 3 entries, 2 without "n", 1 of type "oct""#
    );
    let entries: Vec<_> = refused.skipped.iter().map(ToString::to_string).collect();
    assert_eq!(
        entries,
        [
            r#"r: without "n""#,
            r#"entry 1: without "n""#,
            r#"entry 2: of type "oct""#
        ]
    );
}

/// Checks for each key and list of algorithms why the key isn't used.
fn assert_skipped(rows: &[(Value, &[Algorithm], Option<&str>)]) {
    for (jwk, allowed, why) in rows {
        let found = KeySet::parse(&jwks(std::slice::from_ref(jwk)), allowed);
        let found = found
            .err()
            .map(|refused| refused.skipped[0].why.to_string());
        assert_eq!(found.as_deref(), *why, "{jwk}");
    }
}

#[test]
fn an_unusable_ed25519_key_is_skipped_for_a_reason() {
    let ed = Signer::ed25519(1).jwk("e");
    assert_skipped(&[
        (ed.clone(), ALL, None),
        (
            ed.clone(),
            &[Algorithm::RS256],
            Some("for EdDSA, which is not on the list"),
        ),
        (
            with(&ed, json!({"alg": "ES256"})),
            ALL,
            Some("for ES256, which a key for EdDSA can't verify"),
        ),
        (
            with(&ed, json!({"alg": "HS256"})),
            ALL,
            Some("for \"HS256\", which is not supported"),
        ),
        (
            with(&ed, json!({"crv": "X25519"})),
            ALL,
            Some("on the curve \"X25519\", which is not supported"),
        ),
        (
            with(&ed, json!({"use": "enc"})),
            ALL,
            Some("with another \"use\" than \"sig\""),
        ),
        (
            with(&ed, json!({"d": "AAAA"})),
            ALL,
            Some("with members of a private key"),
        ),
    ]);
}

#[test]
fn an_unusable_rsa_key_is_skipped_for_a_reason() {
    let rsa = Signer::rsa().jwk("r");
    assert_skipped(&[
        (
            with(&rsa, json!({"n": "AQAB"})),
            ALL,
            Some("with an RSA key of 17 bits (2048 to 8192 are accepted)"),
        ),
        (
            with(&rsa, json!({"alg": "ES256"})),
            ALL,
            Some("for ES256, which an RSA key can't verify"),
        ),
        (
            rsa.clone(),
            &[Algorithm::ES256],
            Some("of type \"RSA\", for which no algorithm is on the list"),
        ),
        (
            json!({"kty": "x\n".repeat(99)}),
            ALL,
            Some("of type \"x\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\nx\\n\"..."),
        ),
    ]);
}

/// An issuer with one key often names it only in its tokens.
#[test]
fn a_single_key_without_an_id_is_tried_for_any_id() {
    let unnamed = |seed| with(&Signer::ed25519(seed).jwk("k"), json!({"kid": null}));
    let found = |keys: &[Value], kid, algorithm| {
        let set = KeySet::parse(&jwks(keys), ALL).unwrap();
        let found = matches!(set.find(kid, algorithm), Found::Keys(_));
        assert!(!set.has("any"), "it has no id all the same");
        found
    };
    use Algorithm::*;
    assert!(found(&[unnamed(1)], Some("any"), EdDSA));
    assert!(found(&[unnamed(1)], None, EdDSA));
    assert!(!found(&[unnamed(1)], Some("any"), ES256));
    assert!(found(
        &[unnamed(1), json!({"kty": "oct"})],
        Some("any"),
        EdDSA
    ));
    assert!(!found(&[unnamed(1), unnamed(2)], Some("any"), EdDSA));
    assert!(!found(
        &[unnamed(1), Signer::p256().jwk("p")],
        Some("any"),
        EdDSA
    ));
    let rsa = with(&Signer::rsa().jwk("k"), json!({"kid": null}));
    assert!(
        found(std::slice::from_ref(&rsa), Some("any"), PS256),
        "one key, several algorithms"
    );
}

#[test]
fn refuses_documents_that_are_no_key_set() {
    use JwksErrorReason::*;
    let ed = Signer::ed25519(1).jwk("k").to_string();
    let many: Vec<_> = (0..65).map(|i| Signer::ed25519(i).jwk("k")).collect();
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
            KeySet::parse(body.as_bytes(), ALL).unwrap_err().reason,
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
fn an_unreadable_entry_does_not_affect_the_others() {
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
