//! Credentials together: modes, tenants, bindings, conflicts.

use super::*;
use crate::testing::base64url;
use crate::text::Text;

const ACME: &str = "spiffe://example/tenant/acme/api";

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

#[test]
fn a_token_of_several_tenants_acts_for_one() {
    use Reason::*;
    let mapping = json!({"claims": {"tenants": "tenants"}});
    let mut world = World::new(mapping, json!({"any_of": ["jwt"]}));
    for (scalar, tenants, choice, expected) in [
        ("a", json!("REMOVED"), None, Ok("a")),
        ("a", json!("REMOVED"), Some("a"), Ok("a")),
        ("a", json!("REMOVED"), Some("b"), Err(AmbiguousTenant)),
        ("a", json!(["a", "b"]), None, Ok("a")),
        ("a", json!(["a", "b"]), Some("b"), Ok("b")),
        ("a", json!(["a", "b"]), Some("c"), Err(AmbiguousTenant)),
        ("a", json!(["a", "b"]), Some("B"), Err(AmbiguousTenant)),
        ("a", json!(["a", "b"]), Some(""), Err(AmbiguousTenant)),
        ("c", json!(["a", "b"]), None, Err(MalformedToken)),
        ("REMOVED", json!(["a"]), None, Ok("a")),
        ("REMOVED", json!("a"), None, Ok("a")),
        ("REMOVED", json!(["a", "a"]), None, Ok("a")),
        ("REMOVED", json!(["a", "b"]), None, Err(AmbiguousTenant)),
        ("REMOVED", json!(["a", "b"]), Some("b"), Ok("b")),
        ("REMOVED", json!([]), None, Err(MissingClaim)),
        ("REMOVED", json!([]), Some("a"), Err(MissingClaim)),
        ("REMOVED", json!(["a", null]), None, Err(MalformedToken)),
    ] {
        world.choice = choice;
        let token = ed_token(json!({"tenant_id": scalar, "tenants": tenants}));
        let found = world.bearer(&token);
        let found = match &found {
            Ok(identity) => Ok(identity.tenant.as_ref().unwrap().as_str()),
            Err(_) => Err(reason_of(found)),
        };
        assert_eq!(found, expected, "{scalar} {tenants} {choice:?}");
    }
}

#[test]
fn each_policy_requires_its_credentials() {
    use Reason::*;
    let token = Some(ed_token(json!({})));
    let other = Some(ed_token(json!({"tenant_id": "other"})));
    let bad = Some(ed_token(json!({"exp": 0})));
    let foreign = Some("spiffe://elsewhere/tenant/acme");
    let (any, all) = (
        json!({"any_of": ["jwt", "mtls"]}),
        json!({"all_of": ["jwt", "mtls"]}),
    );
    let (jwt, mtls) = (json!({"any_of": ["jwt"]}), json!({"any_of": ["mtls"]}));
    let lax = |policy: &Value| {
        let mut policy = policy.clone();
        policy["mode"] = json!("permissive");
        policy["anonymous_placement"] = json!("lobby");
        policy
    };
    for (policy, token, peer, expected) in [
        (&jwt, &None, None, MissingToken),
        (&jwt, &token, None, Verified),
        (&jwt, &token, foreign, Verified),
        (&jwt, &None, Some(ACME), MissingToken),
        (&mtls, &None, None, MissingCertificate),
        (&mtls, &token, None, MissingCertificate),
        (&mtls, &bad, Some(ACME), Verified),
        (&mtls, &None, foreign, SanNotAccepted),
        (&any, &None, None, MissingToken),
        (&any, &token, None, Verified),
        (&any, &None, Some(ACME), Verified),
        (&any, &token, Some(ACME), Verified),
        (&any, &bad, Some(ACME), ExpiredToken),
        (&any, &token, foreign, SanNotAccepted),
        (&any, &other, Some(ACME), IdentityConflict),
        (&all, &None, None, MissingToken),
        (&all, &token, None, MissingCertificate),
        (&all, &None, Some(ACME), MissingToken),
        (&all, &token, Some(ACME), Verified),
        (&all, &other, Some(ACME), IdentityConflict),
        (&lax(&any), &None, None, Anonymous),
        (&lax(&any), &bad, None, ExpiredToken),
        (&lax(&any), &None, foreign, SanNotAccepted),
        (&lax(&any), &token, None, Verified),
        (&lax(&all), &None, None, Anonymous),
        (&lax(&all), &token, None, MissingCertificate),
        (&lax(&all), &None, Some(ACME), MissingToken),
        (&lax(&jwt), &None, Some(ACME), Anonymous),
    ] {
        let mut world = World::new(json!({}), policy.clone());
        if let Some(uri) = peer {
            world = world.with_peer(uri);
        }
        let authorization = token.as_ref().map(|token| format!("Bearer {token}"));
        let found = match world.ask(authorization.as_deref()) {
            Ok((reason, _)) => reason,
            refused => reason_of(refused),
        };
        let case = format!("{policy}, token {}, peer {peer:?}", token.is_some());
        assert_eq!(found, expected, "{case}");
    }
}

#[test]
fn proof_says_which_credentials_hold() {
    let mut world = World::new(json!({}), json!({"any_of": ["jwt", "mtls"]})).with_peer(ACME);
    let (_, identity) = world.ask(None).unwrap();
    assert_eq!(identity.subject.as_ref().unwrap().as_str(), ACME);
    assert_eq!(identity.tenant.as_ref().unwrap().as_str(), "acme");
    let proof = serde_json::to_value(&identity.proof).unwrap();
    assert_eq!(
        proof,
        json!({"jwt": null, "mtls": true, "trust_domain": "example", "service": null, "cell": null})
    );

    let identity = world.bearer(&ed_token(json!({}))).unwrap();
    assert_eq!(identity.subject.as_ref().unwrap().as_str(), "alice");
    let proof = serde_json::to_value(&identity.proof).unwrap();
    assert_eq!(
        proof,
        json!({"jwt": "main", "mtls": true, "trust_domain": "example", "service": null, "cell": null})
    );

    world.choice = Some("other");
    assert_eq!(
        reason_of(world.ask(None)),
        Reason::AmbiguousTenant,
        "a certificate has one tenant"
    );
    world.choice = Some("acme");
    assert_eq!(reason_of(world.ask(None)), Reason::Verified);
}

#[test]
fn a_certificate_without_a_tenant_needs_a_token_that_names_one() {
    use Reason::*;
    const CELL: &str = "spiffe://example/cell/eu-1/agent";
    const SERVICE: &str = "spiffe://example/tenant/acme/svc/api";
    let jwt_or_mtls = json!({"any_of": ["jwt", "mtls"]});
    let both = json!({"all_of": ["jwt", "mtls"]});
    let mtls = json!({"any_of": ["mtls"]});
    let lax = json!({"any_of": ["jwt", "mtls"], "mode": "permissive",
                     "anonymous_placement": "public"});
    let proof = |mtls: bool, service: Value, cell: Value| {
        Ok(
            json!({"jwt": "main", "mtls": mtls, "trust_domain": "example",
                  "service": service, "cell": cell}),
        )
    };
    let token = ed_token(json!({}));
    let cell = proof(false, json!(null), json!("eu-1"));
    for (policy, uri, with_token, expected) in [
        (&jwt_or_mtls, CELL, false, Err(MissingToken)),
        (&both, CELL, false, Err(MissingToken)),
        (&lax, CELL, false, Err(MissingToken)),
        (&mtls, CELL, false, Err(SanNotAccepted)),
        (&jwt_or_mtls, CELL, true, cell.clone()),
        (&both, CELL, true, cell),
        (&both, SERVICE, true, proof(true, json!("api"), json!(null))),
    ] {
        let mut world = World::new(json!({}), policy.clone()).with_peer(uri);
        let authorization = with_token.then(|| format!("Bearer {token}"));
        let found = match world.ask(authorization.as_deref()) {
            Ok((Verified, identity)) => {
                assert_eq!(identity.tenant.as_ref().unwrap().as_str(), "acme");
                assert_eq!(identity.subject.as_ref().unwrap().as_str(), "alice");
                Ok(serde_json::to_value(&identity.proof).unwrap())
            }
            refused => Err(reason_of(refused)),
        };
        assert_eq!(found, expected, "{policy} {uri} {with_token}");
    }
}

#[test]
fn disabled_looks_at_nothing() {
    let policy = json!({
        "mode": "disabled", "allow_insecure": true, "insecure_identity": {"tenant": "dev"},
    });
    let mut world = World::new(json!({}), policy);
    for authorization in [None, Some("Bearer garbage")] {
        let (reason, identity) = world.ask(authorization).unwrap();
        assert_eq!(reason, Reason::Insecure);
        assert_eq!(identity.tenant.as_ref().unwrap().as_str(), "dev");
    }
}

#[test]
fn one_bearer_token_is_the_only_authorization() {
    let mut world = World::jwt();
    let token = ed_token(json!({}));
    for (authorization, expected) in [
        (format!("Bearer {token}"), Reason::Verified),
        (format!("bearer {token}"), Reason::Verified),
        (format!("BEARER   {token}"), Reason::Verified),
        (format!("Bearer{token}"), Reason::MalformedToken),
        (format!("Bearer\t{token}"), Reason::MalformedToken),
        (
            format!("Bearer {token}, Bearer {token}"),
            Reason::DuplicateCredentials,
        ),
        (
            format!("Bearer {token},{token}"),
            Reason::DuplicateCredentials,
        ),
        (format!("Bearer {token} {token}"), Reason::MalformedToken),
        (format!("DPoP {token}"), Reason::MalformedToken),
        (format!("Basic {token}"), Reason::MalformedToken),
        (token, Reason::MalformedToken),
        ("Bearer".into(), Reason::MalformedToken),
        ("Bearer ".into(), Reason::MalformedToken),
        (String::new(), Reason::MalformedToken),
    ] {
        let found = world.ask(Some(&authorization));
        assert_eq!(reason_of(found), expected, "{authorization}");
    }
    let credentials = Credentials {
        several: true,
        ..Credentials::default()
    };
    let found = world.identify(&world.evidence(&credentials), &mut Memo::disabled());
    assert_eq!(reason_of(found), Reason::DuplicateCredentials);
}

#[test]
fn a_token_in_the_query_is_refused() {
    use Reason::*;
    let token = ed_token(json!({}));
    let header = HeaderValue::from_str(&format!("Bearer {token}")).unwrap();
    let (jwt, both) = (
        json!({"any_of": ["jwt"]}),
        json!({"any_of": ["jwt", "mtls"]}),
    );
    let permissive = json!({"any_of": ["jwt"], "mode": "permissive", "anonymous_placement": "p"});
    let mtls = json!({"any_of": ["mtls"]});
    for (policy, in_header, in_query, expected) in [
        (&jwt, true, true, DuplicateCredentials),
        (&jwt, false, true, MalformedToken),
        (&jwt, true, false, Verified),
        (&both, false, true, MalformedToken),
        (&both, false, false, Verified),
        (&permissive, false, true, MalformedToken),
        (&permissive, false, false, Anonymous),
        // What isn't looked at proves nothing and hides nothing.
        (&mtls, false, true, Verified),
    ] {
        let world = World::new(json!({}), policy.clone()).with_peer(ACME);
        let credentials = Credentials {
            authorization: in_header.then(|| header.clone()),
            ..Credentials::default()
        };
        let path = format!("/?access_token={}", if in_query { &token } else { "" });
        let evidence = Evidence {
            path: if in_query { &path } else { "/?token=x" },
            ..world.evidence(&credentials)
        };
        let found = match world.identify(&evidence, &mut Memo::disabled()) {
            Ok((reason, _)) => reason,
            Err(refusal) => reason_of::<()>(Err(refusal)),
        };
        assert_eq!(found, expected, "{policy} {in_header} {in_query}");
    }
}

#[test]
fn a_bound_token_needs_its_certificate() {
    use Reason::*;
    let mut world = World::jwt().with_peer(ACME);
    let own = base64url(world.peer.as_ref().unwrap().thumbprint());
    for (cnf, expected) in [
        (json!({"x5t#S256": own}), Verified),
        (json!({"x5t#S256": base64url([0; 32])}), WrongBinding),
        (json!({"x5t#S256": &own[1..]}), WrongBinding),
        (json!({"x5t#S256": 1}), WrongBinding),
        (json!({"x5t#S256": own, "jkt": "x"}), WrongBinding),
        (json!({"jkt": "x"}), WrongBinding),
        (json!({}), WrongBinding),
        (json!({"x5t#S256": own, "jkt": null}), Verified),
        (json!({"x5t#S256": null}), WrongBinding),
        (json!(null), Verified),
        (json!(own), WrongBinding),
    ] {
        assert_eq!(
            world.reason(&ed_token(json!({"cnf": cnf}))),
            expected,
            "{cnf}"
        );
    }
    let bound = ed_token(json!({"cnf": {"x5t#S256": own}}));
    world.peer = None;
    assert_eq!(
        world.reason(&bound),
        WrongBinding,
        "remembered, and without the certificate"
    );
    assert_eq!(
        reason_of(World::jwt().with_peer(ACME).bearer(&bound)),
        WrongBinding
    );
}

#[test]
fn certificates_end_and_authorities_are_no_clients() {
    let mut world = World::new(json!({}), json!({"any_of": ["mtls"]})).with_peer(ACME);
    assert_eq!(reason_of(world.ask(None)), Reason::Verified);
    world.now = 365 * 86_400 - START;
    assert_eq!(reason_of(world.ask(None)), Reason::CertificateExpired);

    let mut world = World::new(json!({}), json!({"any_of": ["mtls"]}));
    let mut reason = |change: fn(&mut rcgen::CertificateParams)| {
        let der = testing::certificate(|params| {
            params.subject_alt_names = vec![rcgen::SanType::URI(ACME.try_into().unwrap())];
            change(params);
        });
        world.peer = Some(PeerCertificate::from_der(&der).unwrap());
        reason_of(world.ask(None))
    };
    assert_eq!(reason(|_| {}), Reason::Verified);
    let authority = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    assert_eq!(reason(authority), Reason::CertificateAuthority);
    assert_eq!(
        reason(|params| params.key_usages.clear()),
        Reason::CertificateUsage
    );
}
