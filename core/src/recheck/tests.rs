use serde_json::{Value, json};

use super::*;
use crate::testing::{self, of_tenant};

fn registry(tenants: &Value, unknown: &Value, revocations: &Value) -> Registry {
    testing::registry(&json!({
        "version": 2,
        "cells": [{"id": "a", "tier": "t", "region": "r", "state": "active",
                   "endpoints": [{"url": "http://a:80"}]}],
        "placements": [{"id": "p", "tier": "t", "cells": ["a"]}],
        "tenants": tenants,
        "unknown_tenant": unknown,
        "revocations": revocations,
    }))
}

fn reason(tenants: &Value, unknown: Value) -> Option<Reason> {
    reason_with(Reason::Insecure, tenants, &unknown, &json!([]))
}

fn reason_with(
    allowed: Reason,
    tenants: &Value,
    unknown: &Value,
    revocations: &Value,
) -> Option<Reason> {
    let policy = testing::policy(json!({
        "policy": [{"name": "p", "mode": "disabled", "allow_insecure": true,
                    "insecure_identity": {"tenant": "acme"}}],
    }));
    let registry = registry(tenants, unknown, revocations);
    let checked = recheck(&policy, &registry, allowed, &of_tenant("acme"));
    checked.err().map(|refused| refused.reason)
}

#[test]
fn revoked_credentials_end_streams_of_verified_callers() {
    let tenants = json!([{"id": "acme", "cell": "a"}]);
    let revoked = json!([{"tenant": "acme"}]);
    let under = |reason| reason_with(reason, &tenants, &json!("deny"), &revoked);
    assert_eq!(under(Reason::Verified), Some(Reason::Revoked));
    assert_eq!(under(Reason::Insecure), None);
}

#[test]
fn a_tenant_that_a_new_version_refuses_loses_its_streams() {
    let own = |more: Value| {
        let mut tenant = json!({"id": "acme", "cell": "a"});
        let fields = more.as_object().unwrap().clone();
        tenant.as_object_mut().unwrap().extend(fields);
        json!([tenant])
    };
    let deny = json!("deny");
    assert_eq!(reason(&own(json!({})), deny.clone()), None);
    assert_eq!(
        reason(&own(json!({"status": "suspended"})), deny.clone()),
        Some(Reason::TenantSuspended)
    );
    assert_eq!(
        reason(&own(json!({"issuer": "nobody"})), deny.clone()),
        Some(Reason::IssuerNotAllowed)
    );
    let none = json!([{"id": "globex", "cell": "a"}]);
    assert_eq!(reason(&none, deny), Some(Reason::TenantUnknown));
    assert_eq!(reason(&none, json!("by_tier")), None);
    assert_eq!(reason(&none, json!({"placement": "p"})), None);
}
