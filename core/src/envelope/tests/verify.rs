use std::time::Duration;

use http::{HeaderMap, HeaderName, HeaderValue, Method};
use proptest::prelude::*;

use super::*;
use crate::testing::base64url;
use crate::time::Unix;

fn verifier() -> Verifier {
    Verifier::new(spec()).unwrap()
}

fn refused(case: &Case, headers: &HeaderMap, secs: u64) -> EnvelopeRefused {
    case.check(&verifier(), headers, secs).unwrap_err()
}

fn with(mut headers: HeaderMap, name: &str, value: &str) -> HeaderMap {
    let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
    headers.append(name, HeaderValue::from_str(value).unwrap());
    headers
}

/// An envelope with this header and these claims, signed with the first key.
fn signed(header: &str, claims: &str) -> HeaderMap {
    let message = format!("{}.{}", base64url(header), base64url(claims));
    let pair = aws_lc_rs::signature::Ed25519KeyPair::from_seed_unchecked(&[1; 32]).unwrap();
    let signature = base64url(pair.sign(message.as_bytes()));
    let envelope = format!("{message}.{signature}");
    with(HeaderMap::new(), "x-cellway-envelope", &envelope)
}

const HEADER: &str = r#"{"alg":"EdDSA","kid":"k1","typ":"cellway-envelope+jwt"}"#;

#[test]
fn all_forms_prove_the_same() {
    let case = Case::default();
    let mut both = case.jws();
    both.extend(case.hmac());
    for headers in [case.jws(), case.hmac(), case.compatible(), both] {
        let verdict = case.check(&verifier(), &headers, 1).unwrap();
        let verified = verdict.verified().unwrap();
        assert_eq!(verified.tenant, case.identity.tenant);
        assert_eq!(verified.subject, case.identity.subject);
        assert_eq!(verified.workspace, None);
        assert_eq!(verified.org, case.identity.org);
        assert_eq!(verified.roles, case.identity.roles);
        assert_eq!(verified.cell, case.cell);
        assert_eq!(verified.placement_epoch, 7);
        assert_eq!(verified.id.as_str(), case.id);
        assert_eq!(verified.expires, at(30).unix);
    }
}

/// Catches: an envelope that its own verifier refuses because of a name that only the header encodes.
#[test]
fn any_name_and_every_role_that_a_token_may_have_can_be_sealed() {
    let mut case = Case::default();
    let name = |value| Some(Text::encode(value).unwrap());
    case.identity.subject = name("CN=Ada,OU=jos\u{e9} 100%");
    case.identity.workspace = name(" blue ");
    case.identity.org = name(&"\u{e9}".repeat(341));
    case.identity.roles = (0..256)
        .map(|i| Text::new(&format!("r{i}")).unwrap())
        .collect();
    for headers in [case.jws(), case.hmac(), case.compatible()] {
        let verdict = case.check(&verifier(), &headers, 1).unwrap();
        let verified = verdict.verified().unwrap();
        let subject = verified.subject.as_ref().unwrap();
        assert_eq!(subject.decode(), "CN=Ada,OU=jos\u{e9} 100%");
        assert_eq!(verified.workspace, case.identity.workspace);
        assert_eq!(verified.org, case.identity.org);
        assert_eq!(verified.roles, case.identity.roles);
    }
}

#[test]
fn an_envelope_is_valid_for_its_request_only() {
    use EnvelopeRefused::*;
    let sealed = Case::default();
    let other = |change: fn(&mut Case)| {
        let mut case = sealed.clone();
        change(&mut case);
        case
    };
    for (arrived, why) in [
        (other(|case| case.method = Method::PUT), OtherMethod),
        (
            other(|case| case.target = "/orders?page=3".into()),
            OtherTarget,
        ),
        (
            other(|case| case.target = "/orders%3Fpage=2".into()),
            OtherTarget,
        ),
        (other(|case| case.target = "/orders".into()), OtherTarget),
    ] {
        assert_eq!(refused(&arrived, &sealed.jws(), 0), why);
        assert_eq!(refused(&arrived, &sealed.hmac(), 0), BadSignature);
        assert_eq!(refused(&arrived, &sealed.compatible(), 0), BadSignature);
    }
    let elsewhere = Verifier::new(VerifierSpec::new("eu-2")).unwrap();
    let checked = sealed.check(&elsewhere, &sealed.jws(), 0);
    assert_eq!(checked.unwrap_err(), OtherCell);
    let stranger = other(|case| case.issuer = "other".into());
    assert_eq!(refused(&stranger, &stranger.jws(), 0), OtherIssuer);
    assert_eq!(refused(&stranger, &stranger.hmac(), 0), OtherIssuer);
    assert_eq!(refused(&stranger, &stranger.compatible(), 0), OtherIssuer);
}

#[test]
fn a_shared_key_is_for_its_own_cell_only() {
    let other = Case {
        cell: Text::new("eu-2").unwrap(),
        ..Case::default()
    };
    // Sealed by somebody who has the key of eu-1.
    let verifier = Verifier::new(VerifierSpec {
        cells: vec!["eu-1".into(), "eu-2".into()],
        ..spec()
    });
    let verifier = verifier.unwrap();
    for headers in [other.hmac(), other.compatible()] {
        let checked = other.check(&verifier, &headers, 0);
        assert_eq!(checked.unwrap_err(), EnvelopeRefused::OtherCell);
    }
}

#[test]
fn an_envelope_is_valid_from_its_first_second_to_its_last() {
    use EnvelopeRefused::*;
    let case = Case::default();
    for headers in [case.jws(), case.hmac(), case.compatible()] {
        assert!(case.check(&verifier(), &headers, 34).is_ok());
        assert_eq!(refused(&case, &headers, 35), Expired);
        let keys = published(&[1]);
        let early = |secs| {
            let now = Unix::from_secs(START - secs);
            verifier().check(Some(&keys), &case.method, &case.target, &headers, now)
        };
        assert!(early(5).is_ok());
        assert_eq!(early(6).unwrap_err(), NotYetValid);
    }
    let long = Case {
        lifetime: Duration::from_secs(600),
        ..Case::default()
    };
    let verdict = long.check(&verifier(), &long.jws(), 59).unwrap();
    assert_eq!(verdict.verified().unwrap().expires, at(60).unix);
}

#[test]
fn missing_keys_differ_from_bad_signatures() {
    let case = Case::default();
    let check = |keys: Option<&KeySet>, headers: &HeaderMap| {
        let now = at(0).unix;
        let checked = verifier().check(keys, &case.method, &case.target, headers, now);
        checked.unwrap_err()
    };
    let none = check(None, &case.jws());
    assert_eq!(none, EnvelopeRefused::NoKeys);
    let unknown = check(Some(&published(&[2])), &case.jws());
    assert_eq!(unknown, EnvelopeRefused::UnknownKey);
    assert!(none.wants_keys() && unknown.wants_keys());
    assert_eq!(verifier().kid(&case.jws()).as_deref(), Some("k1"));
    assert_eq!(verifier().kid(&case.hmac()), None);
}

#[test]
fn malformed_envelopes_are_refused_with_their_reason() {
    use EnvelopeRefused::*;
    let case = Case::default();
    let claims = String::from_utf8(case.sealing().claims()).unwrap();
    assert!(case.check(&verifier(), &signed(HEADER, &claims), 0).is_ok());
    for (header, why) in [
        (r#"{"alg":"EdDSA","kid":"k1","typ":"JWT"}"#, OtherType),
        (r#"{"alg":"EdDSA","kid":"k1","typ":"cba+jwt"}"#, OtherType),
        (r#"{"alg":"EdDSA","kid":"k1"}"#, OtherType),
        (
            r#"{"alg":"none","kid":"k1","typ":"cellway-envelope+jwt"}"#,
            ForbiddenAlgorithm,
        ),
        (
            r#"{"alg":"HS256","kid":"k1","typ":"cellway-envelope+jwt"}"#,
            ForbiddenAlgorithm,
        ),
        (
            r#"{"alg":"ES256","kid":"k1","typ":"cellway-envelope+jwt"}"#,
            ForbiddenAlgorithm,
        ),
        (
            r#"{"alg":"EdDSA","kid":"k2","typ":"cellway-envelope+jwt"}"#,
            BadSignature,
        ),
        (
            r#"{"alg":"EdDSA","typ":"cellway-envelope+jwt"}"#,
            Malformed("it names no key"),
        ),
    ] {
        assert_eq!(refused(&case, &signed(header, &claims), 0), why, "{header}");
    }
}

#[test]
fn claims_that_lack_something_prove_nothing() {
    let case = Case::default();
    let claims = String::from_utf8(case.sealing().claims()).unwrap();
    for (from, to) in [
        (r#""aud":"eu-1","#, ""),
        (r#""aud":"eu-1""#, r#""aud":["eu-1"]"#),
        (r#""aud":"eu-1""#, r#""aud":"eu-1","aud":"eu-1""#),
        (r#""iat":1000000,"#, ""),
        (r#""exp":1000030,"#, ""),
        (r#""exp":1000030"#, r#""exp":"1000030""#),
        (r#""exp":1000030"#, r#""exp":1000000"#),
        (r#""exp":1000030"#, r#""exp":1000061"#),
        (r#""method":"POST","#, ""),
        (r#""method":"POST""#, r#""method":"post""#),
        (r#""target_sha256":""#, r#""target_sha256":"x"#),
        (r#""iss":"cellway","#, ""),
        (r#""iss":"cellway""#, r#""iss":["cellway"]"#),
        (r#""jti":"0011223344556677","#, ""),
        (r#""auth":"verified","#, ""),
        (r#""auth":"verified""#, r#""auth":"anonymous""#),
        (r#""tenant":"acme""#, r#""tenant":"""#),
        (r#""tenant":"acme""#, r#""tenant":"acme,globex""#),
        (r#""roles":["admin","reader"],"#, ""),
        (r#""roles":["admin","reader"]"#, r#""roles":"admin""#),
        (
            r#""roles":["admin","reader"]"#,
            r#""roles":["admin,owner"]"#,
        ),
        (r#""placement_epoch":7"#, r#""placement_epoch":-7"#),
        (r#","placement_epoch":7"#, ""),
    ] {
        let changed = claims.replace(from, to);
        assert_ne!(changed, claims, "{from}");
        let checked = case.check(&verifier(), &signed(HEADER, &changed), 0);
        assert!(checked.is_err(), "{from} -> {to}: {checked:?}");
    }
}

#[test]
fn each_header_comes_once_or_not_at_all() {
    use EnvelopeRefused::*;
    let case = Case::default();
    let envelope = case.jws()["x-cellway-envelope"].clone();
    let twice = with(case.jws(), "x-cellway-envelope", envelope.to_str().unwrap());
    assert_eq!(refused(&case, &twice, 0), Several);
    for name in HeaderRules::default().envelope_hmac() {
        let value = case.hmac()[name].clone();
        let twice = with(case.hmac(), name.as_str(), value.to_str().unwrap());
        assert_eq!(refused(&case, &twice, 0), Several, "{name}");
        let mut without = case.hmac();
        without.remove(name);
        let why = refused(&case, &without, 0);
        assert!(matches!(why, Malformed(_)), "{name}: {why:?}");
    }
}

#[test]
fn a_plain_header_may_say_nothing_else() {
    let case = Case::default();
    let good = [
        ("x-cellway-tenant", "acme"),
        ("X_Cellway_Tenant", "acme"),
        ("x-cellway-workspace", ""),
        ("x-cellway-roles", "admin,reader"),
        ("x-cellway-auth", "verified"),
        ("x-cellway-cell", "eu-1"),
        ("x-cellway-placement-epoch", "7"),
        ("x-cellway-request-id", "0011223344556677"),
        ("x-cellway-something-new", "x"),
        ("x-other", "x"),
    ];
    for (name, value) in good {
        for headers in [case.jws(), case.hmac(), case.compatible()] {
            let checked = case.check(&verifier(), &with(headers, name, value), 0);
            assert!(checked.is_ok(), "{name}: {value}: {checked:?}");
        }
    }
    let bad = [
        ("x-cellway-tenant", "globex"),
        ("X_Cellway_Tenant", "globex"),
        ("x-cellway.tenant", "globex"),
        ("x-cellway-tenant", ""),
        ("x-cellway-workspace", "w"),
        ("x-cellway-roles", "admin"),
        ("x-cellway-roles", "admin, reader"),
        ("x-cellway-auth", "insecure"),
        ("x-cellway-cell", "eu-2"),
        ("x-cellway-placement-epoch", "8"),
    ];
    for (name, value) in bad {
        for headers in [case.jws(), case.hmac(), case.compatible()] {
            let why = refused(&case, &with(headers, name, value), 0);
            assert_eq!(why, EnvelopeRefused::HeaderMismatch, "{name}: {value}");
        }
    }
    let twice = with(case.jws(), "x-cellway-tenant", "acme");
    let twice = with(twice, "x-cellway-tenant", "globex");
    assert_eq!(refused(&case, &twice, 0), EnvelopeRefused::HeaderMismatch);
}

/// A form that a service doesn't accept counts as absent.
#[test]
fn a_service_accepts_only_the_configured_forms() {
    let case = Case::default();
    let jws_only = Verifier::new(VerifierSpec::new("eu-1")).unwrap();
    let hmac_only = Verifier::new(VerifierSpec {
        jws: false,
        ..spec()
    })
    .unwrap();
    let mut both = case.jws();
    both.extend(case.hmac());
    for (verifier, headers, why) in [
        (&jws_only, case.hmac(), Some(EnvelopeRefused::Missing)),
        (&hmac_only, case.jws(), Some(EnvelopeRefused::Missing)),
        (&jws_only, both.clone(), None),
        (&hmac_only, both, None),
    ] {
        assert_eq!(case.check(verifier, &headers, 0).err(), why);
    }
}

#[test]
fn a_verifier_that_could_accept_nothing_is_refused() {
    let fails = |change: fn(&mut VerifierSpec)| {
        let mut spec = spec();
        change(&mut spec);
        Verifier::new(spec).unwrap_err().setting
    };
    assert_eq!(fails(|spec| spec.cells.clear()), "cells");
    assert_eq!(fails(|spec| spec.cells = vec!["".into()]), "cells");
    assert_eq!(fails(|spec| spec.issuer.clear()), "issuer");
    assert_eq!(
        fails(|spec| spec.leeway = Duration::from_secs(61)),
        "leeway"
    );
    let nothing = |spec: &mut VerifierSpec| {
        spec.jws = false;
        spec.hmac.clear();
    };
    assert_eq!(fails(nothing), "hmac");
    assert_eq!(fails(|spec| spec.cells = vec!["eu-2".into()]), "hmac");
    assert_eq!(fails(|spec| spec.hmac.push(hmac_key())), "hmac");
    assert_eq!(
        fails(|spec| spec.headers.prefix = "x".into()),
        "headers.prefix"
    );
}

proptest! {
    /// Whatever single byte of an envelope is changed, it proves nothing.
    #[test]
    fn no_byte_can_be_changed(at in 0_usize..4096, to in 0x21_u8..0x7f) {
        let case = Case::default();
        for headers in [case.jws(), case.hmac(), case.compatible()] {
            for (name, value) in &headers {
                let mut bytes = value.as_bytes().to_vec();
                let at = at % bytes.len();
                if bytes[at] == to {
                    continue;
                }
                bytes[at] = to;
                let mut changed = headers.clone();
                changed.insert(name, HeaderValue::from_bytes(&bytes).unwrap());
                let checked = case.check(&verifier(), &changed, 0);
                prop_assert!(checked.is_err(), "{name} {at}: {checked:?}");
            }
        }
    }

    /// What is sealed is what is verified, whatever it holds.
    #[test]
    fn sealed_envelopes_verify(
        tenant in "[!-+\\--~]{1,40}",
        roles in proptest::collection::vec("[!-+\\--~]{1,20}", 0..5),
        target in "/[!-~]{0,60}",
        epoch: u64,
    ) {
        let mut case = Case { target, epoch, ..Case::default() };
        case.identity.tenant = Some(Text::new(&tenant).unwrap());
        case.identity.roles = roles.iter().map(|role| Text::new(role).unwrap()).collect();
        for headers in [case.jws(), case.hmac(), case.compatible()] {
            let verdict = case.check(&verifier(), &headers, 0);
            let verdict = verdict.map_err(|why| TestCaseError::fail(why.to_string()))?;
            let verified = verdict.verified().unwrap();
            prop_assert_eq!(&verified.tenant, &case.identity.tenant);
            prop_assert_eq!(&verified.roles, &case.identity.roles);
            prop_assert_eq!(verified.placement_epoch, epoch);
        }
    }

    /// Two requests that differ are never the same bytes under a shared key.
    #[test]
    fn canonical_bytes_tell_requests_apart(
        a in proptest::array::uniform5("[!-~]{0,6}"),
        b in proptest::array::uniform5("[!-~]{0,6}"),
        s in "/[!-~]{0,6}",
        t in "/[!-~]{0,6}",
    ) {
        let bytes = |parts: &[String; 5], target: &str| {
            let parts = parts.each_ref().map(String::as_str);
            canonical(parts, &Method::GET, target)
        };
        prop_assert_eq!(bytes(&a, &s) == bytes(&b, &t), a == b && s == t);
    }

    #[test]
    fn any_bytes_are_refused_without_a_panic(bytes in proptest::collection::vec(0x20_u8..0x7f, 0..200)) {
        let case = Case::default();
        let value = HeaderValue::from_bytes(&bytes).unwrap();
        for name in case.hmac().keys().chain(case.jws().keys()) {
            let mut headers = case.hmac();
            headers.extend(case.jws());
            if headers[name] != value {
                headers.insert(name, value.clone());
                prop_assert!(case.check(&verifier(), &headers, 0).is_err());
            }
        }
    }
}
