//! Who may speak for which tenants.

use super::*;

/// Two issuers and two trust domains, which name their tenants in different ways.
fn several() -> Policy {
    let second = json!({"name": "two", "issuer": "https://two.example", "tenants": "registry"});
    policy(json!({
        "issuer": [issuer(json!({"tenants": ["acme", "both"]})), issuer(second)],
        "policy": [{"name": "default", "any_of": ["jwt", "mtls"]}],
        "trust": {
            "bundle": "ca.pem",
            "trust_domains": [
                {"name": "one.example", "tenants": ["acme", "both"]},
                {"name": "two.example", "tenants": "registry"},
            ],
            "san": ["spiffe://{trust_domain}/tenant/{tenant}"],
        },
    }))
}

fn proved_by(tenant: &str, jwt: Option<&str>, trust_domain: Option<&str>) -> Identity {
    let text = |value: &str| Text::new(value).unwrap();
    let mut identity = Identity {
        tenant: Some(text(tenant)),
        ..Identity::default()
    };
    identity.proof.jwt = jwt.map(text);
    identity.proof.mtls = trust_domain.is_some();
    identity.proof.trust_domain = trust_domain.map(text);
    identity
}

#[test]
fn an_issuer_cannot_speak_for_anothers_tenant() {
    let policy = several();
    let (one, two) = (Some("one.example"), Some("two.example"));
    for (tenant, jwt, domain, bound_to, expected) in [
        ("acme", Some("main"), None, None, true),
        ("acme", Some("main"), None, Some("main"), true),
        (
            "acme",
            Some("main"),
            None,
            Some("https://idp.example"),
            true,
        ),
        ("acme", Some("main"), None, Some("two"), false),
        ("acme", Some("main"), None, Some("nobody"), false),
        ("other", Some("main"), None, None, false),
        ("other", Some("main"), None, Some("main"), false),
        ("other", Some("two"), None, None, false),
        ("other", Some("two"), None, Some("two"), true),
        ("acme", Some("two"), None, Some("main"), false),
        ("acme", None, one, None, true),
        ("acme", None, one, Some("main"), true),
        ("acme", None, one, Some("two.example"), false),
        ("acme", None, one, Some("nobody"), false),
        ("other", None, one, None, false),
        ("other", None, two, None, false),
        ("other", None, two, two, true),
        ("other", None, two, Some("main"), false),
        ("both", Some("main"), one, Some("main"), true),
        ("both", Some("main"), two, Some("main"), false),
        ("acme", Some("gone"), None, None, false),
        ("acme", None, Some("gone.example"), None, false),
    ] {
        let identity = proved_by(tenant, jwt, domain);
        let case = format!("{tenant} by {jwt:?} {domain:?}, bound to {bound_to:?}");
        assert_eq!(policy.may_speak(&identity, bound_to), expected, "{case}");
    }
    assert!(
        policy.may_speak(&Identity::default(), Some("main")),
        "anonymous has no tenant"
    );
    let mut by_cell = proved_by("acme", Some("main"), Some("two.example"));
    assert!(!policy.may_speak(&by_cell, Some("main")));
    by_cell.proof.mtls = false;
    assert!(
        policy.may_speak(&by_cell, Some("main")),
        "the certificate names no tenant, the token does"
    );
}
