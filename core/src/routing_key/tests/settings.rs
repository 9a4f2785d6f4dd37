//! Mistakes in `[routing_key]`, each reported at its setting.

use super::*;
use crate::policy::{Policy, PolicyError};
use crate::testing::{issuer, specs};

/// A configuration in which only routing keys prove tenants.
fn good() -> Value {
    json!({
        "policy": [{"name": "default", "any_of": ["routing_key"]}],
        "trust": {"bundle": "ca.pem", "trust_domains": ["example"]},
        "routing_key": {
            "signer": [{"kid": "edge", "jwk": jwk(&TestSigner::ed25519(1))}],
        },
    })
}

fn complaints(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut tables = good();
    change(&mut tables);
    let errors = Policy::build(&specs(tables)).err().unwrap_or_default();
    let plain = |e: &PolicyError| !e.problem.is_empty() && !e.fix.is_empty();
    assert!(errors.iter().all(plain), "{errors:?}");
    errors.into_iter().map(|error| error.setting).collect()
}

const NONE: [&str; 0] = [];

#[test]
fn a_policy_with_routing_keys_needs_a_gateway_or_a_signer() {
    assert_eq!(complaints(|_| {}), NONE);
    let nobody = |tables: &mut Value| tables["routing_key"]["signer"] = json!([]);
    assert_eq!(complaints(nobody), ["routing_key.gateways"]);
    let elsewhere = |tables: &mut Value| {
        nobody(tables);
        tables["issuer"] = json!([issuer(json!({}))]);
        tables["policy"][0]["any_of"] = json!(["jwt"]);
    };
    assert_eq!(complaints(elsewhere), NONE);
    let unknown = |tables: &mut Value| {
        tables["routing_key"]["gateways"] = json!([GATEWAY]);
        tables["routing_key"]["signer"] = json!([]);
        tables["trust"] = json!({"trust_domains": ["example"]});
    };
    assert_eq!(complaints(unknown), ["trust.bundle"]);
    let twice = |tables: &mut Value| {
        tables["policy"][0]["any_of"] = json!(["routing_key", "routing_key"]);
    };
    assert_eq!(complaints(twice), ["policy[0].any_of"]);
    // Gateways' certificates need no template.
    let with_mtls = |tables: &mut Value| {
        tables["policy"][0] = json!({"name": "default", "all_of": ["mtls", "routing_key"]});
        tables["routing_key"] = json!({"gateways": [GATEWAY]});
    };
    assert_eq!(complaints(with_mtls), NONE);
}

#[test]
fn several_sources_must_name_their_tenants() {
    let two_signers = |tables: &mut Value| {
        let next = json!({"kid": "next", "jwk": jwk(&TestSigner::ed25519(2)), "tenants": "any"});
        tables["routing_key"]["signer"]
            .as_array_mut()
            .unwrap()
            .push(next);
    };
    let first = ["routing_key.signer[0].tenants"];
    assert_eq!(complaints(two_signers), first);
    let with_gateway = |tables: &mut Value| tables["routing_key"]["gateways"] = json!([GATEWAY]);
    assert_eq!(
        complaints(with_gateway),
        ["routing_key.gateways[0].tenants", first[0]]
    );
    let with_issuer = |tables: &mut Value| tables["issuer"] = json!([issuer(json!({}))]);
    assert_eq!(complaints(with_issuer), first);
    let with_template = |tables: &mut Value| {
        tables["trust"]["san"] = json!(["spiffe://{trust_domain}/tenant/{tenant}"]);
    };
    assert_eq!(complaints(with_template), first);
    for (tenants, fine) in [
        (json!("any"), true),
        (json!(["acme"]), true),
        (json!("registry"), false),
        (json!([]), false),
        (json!([""]), false),
    ] {
        let bound = |tables: &mut Value| {
            with_issuer(tables);
            tables["routing_key"]["signer"][0]["tenants"] = tenants.clone();
        };
        assert_eq!(complaints(bound).is_empty(), fine, "{tenants}");
    }
}

#[test]
fn a_gateway_is_one_exact_name() {
    for (san, fine) in [
        (GATEWAY, true),
        ("gw.example", true),
        ("urn://gateway", true),
        ("", false),
        ("*", false),
        ("*.example", false),
        ("GW.example", false),
        ("gateway", false),
        ("gw.example.", false),
        ("gw..example", false),
        ("gw.example/", false),
        ("spiffe://example", false),
        ("spiffe://example/", false),
        ("spiffe://example/*", false),
        ("spiffe://example/{gateway}", false),
        ("spiffe://elsewhere/gateway", false),
        ("spiffe://{trust_domain}/gateway", false),
        ("://gateway", false),
        ("urn://", false),
        ("urn://caf\u{e9}", false),
    ] {
        let listed = |tables: &mut Value| {
            tables["routing_key"] = json!({"gateways": [san]});
        };
        assert_eq!(complaints(listed).is_empty(), fine, "{san}");
    }
    let several = |tables: &mut Value, san: &str| {
        tables["routing_key"] = json!({"gateways": [{"san": san, "tenants": "any"}]});
        let bound = |name| json!({"name": name, "tenants": ["acme"]});
        tables["trust"]["trust_domains"] = json!([bound("example"), bound("two")]);
    };
    assert_eq!(complaints(|tables| several(tables, GATEWAY)), NONE);
    let whose = ["routing_key.gateways[0]"];
    assert_eq!(complaints(|tables| several(tables, "gw.example")), whose);
    assert_eq!(complaints(|tables| several(tables, "urn://gateway")), whose);
    let twice = |tables: &mut Value| {
        let bound = json!({"san": GATEWAY, "tenants": "any"});
        tables["routing_key"] = json!({"gateways": [bound, bound]});
    };
    assert_eq!(complaints(twice), ["routing_key.gateways[1]"]);
}

#[test]
fn a_signer_is_a_public_key_under_its_own_id() {
    let kid =
        |kid: &str| complaints(|tables| tables["routing_key"]["signer"][0]["kid"] = kid.into());
    for bad in ["", "a b", "a;b", "../a", ".a", "caf\u{e9}", &"k".repeat(65)] {
        assert_eq!(kid(bad), ["routing_key.signer[0].kid"], "{bad}");
    }
    let ed = jwk(&TestSigner::ed25519(1));
    let changed = |change: fn(&mut Value)| {
        let mut jwk = ed.clone();
        change(&mut jwk);
        complaints(|tables| tables["routing_key"]["signer"][0]["jwk"] = jwk)
    };
    let refused = ["routing_key.signer[0].jwk"];
    assert_eq!(changed(|jwk| jwk["alg"] = json!("EdDSA")), NONE);
    assert_eq!(changed(|jwk| jwk["kid"] = json!("edge")), NONE);
    assert_eq!(changed(|jwk| jwk["kid"] = json!("other")), refused);
    assert_eq!(changed(|jwk| jwk["d"] = jwk["x"].clone()), refused);
    assert_eq!(changed(|jwk| jwk["alg"] = json!("ES256")), refused);
    assert_eq!(changed(|jwk| jwk["use"] = json!("enc")), refused);
    assert_eq!(changed(|jwk| jwk["crv"] = json!("X25519")), refused);
    assert_eq!(changed(|jwk| jwk["x"] = json!("AAAA")), refused);
    assert_eq!(changed(|jwk| *jwk = json!({})), refused);
    assert_eq!(
        changed(|jwk| *jwk = json!({"kty": "oct", "k": "AAAA"})),
        refused
    );
    for other in [TestSigner::rsa(), TestSigner::p384()] {
        let jwk = jwk(&other);
        let found = complaints(|tables| tables["routing_key"]["signer"][0]["jwk"] = jwk);
        assert_eq!(found, refused, "too long a signature, or too slow a check");
    }
    let same = |tables: &mut Value| {
        let other = json!({"kid": "edge", "jwk": ed, "tenants": "any"});
        tables["routing_key"]["signer"] = json!([other, other]);
    };
    assert_eq!(complaints(same), ["routing_key.signer[1].kid"]);
}

#[test]
fn times_are_bounded() {
    let set = |member: &str, value: u64| {
        complaints(|tables| tables["routing_key"][member] = json!(value))
    };
    assert_eq!(set("max_age_secs", 1), NONE);
    assert_eq!(set("max_age_secs", 60), NONE);
    assert_eq!(set("max_age_secs", 0), ["routing_key.max_age_secs"]);
    assert_eq!(set("max_age_secs", 61), ["routing_key.max_age_secs"]);
    assert_eq!(set("skew_secs", 10), NONE);
    assert_eq!(set("skew_secs", 11), ["routing_key.skew_secs"]);
    let many = complaints(|tables| {
        tables["routing_key"]["gateways"] = json!(vec![GATEWAY; 65]);
    });
    assert_eq!(many, ["routing_key.gateways"]);
}

#[test]
fn clients_cannot_send_the_envelope_headers() {
    let named = |header: &str, rename: Value| {
        complaints(|tables| {
            tables["routing_key"]["header"] = json!(header);
            tables["headers"] = json!({ "rename": rename });
        })
    };
    let none = json!({});
    for fine in ["x-routing-key", "X-Routing-Key", "x-shard", "X-Tenant-Key"] {
        assert_eq!(named(fine, none.clone()), NONE, "{fine}");
    }
    for bad in [
        "",
        "x shard",
        "Host",
        "authorization",
        "x-cellway-tenant",
        "x_cellway_anything",
        "cell-bound-authorization",
        "x-forwarded-client-cert",
        "x_routing_key",
    ] {
        assert_eq!(named(bad, none.clone()), ["routing_key.header"], "{bad}");
    }
    for (header, stamp) in [
        ("x-shard", "x-shard"),
        ("x-shard", "X_Shard"),
        ("x-shard", "x-shard-signature"),
        ("x-routing-key", "x-routing-key"),
    ] {
        let rename = json!({"tenant": stamp});
        assert_eq!(named(header, rename), ["routing_key.header"], "{stamp}");
    }
}
