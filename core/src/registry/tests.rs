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
  "unknown_tenant": {"placement": "one"}
}"#;

fn good() -> String {
    // An escape that ends up as plain ASCII: the one case in which an id can't be borrowed.
    GOOD.replace(r"t\u00e9st", r"t\u0065st")
}

fn parse(body: &str, previous: Option<&Registry>) -> Result<Parsed, RegistryRefused> {
    let limits = RegistryLimits::default();
    Registry::parse(body.as_bytes(), RegistryFormat::Json, previous, &limits)
}

fn changed(body: &str, previous: Option<&Registry>) -> Registry {
    match parse(body, previous) {
        Ok(Parsed::Changed(candidate)) => candidate.into_registry(),
        other => panic!("{other:?}"),
    }
}

fn refusal(body: &str, previous: Option<&Registry>) -> RegistryRefused {
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
        (acme.status, acme.issuer.unwrap().as_str()),
        (TenantStatus::Active, "main")
    );
    assert!(matches!(acme.target, Target::Placement(it) if it.id.as_str() == "one"));
    let globex = registry.tenant("globex").unwrap();
    assert_eq!(
        (globex.status, globex.issuer),
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

/// Each row breaks the good document in one place; the message must lead there.
#[test]
fn refuses_what_contradicts_itself_and_says_where() {
    let endpoints = vec![r#"{"url":"http://x:1"}"#; 65].join(",");
    let rows: &[(&str, &str, &str)] = &[
        (
            r#""version": 7"#,
            r#""version": 0"#,
            "version must be 1 or more",
        ),
        (r#""version": 7,"#, "", "missing field `version`"),
        (r#""version": 7"#, r#""version": "7""#, "version: "),
        (
            r#""weight": 3"#,
            r#""colour": 3"#,
            "cells[0].colour: unknown field",
        ),
        (
            r#""weight": 3"#,
            r#""weight": 0"#,
            "cells[0].weight must be 1 to 1000",
        ),
        (r#""weight": 3"#, r#""weight": 1001"#, "cells[0].weight"),
        (
            r#""id": "b""#,
            r#""id": "a""#,
            "cells[1].id \"a\" is that of cells[0] too",
        ),
        (r#""id": "b""#, r#""id": "b,c""#, "cells[1].id may hold"),
        (
            r#""state": "draining""#,
            r#""state": "broken""#,
            "cells[1].state: unknown variant",
        ),
        (
            r#"[{"url": "http://10.0.0.2:80"}]"#,
            "[]",
            "cells[1].endpoints: a draining cell needs",
        ),
        (
            "http://10.0.0.2:80",
            "http://10.0.0.2",
            "cells[1].endpoints[0].url needs a port",
        ),
        (
            "http://10.0.0.2:80",
            "http://10.0.0.2:0",
            "cells[1].endpoints[0].url needs a port",
        ),
        (
            "http://10.0.0.2:80",
            "http://10.0.0.2:80/",
            "cells[1].endpoints[0].url may have",
        ),
        (
            "http://10.0.0.2:80",
            "http://u@h:80",
            "cells[1].endpoints[0].url may have",
        ),
        (
            "http://10.0.0.2:80",
            "http://10.0.0.256:80",
            "cells[1].endpoints[0].url must have a DNS",
        ),
        (
            "http://10.0.0.2:80",
            "ftp://10.0.0.2:80",
            "cells[1].endpoints[0].url must have the scheme",
        ),
        (
            r#"10.0.0.2:80""#,
            r#"10.0.0.2:80", "san": "b""#,
            "cells[1].endpoints[0].san means nothing",
        ),
        (
            "spiffe://example/cell/a",
            "*.example",
            "cells[0].endpoints[0].san must be",
        ),
        (
            "h2c://[::1]:80",
            "https://a-1.internal:8443",
            "cells[0].endpoints[1].url is that of",
        ),
        (
            r#"{"url": "http://10.0.0.2:80"}"#,
            &endpoints,
            "cells[1].endpoints: at most 64",
        ),
        (
            r#""id": "many""#,
            r#""id": "one""#,
            "placements[1].id \"one\" comes twice",
        ),
        (
            r#"["b", "a"]"#,
            r#"["b", "x"]"#,
            "placements[1].cells[1]: there is no cell \"x\"",
        ),
        (
            r#"["b", "a"]"#,
            r#"["b", "gone"]"#,
            "placements[1].cells[1]: cell \"gone\" is retired",
        ),
        (
            r#"["b", "a"]"#,
            r#"["b", "b"]"#,
            "placements[1].cells[1]: cell \"b\" comes twice",
        ),
        (r#"["b", "a"]"#, "[]", "placements[1].cells is empty"),
        (
            r#""stateless": true"#,
            r#""stateless": false"#,
            "placements[1].cells: only a stateless",
        ),
        (
            r#""stateless": true"#,
            r#""fallback": "one""#,
            "placements[1].fallback: unknown field",
        ),
        (
            r#""one", "tier": "free""#,
            r#""one", "tier": "gold""#,
            "placements[0].cells[0]: cell \"a\" has",
        ),
        (
            r#""id": "globex""#,
            r#""id": "acme""#,
            "tenants[1].id \"acme\" is that of tenants[0] too",
        ),
        (r#""id": "globex""#, r#""id": """#, "tenants[1].id is empty"),
        (
            r#""cell": "b""#,
            r#""cell": "x""#,
            "tenants[1].cell \"x\": there is no such one",
        ),
        (
            r#""cell": "b""#,
            r#""cell": "gone""#,
            "tenants[1].cell \"gone\": it is retired",
        ),
        (
            r#""cell": "b""#,
            r#""placement": "b""#,
            "tenants[1].placement \"b\": there is no such",
        ),
        (
            r#""cell": "b""#,
            r#""cell": "b", "placement": "one""#,
            "tenants[1] has a cell and",
        ),
        (
            r#""cell": "b", "#,
            "",
            "tenants[1] needs a cell or a placement",
        ),
        (
            r#""status": "suspended""#,
            r#""moving": {}"#,
            "tenants[1].moving: unknown field",
        ),
        (
            r#""issuer": "main""#,
            r#""issuer": "a\nb""#,
            "tenants: an issuer may hold",
        ),
        (
            r#"{"placement": "one"}"#,
            r#"{"placement": "x"}"#,
            "unknown_tenant.placement: there is no",
        ),
        (
            r#""unknown_tenant""#,
            r#""revocations": [], "x""#,
            "revocations: unknown field",
        ),
        (
            r#""unknown_tenant""#,
            r#""data": [], "unknown_tenant""#,
            "has `cells` and `data`",
        ),
        (r#""cells": ["#, r#""cels": ["#, "cels: unknown field"),
        (
            r#""version": 7,"#,
            r#""version": 7, "version": 8,"#,
            "duplicate field `version`",
        ),
        (
            r#"{"placement": "one"}"#,
            r#"{"placement": "one""#,
            "EOF while parsing",
        ),
    ];
    let good = good();
    let current = changed(&good, None);
    for (old, new, message) in rows {
        assert!(good.contains(old), "the test breaks nothing: {old}");
        let broken = good.replacen(old, new, 1);
        for previous in [None, Some(&current)] {
            let refused = refusal(&broken, previous);
            assert_eq!(refused.reason, RefusedReason::Invalid, "{new}");
            assert!(
                refused.detail.contains(message),
                "{new}: {}",
                refused.detail
            );
        }
    }
    assert_eq!(current.tenant_count(), 3, "what was current is as it was");
}

#[test]
fn refuses_by_version() {
    let current = changed(&with_cells(7, 2, ""), None);
    let reason = |body: &str| parse(body, Some(&current)).map_err(|refused| refused.reason);
    assert_eq!(
        reason(&with_cells(6, 2, "")).unwrap_err(),
        RefusedReason::OlderVersion
    );
    let other = with_cells(7, 3, "");
    assert_eq!(
        reason(&other).unwrap_err(),
        RefusedReason::SameVersionOtherContent
    );
    // The same bytes; the same content in other bytes; old content under a new version.
    assert!(matches!(
        reason(&with_cells(7, 2, "")),
        Ok(Parsed::Unchanged(_))
    ));
    assert!(matches!(
        reason(&with_cells(7, 2, " ")),
        Ok(Parsed::Unchanged(_))
    ));
    assert!(matches!(
        reason(&with_cells(8, 2, "")),
        Ok(Parsed::Changed(_))
    ));
}

#[test]
fn a_tenant_that_changes_is_other_content() {
    let tenant = |status: &str| format!(r#"{{"id":"t","cell":"a","status":"{status}"}}"#);
    let active = with_tenants(1, [tenant("active")].into_iter());
    let suspended = with_tenants(1, [tenant("suspended")].into_iter());
    let refused = refusal(&suspended, Some(&changed(&active, None)));
    assert_eq!(refused.reason, RefusedReason::SameVersionOtherContent);
}

#[test]
fn refuses_what_is_empty() {
    for body in ["", " \n", r#"{"version":1,"cells":[]}"#, r#"{"data":[]}"#] {
        assert_eq!(refusal(body, None).reason, RefusedReason::Empty, "{body:?}");
    }
}

#[test]
fn refuses_what_is_oversized() {
    let body = good();
    let refused = |limits: RegistryLimits| {
        Registry::parse(body.as_bytes(), RegistryFormat::Json, None, &limits)
            .map_err(|it| it.reason)
    };
    let is = RegistryLimits {
        document_bytes_max: body.len(),
        cells_max: 3,
        placements_max: 2,
        tenants_max: 3,
        ..RegistryLimits::default()
    };
    assert!(refused(is.clone()).is_ok(), "each bound is allowed itself");
    for limits in [
        RegistryLimits {
            document_bytes_max: body.len() - 1,
            ..is.clone()
        },
        RegistryLimits {
            cells_max: 2,
            ..is.clone()
        },
        RegistryLimits {
            placements_max: 1,
            ..is.clone()
        },
        RegistryLimits {
            tenants_max: 2,
            ..is
        },
    ] {
        assert_eq!(
            refused(limits.clone()).unwrap_err(),
            RefusedReason::Oversized,
            "{limits:?}"
        );
    }
}

#[test]
fn refuses_what_has_shrunken_unless_told_that_it_may() {
    let current = changed(&with_cells(1, 10, ""), None);
    let reason = |body: String| parse(&body, Some(&current)).map_err(|refused| refused.reason);
    assert!(reason(with_cells(2, 8, "")).is_ok(), "a fifth may go");
    assert_eq!(
        reason(with_cells(2, 7, "")).unwrap_err(),
        RefusedReason::Shrunken
    );
    let allow = |version| format!(r#","allow_shrink_from":{version}"#);
    assert!(reason(with_cells(2, 7, &allow(1))).is_ok());
    assert_eq!(
        reason(with_cells(3, 7, &allow(2))).unwrap_err(),
        RefusedReason::Shrunken,
        "leave for another version is no leave"
    );

    let current = changed(&with_tenants(1, tenants(0..100)), None);
    let reason = |body: String| parse(&body, Some(&current)).map_err(|refused| refused.reason);
    assert!(reason(with_tenants(2, tenants(0..80))).is_ok());
    let body = with_tenants(2, tenants(0..79));
    assert_eq!(reason(body).unwrap_err(), RefusedReason::Shrunken);
    assert_eq!(
        reason(with_tenants(2, tenants(0..0))).unwrap_err(),
        RefusedReason::Shrunken
    );
}

#[test]
fn reasons_are_named_once() {
    let names: std::collections::BTreeSet<_> = RefusedReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    assert_eq!(names.len(), RefusedReason::ALL.len());
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
            "colour = 1\ntier = ",
            "cells[0].colour: unknown field",
        ),
        ("id = \"acme\"", "id = \"a,b\"", "tenants[0].id may hold"),
        ("version = 3", "version = ", "at line 2"),
    ] {
        let refused = parse(&body.replacen(old, new, 1)).expect_err(new);
        assert_eq!(refused.reason, RefusedReason::Invalid);
        assert!(refused.detail.contains(message), "{}", refused.detail);
    }
}

#[test]
fn reads_the_older_form() {
    let body = r#"{"data": [
        {"id": "a", "tier": "free", "region": "eu", "endpoints": ["https://a:1", {"url": "https://b:1"}],
         "annotations": {"san": "spiffe://example/a", "cba-jwks": "{}"}},
        {"id": "b", "annotations": {"tier": "gold", "region": "us", "state": "draining",
         "weight": "5", "endpoint": "https://c:1"}}]}"#;
    let registry = changed(body, None);
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

    // Without a version, other content is the next one.
    assert!(matches!(
        parse(&format!("{body} "), Some(&registry)),
        Ok(Parsed::Unchanged(_))
    ));
    let next = changed(&body.replace("gold", "iron"), Some(&registry));
    assert_eq!(next.version(), 2);
    // With one it is held to it.
    let named = body.replacen('{', r#"{"version": 1,"#, 1);
    let refused = refusal(&named, Some(&next));
    assert_eq!(refused.reason, RefusedReason::OlderVersion);

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
            "data[1].id \"a\" is that of data[0] too",
        ),
        (r#""https://a:1""#, "7", "data[0].endpoints[0]"),
    ] {
        let refused = refusal(&body.replacen(old, new, 1), None);
        assert!(
            refused.detail.contains(message),
            "{new}: {}",
            refused.detail
        );
    }
}
