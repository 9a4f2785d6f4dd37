//! What a denial carries, whichever check fails.

use http::{HeaderValue, Method};
use serde_json::{Value, json};

use super::*;
use crate::cert::PeerCertificate;
use crate::evidence::Credentials;
use crate::explain::Steps;
use crate::testing::{
    START, Signer, at, certificate_for, issuer, jwks, key_table, policy, registry,
};

const GLOBEX: &str = "spiffe://example/tenant/globex";

/// One policy with rules and cell-bound authorizations, and a tenant that is suspended.
fn snapshot() -> Snapshot {
    let policy = policy(json!({
        "issuer": [issuer(json!({"claims": {"roles": "roles"}}))],
        "trust": {"bundle": "ca.pem", "trust_domains": ["example"],
                  "san": ["spiffe://{trust_domain}/tenant/{tenant}"]},
        "policy": [{
            "name": "default", "any_of": ["jwt", "mtls"],
            "rule": [
                {"name": "edit", "path": "/edit", "roles": ["editor"]},
                {"name": "rest", "path": "/**", "allow": "verified"},
            ],
        }],
    }));
    let keys = key_table(&policy, &[jwks(&[Signer::ed25519(1).jwk("k")])]);
    let registry = registry(&json!({
        "version": 7,
        "cells": [
            {"id": "a", "tier": "t", "region": "r", "state": "active",
             "endpoints": [{"url": "http://a:80"}]},
            {"id": "down", "tier": "t", "region": "r", "state": "quarantined",
             "endpoints": [{"url": "http://down:80"}]},
        ],
        "tenants": [
            {"id": "acme", "cell": "a"},
            {"id": "globex", "cell": "a", "status": "suspended"},
            {"id": "initech", "cell": "down"},
        ],
    }));
    Snapshot {
        epoch: 1,
        policy: Arc::new(policy),
        keys: Arc::new(keys),
        registry: Some(Arc::new(registry)),
        cell_keys: Arc::default(),
        registry_stale: false,
        status_ages_at: None,
        status_expires_at: None,
        health: Arc::default(),
    }
}

fn token(tenant: &str) -> String {
    let claims = json!({"iss": "https://idp.example", "aud": "cellway", "exp": START + 200,
                        "sub": "alice", "tenant_id": tenant});
    let header = json!({"alg": "EdDSA", "kid": "k", "typ": "JWT"});
    Signer::ed25519(1).token(&header, &claims)
}

/// A request of this tenant's token, over a connection with this certificate, to this path. `cba` is
/// its cell-bound authorization. Returns the denial and the last step.
fn denial(tenant: &str, san: Option<&str>, path: &str, cba: Option<&str>) -> (Deny, String) {
    let snapshot = snapshot();
    let value = |text: &str| HeaderValue::from_str(text).unwrap();
    let credentials = Credentials {
        authorization: Some(value(&format!("Bearer {}", token(tenant)))),
        cell_bound: cba.map(value).into_iter().collect(),
        ..Credentials::default()
    };
    let peer = san.map(|san| PeerCertificate::from_der(&certificate_for(&[san], &[])).unwrap());
    let evidence = Evidence {
        policy: snapshot.policy.policy_id("default").unwrap(),
        method: &Method::GET,
        authority: "api.example",
        path,
        credentials: &credentials,
        peer: peer.as_ref(),
        spread: 0,
        waited: true,
    };
    let mut steps = Steps::default();
    let mut memo = Memo::disabled();
    let outcome = decide(&snapshot, &evidence, at(0), &mut memo, &mut steps);
    let last = steps.0.pop().unwrap();
    assert!(!last.passed, "a denial ends at the check that failed");
    let Outcome::Done(Decision::Deny(deny)) = outcome else {
        panic!("{outcome:?}");
    };
    (deny, format!("{}: {}", last.check, last.detail))
}

/// The parts of a denial that say who was denied, and by which rule.
fn known(deny: &Deny) -> Value {
    json!({
        "reason": deny.reason,
        "tenant": deny.tenant,
        "subject": deny.subject,
        "rule": deny.rule.as_deref(),
        "cell_bound": deny.cell_bound.is_some(),
    })
}

#[test]
fn a_conflict_of_credentials_names_the_tenant_and_no_subject() {
    let (deny, step) = denial("acme", Some(GLOBEX), "/", None);
    let expected = json!({"reason": "identity_conflict", "tenant": "acme", "subject": null,
                          "rule": null, "cell_bound": false});
    assert_eq!(known(&deny), expected);
    assert_eq!(
        step,
        "identity.agree: the token and the client certificate name different tenants"
    );
}

#[test]
fn a_check_of_the_registry_names_the_caller() {
    let (deny, step) = denial("globex", None, "/", None);
    let expected = json!({"reason": "tenant_suspended", "tenant": "globex", "subject": "alice",
                          "rule": null, "cell_bound": false});
    assert_eq!(known(&deny), expected);
    assert_eq!(
        step,
        "tenant.status: tenant_suspended: the tenant is suspended"
    );
}

/// Catches: a later check that is blamed on the rule that let the request pass.
#[test]
fn only_a_denial_by_a_rule_names_the_rule() {
    let (deny, step) = denial("acme", None, "/edit", None);
    let expected = json!({"reason": "role_forbidden", "tenant": "acme", "subject": "alice",
                          "rule": "edit", "cell_bound": false});
    assert_eq!(known(&deny), expected);
    assert_eq!(
        step,
        "policy.rule: edit: /edit: role_forbidden: the caller has none of the roles that the rule \
         names"
    );
    let (deny, step) = denial("initech", None, "/", None);
    let expected = json!({"reason": "cell_quarantined", "tenant": "initech", "subject": "alice",
                          "rule": null, "cell_bound": false});
    assert_eq!(known(&deny), expected);
    assert_eq!(step, "placement: cell_quarantined: the cell is quarantined");
}

#[test]
fn a_bad_cell_bound_authorization_is_part_of_the_denial() {
    let (deny, step) = denial("acme", None, "/", Some("rubbish"));
    let expected = json!({"reason": "cba_malformed", "tenant": "acme", "subject": "alice",
                          "rule": null, "cell_bound": true});
    assert_eq!(known(&deny), expected);
    assert_eq!(
        step,
        "cba.form: cba_malformed: the token does not have three parts"
    );
}
