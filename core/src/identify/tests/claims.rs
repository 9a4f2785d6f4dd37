//! The identity that a token's claims make.

use super::*;
use crate::text::Text;

#[test]
fn claims_are_mapped_as_configured() {
    let mapping = json!({"claims": {
        "tenant": "https://example/tenant_id",
        "subject": "client_id",
        "workspace": "ws",
        "org": "org.id",
        "tier": "tier",
        "roles": "roles",
    }});
    let mut world = World::new(mapping, json!({"any_of": ["jwt"]}));
    let token = ed_token(json!({
        "tenant_id": "REMOVED",
        "https://example/tenant_id": "acme",
        "client_id": "app",
        "ws": "blue",
        "org.id": "o-1",
        "org": {"id": "never this one"},
        "tier": null,
        "roles": ["admin", "dev ops"],
    }));
    let identity = world.bearer(&token).unwrap();
    let expected = json!({
        "tenant": "acme",
        "subject": "app",
        "workspace": "blue",
        "org": "o-1",
        "roles": ["admin", "dev ops"],
        "tier": null,
        "proof": {"jwt": "main", "mtls": false, "trust_domain": null, "service": null, "cell": null},
    });
    assert_eq!(serde_json::to_value(&*identity).unwrap(), expected);
}

/// An issuer whose every claim is mapped, and a tenant that is a number.
fn mapped() -> World {
    let mapping = json!({"claims": {
        "tenant": {"claim": ["org", "tenant_id"], "number": true},
        "subject": "sub",
        "workspace": "workspace",
        "org": ["org", "name"],
        "roles": ["realm_access", "roles"],
        "scopes": "scope",
    }});
    World::new(mapping, json!({"any_of": ["jwt"]}))
}

/// The roles and scopes of an identity, or their number if there are many.
fn granted(identity: &Identity) -> String {
    let roles = identity.roles.iter().map(Text::as_str);
    let scopes = identity.scopes.iter().map(|scope| &**scope);
    let all: Vec<&str> = roles.chain(scopes).collect();
    match all.len() {
        0..10 => all.join(" "),
        count => format!("{count} of them"),
    }
}

/// Catches: a user who is locked out because an optional claim is unusable, and an unusable value
/// that grants something.
#[test]
fn unusable_optional_claims_are_left_out() {
    let mut world = mapped();
    let roles = |roles: Value| json!({"realm_access": {"roles": roles}});
    let groups = |count: usize| (0..count).map(|i| format!("g{i}")).collect::<Vec<_>>();
    let none = "";
    for (change, kept, left_out) in [
        (json!({}), none, none),
        (roles(json!("admin")), "admin", none),
        (roles(json!([])), none, none),
        (roles(json!(null)), none, none),
        (roles(json!(["admin", null])), "admin", none),
        (
            roles(json!([
                "admin",
                "CN=Admins,OU=x",
                "",
                "B\u{fc}ro",
                1,
                ["x"]
            ])),
            "admin",
            "5 roles",
        ),
        (roles(json!("admin,owner")), none, "1 roles"),
        (roles(json!({"admin": true})), none, "1 roles"),
        (roles(json!(true)), none, "1 roles"),
        (roles(json!(groups(200))), "200 of them", none),
        (roles(json!(groups(300))), "256 of them", "44 roles"),
        (json!({"realm_access": null}), none, none),
        (json!({"realm_access": ["roles"]}), none, "1 roles"),
        (json!({"realm_access.roles": ["admin"]}), none, none),
        (json!({"scope": "a b\"c \u{e9} d"}), "a d", "2 scopes"),
        (json!({"scope": ["a", 1, null, "b c"]}), "a", "2 scopes"),
        (json!({"scope": 7}), none, "1 scopes"),
        (json!({"workspace": 7}), none, "1 workspace"),
        (json!({"workspace": "w".repeat(2049)}), none, "1 workspace"),
        (json!({"workspace": ""}), none, none),
        (
            json!({"org": {"tenant_id": 42, "name": ["Acme"]}}),
            none,
            "1 org",
        ),
        (json!({"org": {"tenant_id": 42, "name": null}}), none, none),
    ] {
        let mut all = json!({"org": {"tenant_id": 42}});
        let members = change.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(members);
        let identity = world.bearer(&ed_token(all)).unwrap();
        let found = (granted(&identity), identity.left_out.to_string());
        assert_eq!(found, (kept.to_owned(), left_out.to_owned()), "{change}");
        // This differs from a missing claim, where a default role would count.
        let names = change
            .get("realm_access")
            .is_some_and(|at| !at.is_null() && at.get("roles") != Some(&json!(null)));
        assert_eq!(identity.names_roles, names, "{change}");
    }
}

#[test]
fn names_that_a_header_cannot_hold_are_encoded() {
    let mut world = mapped();
    let identity = world
        .bearer(&ed_token(json!({
            "sub": "CN=Ada,OU=People",
            "workspace": "100% jos\u{e9}",
            "org": {"tenant_id": 42, "name": "Acme, Inc."},
        })))
        .unwrap();
    let found = [&identity.subject, &identity.workspace, &identity.org];
    let found = found.map(|value| value.as_ref().unwrap().as_str());
    assert_eq!(
        found,
        ["CN=Ada%2COU=People", "100%25 jos%C3%A9", "Acme%2C Inc."]
    );
}

#[test]
fn fields_that_place_tenants_are_read_strictly() {
    use Reason::*;
    let mut world = mapped();
    for (change, expected) in [
        (json!({"org": {"tenant_id": "acme"}}), Verified),
        (json!({"org": {"tenant_id": 42}}), Verified),
        (json!({"org": {"tenant_id": 42.5}}), MalformedToken),
        (json!({"org": {"tenant_id": -42}}), MalformedToken),
        (json!({"org": {"tenant_id": 1e30}}), MalformedToken),
        (json!({"org": {"tenant_id": "a,b"}}), MalformedToken),
        (json!({"org": {"tenant_id": ["acme"]}}), MalformedToken),
        (json!({"org": {"tenant_id": null}}), MissingClaim),
        (json!({"org": {"tenant_id": ""}}), MissingClaim),
        (json!({"org": {}}), MissingClaim),
        (json!({"org": null}), MissingClaim),
        (json!({"org": "acme"}), MalformedToken),
        (json!({"org": [{"tenant_id": "acme"}]}), MalformedToken),
        (json!({"org.tenant_id": "acme"}), MissingClaim),
        (
            json!({"org": {"tenant_id": "acme"}, "sub": 7}),
            MalformedToken,
        ),
    ] {
        assert_eq!(
            world.reason(&ed_token(change.clone())),
            expected,
            "{change}"
        );
    }
    let token = ed_token(json!({"org": {"tenant_id": 42}}));
    let tenant = world.bearer(&token).unwrap().tenant.clone();
    assert_eq!(tenant.unwrap().as_str(), "42");
}

/// Catches: a token that nobody could revoke without locking others out.
#[test]
fn a_token_without_a_subject_needs_leave_and_a_name() {
    use Reason::*;
    let optional = json!({"any_of": ["jwt"], "subject": "optional"});
    let required = json!({"any_of": ["jwt"], "subject": "required"});
    let default = json!({"any_of": ["jwt"]});
    for (policy, change, expected) in [
        (&default, json!({}), Verified),
        (
            &default,
            json!({"sub": "REMOVED", "jti": "1"}),
            MissingClaim,
        ),
        (&required, json!({"sub": null, "jti": "1"}), MissingClaim),
        (&optional, json!({"sub": "REMOVED", "jti": "1"}), Verified),
        (&optional, json!({"sub": null, "jti": 1}), Verified),
        (&optional, json!({"sub": "REMOVED"}), MissingClaim),
        (
            &optional,
            json!({"sub": "REMOVED", "jti": null}),
            MissingClaim,
        ),
        (
            &optional,
            json!({"sub": "REMOVED", "jti": ""}),
            MissingClaim,
        ),
        (&optional, json!({}), Verified),
    ] {
        let mut world = World::new(json!({}), policy.clone());
        let token = ed_token(change.clone());
        assert_eq!(world.reason(&token), expected, "{policy} {change}");
        assert_eq!(
            world.reason(&token),
            expected,
            "remembered: {policy} {change}"
        );
    }
}

#[test]
fn an_access_token_may_name_its_client_instead_of_an_audience() {
    use Reason::*;
    let cognito = json!({"audience": [], "client_ids": ["app"]});
    let both = json!({"client_ids": ["app"]});
    let bare = json!({"aud": "REMOVED"});
    let of = |change: Value| {
        let mut all = json!({"aud": "REMOVED", "client_id": "app", "token_use": "access"});
        let members = change.as_object().unwrap().clone();
        all.as_object_mut().unwrap().extend(members);
        all
    };
    for (issuer, change, expected) in [
        (&cognito, of(json!({})), Verified),
        (&cognito, of(json!({"aud": null})), Verified),
        (&cognito, of(json!({"client_id": "other"})), WrongAudience),
        (&cognito, of(json!({"client_id": ["app"]})), MalformedToken),
        (&cognito, of(json!({"client_id": null})), MissingClaim),
        (&cognito, of(json!({"token_use": "id"})), WrongAudience),
        (&cognito, of(json!({"token_use": null})), MissingClaim),
        (&cognito, of(json!({"aud": "cellway"})), WrongAudience),
        (&cognito, of(json!({"aud": []})), WrongAudience),
        (&cognito, bare.clone(), MissingClaim),
        (&both, of(json!({})), Verified),
        (&both, json!({}), Verified),
        (&both, of(json!({"aud": "other"})), WrongAudience),
        (&json!({}), of(json!({})), MissingClaim),
    ] {
        let mut world = World::new(issuer.clone(), json!({"any_of": ["jwt"]}));
        let found = world.reason(&ed_token(change.clone()));
        assert_eq!(found, expected, "{issuer} {change}");
    }
}

#[test]
fn the_client_of_a_token_is_checked_if_configured() {
    use Reason::*;
    let listed = json!({"authorized_parties": ["web", "app"]});
    let cognito = json!({"client_ids": "app", "authorized_parties": "web"});
    let client = json!({"aud": "REMOVED", "client_id": "app", "token_use": "access"});
    for (issuer, change, expected) in [
        (&json!({}), json!({"azp": "anybody"}), Verified),
        (&listed, json!({"azp": "app"}), Verified),
        (&listed, json!({"azp": "other"}), WrongAudience),
        (&listed, json!({"azp": ["app"]}), MalformedToken),
        (&listed, json!({"azp": null}), MissingClaim),
        (&listed, json!({}), MissingClaim),
        (
            &listed,
            json!({"azp": "app", "aud": "other"}),
            WrongAudience,
        ),
        (&cognito, client, MissingClaim),
    ] {
        let mut world = World::new(issuer.clone(), json!({"any_of": ["jwt"]}));
        let found = world.reason(&ed_token(change.clone()));
        assert_eq!(found, expected, "{issuer} {change}");
    }
}
