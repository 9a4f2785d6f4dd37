mod settings;

use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::signature::{LEN_MAX, Signature};
use super::*;
use crate::cert::PeerCertificate;
use crate::reason::Reason;
use crate::testing::{START, Signer as TestSigner, at, base64url, certificate_for, policy};

const GATEWAY: &str = "spiffe://example/gateway";

/// A signer's own members of the table, without those of a JWK that a signer has itself.
fn jwk(signer: &TestSigner) -> Value {
    let mut jwk = signer.jwk("any");
    jwk.as_object_mut().unwrap().remove("kid");
    jwk
}

fn rules() -> RoutingKeyRules {
    let (ed, ec) = (TestSigner::ed25519(1), TestSigner::p256());
    rules_of(&ed, &ec, &[GATEWAY, "gw.example"])
}

fn rules_of(ed: &TestSigner, ec: &TestSigner, gateways: &[&str]) -> RoutingKeyRules {
    let bound = |san: &&str| json!({"san": san, "tenants": "any"});
    policy(json!({
        "policy": [{"name": "default", "any_of": ["routing_key"]}],
        "trust": {"bundle": "ca.pem", "trust_domains": ["example"]},
        "routing_key": {
            "gateways": gateways.iter().map(bound).collect::<Vec<_>>(),
            "signer": [
                {"kid": "ed", "jwk": jwk(ed), "tenants": "any"},
                {"kid": "ec", "jwk": jwk(ec), "tenants": "any"},
            ],
        },
    }))
    .routing_key
}

/// The values that most tests sign.
const GOOD: Signed<'_> = Signed {
    kid: "ed",
    time: START + 100,
    method: &Method::GET,
    authority: "api.example",
    path: "/orders?page=2",
    key: "acme",
};

fn signature(signer: &TestSigner, signed: &Signed<'_>) -> String {
    let signature = base64url(signer.sign("", &canonical(signed)));
    format!("v1; kid={}; t={}; sig={signature}", signed.kid, signed.time)
}

/// The result for the request of [`GOOD`], at its time, with these fields.
fn verify(
    rules: &RoutingKeyRules,
    gateway: Option<&Gateway>,
    keys: &[&str],
    signatures: &[&str],
) -> Result<VerifiedRoutingKey, Reason> {
    let field = |value: &&str| HeaderValue::from_bytes(value.as_bytes()).unwrap();
    let keys: Vec<_> = keys.iter().map(field).collect();
    let signatures: Vec<_> = signatures.iter().map(field).collect();
    let context = RequestContext {
        rules,
        gateway,
        method: GOOD.method,
        authority: GOOD.authority,
        path: GOOD.path,
        now: at(100).unix,
    };
    let shown = Fields::new(&keys, &signatures).unwrap();
    context.verify(shown, &mut ()).map_err(|why| why.reason)
}

#[test]
fn the_signed_text_has_these_lines() {
    let lines = "cellway-routing-key-v1\ned\n1000100\nGET\napi.example\n/orders?page=2\nacme";
    assert_eq!(canonical(&GOOD), lines.as_bytes());
    let upper = Signed {
        authority: "API.Example",
        ..GOOD
    };
    assert_eq!(canonical(&upper), canonical(&GOOD));
}

#[test]
fn a_signature_holds_under_its_own_key_alone() {
    use Reason::RoutingKeyBadSignature as Bad;
    let (ed, ec) = (TestSigner::ed25519(1), TestSigner::p256());
    let rules = rules_of(&ed, &ec, &[]);
    let by_ec = Signed { kid: "ec", ..GOOD };
    for (signer, signed, expected) in [
        (&ed, GOOD, None),
        (&ec, by_ec, None),
        // Each key under the other's id.
        (&ec, GOOD, Some(Bad)),
        (&ed, by_ec, Some(Bad)),
        (&TestSigner::ed25519(2), GOOD, Some(Bad)),
    ] {
        let found = verify(&rules, None, &["acme"], &[&signature(signer, &signed)]);
        assert_eq!(found.clone().err(), expected, "{signed:?}");
        if let Ok(vouched) = found {
            let kid = Text::new(signed.kid).unwrap();
            assert_eq!(vouched.by, RoutingKeySender::Signer(kid));
            assert_eq!(vouched.tenant.as_str(), "acme");
        }
    }
}

#[test]
fn a_signature_holds_for_its_own_request_alone() {
    use Reason::RoutingKeyBadSignature as Bad;
    let (ed, ec) = (TestSigner::ed25519(1), TestSigner::p256());
    let rules = rules_of(&ed, &ec, &[]);
    let good = signature(&ed, &GOOD);
    let of = |signed: &Signed<'_>| base64url(ed.sign("", &canonical(signed)));
    for other in [
        Signed { kid: "ec", ..GOOD },
        Signed {
            time: START + 99,
            ..GOOD
        },
        Signed {
            method: &Method::POST,
            ..GOOD
        },
        Signed {
            authority: "api.example:443",
            ..GOOD
        },
        Signed {
            authority: "api.example.evil",
            ..GOOD
        },
        Signed {
            path: "/orders",
            ..GOOD
        },
        Signed {
            path: "/orders?page=20",
            ..GOOD
        },
        Signed {
            path: "/Orders?page=2",
            ..GOOD
        },
        Signed {
            key: "globex",
            ..GOOD
        },
        // The boundary between two values is signed too.
        Signed {
            path: "/orders?page=",
            key: "2acme",
            ..GOOD
        },
    ] {
        let swapped = good.replace(&of(&GOOD), &of(&other));
        let found = verify(&rules, None, &["acme"], &[&swapped]);
        assert_eq!(found, Err(Bad), "{other:?}");
    }
    assert_eq!(verify(&rules, None, &["globex"], &[&good]), Err(Bad));
    assert_eq!(verify(&rules, None, &["Acme"], &[&good]), Err(Bad));
}

#[test]
fn a_signature_expires() {
    let ed = TestSigner::ed25519(1);
    let rules = rules_of(&ed, &TestSigner::p256(), &[]);
    for (time, expected) in [
        (START + 100, None),
        (START + 40, None),
        (START + 39, Some(Reason::RoutingKeyExpired)),
        (START, Some(Reason::RoutingKeyExpired)),
        (0, Some(Reason::RoutingKeyExpired)),
        (START + 105, None),
        (START + 106, Some(Reason::RoutingKeyNotYetValid)),
        (u64::MAX, Some(Reason::RoutingKeyNotYetValid)),
    ] {
        let signed = Signed { time, ..GOOD };
        let found = verify(&rules, None, &["acme"], &[&signature(&ed, &signed)]);
        assert_eq!(found.err(), expected, "{time}");
    }
}

#[test]
fn the_signature_has_one_spelling() {
    let good = signature(&TestSigner::ed25519(1), &GOOD);
    assert!(Signature::parse(good.as_bytes()).is_some());
    let sig = good.rsplit_once('=').unwrap().1;
    let kid = "k".repeat(65);
    for bad in [
        String::new(),
        "v1".into(),
        good.replace("v1", "v2"),
        good.replace("v1", "V1"),
        good.replace("; ", ";"),
        good.replace("; ", ";  "),
        format!(" {good}"),
        format!("{good} "),
        format!("{good};"),
        format!("{good}; x=1"),
        format!("{good}; sig={sig}"),
        format!("{good}; kid=ed"),
        good.replace("; t=", "; kid=ec; t="),
        good.replace("; sig=", "; t=1; sig="),
        good.replace("; t=", "; alg=none; t="),
        good.replace("kid=ed", "kid="),
        good.replace("kid=ed", "kid=\"ed\""),
        good.replace("kid=ed", "kid=e d"),
        good.replace("kid=ed", "kid=../ed"),
        good.replace("kid=ed", &format!("kid={kid}")),
        good.replace("kid=ed", "Kid=ed"),
        good.replace("t=1", "t=+1"),
        good.replace("t=1", "t=01"),
        good.replace("t=1", "t=-1"),
        good.replace("t=1000100", "t="),
        good.replace("t=1000100", "t=1000100.0"),
        good.replace("t=1000100", "t=1e6"),
        good.replace("t=1000100", "t=18446744073709551616"),
        good.replace("t=1000100", "t=00000000000000000001000100"),
        format!("{good}="),
        format!("{good}=="),
        good.replace(sig, &format!("{}+{}", &sig[..1], &sig[2..])),
        format!("v1; kid=ed; sig={sig}; t=1000100"),
        format!("{}{}", good, "A".repeat(LEN_MAX)),
        good.replace("ed", "\u{e9}d"),
    ] {
        assert_eq!(Signature::parse(bad.as_bytes()), None, "{bad}");
    }
    // Bits left over in the last character, which would make four spellings of one signature.
    let last = char::from(*sig.as_bytes().last().unwrap());
    for other in ('A'..='Z').chain('a'..='z').filter(|c| *c != last) {
        let sig = format!("{}{other}", &sig[..sig.len() - 1]);
        let header = format!("v1; kid=ed; t=1; sig={sig}");
        let parsed = Signature::parse(header.as_bytes());
        let canonical = "AQgw".contains(other);
        assert_eq!(parsed.is_some(), canonical, "{other}");
    }
}

#[test]
fn a_routing_key_needs_a_gateway_or_a_signer() {
    use Reason::*;
    let ed = TestSigner::ed25519(1);
    let rules = rules_of(&ed, &TestSigner::p256(), &[GATEWAY]);
    let gateway = Some(&rules.gateways[0]);
    let good = signature(&ed, &GOOD);
    let unknown = signature(
        &ed,
        &Signed {
            kid: "nobody",
            ..GOOD
        },
    );
    let long = "a".repeat(257);
    for (gateway, keys, signatures, expected) in [
        (None, &["acme"][..], &[][..], Some(UntrustedRoutingKey)),
        (gateway, &["acme"], &[], None),
        (None, &["acme"], &[&*good], None),
        (gateway, &["acme"], &[&good], None),
        // A signature must be valid even if a trusted gateway sends it.
        (gateway, &["acme"], &["v1"], Some(MalformedRoutingKey)),
        (gateway, &["globex"], &[&good], Some(RoutingKeyBadSignature)),
        (
            gateway,
            &["acme"],
            &[&unknown],
            Some(RoutingKeyUnknownSigner),
        ),
        (gateway, &["acme", "acme"], &[], Some(DuplicateRoutingKey)),
        (
            None,
            &["acme", "globex"],
            &[&good],
            Some(DuplicateRoutingKey),
        ),
        (None, &["acme"], &[&good, &good], Some(DuplicateRoutingKey)),
        (None, &[], &[&good], Some(MalformedRoutingKey)),
        (gateway, &[""], &[], Some(MalformedRoutingKey)),
        (gateway, &["acme,globex"], &[], Some(MalformedRoutingKey)),
        (gateway, &["caf\u{e9}"], &[], Some(MalformedRoutingKey)),
        (gateway, &[&long], &[], Some(MalformedRoutingKey)),
        (None, &["acme"], &[""], Some(MalformedRoutingKey)),
    ] {
        let found = verify(&rules, gateway, keys, signatures);
        assert_eq!(found.err(), expected, "{keys:?} {signatures:?}");
    }
    let by = |signatures: &[&str]| verify(&rules, gateway, &["acme"], signatures).unwrap().by;
    assert_eq!(
        by(&[]),
        RoutingKeySender::Gateway(Text::new(GATEWAY).unwrap())
    );
    assert_eq!(
        by(&[&good]),
        RoutingKeySender::Signer(Text::new("ed").unwrap())
    );
}

#[test]
fn a_gateway_has_exactly_the_listed_name() {
    let both = rules();
    let (ed, ec) = (TestSigner::ed25519(1), TestSigner::p256());
    let by_dns = rules_of(&ed, &ec, &["gw.example"]);
    for (uris, dns_names, of_both, of_dns) in [
        (&[GATEWAY][..], &[][..], true, false),
        (&[], &["gw.example"], true, true),
        (&[], &["GW.Example"], true, true),
        (&[], &["other.example", "gw.example"], true, true),
        // If gateways have URI names, only the URI SAN of a certificate with one is used.
        (&[GATEWAY], &["gw.example"], true, true),
        (
            &["spiffe://example/tenant/acme"],
            &["gw.example"],
            false,
            true,
        ),
        (&[GATEWAY, GATEWAY], &[], false, false),
        (&[GATEWAY, "spiffe://example/other"], &[], false, false),
        (&["spiffe://example/gateway/"], &[], false, false),
        (&["spiffe://example/gateway2"], &[], false, false),
        (&["spiffe://example/gatewa"], &[], false, false),
        (&["spiffe://example/Gateway"], &[], false, false),
        (&["spiffe://evil.example/gateway"], &[], false, false),
        (&["spiffe://example/%67ateway"], &[], false, false),
        (&["gw.example"], &[], false, false),
        (&["https://gw.example"], &[], false, false),
        (&[], &["*.example"], false, false),
        (&[], &["gw.example.evil"], false, false),
        (&[], &["evil-gw.example"], false, false),
        (&[], &["a.gw.example"], false, false),
        (&[], &["gw.example."], false, false),
        (&[], &["spiffe://example/gateway"], false, false),
        (&[], &[], false, false),
    ] {
        let der = certificate_for(uris, dns_names);
        let Ok(peer) = PeerCertificate::from_der(&der) else {
            panic!("{uris:?} {dns_names:?}");
        };
        let found = (
            both.gateway(&peer, false).is_some(),
            by_dns.gateway(&peer, false).is_some(),
        );
        assert_eq!(found, (of_both, of_dns), "{uris:?} {dns_names:?}");
    }
    // The same with templates for URIs.
    let der = certificate_for(&["spiffe://example/tenant/acme"], &["gw.example"]);
    let peer = PeerCertificate::from_der(&der).unwrap();
    assert!(by_dns.gateway(&peer, true).is_none());
}

#[test]
fn each_speaks_for_its_own_tenants() {
    let text = |value: &str| Text::new(value).unwrap();
    let rules = policy(json!({
        "policy": [{"name": "default", "any_of": ["routing_key"]}],
        "trust": {"bundle": "ca.pem", "trust_domains": ["example"]},
        "routing_key": {
            "gateways": [{"san": GATEWAY, "tenants": ["acme"]}],
            "signer": [
                {"kid": "own", "jwk": jwk(&TestSigner::ed25519(1)), "tenants": ["globex"]},
                {"kid": "all", "jwk": jwk(&TestSigner::ed25519(2)), "tenants": "any"},
            ],
        },
    }))
    .routing_key;
    for (voucher, acme, globex) in [
        (RoutingKeySender::Gateway(text(GATEWAY)), true, false),
        (RoutingKeySender::Signer(text("own")), false, true),
        (RoutingKeySender::Signer(text("all")), true, true),
        (RoutingKeySender::Signer(text(GATEWAY)), false, false),
        (RoutingKeySender::Gateway(text("own")), false, false),
    ] {
        assert_eq!(rules.may_speak(&voucher, &text("acme")), acme, "{voucher}");
        assert_eq!(
            rules.may_speak(&voucher, &text("globex")),
            globex,
            "{voucher}"
        );
    }
}
