//! Which document may follow which, by its version and content.

use super::*;

#[test]
fn refuses_by_version() {
    let current = changed(&with_cells(7, 2, ""), None);
    let reason = |body: &str| parse(body, Some(&current)).map_err(|refused| refused.reason);
    assert_eq!(
        reason(&with_cells(6, 2, "")).unwrap_err(),
        RegistryErrorReason::OlderVersion
    );
    let other = with_cells(7, 3, "");
    assert_eq!(
        reason(&other).unwrap_err(),
        RegistryErrorReason::SameVersionOtherContent
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
        assert_eq!(refused.reason, RegistryErrorReason::Invalid);
        assert!(
            refused.detail.contains("at most 9007199254740991"),
            "{refused}"
        );
    }
}

#[test]
fn a_changed_tenant_is_other_content() {
    let tenant = |status: &str| format!(r#"{{"id":"t","cell":"a","status":"{status}"}}"#);
    let active = with_tenants(1, [tenant("active")].into_iter());
    let suspended = with_tenants(1, [tenant("suspended")].into_iter());
    let refused = refusal(&suspended, Some(&changed(&active, None)));
    assert_eq!(refused.reason, RegistryErrorReason::SameVersionOtherContent);
}

/// New terms may get the slot in which the old ones were, and the index then looks the same.
#[test]
fn changed_terms_are_other_content() {
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
        r#","issuer":"main","limits":{"rate":{"requests":5}}"#,
        r#","issuer":"main","limits":{"requests_max":5}"#,
    ] {
        let refused = refusal(&under(terms), Some(&before));
        let reason = refused.reason;
        assert_eq!(
            reason,
            RegistryErrorReason::SameVersionOtherContent,
            "{terms}"
        );
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
fn other_revocations_are_other_content() {
    let current = changed(&good(), None);
    let more = r#""revocations": [{"issued_before": 5}, "#;
    let other = good().replace(r#""revocations": ["#, more);
    let refused = refusal(&other, Some(&current));
    assert_eq!(refused.reason, RegistryErrorReason::SameVersionOtherContent);
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
