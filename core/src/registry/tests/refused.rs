//! Each reason to refuse a document. The current registry stays.

use super::*;

/// The text to replace in the good document, the new text, and the message of the refusal.
const ROWS: &[(&str, &str, &str)] = &[
    (
        r#""version": 7"#,
        r#""version": 0"#,
        "version must be 1 or more",
    ),
    (r#""version": 7,"#, "", "`version` is missing"),
    (
        r#""version": 7"#,
        r#""version": "7""#,
        "version must be a number, found \"7\"",
    ),
    (
        r#""version": 7"#,
        r#""version": 18446744073709551616"#,
        "version must be a whole number from 0 to 18446744073709551615, found 1.8446744073709552e+19",
    ),
    (
        r#""weight": 3"#,
        r#""color": 3"#,
        "cells[0]: unknown field `color`",
    ),
    (
        r#""weight": 3"#,
        r#""weight": 0"#,
        "cells[0].weight must be 1 to 1000",
    ),
    (r#""weight": 3"#, r#""weight": 1001"#, "cells[0].weight"),
    (
        r#""weight": 3"#,
        r#""drain": {"percent": 50}"#,
        "cells[0].drain is only for a cell whose state is draining",
    ),
    (
        r#""state": "active", "weight": 3"#,
        r#""state": "draining", "drain": {"percent": 101}"#,
        "cells[0].drain has a percent that is not 0 to 100",
    ),
    (
        r#""state": "active", "weight": 3"#,
        r#""state": "draining", "drain": {"from": 2, "until": 2}"#,
        "cells[0].drain must end (until) after",
    ),
    (
        r#""state": "active", "weight": 3"#,
        r#""state": "draining", "drain": {"percent": 1, "until": 2}"#,
        "cells[0].drain must have percent, or both",
    ),
    (
        r#""state": "active", "weight": 3"#,
        r#""state": "draining", "drain": {}"#,
        "cells[0].drain must have percent, or both",
    ),
    (
        r#""state": "active", "weight": 3"#,
        r#""state": "draining", "drain": 50"#,
        "cells[0].drain must be a table",
    ),
    (
        r#""id": "b""#,
        r#""id": "a""#,
        "cells[1].id \"a\" is also that of cells[0]",
    ),
    (r#""id": "b""#, r#""id": "b,c""#, "cells[1].id may hold"),
    (
        r#""state": "draining""#,
        r#""state": "broken""#,
        "cells[1].state: unknown value `broken`",
    ),
    (
        r#"[{"url": "http://10.0.0.2:80"}]"#,
        "[]",
        "cells[1].endpoints: a cell that is draining needs one",
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
        "cells[1].endpoints[0].url must have the scheme https, http or h2c, found \"ftp\"",
    ),
    (
        "http://10.0.0.2:80",
        "grpc://10.0.0.2:80",
        "cells[1].endpoints[0].url must have the scheme https, http or h2c, found \"grpc\"; gRPC without",
    ),
    (
        "http://10.0.0.2:80",
        "10.0.0.2:80",
        "cells[1].endpoints[0].url must be https://host:port, http://host:port or h2c://host:port, \
         found \"10.0.0.2:80\"",
    ),
    (
        r#"10.0.0.2:80""#,
        r#"10.0.0.2:80", "san": "b""#,
        "cells[1].endpoints[0].san is only for https",
    ),
    (
        "spiffe://example/cell/a",
        "*.example",
        "cells[0].endpoints[0].san must be",
    ),
    (
        "h2c://[::1]:80",
        "https://a-1.internal:8443",
        "cells[0].endpoints[1].url is also that of",
    ),
    (
        r#""id": "many""#,
        r#""id": "one""#,
        "placements[1].id \"one\" occurs twice",
    ),
    (
        r#"["b", "a"]"#,
        r#"["b", "x"]"#,
        "placements[1] \"many\".cells[1]: unknown cell \"x\"; ",
    ),
    (
        r#"["b", "a"]"#,
        r#"["b", "gone"]"#,
        "placements[1] \"many\".cells[1]: cell \"gone\" is retired",
    ),
    (
        r#"["b", "a"]"#,
        r#"["b", "b"]"#,
        "placements[1] \"many\".cells[1]: cell \"b\" occurs twice",
    ),
    (
        r#"["b", "a"]"#,
        "[]",
        "placements[1] \"many\".cells is empty",
    ),
    (
        r#""stateless": true"#,
        r#""stateless": false"#,
        "placements[1] \"many\".cells: only a stateless",
    ),
    (
        r#""one", "tier": "free""#,
        r#""one", "tier": "gold""#,
        "placements[0] \"one\".cells[0]: cell \"a\" has",
    ),
    (
        r#""id": "globex""#,
        r#""id": "acme""#,
        "tenants[1] \"acme\" has the id of tenants[0]",
    ),
    (r#""id": "globex""#, r#""id": """#, "tenants[1].id is empty"),
    (
        r#""cell": "b""#,
        r#""cell": "x""#,
        "tenants[1] \"globex\": unknown cell \"x\"; known cells: a, b, gone",
    ),
    (
        r#""cell": "b""#,
        r#""cell": "gone""#,
        "tenants[1] \"globex\": cell \"gone\" is retired",
    ),
    (
        r#""cell": "b""#,
        r#""placement": "b""#,
        "tenants[1] \"globex\": unknown placement \"b\"",
    ),
    (
        r#""cell": "b""#,
        r#""cell": "b", "placement": "one""#,
        "tenants[1] \"globex\" has a cell and",
    ),
    (
        r#""cell": "b", "#,
        "",
        "tenants[1] \"globex\" needs a cell or a placement",
    ),
    (
        r#""status": "suspended""#,
        r#""moving": {}"#,
        "tenants[1]: unknown field `moving`",
    ),
    (
        r#""issuer": "main""#,
        r#""issuer": "a\nb""#,
        "tenants[0] \"acme\".issuer may hold",
    ),
    (
        r#""issuer": "main""#,
        r#""allowed_roles": ["a,b"]"#,
        "tenants[0] \"acme\": the role \"a,b\" may hold",
    ),
    (
        r#""issuer": "main""#,
        r#""limits": {"rate": {"requests": 0}}"#,
        "tenants[0] \"acme\".limits.rate.requests must be 1 or more",
    ),
    (
        r#""issuer": "main""#,
        r#""limits": {"rate": {"requests": 1, "window_secs": 60, "burst": 2000}}"#,
        "tenants[0] \"acme\".limits.rate.burst takes more than 86400 seconds",
    ),
    (
        r#""issuer": "main""#,
        r#""limits": {"rate": {"requests": 1, "per": "day"}}"#,
        "tenants[0].limits.rate: unknown field `per`",
    ),
    (
        r#""issuer": "main""#,
        r#""limits": {"requests_max": 0}"#,
        "tenants[0] \"acme\".limits.requests_max must be 1 or more",
    ),
    (
        r#""stateless": true"#,
        r#""stateless": true, "limits": {}"#,
        "placements[1] \"many\".limits is empty; it needs rate or requests_max",
    ),
    (
        r#""stateless": true"#,
        r#""stateless": true, "limits": {"rate": {"requests": 200000}}"#,
        "placements[1] \"many\".limits.rate.requests is more than 100000",
    ),
    (
        r#""issuer": "main""#,
        r#""allowed_roles": ["editor"], "default_role": "viewer""#,
        "tenants[0] \"acme\": default_role \"viewer\" is not one of its allowed_roles",
    ),
    (
        r#""issuer": "main""#,
        r#""allowed_roles": "editor""#,
        "tenants[0].allowed_roles must be a list",
    ),
    (
        r#"{"placement": "one"}"#,
        r#"{"placement": "x"}"#,
        "unknown_tenant.placement: unknown placement \"x\"",
    ),
    (
        r#""unknown_tenant""#,
        r#""revocations": [], "unknown_tenant""#,
        "duplicate field `revocations`",
    ),
    (
        r#""unknown_tenant""#,
        r#""data": [], "unknown_tenant""#,
        "has `cells` and `data`",
    ),
    (
        r#""cells": ["#,
        r#""cels": ["#,
        "unknown field `cels`; did you mean \"cells\"?",
    ),
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

/// Each row breaks the good document in one place, which the message must name.
#[test]
fn refuses_contradictions_and_names_their_place() {
    let good = good();
    let current = changed(&good, None);
    let mut misleading = Vec::new();
    for (old, new, message) in ROWS {
        assert!(good.contains(old), "the test breaks nothing: {old}");
        let broken = good.replacen(old, new, 1);
        for previous in [None, Some(&current)] {
            let refused = refusal(&broken, previous);
            assert_eq!(refused.reason, RegistryErrorReason::Invalid, "{new}");
            // Removing an id breaks references to it.
            if !old.starts_with(r#""id""#) {
                assert_eq!(refused.others, [""; 0], "{new}: one mistake, one message");
            }
            if !refused.detail.contains(message) {
                misleading.push(format!("{new}: {}", refused.detail));
            }
        }
    }
    assert!(misleading.is_empty(), "{misleading:#?}");
    assert_eq!(current.tenant_count(), 3, "what was current is as it was");
}

#[test]
fn a_list_is_no_document() {
    let refused = refusal("[]", None);
    assert_eq!(
        refused.detail,
        "must be a document of version, cells and tenants, found a list of length 0 (line 1)"
    );
}

/// Catches: a list of mistakes that ends at the first, and a second message about a consequence of
/// another mistake.
#[test]
fn every_mistake_is_named_at_once() {
    let body = r#"{"version": 3, "cells": [
        {"id": "a", "tier": "t", "region": "r", "state": "active", "weight": 0},
        {"id": "b", "tier": "t", "region": "r", "state": "active",
         "endpoints": [{"url": "http://b:1"}]}],
      "placements": [{"id": "of-a", "tier": "t", "cells": ["a"]},
                     {"id": "odd", "tier": "t", "cells": ["c"]}],
      "tenants": [{"id": "t0", "placement": "of-a"}, {"id": "", "cell": "a"},
                  {"id": "t2", "cell": "d"}, {"id": "t3", "placement": "odd"},
                  {"id": "t4", "cell": "b", "allowed_roles": ["x"], "default_role": "y"},
                  {"id": "t4", "cell": "b"}],
      "revocations": [{}, {"issuer": "main"}],
      "unknown_tenant": {"placement": "nowhere"}}"#;
    let refused = refusal(body, None);
    let found: Vec<_> = refused.mistakes().collect();
    let expected = [
        "tenants[1].id is empty",
        "cells[0].weight must be 1 to 1000",
        "placements[1] \"odd\".cells[0]: unknown cell \"c\"; known cells: b",
        "revocations[0] is empty",
        "revocations[1] revokes all of an issuer, and needs issued_before",
        "unknown_tenant.placement: unknown placement \"nowhere\"; there are no placements",
        "tenants[4] \"t4\": default_role \"y\" is not one of its allowed_roles",
        "tenants[2] \"t2\": unknown cell \"d\"; known cells: b",
        "tenants[5] \"t4\" has the id of tenants[4] \"t4\"",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (found, expected) in found.iter().zip(expected) {
        assert!(found.starts_with(expected), "{found}");
    }
    let lines: Vec<_> = found.iter().map(|found| line_of(found)).collect();
    assert_eq!(lines, ["7", "2", "6", "11", "11", "12", "9", "8", "10"]);
    // The mark that some editors write at the start moves no line.
    let marked = refusal(&format!("\u{feff}{body}"), None);
    assert!(marked.mistakes().eq(found), "{marked:#?}");
    // Malformed entries are all found too.
    let bent = body.replace("\"weight\": 0", "\"weight\": \"much\"");
    let bent = bent.replace("{\"id\": \"t2\"", "{\"name\": \"t2\"");
    let refused = refusal(&bent, None);
    let found: Vec<_> = refused.mistakes().collect();
    assert_eq!(
        found,
        [
            "cells[0].weight must be a number, found \"much\" (line 2)",
            "tenants[2]: unknown field `name`; known fields: id, cell, placement, status, issuer, \
             allowed_roles, default_role, limits (line 8)",
        ]
    );
}

/// The line in the message of a mistake.
fn line_of(mistake: &str) -> &str {
    let line = mistake.rsplit_once(" (line ");
    line.map_or("", |(_, line)| line.trim_end_matches(')'))
}

#[test]
fn a_mistake_in_toml_has_its_line() {
    let text = "version = 1\n\n[[cells]]\nid = \"a\"\ntier = \"t\"\nregion = \"r\"\n\
                state = \"active\"\nweight = 0\nendpoints = [{ url = \"http://a:1\" }]\n\n\
                [[tenants]]\nid = \"acme\"\ncell = \"a\"\n\n[[tenants]]\nid = \"globex\"\ncell = \"b\"\n";
    let refused = |text: &str| {
        let limits = RegistryLimits::default();
        Registry::parse(text.as_bytes(), RegistryFormat::Toml, None, &limits).unwrap_err()
    };
    let both = refused(text);
    let found: Vec<_> = both.mistakes().map(line_of).collect();
    assert_eq!(found, ["8", "15"], "{both:?}");
    // One of form, which serde finds in an entry.
    let form = refused(&text.replace("weight = 0", "weight = \"much\""));
    assert_eq!(line_of(&form.detail), "8", "{form:?}");
}

#[test]
fn a_document_on_one_line_gets_no_line_numbers() {
    let refused = refusal(r#"{"version": 0, "cells": []}"#, None);
    assert_eq!(line_of(&refused.detail), "", "{refused:?}");
}

#[test]
fn a_detail_has_a_bound() {
    let body = format!(r#"{{"{}": 1}}"#, "\u{e9}".repeat(10_000));
    let refused = refusal(&body, None);
    assert!(refused.detail.len() <= RegistryError::DETAIL_LEN_MAX);
}

#[test]
fn reasons_are_named_once() {
    let names: std::collections::BTreeSet<_> = RegistryErrorReason::ALL
        .iter()
        .map(|reason| reason.as_str())
        .collect();
    assert_eq!(names.len(), RegistryErrorReason::ALL.len());
}
