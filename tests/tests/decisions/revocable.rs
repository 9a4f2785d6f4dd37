//! Whatever becomes `verified` can be revoked without revoking what others show.

use cellway_core::{Decision, Reason};
use cellway_testbed::San;
use cellway_tests::decide::{Core, Request, Sources, at, claims, sign};
use serde_json::{Value, json};

const CONFIG: &str = r#"
    [[issuer]]
    name = "main"
    issuer = "https://idp.example"
    audience = "cellway"

    [[policy]]
    name = "any"
    any_of = ["jwt", "mtls"]

    [[policy]]
    name = "lenient"
    any_of = ["jwt"]
    subject = "optional"

    [trust]
    bundle = "ca.pem"
    trust_domains = ["example"]
    san = ["spiffe://{trust_domain}/tenant/{tenant}"]
"#;

fn registry(version: u64, revocations: &Value) -> String {
    json!({
        "version": version,
        "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
                   "endpoints": [{"url": "https://a.internal:443"}]}],
        "tenants": [{"id": "acme", "cell": "a"}],
        "revocations": revocations,
    })
    .to_string()
}

fn token(policy: &str, change: Value) -> Request {
    let mut claims = claims("acme").without("sub");
    for (name, value) in change.as_object().unwrap() {
        claims = claims.with(name, value.clone());
    }
    Request::to(policy).bearer(&sign(&claims))
}

fn reason(core: &mut Core, request: &Request) -> Reason {
    match core.decide(request, at(10)).0 {
        Decision::Allow(allow) => allow.reason,
        Decision::Deny(deny) => deny.reason,
    }
}

/// Each credential, and the one entry that names it alone.
fn credentials() -> Vec<(Request, Value)> {
    let subject = |sub: &str| {
        let request = token("any", json!({"sub": sub}));
        (request, json!([{"sub": sub, "tenant": "acme"}]))
    };
    let san = "spiffe://example/tenant/acme";
    vec![
        subject("ada"),
        // Revoked in the words of the issuer, not in those of the header.
        subject("CN=Ada,OU=People"),
        subject("jos\u{e9} 100%"),
        subject("jos%C3%A9"),
        (
            token("any", json!({"sub": "eve", "jti": 7})),
            json!([{"jti": "7", "issuer": "main"}]),
        ),
        (
            token("lenient", json!({"jti": "t-1"})),
            json!([{"jti": "t-1", "issuer": "https://idp.example"}]),
        ),
        (
            Request::to("any").certificate(&[San::Uri(san.to_owned())]),
            json!([{"sub": san, "issuer": "example"}]),
        ),
    ]
}

#[test]
fn whatever_is_verified_can_be_revoked_alone() {
    let sources = Sources::of(registry(1, &json!([])));
    let mut core = Core::new(CONFIG, sources);
    let all = credentials();
    for (request, entry) in &all {
        assert_eq!(reason(&mut core, request), Reason::Verified, "{entry}");
    }
    for (version, (_, entry)) in (2..).zip(&all) {
        core.sources.registry = Some(registry(version, entry));
        core.control.handle_refresh(at(10));
        core.serve(at(10));
        for (request, other) in &all {
            let expected = match other == entry {
                true => Reason::Revoked,
                false => Reason::Verified,
            };
            assert_eq!(reason(&mut core, request), expected, "{other} by {entry}");
        }
    }
}

#[test]
fn what_nothing_could_revoke_alone_is_not_verified() {
    let sources = Sources::of(registry(1, &json!([])));
    let mut core = Core::new(CONFIG, sources);
    for (policy, change) in [
        ("any", json!({})),
        ("any", json!({"sub": null})),
        ("any", json!({"sub": "", "jti": "t-1"})),
        ("lenient", json!({})),
        ("lenient", json!({"sub": null, "jti": null})),
        ("lenient", json!({"jti": ""})),
    ] {
        let found = reason(&mut core, &token(policy, change.clone()));
        assert_eq!(found, Reason::MissingClaim, "{policy} {change}");
    }
}
