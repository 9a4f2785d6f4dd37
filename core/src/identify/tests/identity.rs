//! Credentials together: modes, tenants, bindings, conflicts.

use super::*;
use crate::testing::base64url;

const ACME: &str = "spiffe://example/tenant/acme/api";

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
        // A credential that the policy doesn't accept is ignored.
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
