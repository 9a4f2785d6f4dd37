//! Tables of decisions to review: which caller goes to which cell, and who is denied and why.
#![allow(
    clippy::unwrap_used,
    reason = "a test that finds nothing has found a bug"
)]

mod cell_drain;
mod invalidation;
mod revocable;
mod rules;
mod tokens;

use std::fmt::Write;

use cellway_core::Decision;
use cellway_testbed::{Claims, San};
use cellway_tests::decide::{Core, Request, Sources, at, claims, current_jwks, sign, token};
use serde_json::json;

const CONFIG: &str = r#"
    [[issuer]]
    name = "main"
    issuer = "https://idp.example"
    audience = "cellway"
    claims = { tenants = "tenants", tier = "tier", roles = "roles" }

    [[policy]]
    name = "any"
    any_of = ["jwt", "mtls"]

    [[policy]]
    name = "all"
    all_of = ["jwt", "mtls"]

    [[policy]]
    name = "token"
    any_of = ["jwt"]
    jwks_unreachable_status = 401

    [[policy]]
    name = "permissive"
    mode = "permissive"
    any_of = ["jwt", "mtls"]
    anonymous_placement = "lobby"

    [[policy]]
    name = "disabled"
    mode = "disabled"
    allow_insecure = true
    insecure_identity = { tenant = "acme" }

    [trust]
    bundle = "clients.pem"
    trust_domains = ["example"]
    san = ["spiffe://{trust_domain}/tenant/{tenant}", "{tenant}.clients.example"]
"#;

const CELLS: &str = r#"
    {"id": "std-1", "tier": "standard", "region": "eu", "state": "active",
     "endpoints": [{"url": "https://std-1.internal:443"}]},
    {"id": "std-2", "tier": "standard", "region": "eu", "state": "active",
     "endpoints": [{"url": "https://std-2.internal:443"}]},
    {"id": "ent-1", "tier": "enterprise", "region": "eu", "state": "active",
     "endpoints": [{"url": "https://ent-1-a.internal:443"}, {"url": "https://ent-1-b.internal:443"}]},
    {"id": "lobby-1", "tier": "standard", "region": "eu", "state": "active",
     "endpoints": [{"url": "https://lobby.internal:443"}]}"#;

const REST: &str = r#"
    "placements": [
        {"id": "spread", "tier": "standard", "cells": ["std-1", "std-2"], "stateless": true},
        {"id": "lobby", "tier": "standard", "cells": ["lobby-1"]}
    ],
    "tenants": [
        {"id": "acme", "cell": "std-1"},
        {"id": "globex", "placement": "spread"},
        {"id": "initech", "cell": "ent-1"},
        {"id": "hooli", "cell": "std-1", "status": "suspended"}
    ]"#;

fn registry(cells: &str, unknown: &str) -> String {
    format!(r#"{{"version": 1, "unknown_tenant": {unknown}, "cells": [{cells}], {REST}}}"#)
}

fn normal() -> String {
    registry(CELLS, r#""deny""#)
}

/// The normal registry with the first cell in another state.
fn std_1(state: &str) -> String {
    let cell = format!(r#""eu", "state": "{state}""#);
    registry(
        &CELLS.replacen(r#""eu", "state": "active""#, &cell, 1),
        r#""deny""#,
    )
}

fn core(registry: Option<String>) -> Core {
    let jwks = Some(current_jwks());
    Core::new(CONFIG, Sources { jwks, registry })
}

fn spiffe(tenant: &str) -> San {
    San::Uri(format!("spiffe://example/tenant/{tenant}"))
}

/// One line for each request: its credentials and the decision.
fn table(core: &mut Core, rows: &[(&str, Request)]) -> String {
    table_at(10, core, rows)
}

fn table_at(secs: u64, core: &mut Core, rows: &[(&str, Request)]) -> String {
    let width = rows.iter().map(|(label, _)| label.len()).max().unwrap_or(0);
    let mut table = String::new();
    for (label, request) in rows {
        let (decision, _) = core.decide(request, at(secs));
        write!(table, "{label:width$}  ").unwrap();
        match decision {
            Decision::Allow(allow) => {
                let tenant = allow
                    .identity
                    .tenant
                    .as_ref()
                    .map_or("-", |tenant| tenant.as_str());
                let placement = allow.placement.as_ref().map_or("-", |id| id.as_str());
                writeln!(
                    table,
                    "allow {:10} tenant {tenant:8} placement {placement:7} cell {}",
                    allow.reason.as_str(),
                    allow.cell.id,
                )
            }
            Decision::Deny(deny) => {
                let status = deny.class.status().map_or(0, |status| status.as_u16());
                writeln!(
                    table,
                    "deny  {status} {:22} {}",
                    deny.reason.as_str(),
                    deny.detail
                )
            }
        }
        .unwrap();
    }
    table
}

fn bearer(token: &str) -> Request {
    Request::to("any").bearer(token)
}

fn signed(claims: Claims) -> Request {
    bearer(&sign(&claims))
}

fn certified(sans: &[San]) -> Request {
    Request::to("any").certificate(sans)
}

/// Good callers, and callers whose credentials contradict each other.
#[test]
fn callers() {
    let good = token("acme");
    let several = || {
        let claims = claims("").without("tenant_id");
        signed(claims.with("tenants", vec!["acme", "globex"]))
    };
    let choice = "x-cellway-select-tenant";
    let dns = |name: &str| San::Dns(name.to_owned());
    let elsewhere = San::Uri("spiffe://elsewhere/tenant/acme".into());
    let rows = [
        ("nothing", Request::to("any")),
        ("token", bearer(&good)),
        ("token, spread placement", bearer(&token("globex"))),
        ("token, other tier", bearer(&token("initech"))),
        ("token of an unknown tenant", bearer(&token("nobody"))),
        ("token of a suspended tenant", bearer(&token("hooli"))),
        ("certificate, URI SAN", certified(&[spiffe("acme")])),
        (
            "certificate, DNS SAN",
            certified(&[dns("acme.clients.example")]),
        ),
        (
            "certificate, two URI SANs",
            certified(&[spiffe("acme"), spiffe("globex")]),
        ),
        ("certificate, other trust domain", certified(&[elsewhere])),
        (
            "token and certificate",
            bearer(&good).certificate(&[spiffe("acme")]),
        ),
        (
            "token and another's certificate",
            bearer(&good).certificate(&[spiffe("globex")]),
        ),
        (
            "bad token, good certificate",
            bearer("x.y.z").certificate(&[spiffe("acme")]),
        ),
        (
            "good token, certificate without SAN",
            bearer(&good).certificate(&[]),
        ),
        ("two authorization fields", bearer(&good).bearer(&good)),
        (
            "another scheme",
            Request::to("any").header("authorization", "Basic YTpi"),
        ),
        ("several tenants, none chosen", several()),
        (
            "several tenants, one chosen",
            several().header(choice, "globex"),
        ),
        (
            "several tenants, another's chosen",
            several().header(choice, "initech"),
        ),
    ];
    insta::assert_snapshot!(table(&mut core(Some(normal())), &rows));
}

/// Which roles reach the cell: what the token names, as far as the tenant allows it.
#[test]
fn roles() {
    let tenants = [
        ("no word", ""),
        ("none allowed", r#", "allowed_roles": []"#),
        ("two allowed", r#", "allowed_roles": ["editor", "viewer"]"#),
        (
            "two allowed, one by default",
            r#", "allowed_roles": ["editor", "viewer"], "default_role": "viewer""#,
        ),
        ("one by default", r#", "default_role": "viewer""#),
    ];
    let claimed = [
        ("no claim", None),
        ("null", Some(json!(null))),
        ("an empty list", Some(json!([]))),
        ("editor", Some(json!("editor"))),
        ("admin", Some(json!("admin"))),
        (
            "admin, editor, viewer",
            Some(json!(["admin", "editor", "viewer"])),
        ),
        ("Editor", Some(json!("Editor"))),
    ];
    let mut page = String::new();
    for (what, terms) in tenants {
        writeln!(page, "-- the tenant: {what}").unwrap();
        let terms = format!(r#""acme", "cell": "std-1"{terms}"#);
        let registry = normal().replace(r#""acme", "cell": "std-1""#, &terms);
        let mut core = core(Some(registry));
        let mut roles = |request: &Request| {
            let Decision::Allow(allow) = core.decide(request, at(10)).0 else {
                panic!("{what}: denied");
            };
            match &*allow.identity.roles {
                [] => "-".to_owned(),
                roles => roles
                    .iter()
                    .map(|r| r.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            }
        };
        for (label, claim) in &claimed {
            let claims = match claim {
                None => claims("acme"),
                Some(claim) => claims("acme").with("roles", claim.clone()),
            };
            let request = signed(claims);
            let left = roles(&request);
            writeln!(page, "token: {label:22} -> {left}").unwrap();
            assert_eq!(roles(&request), left, "remembered: {what}, {label}");
        }
        let left = roles(&certified(&[spiffe("acme")]));
        writeln!(page, "certificate                   -> {left}").unwrap();
    }
    insta::assert_snapshot!(page);
}

/// Valid credentials that the registry revokes, cached ones too.
#[test]
fn revocations() {
    let san = "spiffe://example/tenant/acme";
    let entries = [
        ("none", json!([])),
        ("one token", json!([{"jti": "t-1", "issuer": "main"}])),
        ("a subject", json!([{"sub": "alice", "tenant": "acme"}])),
        (
            "a certificate's subject",
            json!([{"sub": san, "issuer": "example"}]),
        ),
        ("a tenant", json!([{"tenant": "acme"}])),
        (
            "a tenant, what is older",
            json!([{"tenant": "acme", "issued_before": 1_800_000_005}]),
        ),
        (
            "an issuer, what is older",
            json!([{"issuer": "main", "issued_before": 1_800_000_005}]),
        ),
        (
            "a subject, older than these",
            json!([{"sub": "alice", "tenant": "acme", "issued_before": 1_799_000_000}]),
        ),
    ];
    let alice = |jti: &str, iat: u64| {
        let claims = claims("acme").subject("alice").with("iat", iat);
        signed(claims.with("jti", jti))
    };
    let rows = [
        ("alice's first token", alice("t-1", 1_800_000_000)),
        ("alice's second token", alice("t-2", 1_800_000_006)),
        (
            "a token without a date",
            signed(claims("acme").without("iat")),
        ),
        ("certificate", certified(&[spiffe("acme")])),
        (
            "second token and certificate",
            alice("t-2", 1_800_000_006).certificate(&[spiffe("acme")]),
        ),
        ("another tenant's token", bearer(&token("globex"))),
    ];
    let mut core = core(Some(normal()));
    table(&mut core, &rows);
    let mut page = String::new();
    for (version, (what, entries)) in (2..).zip(&entries) {
        let version = format!(r#""version": {version}, "revocations": {entries}"#);
        core.sources.registry = Some(normal().replace(r#""version": 1"#, &version));
        core.control.handle_refresh(at(10));
        core.serve(at(10));
        writeln!(page, "-- revoked: {what}\n{}", table(&mut core, &rows)).unwrap();
    }
    insta::assert_snapshot!(page);
}

/// Every policy, with nothing, one or both credentials.
#[test]
fn policies() {
    let mut rows = Vec::new();
    for policy in ["any", "all", "token", "permissive", "disabled"] {
        let request = || Request::to(policy);
        rows.extend([
            (format!("{policy}: nothing"), request()),
            (
                format!("{policy}: token"),
                request().bearer(&token("globex")),
            ),
            (
                format!("{policy}: certificate"),
                request().certificate(&[spiffe("globex")]),
            ),
            (
                format!("{policy}: both"),
                request()
                    .bearer(&token("globex"))
                    .certificate(&[spiffe("globex")]),
            ),
            (format!("{policy}: bad token"), request().bearer("x.y.z")),
        ]);
    }
    let rows: Vec<_> = rows
        .iter()
        .map(|(label, row)| (label.as_str(), row.clone()))
        .collect();
    insta::assert_snapshot!(table(&mut core(Some(normal())), &rows));
}

/// The same callers against registries in every state.
#[test]
fn registries() {
    let states = [
        ("never loaded", None),
        ("normal", Some(normal())),
        ("std-1 draining", Some(std_1("draining"))),
        ("std-1 quarantined", Some(std_1("quarantined"))),
        ("std-1 provisioning", Some(std_1("provisioning"))),
        ("unknown by tier", Some(registry(CELLS, r#""by_tier""#))),
        (
            "unknown to the lobby",
            Some(registry(CELLS, r#"{"placement": "lobby"}"#)),
        ),
    ];
    let gold = sign(&claims("nobody").with("tier", "gold"));
    let enterprise = sign(&claims("nobody").with("tier", "enterprise"));
    let mut page = String::new();
    for (state, registry) in states {
        let rows = [
            ("acme, in std-1", Request::to("any").bearer(&token("acme"))),
            (
                "globex, spread",
                Request::to("any").bearer(&token("globex")),
            ),
            (
                "unknown, no tier",
                Request::to("any").bearer(&token("nobody")),
            ),
            (
                "unknown, enterprise",
                Request::to("any").bearer(&enterprise),
            ),
            (
                "unknown, a tier without cells",
                Request::to("any").bearer(&gold),
            ),
            ("anonymous", Request::to("permissive")),
        ];
        writeln!(
            page,
            "-- registry: {state}\n{}",
            table(&mut core(registry), &rows)
        )
        .unwrap();
    }
    insta::assert_snapshot!(page);
}

/// When the sources fail, verification fails closed and placement stays.
#[test]
fn sources() {
    let rows = [
        ("token", Request::to("any").bearer(&token("acme"))),
        (
            "token, where 401 is expected",
            Request::to("token").bearer(&token("acme")),
        ),
    ];
    let mut page = String::new();
    let mut say = |secs: u64, when: &str, core: &mut Core| {
        core.run_until(at(secs));
        let table = table_at(secs, core, &rows);
        writeln!(page, "-- {when}, at {secs} s\n{table}").unwrap();
    };
    let jwks = Some(current_jwks());
    let sources = Sources {
        jwks: None,
        registry: Some(normal()),
    };
    let mut core = Core::new(CONFIG, sources);
    say(10, "keys were never fetched", &mut core);
    core.sources.jwks = jwks;
    say(60, "the identity provider is back", &mut core);
    core.sources = Sources::default();
    say(200, "both sources are down", &mut core);
    insta::assert_snapshot!(page);
}

/// A decision's JSON and its explanation, whole.
#[test]
fn json_and_explanation() {
    let mut core = core(Some(normal()));
    let request = Request::to("any").bearer(&token("initech"));
    let (decision, steps) = core.decide(&request, at(10));
    let json = serde_json::to_string_pretty(&decision).unwrap();
    let (denied, why) = core.decide(&Request::to("any").bearer(&token("nobody")), at(10));
    let denied = serde_json::to_string_pretty(&denied).unwrap();
    insta::assert_snapshot!(format!("{json}\n\n{steps}\n{denied}\n\n{why}"));
}
