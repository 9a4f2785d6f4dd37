//! Who goes where by a routing key, who doesn't, and why: the table.

use std::fmt::Write;

use cellway_core::Decision;
use cellway_core::routing_key::Signed;
use cellway_testbed::San;
use cellway_tests::decide::{Core, EPOCH, Request, Sources, at, signer, token};
use http::Method;
use serde_json::{Value, json};

const GATEWAY: &str = "spiffe://example/gateway";
const KEY: &str = "x-routing-key";
const SIGNATURE: &str = "x-routing-key-signature";

/// Policies for each way to combine a routing key.
fn config() -> String {
    let policy = |name: &str, which: &str, schemes: &[&str]| json!({"name": name, which: schemes});
    let lax = json!({
        "name": "permissive", "any_of": ["jwt", "routing_key"],
        "mode": "permissive", "anonymous_placement": "lobby",
    });
    let signer = |kid: &str, tenants: Value| {
        let mut jwk = signer(kid).jwk();
        jwk.as_object_mut().unwrap().remove("use");
        json!({"kid": kid, "jwk": jwk, "tenants": tenants})
    };
    let config = json!({
        "issuer": [{"name": "main", "issuer": "https://idp.example", "audience": "cellway"}],
        "policy": [
            policy("key", "any_of", &["routing_key"]),
            policy("any", "any_of", &["jwt", "mtls", "routing_key"]),
            policy("mtls and key", "all_of", &["mtls", "routing_key"]),
            policy("token and key", "all_of", &["jwt", "routing_key"]),
            policy("without", "any_of", &["jwt", "mtls"]),
            lax,
        ],
        "trust": {
            "bundle": "clients.pem",
            "trust_domains": ["example"],
            "san": ["spiffe://{trust_domain}/tenant/{tenant}"],
        },
        "routing_key": {
            "gateways": [
                {"san": GATEWAY, "tenants": "any"},
                {"san": "spiffe://example/partner", "tenants": ["globex"]},
            ],
            "signer": [signer("edge", json!("any")), signer("own", json!(["globex"]))],
        },
    });
    toml::to_string(&config).unwrap()
}

fn core() -> Core {
    let cell = |id: &str| {
        json!({"id": id, "tier": "standard", "region": "eu", "state": "active",
               "endpoints": [{"url": format!("https://{id}.internal:443")}]})
    };
    let registry = json!({
        "version": 1,
        "cells": [cell("one"), cell("two"), cell("lobby-1")],
        "placements": [{"id": "lobby", "tier": "standard", "cells": ["lobby-1"]}],
        "tenants": [
            {"id": "acme", "cell": "one", "allowed_roles": ["viewer"], "default_role": "viewer"},
            {"id": "globex", "cell": "two"},
            {"id": "hooli", "cell": "one", "status": "suspended"},
        ],
    });
    Core::new(&config(), Sources::of(registry.to_string()))
}

/// A signature for `GET /` of `api.example` at the beginning, under `kid`.
fn by(kid: &str, key: &str) -> String {
    let signed = Signed {
        kid,
        time: EPOCH.as_secs(),
        method: &Method::GET,
        authority: "api.example",
        path: "/",
        key,
    };
    signer(kid).sign_routing_key(&signed).unwrap()
}

fn key(policy: &str, key: &str) -> Request {
    Request::to(policy).header(KEY, key)
}

fn signed(policy: &str, tenant: &str) -> Request {
    key(policy, tenant).header(SIGNATURE, &by("edge", tenant))
}

fn over(request: Request, uri: &str) -> Request {
    request.certificate(&[San::Uri(uri.to_owned())])
}

/// What a request is called, when it comes in seconds after the beginning, and the request.
type Row = (&'static str, u64, Request);

fn table(rows: &[Row]) -> String {
    let width = rows.iter().map(|(what, ..)| what.len()).max().unwrap_or(0);
    let mut core = core();
    let mut table = String::new();
    for (what, secs, request) in rows {
        let (decision, _) = core.decide(request, at(*secs));
        let became = match decision {
            Decision::Allow(allow) => {
                let identity = serde_json::to_value(&*allow.identity).unwrap();
                let text = |name: &str| identity[name].as_str().unwrap_or("-").to_owned();
                format!(
                    "allow {} tenant {} subject {} roles {} by {} cell {}",
                    allow.reason,
                    text("tenant"),
                    text("subject"),
                    identity["roles"],
                    identity["proof"]["routing_key"],
                    allow.cell.id
                )
            }
            Decision::Deny(deny) => {
                let status = deny.class.status().map_or(0, |status| status.as_u16());
                format!("deny  {status} {}: {}", deny.reason, deny.detail)
            }
        };
        writeln!(table, "{what:width$}  {became}").unwrap();
    }
    table
}

/// Keys that a connection vouches for, or doesn't.
fn by_connection() -> Vec<Row> {
    let partner = "spiffe://example/partner";
    vec![
        ("nothing", 0, Request::to("key")),
        ("a key, from anybody", 0, key("key", "acme")),
        ("a key, by a gateway", 0, over(key("key", "acme"), GATEWAY)),
        (
            "another key, by that gateway",
            0,
            over(key("key", "globex"), GATEWAY),
        ),
        (
            "a key, by a tenant's certificate",
            0,
            over(key("key", "acme"), "spiffe://example/tenant/acme"),
        ),
        (
            "a partner's own tenant",
            0,
            over(key("key", "globex"), partner),
        ),
        (
            "another's tenant, by a partner",
            0,
            over(key("key", "acme"), partner),
        ),
    ]
}

/// Signed keys.
fn by_signature() -> Vec<Row> {
    let own = |tenant: &str| key("key", tenant).header(SIGNATURE, &by("own", tenant));
    vec![
        ("signed", 0, signed("key", "acme")),
        ("signed, as old as it may be", 60, signed("key", "acme")),
        ("signed, older", 61, signed("key", "acme")),
        ("signed for its own tenant", 0, own("globex")),
        ("signed for another's tenant", 0, own("acme")),
        (
            "signed by nobody known",
            0,
            key("key", "acme").header(SIGNATURE, &by("who", "acme")),
        ),
        (
            "signed for another key",
            0,
            key("key", "acme").header(SIGNATURE, &by("edge", "globex")),
        ),
        (
            "signed for another host",
            0,
            signed("key", "acme").target(Method::GET, "evil.example", "/"),
        ),
        (
            "signed for another method",
            0,
            signed("key", "acme").target(Method::PUT, "api.example", "/"),
        ),
        (
            "signed for another path",
            0,
            signed("key", "acme").target(Method::GET, "api.example", "/admin"),
        ),
        (
            "signed, twice the key",
            0,
            signed("key", "acme").header(KEY, "acme"),
        ),
    ]
}

/// Keys that are no tenant of the registry's, and a choice of another tenant.
fn odd_keys() -> Vec<Row> {
    vec![
        (
            "a list of keys",
            0,
            over(key("key", "acme,globex"), GATEWAY),
        ),
        ("an empty key", 0, over(key("key", ""), GATEWAY)),
        ("a suspended tenant", 0, signed("key", "hooli")),
        ("an unknown tenant", 0, signed("key", "nobody")),
        (
            "picking another tenant",
            0,
            signed("key", "acme").header("x-cellway-select-tenant", "globex"),
        ),
    ]
}

#[test]
fn who_is_believed() {
    let rows = [by_connection(), by_signature(), odd_keys()].concat();
    insta::assert_snapshot!(table(&rows));
}

/// The SAN of the tenant `acme`.
const ACME: &str = "spiffe://example/tenant/acme";

/// Where any of the three will do.
fn any_of() -> Vec<Row> {
    vec![
        ("any: token", 0, Request::to("any").bearer(&token("acme"))),
        (
            "any: token, spoofed key",
            0,
            key("any", "acme").bearer(&token("acme")),
        ),
        (
            "any: token, signed key",
            0,
            signed("any", "acme").bearer(&token("acme")),
        ),
        (
            "any: token, signed key of another",
            0,
            signed("any", "globex").bearer(&token("acme")),
        ),
        (
            "any: certificate, signed key of another",
            0,
            over(signed("any", "globex"), ACME),
        ),
        ("any: gateway alone", 0, over(Request::to("any"), GATEWAY)),
        (
            "any: gateway, token",
            0,
            over(Request::to("any"), GATEWAY).bearer(&token("acme")),
        ),
        (
            "any: gateway, key of another, token",
            0,
            over(key("any", "globex"), GATEWAY).bearer(&token("acme")),
        ),
    ]
}

/// Where a routing key and something else are needed.
fn all_of() -> Vec<Row> {
    vec![
        (
            "mtls and key: gateway",
            0,
            over(key("mtls and key", "acme"), GATEWAY),
        ),
        ("mtls and key: signed", 0, signed("mtls and key", "acme")),
        (
            "mtls and key: certificate",
            0,
            over(Request::to("mtls and key"), ACME),
        ),
        (
            "mtls and key: certificate, spoofed key",
            0,
            over(key("mtls and key", "acme"), ACME),
        ),
        (
            "mtls and key: certificate, signed",
            0,
            over(signed("mtls and key", "acme"), ACME),
        ),
        ("token and key: signed", 0, signed("token and key", "acme")),
        (
            "token and key: token, signed",
            0,
            signed("token and key", "acme").bearer(&token("acme")),
        ),
    ]
}

/// Where a routing key isn't accepted, or nothing is needed.
fn without_or_nothing() -> Vec<Row> {
    vec![
        ("without: spoofed key", 0, key("without", "acme")),
        (
            "without: spoofed key, token of another",
            0,
            key("without", "acme").bearer(&token("globex")),
        ),
        ("without: gateway", 0, over(key("without", "acme"), GATEWAY)),
        ("permissive: nothing", 0, Request::to("permissive")),
        ("permissive: spoofed key", 0, key("permissive", "acme")),
        ("permissive: stale", 61, signed("permissive", "acme")),
        ("permissive: signed", 0, signed("permissive", "acme")),
    ]
}

#[test]
fn together_with_others() {
    let rows = [any_of(), all_of(), without_or_nothing()].concat();
    insta::assert_snapshot!(table(&rows));
}
