use serde_json::{Value, json};

use super::*;
use crate::testing::{issuer, policy, registry as registry_of};

/// The settings and problems of a policy with these rules under a registry with these tenants.
fn problems(auth: Value, claims: Value, tenants: Value) -> Vec<String> {
    let mut table = json!({ "name": "default", "any_of": ["jwt"] });
    for (name, value) in auth.as_object().unwrap() {
        table[name] = value.clone();
    }
    let policy = policy(json!({
        "issuer": [issuer(json!({ "claims": claims }))],
        "policy": [table],
    }));
    let registry = json!({
        "version": 1,
        "cells": [{
            "id": "a", "tier": "t", "region": "r", "state": "active",
            "endpoints": [{ "url": "http://a:80" }],
        }],
        "tenants": tenants,
        "revocations": [{ "issuer": "gone", "sub": "ada" }],
    });
    let registry = registry_of(&registry);
    let found = mismatches(&policy, Some(&registry)).into_iter();
    found
        .map(|it| format!("{}: {}", it.setting, it.problem))
        .collect()
}

fn about<'a>(problems: &'a [String], setting: &str) -> Vec<&'a str> {
    let prefix = format!("{setting}: ");
    let about = problems.iter().filter_map(|it| it.strip_prefix(&prefix));
    about.collect()
}

/// Catches: a rule with a misspelled role, which denies everybody without a warning.
#[test]
fn a_role_that_no_tenant_allows_is_found() {
    let rules = json!({ "rule": [
        { "name": "read", "path": "/a", "roles": ["viewer", "wirter"] },
        { "name": "write", "path": "/b", "roles": ["wirter", "admin"] },
    ]});
    let mapped = json!({ "roles": "roles" });
    let tenant = |more: Value| {
        let mut tenant = json!({ "id": "acme", "cell": "a" });
        for (name, value) in more.as_object().unwrap() {
            tenant[name] = value.clone();
        }
        json!([tenant])
    };
    let told = |claims: &Value, more: Value| {
        let problems = problems(rules.clone(), claims.clone(), tenant(more));
        let rule = about(&problems, "policy[0].rule");
        rule.first().map(|it| (*it).to_owned())
    };
    let all = json!({ "allowed_roles": ["viewer", "wirter", "admin"] });
    assert_eq!(told(&mapped, all.clone()), None);
    let some = json!({ "allowed_roles": ["viewer"] });
    assert_eq!(
        told(&mapped, some).unwrap(),
        "its rules ask for roles that no caller can have: \"wirter\" in read, \"admin\" in write"
    );
    // A default role counts for callers whose credential names none.
    let default = json!({ "allowed_roles": ["admin"], "default_role": "admin" });
    let nothing = json!({});
    assert_eq!(
        told(&nothing, default).unwrap(),
        "its rules ask for roles that no caller can have: \"viewer\" in read, \"wirter\" in read"
    );
    // Without a claim for roles, `allowed_roles` has no effect.
    assert!(
        told(&nothing, all)
            .unwrap()
            .contains("no caller can have one")
    );
    let none = told(&mapped, json!({})).unwrap();
    assert!(none.contains("\"viewer\" in read"), "{none}");
}

#[test]
fn an_insecure_identity_without_the_roles_of_the_rules_is_found() {
    let auth = |roles: Value| {
        json!({
            "mode": "disabled", "allow_insecure": true, "any_of": null,
            "insecure_identity": { "tenant": "acme", "roles": roles },
            "rule": [{ "path": "/a", "roles": ["viewer"] }],
        })
    };
    let tenants = json!([{ "id": "acme", "cell": "a" }]);
    let with = problems(auth(json!(["viewer"])), json!({}), tenants.clone());
    assert!(about(&with, "policy[0].rule").is_empty(), "{with:?}");
    let without = problems(auth(json!([])), json!({}), tenants);
    assert_eq!(about(&without, "policy[0].rule").len(), 1, "{without:?}");
}

#[test]
fn names_that_the_other_side_does_not_know_are_found() {
    let auth = json!({ "mode": "permissive", "anonymous_placement": "public" });
    let tenants = json!([{ "id": "acme", "cell": "a", "issuer": "gone-too" }]);
    let problems = problems(auth, json!({}), tenants);
    let placement = about(&problems, "policy[0].anonymous_placement");
    assert!(
        placement[0].contains("no placement \"public\""),
        "{placement:?}"
    );
    let registry = about(&problems, "registry").join("\n");
    assert!(
        registry.contains("tenant \"acme\" has the issuer \"gone-too\""),
        "{registry}"
    );
    assert!(
        registry.contains("a revocation has the issuer \"gone\""),
        "{registry}"
    );
}

/// Catches: one finding for each of any number of names in a registry. Each would be a log line at
/// every reload.
#[test]
fn unknown_issuers_are_named_up_to_a_bound() {
    let count = ISSUERS_NAMED_MAX + 5;
    let policy = policy(json!({
        "issuer": [issuer(json!({}))],
        "policy": [{ "name": "default", "any_of": ["jwt"] }],
    }));
    let registry = registry_of(&json!({
        "version": 1,
        "cells": [{
            "id": "a", "tier": "t", "region": "r", "state": "active",
            "endpoints": [{ "url": "http://a:80" }],
        }],
        "tenants": (0..count)
            .map(|i| json!({ "id": format!("t{i}"), "cell": "a", "issuer": format!("strange-{i}") }))
            .collect::<Vec<_>>(),
        "revocations": (0..count)
            .map(|i| json!({ "issuer": format!("gone-{i}"), "sub": "ada" }))
            .collect::<Vec<_>>(),
    }));
    let found = mismatches(&policy, Some(&registry));
    for (kind, of) in [
        ("has the issuer \"strange-", "tenants"),
        ("has the issuer \"gone-", "revocations"),
    ] {
        let named = found.iter().filter(|it| it.problem.contains(kind));
        assert_eq!(named.count(), ISSUERS_NAMED_MAX, "{found:#?}");
        let rest = format!("5 more issuers of {of} are not");
        let rest = found.iter().filter(|it| it.problem.starts_with(&rest));
        assert_eq!(rest.count(), 1, "{found:#?}");
    }
}

/// Catches: roles that never reach a cell, without a word.
#[test]
fn roles_that_no_token_can_name_are_found() {
    let told = |auth: Value, claims: Value, more: Value| {
        let mut tenant = json!({ "id": "acme", "cell": "a", "allowed_roles": ["admin"] });
        for (name, value) in more.as_object().unwrap() {
            tenant[name] = value.clone();
        }
        let problems = problems(auth, claims, json!([tenant]));
        let is_about = |problem: &&String| problem.contains("allowed_roles");
        problems.iter().find(is_about).cloned()
    };
    let nothing = json!({});
    assert_eq!(
        told(nothing.clone(), nothing.clone(), nothing.clone()).unwrap(),
        "registry: tenant \"acme\" has allowed_roles, and no issuer has claims.roles: no caller has \
         any role, and cells get none"
    );
    let mapped = json!({ "roles": "roles" });
    assert_eq!(told(nothing.clone(), mapped, nothing.clone()), None);
    let default = json!({ "default_role": "admin" });
    assert_eq!(told(nothing.clone(), nothing.clone(), default), None);
    assert_eq!(
        told(
            nothing.clone(),
            nothing.clone(),
            json!({ "allowed_roles": [] })
        ),
        None
    );
    // The configuration gives these callers their roles.
    let disabled = json!({
        "mode": "disabled", "allow_insecure": true, "any_of": null,
        "insecure_identity": { "tenant": "acme", "roles": ["admin"] },
    });
    assert_eq!(told(disabled, nothing.clone(), nothing), None);
}

/// Catches: the name of another thing than a cell, such as a region, as the only destination.
#[test]
fn a_destination_that_is_no_cell_is_found() {
    let told = |shared: Value, own: Value| {
        let own = |name: &str| json!({ "name": name, "any_of": ["jwt"], "cba": own.clone() });
        let policy = policy(json!({
            "issuer": [issuer(json!({}))],
            "policy": [own("default"), own("other")],
            "cba": shared,
        }));
        let registry = registry_of(&json!({
            "version": 1,
            "cells": [{
                "id": "eu-1", "tier": "t", "region": "eu", "state": "active",
                "endpoints": [{ "url": "http://a:80" }],
            }],
        }));
        let found = mismatches(&policy, Some(&registry)).into_iter();
        let found = found.filter(|it| it.setting.ends_with("cba.destination"));
        found.map(|it| (it.setting, it.fix)).collect::<Vec<_>>()
    };
    let at = |setting: &str, fix: &str| (setting.to_owned(), fix.to_owned());
    let none = json!({});
    assert_eq!(told(json!({ "destination": "eu-1" }), none.clone()), []);
    assert_eq!(
        told(json!({ "destination": "eu" }), none.clone()),
        [at("cba.destination", "known cells: eu-1")]
    );
    assert_eq!(
        told(none.clone(), json!({ "destination": "eu-2" })),
        [
            at("policy[0].cba.destination", "did you mean \"eu-1\"?"),
            at("policy[1].cba.destination", "did you mean \"eu-1\"?"),
        ]
    );
    let off = json!({ "destination": "eu", "mode": "off" });
    assert_eq!(told(off, none), []);
}
