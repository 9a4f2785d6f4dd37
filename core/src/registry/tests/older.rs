//! The older form, `{"data": [cells]}`.

use super::*;

const OLDER: &str = r#"{"data": [
        {"id": "a", "tier": "free", "region": "eu", "endpoints": ["https://a:1", {"url": "https://b:1"}],
         "annotations": {"san": "spiffe://example/a", "cba-jwks": "{}"}},
        {"id": "b", "annotations": {"tier": "gold", "region": "us", "state": "draining",
         "weight": "5", "endpoint": "https://c:1"}}]}"#;

#[test]
fn reads_the_older_form() {
    let registry = changed(OLDER, None);
    assert_eq!(
        (registry.version(), registry.unknown_tenant()),
        (1, &UnknownTenant::ByTier)
    );
    let a = registry.cell("a").unwrap();
    let sans: Vec<_> = a
        .endpoints
        .iter()
        .map(|it| it.san.as_ref().map(San::as_str))
        .collect();
    assert_eq!(sans, [Some("spiffe://example/a"), None]);
    assert_eq!(a.state, CellState::Active);
    let b = registry.cell("b").unwrap();
    assert_eq!(
        (b.tier.as_str(), b.region.as_str(), b.weight),
        ("gold", "us", 5)
    );
    assert_eq!(
        (b.state, b.endpoints[0].url.as_str()),
        (CellState::Draining, "https://c:1")
    );
}

#[test]
fn without_a_version_other_content_is_the_next_one() {
    let registry = changed(OLDER, None);
    assert!(matches!(
        parse(&format!("{OLDER} "), Some(&registry)),
        Ok(Parsed::Unchanged(_))
    ));
    let next = changed(&OLDER.replace("gold", "iron"), Some(&registry));
    assert_eq!(next.version(), 2);
    // With a version, that version counts from then on.
    let named = OLDER.replacen('{', r#"{"version": 1,"#, 1);
    let refused = refusal(&named, Some(&next));
    assert_eq!(refused.reason, RegistryErrorReason::OlderVersion);
    let named = OLDER.replacen('{', r#"{"version": 3,"#, 1);
    let refused = refusal(OLDER, Some(&changed(&named, Some(&next))));
    assert_eq!(refused.reason, RegistryErrorReason::Invalid);
    assert!(refused.detail.contains("version"), "{}", refused.detail);
}

#[test]
fn mistakes_in_the_older_form_are_named() {
    for (old, new, message) in [
        (r#""tier": "free", "#, "", "data[0] has no tier"),
        (r#""region": "us", "#, "", "data[1] has no region"),
        (
            r#""weight": "5""#,
            r#""weight": "x""#,
            "data[1].annotations.weight",
        ),
        ("draining", "asleep", "data[1].annotations.state"),
        (
            r#""id": "b""#,
            r#""id": "a""#,
            "data[1].id \"a\" is also that of data[0]",
        ),
        (r#""https://a:1""#, "7", "data[0].endpoints[0]"),
    ] {
        let refused = refusal(&OLDER.replacen(old, new, 1), None);
        assert!(
            refused.detail.contains(message),
            "{new}: {}",
            refused.detail
        );
    }
}

/// A document as a control plane with its own schema writes it.
const FOREIGN: &str = r#"{
  "meta": {"page": 1, "total": 2}, "next": null,
  "data": [
    {"id": "a", "tier": "free", "region": "eu", "state": "active", "created_at": "2026-01-01",
     "tenancy_strategy": "pool", "capacity_max_tenants": 50, "routes": {"api": "http://a"},
     "labels": {"x": 1}, "pinned_tenants": [],
     "endpoints": [{"url": "https://a:1", "san": "a.internal", "zone": "eu-1a"}],
     "annotations": {"owner": null, "quota": {"cpu": 4}, "rank": 2.5, "on": true}},
    {"id": "b", "tier": "silo", "region": "eu", "pinned_tenants": ["acme", "globex"],
     "endpoints": ["https://b:1"], "annotations": {"weight": 5}},
    {"id": "c", "tier": "silo", "region": "eu", "pinned_tenants": null, "annotations": null,
     "endpoints": ["https://c:1"]}
  ]
}"#;

/// Catches: a foreign field that makes the router refuse the whole document, and an ignored field
/// that places a tenant.
#[test]
fn fields_that_are_not_read_are_ignored() {
    let registry = changed(FOREIGN, None);
    assert_eq!(registry.cells().len(), 3);
    assert!(registry.cell("a").unwrap().annotations.is_empty());
    let b = registry.cell("b").unwrap();
    assert_eq!((b.weight, &*b.annotations["weight"]), (5, "5"));
    assert_eq!(registry.tenant_count(), 2);
    for tenant in ["acme", "globex"] {
        let found = registry.tenant(tenant).unwrap();
        assert!(matches!(found.target, Target::Cell(cell) if cell.id.as_str() == "b"));
    }

    let toml = "kind = 1\n[[data]]\nid = \"a\"\ntier = \"t\"\nregion = \"r\"\nzone = 7\n\
                endpoints = [\"http://a:1\"]\n";
    let limits = RegistryLimits::default();
    let parse = |body: &str| Registry::parse(body.as_bytes(), RegistryFormat::Toml, None, &limits);
    assert!(
        matches!(parse(toml), Ok(Parsed::Changed(_))),
        "{:?}",
        parse(toml)
    );
    let refused = parse(&toml.replace("\"t\"", "7")).unwrap_err();
    assert!(
        refused.detail.contains("data[0].tier"),
        "{}",
        refused.detail
    );
    assert!(!refused.detail.contains("kind"), "{}", refused.detail);
}

/// Catches: unknown fields that are ignored in the current form, or bad values that are ignored in
/// fields that the router reads.
#[test]
fn envelopes_are_read_strictly() {
    let lists = r#""meta": {}, "tenants": [{"id": "t", "cell": "a"}], "revocations": []"#;
    let with_lists = FOREIGN.replacen(r#""next": null"#, lists, 1);
    let with_lists = with_lists.replacen(r#""meta": {"page": 1, "total": 2}, "#, "", 1);
    assert_eq!(changed(&with_lists, None).tenant_count(), 3);
    for (old, new, message) in [
        (
            r#""cell": "a"}"#,
            r#""cell": "a", "zone": 1}"#,
            "tenants[0]: unknown field `zone`",
        ),
        (
            r#""revocations": []"#,
            r#""cells": []"#,
            "unknown field `meta`",
        ),
        (r#""id": "t""#, r#""id": "acme""#, "\"acme\" has the id of"),
        (
            r#""globex""#,
            r#""acme""#,
            "data[1].pinned_tenants[1]: tenant \"acme\" is pinned twice",
        ),
        (
            r#""globex""#,
            r#""a,b""#,
            "data[1].pinned_tenants[1] may hold",
        ),
        (r#""globex""#, "7", "data[1].pinned_tenants[1]"),
        (
            r#""state": "active""#,
            r#""state": "asleep""#,
            "data[0].state: unknown",
        ),
        (r#""tier": "free""#, r#""tier": 7"#, "data[0].tier"),
    ] {
        let refused = refusal(&with_lists.replacen(old, new, 1), None);
        let detail = &refused.detail;
        assert!(detail.contains(message), "{new}: {detail}");
        let is_of_both = new.contains("cells");
        assert!(is_of_both || !detail.contains("meta"), "{new}: {detail}");
    }
    let current = good().replacen("\"version\"", "\"meta\": {}, \"version\"", 1);
    assert!(
        refusal(&current, None)
            .detail
            .contains("unknown field `meta`")
    );
}
