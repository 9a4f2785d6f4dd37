mod bounds;
mod older;
mod refused;
mod revocations;
mod standby;
mod versions;

use super::*;

/// A document with every part, to be broken in one place at a time.
const GOOD: &str = r#"{
  "version": 7,
  "cells": [
    {"id": "a", "tier": "free", "region": "eu", "state": "active", "weight": 3,
     "endpoints": [{"url": "https://A-1.internal:8443", "san": "spiffe://example/cell/a"},
                   {"url": "h2c://[::1]:80"}],
     "annotations": {"owner": "team-a"}},
    {"id": "b", "tier": "free", "region": "us", "state": "draining",
     "endpoints": [{"url": "http://10.0.0.2:80"}]},
    {"id": "gone", "tier": "free", "region": "us", "state": "retired"}
  ],
  "placements": [
    {"id": "one", "tier": "free", "cells": ["a"]},
    {"id": "many", "tier": "free", "cells": ["b", "a"], "stateless": true}
  ],
  "tenants": [
    {"id": "acme", "placement": "one", "issuer": "main"},
    {"id": "globex", "cell": "b", "status": "suspended"},
    {"id": "t\u00e9st"  , "placement": "many"}
  ],
  "revocations": [{"jti": "t-1", "issuer": "main"}],
  "unknown_tenant": {"placement": "one"}
}"#;

fn good() -> String {
    // An escape that ends up as plain ASCII: the one case in which an id can't be borrowed.
    GOOD.replace(r"t\u00e9st", r"t\u0065st")
}

fn parse(body: &str, previous: Option<&Registry>) -> Result<Parsed, RegistryError> {
    let limits = RegistryLimits::default();
    Registry::parse(body.as_bytes(), RegistryFormat::Json, previous, &limits)
}

fn changed(body: &str, previous: Option<&Registry>) -> Registry {
    match parse(body, previous) {
        Ok(Parsed::Changed(candidate)) => candidate.into_registry(),
        other => panic!("{other:?}"),
    }
}

fn refusal(body: &str, previous: Option<&Registry>) -> RegistryError {
    parse(body, previous).expect_err(body)
}

/// The tenants' part of a document that has little else.
fn with_tenants(version: u64, tenants: impl Iterator<Item = String>) -> String {
    let tenants: Vec<_> = tenants.collect();
    format!(
        r#"{{"version":{version},"cells":[
            {{"id":"a","tier":"t","region":"r","state":"active","endpoints":[{{"url":"http://a:1"}}]}}],
            "tenants":[{}]}}"#,
        tenants.join(",")
    )
}

fn tenants(range: std::ops::Range<u32>) -> impl Iterator<Item = String> {
    range.map(|n| format!(r#"{{"id":"t{n}","cell":"a"}}"#))
}

fn with_cells(version: u64, count: u32, more: &str) -> String {
    let cells: Vec<_> = (0..count)
        .map(|n| {
            format!(
                r#"{{"id":"c{n}","tier":"t","region":"r","state":"active","endpoints":[{{"url":"http://c{n}:1"}}]}}"#
            )
        })
        .collect();
    format!(
        r#"{{"version":{version},"cells":[{}]{more}}}"#,
        cells.join(",")
    )
}

#[test]
fn the_page_about_the_registry_shows_a_good_document_and_every_state() {
    let page = include_str!("../../../../docs/registry.md");
    let (_, rest) = page
        .split_once("```json\n")
        .expect("the page has a document");
    let (document, _) = rest.split_once("```").expect("the document ends");
    assert_eq!(changed(document, None).tenant_count(), 3);
    for state in CellState::ALL {
        assert!(page.contains(&format!("`{}`", state.as_str())), "{state:?}");
    }
}

#[test]
fn reads_every_part() {
    let registry = changed(&good(), None);
    assert_eq!(registry.version(), 7);
    let a = registry.cell("a").unwrap();
    assert_eq!(
        (a.weight, a.state, &*a.annotations["owner"]),
        (3, CellState::Active, "team-a")
    );
    let [tls, plain] = &*a.endpoints else {
        panic!("{a:?}");
    };
    assert_eq!(tls.url.as_str(), "https://a-1.internal:8443");
    assert_eq!(tls.san, Some(San::Uri("spiffe://example/cell/a".into())));
    assert_eq!(
        (plain.url.host(), plain.url.authority(), plain.url.port()),
        ("::1", "[::1]:80", 80)
    );
    assert_eq!(registry.endpoint(plain.id).unwrap().0.id.as_str(), "a");

    let acme = registry.tenant("acme").unwrap();
    assert_eq!(
        (acme.status, acme.terms.issuer.as_ref().unwrap().as_str()),
        (TenantStatus::Active, "main")
    );
    assert!(matches!(acme.target, Target::Placement(it) if it.id.as_str() == "one"));
    let globex = registry.tenant("globex").unwrap();
    assert_eq!(
        (globex.status, globex.terms.issuer.as_ref()),
        (TenantStatus::Suspended, None)
    );
    assert!(matches!(globex.target, Target::Cell(it) if it.id.as_str() == "b"));
    assert_eq!(registry.tenant("test").unwrap().id, "test");
    assert_eq!(registry.tenant("nobody").map(|it| it.id), None);
    let one = Text::new("one").unwrap();
    assert_eq!(registry.unknown_tenant(), &UnknownTenant::Placement(one));
    let many: Vec<_> = registry
        .placement("many")
        .unwrap()
        .cells()
        .map(|it| it.id.as_str())
        .collect();
    assert_eq!(many, ["a", "b"]);
}

#[test]
fn endpoints_keep_their_ids_while_nothing_about_them_changes() {
    let cell = |id: &str, san: &str| {
        format!(
            r#"{{"id":"{id}","tier":"t","region":"r","state":"active",
                "endpoints":[{{"url":"https://x:1","san":"{san}"}},{{"url":"https://y:1"}}]}}"#
        )
    };
    let body = |version: u64, cells: &[String]| {
        let cells = cells.join(",");
        format!(r#"{{"version":{version},"cells":[{cells}],"allow_shrink_from":2}}"#)
    };
    let ids = |registry: &Registry, cell: &str| -> Vec<u32> {
        registry
            .cell(cell)
            .unwrap()
            .endpoints
            .iter()
            .map(|it| it.id.0)
            .collect()
    };
    let first = changed(&body(1, &[cell("b", "s")]), None);
    assert_eq!(ids(&first, "b"), [0, 1]);
    let second = changed(
        &body(2, &[cell("a", "s"), cell("b", "other")]),
        Some(&first),
    );
    assert_eq!(
        ids(&second, "b"),
        [4, 1],
        "another SAN makes another endpoint"
    );
    assert_eq!(ids(&second, "a"), [2, 3], "another cell has its own");
    let third = changed(&body(3, &[cell("b", "other")]), Some(&second));
    assert_eq!(ids(&third, "b"), [4, 1]);
    assert!(third.endpoint(EndpointId(0)).is_none());
    let fourth = changed(&body(4, &[cell("b", "s")]), Some(&third));
    assert_eq!(ids(&fourth, "b"), [5, 1], "an id is never used again");
}

#[test]
fn a_new_cell_renumbers_no_tenant() {
    let old = with_tenants(1, tenants(0..1_000));
    let first = changed(&old, None);
    let new_cell = r#""cells":[{"id":"0","tier":"t","region":"r","state":"provisioning"},"#;
    let second = old
        .replace(r#""cells":["#, new_cell)
        .replace(r#""version":1"#, r#""version":2"#);
    let second = changed(&second, Some(&first));
    assert_eq!(second.cells().len(), 2);
    assert!(second.assigned.tenants.is_same_as(&first.assigned.tenants));
    assert!(
        matches!(second.tenant("t5").unwrap().target, Target::Cell(it) if it.id.as_str() == "a")
    );
}

#[test]
fn reads_toml() {
    let body = r#"
        version = 3
        [[cells]]
        id = "a"
        tier = "free"
        region = "eu"
        state = "active"
        endpoints = [{ url = "https://a.internal:443" }]
        [[tenants]]
        id = "acme"
        cell = "a"
    "#;
    let limits = RegistryLimits::default();
    let parse = |body: &str| Registry::parse(body.as_bytes(), RegistryFormat::Toml, None, &limits);
    let Ok(Parsed::Changed(candidate)) = parse(body) else {
        panic!("{:?}", parse(body));
    };
    assert!(candidate.registry().tenant("acme").is_some());
    for (old, new, message) in [
        (
            "tier = ",
            "color = 1\ntier = ",
            "cells[0]: unknown field `color`",
        ),
        ("id = \"acme\"", "id = \"a,b\"", "tenants[0].id may hold"),
        ("version = 3", "version = ", "at line 2"),
    ] {
        let refused = parse(&body.replacen(old, new, 1)).expect_err(new);
        assert_eq!(refused.reason, RegistryErrorReason::Invalid);
        assert!(refused.detail.contains(message), "{}", refused.detail);
    }
}
