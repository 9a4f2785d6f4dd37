//! How much a document may hold, and how much it may lose.

use super::*;

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
fn a_tenant_allows_as_many_roles_as_every_request_may_be_compared_with() {
    let roles = |count: usize| {
        let roles: Vec<_> = (0..count).map(|n| format!("\"r{n}\"")).collect();
        let roles = roles.join(",");
        let tenant = format!(r#"{{"id":"t","cell":"a","allowed_roles":[{roles}]}}"#);
        with_tenants(1, [tenant].into_iter())
    };
    changed(&roles(Terms::ROLES_MAX), None);
    let refused = refusal(&roles(Terms::ROLES_MAX + 1), None);
    assert_eq!(refused.reason, RegistryErrorReason::Invalid);
}

#[test]
fn refuses_an_empty_document() {
    for body in ["", " \n", r#"{"version":1,"cells":[]}"#, r#"{"data":[]}"#] {
        assert_eq!(
            refusal(body, None).reason,
            RegistryErrorReason::Empty,
            "{body:?}"
        );
    }
}

#[test]
fn refuses_an_oversized_document() {
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
            RegistryErrorReason::Oversized,
            "{limits:?}"
        );
    }
}

#[test]
fn refuses_a_shrunken_document_unless_it_is_allowed() {
    let current = changed(&with_cells(1, 10, ""), None);
    let reason = |body: String| parse(&body, Some(&current)).map_err(|refused| refused.reason);
    assert!(reason(with_cells(2, 8, "")).is_ok(), "a fifth may go");
    assert_eq!(
        reason(with_cells(2, 7, "")).unwrap_err(),
        RegistryErrorReason::Shrunken
    );
    let allow = |version| format!(r#","allow_shrink_from":{version}"#);
    assert!(reason(with_cells(2, 7, &allow(1))).is_ok());
    assert_eq!(
        reason(with_cells(3, 7, &allow(2))).unwrap_err(),
        RegistryErrorReason::Shrunken,
        "leave for another version is no leave"
    );

    let current = changed(&with_tenants(1, tenants(0..100)), None);
    let reason = |body: String| parse(&body, Some(&current)).map_err(|refused| refused.reason);
    assert!(reason(with_tenants(2, tenants(0..80))).is_ok());
    let body = with_tenants(2, tenants(0..79));
    assert_eq!(reason(body).unwrap_err(), RegistryErrorReason::Shrunken);
    assert_eq!(
        reason(with_tenants(2, tenants(0..0))).unwrap_err(),
        RegistryErrorReason::Shrunken
    );
}
