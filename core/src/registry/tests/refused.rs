//! Each reason to refuse a document, and that nothing good is lost by it.

use super::*;

/// What to replace in the good document, by what, and what the refusal says.
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
        r#""weight": 3"#,
        r#""colour": 3"#,
        "cells[0]: unknown field `colour`",
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
        r#""id": "many""#,
        r#""id": "one""#,
        "placements[1].id \"one\" comes twice",
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
        "placements[1] \"many\".cells[1]: cell \"b\" comes twice",
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
        r#""stateless": true"#,
        r#""fallback": "one""#,
        "placements[1]: unknown field `fallback`",
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

/// Each row breaks the good document in one place; the message must lead there.
#[test]
fn refuses_what_contradicts_itself_and_says_where() {
    let good = good();
    let current = changed(&good, None);
    let mut misleading = Vec::new();
    for (old, new, message) in ROWS {
        assert!(good.contains(old), "the test breaks nothing: {old}");
        let broken = good.replacen(old, new, 1);
        for previous in [None, Some(&current)] {
            let refused = refusal(&broken, previous);
            assert_eq!(refused.reason, RefusedReason::Invalid, "{new}");
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
fn a_cell_has_as_many_endpoints_as_a_decision_can_rank() {
    let body = |count: u16| {
        let endpoints: Vec<_> = (1..=count)
            .map(|port| format!(r#"{{"url":"http://x:{port}"}}"#))
            .collect();
        with_cells(1, 1, "").replace(r#"{"url":"http://c0:1"}"#, &endpoints.join(","))
    };
    assert_eq!(changed(&body(64), None).cells()[0].endpoints.len(), 64);
    let refused = refusal(&body(65), None);
    assert_eq!(refused.detail, "cells[0].endpoints: at most 64");
}

#[test]
fn a_placement_has_as_many_cells_as_a_decision_may_draw_for() {
    let body = |count: u32| {
        let ids: Vec<_> = (0..count).map(|n| format!(r#""c{n}""#)).collect();
        let ids = ids.join(",");
        let placement =
            format!(r#","placements":[{{"id":"p","tier":"t","cells":[{ids}],"stateless":true}}]"#);
        with_cells(1, count, &placement)
    };
    assert_eq!(
        changed(&body(256), None).placements()[0].cells().count(),
        256
    );
    let refused = refusal(&body(257), None);
    assert_eq!(refused.detail, "placements[0] \"p\".cells: at most 256");
}

#[test]
fn a_detail_has_a_bound() {
    let body = format!(r#"{{"{}": 1}}"#, "\u{e9}".repeat(10_000));
    let refused = refusal(&body, None);
    assert!(refused.detail.len() <= RegistryRefused::DETAIL_LEN_MAX);
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

/// New terms may get the slot in which the old ones were, and the index then looks the same.
#[test]
fn terms_that_change_are_other_content() {
    let under = |terms: &str| {
        let tenant = format!(r#"{{"id":"t","cell":"a"{terms}}}"#);
        with_tenants(1, [tenant].into_iter())
    };
    let before = changed(&under(r#","issuer":"main""#), None);
    for terms in [
        "",
        r#","issuer":"other""#,
        r#","issuer":"main","allowed_roles":["admin"]"#,
        r#","issuer":"main","default_role":"viewer""#,
    ] {
        let refused = refusal(&under(terms), Some(&before));
        let reason = refused.reason;
        assert_eq!(reason, RefusedReason::SameVersionOtherContent, "{terms}");
    }
}

#[test]
fn the_same_roles_in_another_order_are_the_same_content() {
    let under = |roles: &str| {
        let tenant = format!(r#"{{"id":"t","cell":"a","allowed_roles":[{roles}]}}"#);
        with_tenants(1, [tenant].into_iter())
    };
    let before = changed(&under(r#""admin","viewer""#), None);
    let again = parse(&under(r#""viewer","admin""#), Some(&before));
    assert!(matches!(again, Ok(Parsed::Unchanged(_))), "{again:?}");
}

#[test]
fn a_tenant_allows_as_many_roles_as_every_request_may_be_compared_with() {
    let roles = |count: usize| {
        let roles: Vec<_> = (0..count).map(|n| format!("\"r{n}\"")).collect();
        let roles = roles.join(",");
        let tenant = format!(r#"{{"id":"t","cell":"a","allowed_roles":[{roles}]}}"#);
        with_tenants(1, [tenant].into_iter())
    };
    changed(&roles(Terms::ROLES_MAX), None);
    let refused = refusal(&roles(Terms::ROLES_MAX + 1), None);
    assert_eq!(refused.reason, RefusedReason::Invalid);
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
        revocations_max: 1,
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
            ..is.clone()
        },
        RegistryLimits {
            revocations_max: 0,
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

/// Each row is an entry that says too little, too much or something that can't be.
#[test]
fn refuses_a_revocation_that_is_not_of_a_form() {
    let rows = [
        (r#"{}"#, "[1] is empty"),
        (
            r#"{"jti": "x"}"#,
            "[1] has a jti, which goes with its issuer",
        ),
        (
            r#"{"jti": "x", "issuer": "main", "issued_before": 5}"#,
            "[1] has a jti, which goes",
        ),
        (
            r#"{"jti": "x", "issuer": "main", "tenant": "acme"}"#,
            "[1] has a jti, which goes",
        ),
        (
            r#"{"jti": "", "issuer": "main"}"#,
            "[1].jti must have 1 to 1024 bytes",
        ),
        (
            r#"{"sub": "alice"}"#,
            "[1] has a sub, which goes with a tenant or an issuer",
        ),
        (
            r#"{"sub": "alice", "issued_before": 5}"#,
            "[1] has a sub, which goes with",
        ),
        (
            r#"{"sub": "alice", "tenant": "acme", "issuer": "main"}"#,
            "[1] has a sub, which",
        ),
        (r#"{"sub": "", "tenant": "acme"}"#, "[1].sub is empty"),
        (r#"{"tenant": "a,b"}"#, "[1].tenant may hold"),
        (
            r#"{"tenant": "acme", "issuer": "main"}"#,
            "[1] has a tenant and an issuer",
        ),
        (
            r#"{"issuer": "main"}"#,
            "[1] revokes all of an issuer, and needs issued_before",
        ),
        (
            r#"{"issued_before": 0}"#,
            "[1].issued_before is not a time in seconds",
        ),
        (
            r#"{"issued_before": 1767225600000}"#,
            "[1].issued_before is not a time in seconds",
        ),
        (
            r#"{"issued_before": -5}"#,
            "revocations[1].issued_before must be a number, found -5",
        ),
        (
            r#"{"issued_before": 5.5}"#,
            "revocations[1].issued_before must be a number, found 5.5",
        ),
        (
            r#"{"sub": null, "tenant": "acme"}"#,
            "revocations[1].sub must be a string, found null",
        ),
        (
            r#"{"sub": "alice", "tenant": "acme", "issued_before": null}"#,
            "revocations[1].issued_before must be a number, found null",
        ),
        (
            r#"{"subject": "alice", "tenant": "acme"}"#,
            "revocations[1]: unknown field `subject`",
        ),
        (
            r#"{"jti": "t-1", "issuer": "main"}"#,
            "[1] names what another entry names",
        ),
    ];
    let good = good();
    let first = r#"{"jti": "t-1", "issuer": "main"}"#;
    for (entry, message) in rows {
        let broken = good.replace(first, &format!("{first}, {entry}"));
        let refused = refusal(&broken, None);
        assert_eq!(refused.reason, RefusedReason::Invalid, "{entry}");
        assert!(
            refused.detail.contains(message),
            "{entry}: {}",
            refused.detail
        );
    }
}

/// Whatever a certificate may be called can be revoked by its name.
#[test]
fn a_revocation_names_a_subject_as_long_as_a_spiffe_id() {
    let read = |len: usize| {
        let sub = format!("{:a<len$}", "spiffe://prod.example/");
        let entry = format!(r#""revocations": [{{"sub": "{sub}", "tenant": "acme"}}, "#);
        let body = good().replace(r#""revocations": ["#, &entry);
        Registry::parse(
            body.as_bytes(),
            RegistryFormat::Json,
            None,
            &RegistryLimits::default(),
        )
    };
    assert!(read(Text::ID_LEN_MAX).is_ok());
    assert!(read(Text::ID_LEN_MAX + 1).is_err());
}

#[test]
fn other_revocations_are_other_content() {
    let current = changed(&good(), None);
    let more = r#""revocations": [{"issued_before": 5}, "#;
    let other = good().replace(r#""revocations": ["#, more);
    let refused = refusal(&other, Some(&current));
    assert_eq!(refused.reason, RefusedReason::SameVersionOtherContent);
    let next = changed(
        &other.replace(r#""version": 7"#, r#""version": 8"#),
        Some(&current),
    );
    assert_eq!(
        (current.revocations().len(), next.revocations().len()),
        (1, 2)
    );
    // The same entries in another order are the same content.
    let turned = good().replace(
        r#"[{"jti": "t-1", "issuer": "main"}]"#,
        r#"[{"issued_before": 5}, {"issuer": "main", "jti": "t-1"}]"#,
    );
    let turned = turned.replace(r#""version": 7"#, r#""version": 8"#);
    assert!(matches!(
        parse(&turned, Some(&next)),
        Ok(Parsed::Unchanged(_))
    ));
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
             allowed_roles, default_role (line 8)",
        ]
    );
}

/// Catches: a version that no later version can follow.
#[test]
fn a_version_can_always_be_followed() {
    let at = |version: u64| good().replace("\"version\": 7", &format!("\"version\": {version}"));
    assert_eq!(
        changed(&at(Registry::VERSION_MAX), None).version(),
        (1 << 53) - 1
    );
    for version in [Registry::VERSION_MAX + 1, u64::MAX] {
        let refused = refusal(&at(version), None);
        assert_eq!(refused.reason, RefusedReason::Invalid);
        assert!(
            refused.detail.contains("at most 9007199254740991"),
            "{refused}"
        );
    }
}
