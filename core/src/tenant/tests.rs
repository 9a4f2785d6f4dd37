use serde_json::{Value, json};

use super::*;
use crate::identity::Proof;
use crate::testing::{self, text};

/// Two issuers, one of which may speak only for tenants that name it.
fn policy() -> Policy {
    testing::policy(json!({
        "issuer": [
            {"name": "main", "issuer": "https://main.example", "audience": "cellway",
             "tenants": "registry"},
            {"name": "partner", "issuer": "https://partner.example", "audience": "cellway",
             "tenants": ["acme", "free-rider"]},
        ],
        "policy": [{"name": "default", "any_of": ["jwt"]}],
    }))
}

fn cell(id: &str, tier: &str) -> Value {
    json!({"id": id, "tier": tier, "region": "eu", "state": "active",
           "endpoints": [{"url": format!("https://{id}.internal:443")}]})
}

fn registry(document: &Value) -> Registry {
    Registry::from_json(&document.to_string()).unwrap()
}

/// Why the caller may not act for its tenant, if so.
fn answer(registry: &Registry, identity: &Identity) -> Option<Reason> {
    let checked = check(registry, &policy(), identity, &mut ());
    checked.err().map(|refused| refused.reason)
}

#[test]
fn a_credential_names_the_tier_of_the_tenants_placement_or_none() {
    let registry = registry(&json!({
        "version": 1,
        "cells": [cell("f", "free"), cell("g", "gold")],
        "placements": [{"id": "shared", "tier": "free", "cells": ["f"]}],
        "tenants": [{"id": "own", "cell": "g"}, {"id": "placed", "placement": "shared"}],
        "unknown_tenant": {"placement": "shared"},
    }));
    for (tenant, tier, want) in [
        ("own", None, None),
        ("own", Some("gold"), None),
        ("own", Some("free"), Some(Reason::IdentityConflict)),
        ("placed", Some("free"), None),
        ("placed", Some("gold"), Some(Reason::IdentityConflict)),
        // No contradiction: the registry has no tier for an unknown tenant.
        ("unknown", Some("gold"), None),
    ] {
        let identity = Identity {
            tenant: Some(text(tenant)),
            tier: tier.map(text),
            ..Identity::default()
        };
        assert_eq!(answer(&registry, &identity), want, "{tenant} {tier:?}");
    }
}

#[test]
fn an_unlisted_tenant_passes_if_the_registry_accepts_it() {
    for (unknown, want) in [
        (json!("deny"), Some(Reason::TenantUnknown)),
        (json!("by_tier"), None),
        (json!({"placement": "shared"}), None),
    ] {
        let registry = registry(&json!({
            "version": 1,
            "cells": [cell("f", "free")],
            "placements": [{"id": "shared", "tier": "free", "cells": ["f"]}],
            "unknown_tenant": unknown,
        }));
        let identity = Identity {
            tenant: Some(text("nobody")),
            ..Identity::default()
        };
        assert_eq!(answer(&registry, &identity), want, "{unknown}");
    }
    assert_eq!(
        answer(
            &registry(&json!({"version": 1, "cells": [cell("f", "free")]})),
            &Identity::default()
        ),
        None
    );
}

#[test]
fn an_issuer_speaks_for_its_own_tenants_only() {
    let registry = registry(&json!({
        "version": 1,
        "cells": [cell("c", "free")],
        "placements": [{"id": "public", "tier": "free", "cells": ["c"]}],
        "tenants": [
            {"id": "acme", "cell": "c"},
            {"id": "globex", "cell": "c", "issuer": "main"},
            {"id": "asleep", "cell": "c", "issuer": "main", "status": "suspended"},
            {"id": "lost", "cell": "c", "issuer": "nobody"},
        ],
        "unknown_tenant": {"placement": "public"},
    }));
    for (issuer, tenant, want) in [
        ("partner", "acme", None),
        ("main", "acme", Some(Reason::IssuerNotAllowed)),
        ("main", "globex", None),
        ("partner", "globex", Some(Reason::IssuerNotAllowed)),
        ("main", "asleep", Some(Reason::TenantSuspended)),
        // Not "suspended": a stranger must not learn the tenant's status.
        ("partner", "asleep", Some(Reason::IssuerNotAllowed)),
        ("main", "lost", Some(Reason::IssuerNotAllowed)),
        ("partner", "free-rider", None),
        ("main", "free-rider", Some(Reason::IssuerNotAllowed)),
    ] {
        let identity = Identity {
            proof: Proof {
                jwt: Some(text(issuer)),
                ..Proof::default()
            },
            tenant: Some(text(tenant)),
            ..Identity::default()
        };
        let got = answer(&registry, &identity);
        assert_eq!(got, want, "{issuer} for {tenant}");
    }
}
