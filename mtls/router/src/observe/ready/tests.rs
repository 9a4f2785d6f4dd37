use std::sync::Arc;

use cellway_core::control::{Control, ControlSettings, KeySourceId};
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_core::registry::Registry;
use cellway_core::{Now, Unix};
use cellway_testbed::Signer;

use super::*;

/// A `Control` with this policy, with or without keys of its first issuer.
fn control(policy: serde_json::Value, with_keys: bool) -> Control {
    control_of(serde_json::json!([policy]), with_keys)
}

/// A `Control` with several policies.
fn control_of(policies: serde_json::Value, with_keys: bool) -> Control {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "issuer": [{ "name": "main", "issuer": "https://idp.example", "audience": "a" }],
        "trust": { "bundle": "ca.pem", "trust_domains": ["example"],
                   "san": ["spiffe://{trust_domain}/tenant/{tenant}"] },
        "policy": policies,
        "routing_key": { "gateways": [{ "san": "spiffe://example/gateway", "tenants": "any" }] },
    }))
    .unwrap();
    let policy = Arc::new(Policy::build(&specs).unwrap_or_else(|errors| panic!("{errors:?}")));
    let mut control = Control::new(policy, ControlSettings::default(), now(), 0);
    while control.poll_output().is_some() {}
    let source: KeySourceId = control.key_sources().next().unwrap().0;
    if with_keys {
        let jwk = Signer::from_seed("k1", [1; 32]).unwrap().jwk();
        let keys = serde_json::json!({ "keys": [jwk] }).to_string();
        control.handle_keys(now(), source, Ok(keys.into()));
    }
    control
}

fn now() -> Now {
    Now {
        mono: Mono::default(),
        unix: Unix::from_secs(1_800_000_000),
    }
}

fn with_registry(control: &Control) -> Snapshot {
    let registry = r#"{"version": 4,
        "cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
                   "endpoints": [{"url": "https://a.internal:443"}]}],
        "tenants": [{"id": "acme", "cell": "a"}]}"#;
    let mut snapshot = Snapshot::clone(control.snapshot());
    snapshot.registry = Some(Arc::new(Registry::from_json(registry).unwrap()));
    snapshot
}

#[test]
fn ready_is_a_registry_and_some_credential_that_can_be_verified() {
    let jwt = serde_json::json!({ "name": "default", "any_of": ["jwt"] });
    let either = serde_json::json!({ "name": "default", "any_of": ["jwt", "mtls"] });
    let both = serde_json::json!({ "name": "default", "all_of": ["jwt", "mtls"] });
    let open = serde_json::json!({ "name": "default", "mode": "permissive", "any_of": ["jwt"],
                                   "anonymous_placement": "public" });
    let key = serde_json::json!({ "name": "default", "any_of": ["routing_key"] });
    let key_and_jwt = serde_json::json!({ "name": "default", "all_of": ["jwt", "routing_key"] });
    for (policy, with_keys, expected) in [
        (&key, false, true),
        (&key_and_jwt, false, false),
        (&key_and_jwt, true, true),
        (&jwt, false, false),
        (&jwt, true, true),
        (&either, false, true),
        (&both, false, false),
        (&both, true, true),
        (&open, false, true),
    ] {
        let control = control(policy.clone(), with_keys);
        assert!(!is_ready(control.snapshot(), now().mono), "no registry");
        let ready = is_ready(&with_registry(&control), now().mono);
        assert_eq!(ready, expected, "{policy} with keys: {with_keys}");
    }
}

#[test]
fn a_source_that_is_lost_later_never_unreadies() {
    let jwt = serde_json::json!({ "name": "default", "any_of": ["jwt"] });
    let latch = ReadyLatch::default();
    let without = with_registry(&control(jwt.clone(), false));
    assert!(!latch.check(&without, now().mono));
    assert!(latch.check(&with_registry(&control(jwt, true)), now().mono));
    assert!(latch.check(&without, now().mono));
}

#[test]
fn says_what_an_operator_wants_to_know() {
    let jwt = serde_json::json!({ "name": "default", "any_of": ["jwt"] });
    let snapshot = with_registry(&control(jwt, true));
    let status = Status::new(&snapshot, now(), true, false);
    assert_eq!(
        serde_json::to_string(&status).unwrap(),
        r#"{"status":"ready","cells":1,"auth_mode":"required","cba_mode":"enforce","auth_modes":{"default":"required"},"cba_modes":{"default":"enforce"},"registry_version":4,"registry_stale":false,"tenant_status":"current","tenant_status_left_secs":null,"keys":{"main":"fresh"},"issuers":{"main":{"state":"fresh","age_secs":0,"stale":false,"next_refresh_secs":531,"consecutive_failures":0}},"listeners":{}}"#
    );
    let draining = Status::new(&snapshot, now(), true, true);
    assert_eq!(draining.status, "draining");
    assert!(!draining.is_ready());

    let disabled = serde_json::json!({ "name": "default", "mode": "disabled",
        "allow_insecure": true, "insecure_identity": { "tenant": "acme" } });
    let snapshot = with_registry(&control(disabled, false));
    let status = Status::new(&snapshot, now(), true, false);
    assert_eq!(status.warnings, ["policy `default` authenticates nobody"]);
}

/// Catches: one policy's mode shown as if it were the router's.
#[test]
fn one_mode_stands_for_all_only_where_there_is_one_policy() {
    let strict = serde_json::json!({ "name": "default", "any_of": ["jwt"] });
    let open = serde_json::json!({ "name": "open", "mode": "permissive", "any_of": ["jwt"],
                                   "anonymous_placement": "public", "cba": { "mode": "monitor" } });
    let status = |policies| {
        let snapshot = with_registry(&control_of(policies, true));
        serde_json::to_value(Status::new(&snapshot, now(), true, false)).unwrap()
    };
    let one = status(serde_json::json!([open]));
    assert_eq!(one["auth_mode"], "permissive");
    assert_eq!(one["cba_mode"], "monitor");
    let two = status(serde_json::json!([strict, open]));
    assert_eq!(two.get("auth_mode"), None);
    assert_eq!(two.get("cba_mode"), None);
    for (modes, strict, open) in [
        ("auth_modes", "required", "permissive"),
        ("cba_modes", "enforce", "monitor"),
    ] {
        let expected = serde_json::json!({ "default": strict, "open": open });
        assert_eq!(two[modes], expected);
    }
}

/// A router keeps serving without its control plane, until its data on suspensions is too old.
#[test]
fn fails_when_tenants_status_is_too_old_and_says_so_before() {
    let jwt = serde_json::json!({ "name": "default", "any_of": ["jwt"] });
    let mut snapshot = with_registry(&control(jwt, true));
    let at = |secs| Mono::from_origin(std::time::Duration::from_secs(secs));
    (snapshot.status_ages_at, snapshot.status_expires_at) = (Some(at(50)), Some(at(100)));
    let status = |secs| {
        let now = Now {
            mono: at(secs),
            ..now()
        };
        Status::new(&snapshot, now, true, false)
    };
    let current = status(49);
    assert_eq!(current.tenant_status, TenantStatus::Current);
    assert_eq!(current.tenant_status_left_secs, Some(51));
    let aging = status(50);
    assert_eq!(aging.tenant_status, TenantStatus::Aging);
    assert!(aging.is_ready(), "it still serves");
    let warning =
        "the registry's source gives no registry to use; in 50 s all requests are refused";
    assert_eq!(aging.warnings, [warning]);
    let expired = status(100);
    assert_eq!((expired.status, expired.is_ready()), ("failed", false));
    assert!(expired.lacks[0].contains("registry.identity_max_age_secs"));
}

#[test]
fn says_what_it_lacks() {
    let jwt = serde_json::json!({ "name": "default", "any_of": ["jwt"] });
    let control = control(jwt, false);
    let status = Status::new(control.snapshot(), now(), false, false);
    assert_eq!(status.status, "starting");
    let keys = "no issuer has usable keys, and every policy needs them";
    assert_eq!(status.lacks, ["no registry is loaded", keys]);
    let closed = Status::new(&with_registry(&control), now(), true, false).with_open(false);
    assert_eq!(closed.status, "starting");
    assert_eq!(closed.lacks, ["the listeners are not open yet"]);
}

/// Catches: the new registry no longer has what the configuration names, and the router reports
/// nothing.
#[test]
fn warns_where_policy_and_registry_do_not_fit() {
    let open = serde_json::json!({ "name": "open", "mode": "permissive", "any_of": ["jwt"],
        "anonymous_placement": "public", "rule": [{ "path": "/**", "roles": ["admin"] }] });
    let control = control(open, true);
    let mismatches = Mismatches::default();
    let warnings = |snapshot: &Snapshot| {
        let status = Status::new(snapshot, now(), true, false);
        status.with_mismatches(&mismatches.of(snapshot)).warnings
    };
    let under = |registry: &str| {
        let mut snapshot = Snapshot::clone(control.snapshot());
        snapshot.registry = Some(Arc::new(Registry::from_json(registry).unwrap()));
        warnings(&snapshot)
    };
    let cells = r#""cells": [{"id": "a", "tier": "std", "region": "eu", "state": "active",
                   "endpoints": [{"url": "https://a.internal:443"}]}]"#;
    let odd = format!(
        r#"{{"version": 4, {cells}, "revocations": [{{"issuer": "gone", "sub": "ada"}}],
            "tenants": [{{"id": "acme", "cell": "a", "issuer": "strange"}}]}}"#
    );
    let told = under(&odd).join("\n");
    for expected in [
        "policy[0].anonymous_placement: the registry has no placement \"public\"",
        "policy[0].rule: rule \"rule[0]\" requires a role",
        "registry: tenant \"acme\" has the issuer \"strange\"",
        "registry: a revocation has the issuer \"gone\"",
    ] {
        assert!(told.contains(expected), "{expected}:\n{told}");
    }
    let good = format!(
        r#"{{"version": 5, {cells},
            "placements": [{{"id": "public", "tier": "std", "cells": ["a"]}}],
            "tenants": [{{"id": "acme", "cell": "a", "default_role": "admin",
                          "allowed_roles": ["admin"]}}]}}"#
    );
    assert_eq!(under(&good), [""; 0], "the next registry is looked at anew");
    let without = warnings(control.snapshot());
    assert_eq!(
        without.len(),
        1,
        "what needs no registry is told without one: {without:?}"
    );
}
