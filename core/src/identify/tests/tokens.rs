//! Single tokens: which are accepted, and why others are refused.

use super::*;
use crate::testing::base64url;

#[test]
fn each_algorithm_verifies_with_its_own_key() {
    let mut world = World::jwt();
    let signers = [
        ("EdDSA", "ed", &SIGNERS.ed),
        ("ES256", "p256", &SIGNERS.p256),
        ("ES384", "p384", &SIGNERS.p384),
        ("RS256", "rsa", &SIGNERS.rsa),
        ("PS256", "pss", &SIGNERS.pss),
    ];
    for (alg, kid, signer) in signers {
        let token = |header: Value| signer.token(&header, &claims(json!({})));
        assert_eq!(
            world.reason(&token(json!({"alg": alg, "kid": kid}))),
            Reason::Verified,
            "{alg}"
        );
        let kidless = token(json!({"alg": alg}));
        assert_eq!(
            world.reason(&kidless),
            Reason::Verified,
            "{alg}, the only key that fits"
        );
        for (_, other, _) in signers.iter().filter(|(_, other, _)| *other != kid) {
            let header = json!({"alg": alg, "kid": other});
            // The RSA key without `alg` verifies each RSA algorithm.
            let expected = match (alg, *other) {
                ("PS256", "rsa") => Reason::BadSignature,
                _ => Reason::ForbiddenAlgorithm,
            };
            assert_eq!(world.reason(&token(header)), expected, "{alg} as {other}");
        }
    }
    let swapped = SIGNERS
        .rsa
        .token(&json!({"alg": "RS256", "kid": "pss"}), &claims(json!({})));
    assert_eq!(
        world.reason(&swapped),
        Reason::ForbiddenAlgorithm,
        "one algorithm for each key"
    );
}

#[test]
fn headers_that_change_the_meaning_of_others_are_refused() {
    use Reason::*;
    let mut world = World::jwt();
    let stolen = Signer::ed25519(9);
    for (extra, expected) in [
        (json!({"typ": "JWT"}), Verified),
        (json!({"typ": "jwt"}), Verified),
        (json!({"typ": "application/at+JWT"}), Verified),
        (json!({"typ": "Application/JWT"}), Verified),
        (json!({"typ": "cba+jwt"}), MalformedToken),
        (json!({"typ": "cellway-envelope+jwt"}), MalformedToken),
        (json!({"typ": ""}), MalformedToken),
        (json!({"typ": 1}), MalformedToken),
        (json!({"cty": "JWT"}), MalformedToken),
        (json!({"crit": []}), MalformedToken),
        (json!({"crit": ["exp"], "exp": 1}), MalformedToken),
        (json!({"b64": true}), MalformedToken),
        (json!({"zip": "DEF"}), MalformedToken),
        (json!({"enc": "A128GCM"}), MalformedToken),
        (json!({"kid": ""}), MalformedToken),
        (json!({"kid": [1]}), MalformedToken),
        (json!({"kid": null, "typ": null, "cty": null}), Verified),
        (json!({"crit": null, "b64": null, "zip": null}), Verified),
        (json!({"kid": "k".repeat(257)}), MalformedToken),
        (json!({"alg": null}), MalformedToken),
        (json!({"alg": ["EdDSA"]}), MalformedToken),
        (json!({"alg": "none"}), ForbiddenAlgorithm),
        (json!({"alg": "None"}), ForbiddenAlgorithm),
        (json!({"alg": ""}), ForbiddenAlgorithm),
        (json!({"alg": "HS256"}), ForbiddenAlgorithm),
        (
            json!({"alg": "HS512", "kid": "unknown"}),
            ForbiddenAlgorithm,
        ),
        (json!({"alg": "eddsa"}), ForbiddenAlgorithm),
        (json!({"alg": "ES512"}), ForbiddenAlgorithm),
        (json!({"alg": "RS512", "kid": "rsa"}), ForbiddenAlgorithm),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": "ed"});
        header
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let message = SIGNERS.ed.token(&header, &claims(json!({})));
        assert_eq!(world.reason(&message), expected, "{header}");
    }
    for extra in [
        json!({"jwk": stolen.jwk("ed")}),
        json!({"jku": "https://evil.example/jwks"}),
        json!({"x5u": "https://evil.example/x5u", "x5c": ["AA"]}),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": "ed"});
        header
            .as_object_mut()
            .unwrap()
            .extend(extra.as_object().unwrap().clone());
        let token = stolen.token(&header, &claims(json!({})));
        assert_eq!(world.reason(&token), BadSignature, "{header}");
    }
}

#[test]
fn a_token_without_typ_needs_jwt_among_the_types() {
    use Reason::*;
    let mut world = World::new(json!({"types": ["at+jwt"]}), json!({"any_of": ["jwt"]}));
    for (typ, expected) in [
        (json!("at+jwt"), Verified),
        (json!("application/AT+jwt"), Verified),
        (json!("JWT"), MalformedToken),
        (json!(null), MalformedToken),
        (json!("REMOVED"), MalformedToken),
    ] {
        let mut header = json!({"alg": "EdDSA", "kid": "ed"});
        if typ != "REMOVED" {
            header["typ"] = typ;
        }
        let token = SIGNERS.ed.token(&header, &claims(json!({})));
        assert_eq!(world.reason(&token), expected, "{header}");
    }
}

#[test]
fn only_the_canonical_spelling_is_a_token() {
    let mut world = World::jwt();
    let good = ed_token(json!({}));
    assert_eq!(world.reason(&good), Reason::Verified);
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    // The last character of 64 bytes holds four bits and two that must be zero.
    let last = signature.as_bytes()[85];
    let spelled_twice = format!("{message}.{}{}", &signature[..85], (last + 1) as char);
    for bad in [
        String::new(),
        ".".into(),
        "..".into(),
        message.into(),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!(".{good}"),
        format!("{good}="),
        format!("{good} "),
        format!("{header}.{payload} .{signature}"),
        format!("{header}=.{payload}.{signature}"),
        good.replace('-', "+").replace('_', "/") + "+",
        spelled_twice,
        format!("{header}..{signature}"),
        format!("{}.{payload}.{signature}", base64url("null")),
        format!("{}.{payload}.{signature}", base64url("[]")),
        format!(
            "{}.{payload}.{signature}",
            base64url(r#"{"alg":"EdDSA"} {}"#)
        ),
        format!(
            "{}.{payload}.{signature}",
            base64url(b"{\"alg\":\"EdDSA\",\"x\":\"\xff\"}")
        ),
        format!(
            "{}.{payload}.{signature}",
            base64url(r#"{"alg":"EdDSA","alg":"none"}"#)
        ),
        format!("{header}.{}.{signature}", base64url("\"text\"")),
        ed_token(json!({"long": "x".repeat(16 * 1024)})),
        format!("{good}.{}", "A".repeat(1 << 20)),
    ] {
        let shown = &bad[..bad.len().min(120)];
        assert_eq!(world.reason(&bad), Reason::MalformedToken, "{shown}");
    }
    for bad in [
        format!("{message}."),
        format!("{message}.{}", &signature[..84]),
        format!("{message}.{signature}AAAA"),
        format!("{message}.{}", base64url([0; 64])),
        format!("{message}.{}", base64url([0xff; 64])),
    ] {
        assert_eq!(world.reason(&bad), Reason::BadSignature, "{bad}");
    }
}

#[test]
fn ecdsa_signatures_have_one_length() {
    let mut world = World::jwt();
    let good = SIGNERS
        .p256
        .token(&json!({"alg": "ES256", "kid": "p256"}), &claims(json!({})));
    let (message, _) = good.rsplit_once('.').unwrap();
    let signature = SIGNERS.p256.sign("ES256", message.as_bytes());
    let (r, s) = signature.split_at(32);
    let der_like = [&[0x30, 68, 2, 32], r, &[2, 32], s].concat();
    let zero = [0; 64];
    let zero_padded = [&[0][..], r, &[0], s].concat();
    for bad in [&zero[..], &der_like, &zero_padded, r, &signature[..63]] {
        let token = format!("{message}.{}", base64url(bad));
        assert_eq!(world.reason(&token), Reason::BadSignature, "{bad:?}");
    }
}

#[test]
fn a_changed_byte_breaks_the_token() {
    let good = ed_token(json!({}));
    let mut world = World::jwt();
    for position in 0..good.len() {
        let mut changed = good.clone().into_bytes();
        changed[position] = if changed[position] == b'A' {
            b'B'
        } else {
            b'A'
        };
        let changed = String::from_utf8(changed).unwrap();
        world.waited = true;
        assert_ne!(world.reason(&changed), Reason::Verified, "{position}");
    }
}

/// The reason for a token with each of these changes.
fn assert_reasons(rows: &[(Value, Reason)]) {
    let mut world = World::jwt();
    for (change, expected) in rows {
        let reason = world.reason(&ed_token(change.clone()));
        assert_eq!(reason, *expected, "{change}");
    }
}

#[test]
fn issuer_audience_and_id_have_one_form() {
    use Reason::*;
    assert_reasons(&[
        (json!({}), Verified),
        (json!({"iss": "REMOVED"}), MissingClaim),
        (json!({"iss": 1}), MalformedToken),
        (json!({"iss": "https://idp.example/"}), WrongIssuer),
        (json!({"iss": "https://IDP.example"}), WrongIssuer),
        (json!({"iss": ["https://idp.example"]}), MalformedToken),
        (json!({"jti": "j".repeat(1024)}), Verified),
        (json!({"jti": "j".repeat(1025)}), MalformedToken),
        (json!({"jti": 7}), Verified),
        (json!({"jti": ["7"]}), MalformedToken),
        (json!({"aud": "REMOVED"}), MissingClaim),
        (json!({"aud": "other"}), WrongAudience),
        (json!({"aud": "cellway2"}), WrongAudience),
        (json!({"aud": []}), WrongAudience),
        (json!({"aud": ["other", "cellway"]}), Verified),
        (json!({"aud": ["cellway", 1]}), MalformedToken),
        (json!({"aud": null}), MissingClaim),
        (json!({"aud": {"cellway": true}}), MalformedToken),
        (json!({"iss": null}), MissingClaim),
    ]);
}

#[test]
fn dates_have_one_form() {
    use Reason::*;
    let year_10000 = 253_402_300_800_u64;
    assert_reasons(&[
        (json!({"exp": "REMOVED"}), MissingClaim),
        (json!({"exp": null}), MissingClaim),
        (json!({"exp": "2000000"}), MalformedToken),
        (json!({"exp": -1}), MalformedToken),
        (json!({"exp": true}), MalformedToken),
        (json!({"exp": year_10000}), MalformedToken),
        (json!({"exp": 1e30}), MalformedToken),
        (json!({"exp": u64::MAX}), MalformedToken),
        (json!({"exp": year_10000 - 1}), Verified),
        (json!({"exp": (START + 200) as f64 + 0.5}), Verified),
        (json!({"nbf": "1"}), MalformedToken),
        (
            json!({"nbf": null, "iat": null, "jti": null, "cnf": null}),
            Verified,
        ),
        (json!({"iat": [1]}), MalformedToken),
        (json!({"iat": 1.5}), Verified),
    ]);
}

#[test]
fn subject_and_tenant_have_one_form() {
    use Reason::*;
    assert_reasons(&[
        (json!({"sub": "REMOVED"}), MissingClaim),
        (json!({"sub": null, "jti": "1"}), MissingClaim),
        (json!({"sub": "", "jti": "1"}), MissingClaim),
        (json!({"sub": 1}), MalformedToken),
        (json!({"sub": ["a"]}), MalformedToken),
        (json!({"sub": "s".repeat(2048)}), Verified),
        (json!({"sub": "s".repeat(2049)}), MalformedToken),
        (json!({"sub": "a,b"}), Verified),
        (json!({"tenant_id": "REMOVED"}), MissingClaim),
        (json!({"tenant_id": null}), MissingClaim),
        (json!({"tenant_id": ""}), MissingClaim),
        (json!({"tenant_id": 7}), MalformedToken),
        (json!({"tenant_id": ["acme"]}), MalformedToken),
        (json!({"tenant_id": "acme\r\nx-admin: 1"}), MalformedToken),
        (json!({"tenant_id": "a".repeat(257)}), MalformedToken),
    ]);
}

#[test]
fn a_payload_is_one_object_with_unique_names() {
    let mut world = World::jwt();
    for payload in [
        r#"{"iss":"https://idp.example","iss":"https://idp.example"}"#,
        r#"{"iss":"https://idp.example","x":{"a":1,"a":2}}"#,
        r#"{"tenant_id":"acme","tenant_\u0069d":"evil","iss":"https://idp.example"}"#,
        r#"{"a":[[[[[[[[[[[[[[[[1]]]]]]]]]]]]]]]]}"#,
        "",
    ] {
        let token = SIGNERS
            .ed
            .token_of(r#"{"alg":"EdDSA","kid":"ed"}"#, payload, None);
        assert_eq!(world.reason(&token), Reason::MalformedToken, "{payload}");
    }
}

#[test]
fn time_limits_hold_to_the_second() {
    use Reason::*;
    let strict = || World::jwt();
    let lenient = || {
        let leeway = json!({"leeway_exp_secs": 10, "leeway_nbf_secs": 0});
        World::new(leeway, json!({"any_of": ["jwt"]}))
    };
    for (world, change, now, expected) in [
        (
            &strict as &dyn Fn() -> World,
            json!({"exp": START + 50}),
            49,
            Verified,
        ),
        (&strict, json!({"exp": START + 50}), 50, ExpiredToken),
        (
            &strict,
            json!({"exp": (START + 50) as f64 + 0.9}),
            50,
            ExpiredToken,
        ),
        (&strict, json!({"exp": 0}), 50, ExpiredToken),
        (&strict, json!({"nbf": START + 105}), 99, NotYetValid),
        (&strict, json!({"nbf": START + 105}), 100, Verified),
        (
            &strict,
            json!({"nbf": (START + 105) as f64 + 0.1}),
            100,
            NotYetValid,
        ),
        (&strict, json!({"iat": START + 105}), 99, NotYetValid),
        (&strict, json!({"iat": START + 105}), 100, Verified),
        (&lenient, json!({"exp": START + 50}), 59, Verified),
        (&lenient, json!({"exp": START + 50}), 60, ExpiredToken),
        (&lenient, json!({"nbf": START + 105}), 104, NotYetValid),
        (&lenient, json!({"nbf": START + 105}), 105, Verified),
    ] {
        let mut world = world();
        world.now = now;
        assert_eq!(
            world.reason(&ed_token(change.clone())),
            expected,
            "{change} at {now}"
        );
    }
}

#[test]
fn missing_keys_are_waited_for_once() {
    let mut world = World::jwt();
    let header = json!({"alg": "EdDSA", "kid": "new"});
    let token = SIGNERS.ed.token(&header, &claims(json!({})));
    let Err(IdentifyError::Wait(wait)) = world.bearer(&token) else {
        panic!("the key may have been published since");
    };
    assert_eq!(wait.kid.as_deref(), Some("new"));
    assert_eq!((wait.seen, wait.until), (1, at(105).mono));
    world.waited = true;
    assert_eq!(world.reason(&token), Reason::NoMatchingKey);

    let mut world = World::jwt();
    world.keys = KeyTable {
        epoch: 0,
        issuers: vec![Arc::default()],
    };
    let good = ed_token(json!({}));
    assert!(matches!(world.bearer(&good), Err(IdentifyError::Wait(_))));
    world.waited = true;
    assert_eq!(world.reason(&good), Reason::JwksUnreachable);
    world.keys = KeyTable::default();
    assert_eq!(
        world.reason(&good),
        Reason::JwksUnreachable,
        "a table of another policy"
    );

    // One key without an id: the token's key may be newer, so the set is fetched before the token
    // is refused.
    let mut world = World::jwt();
    let mut unnamed = SIGNERS.ed.jwk("x");
    unnamed["kid"] = json!(null);
    world.keys = key_table(&world.policy, &[jwks(&[unnamed])]);
    assert_eq!(world.reason(&token), Reason::Verified, "under any name");
    let newer = Signer::ed25519(2).token(&header, &claims(json!({})));
    assert!(matches!(world.bearer(&newer), Err(IdentifyError::Wait(_))));
    world.waited = true;
    assert_eq!(world.reason(&newer), Reason::BadSignature);

    let mut world = World::jwt();
    let kidless = SIGNERS
        .ed
        .token(&json!({"alg": "EdDSA"}), &claims(json!({})));
    let same = [SIGNERS.ed.jwk("one"), SIGNERS.ed.jwk("two")];
    world.keys = key_table(&world.policy, &[jwks(&same)]);
    assert_eq!(
        world.reason(&kidless),
        Reason::Verified,
        "one key by two names is one key"
    );
    let two = [SIGNERS.ed.jwk("one"), Signer::ed25519(2).jwk("two")];
    world.keys = key_table(&world.policy, &[jwks(&two)]);
    assert_eq!(
        world.reason(&kidless),
        Reason::NoMatchingKey,
        "several keys fit"
    );
}
