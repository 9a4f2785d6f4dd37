//! Routing keys among the other credentials.

use super::*;
use crate::routing_key::{RoutingKeySender, Signed, canonical};
use crate::testing::base64url;
use crate::text::Text;

const GATEWAY: &str = "spiffe://example/gateway";
const ACME: &str = "spiffe://example/tenant/acme/api";
const BILLING: &str = "spiffe://example/cell/blue/billing";

/// A world whose policy has these members, with a listed gateway and a signer.
fn world(of_policy: &Value) -> World {
    let mut policy = json!({"name": "default"});
    let members = of_policy.as_object().unwrap().clone();
    policy.as_object_mut().unwrap().extend(members);
    let mut jwk = SIGNERS.ed.jwk("edge");
    jwk.as_object_mut().unwrap().remove("kid");
    let policy = testing::policy(json!({
        "issuer": [issuer(json!({}))],
        "policy": [policy],
        "trust": {
            "bundle": "ca.pem",
            "trust_domains": ["example"],
            "san": [
                "spiffe://{trust_domain}/tenant/{tenant}/api",
                "spiffe://{trust_domain}/cell/{cell}/**",
            ],
        },
        "routing_key": {
            "gateways": [{"san": GATEWAY, "tenants": "any"}],
            "signer": [{"kid": "edge", "jwk": jwk, "tenants": "any"}],
        },
    }));
    World {
        keys: key_table(&policy, &[published()]),
        policy,
        ..World::jwt()
    }
}

/// A signature for this key in the request that [`World::evidence`] makes.
fn signature(key: &str) -> String {
    let time = START + 100;
    let message = canonical(&Signed {
        kid: "edge",
        time,
        method: &Method::GET,
        authority: "api.example",
        path: "/",
        key,
    });
    let signature = base64url(SIGNERS.ed.sign("", &message));
    format!("v1; kid=edge; t={time}; sig={signature}")
}

/// What a request shows.
#[derive(Clone, Copy, Default, Debug)]
struct Shows<'a> {
    token: Option<&'a str>,
    peer: Option<&'a str>,
    key: Option<&'a str>,
    /// The key that the signature is for.
    signed: Option<&'a str>,
}

fn ask(of_policy: &Value, shows: Shows<'_>) -> Result<(Reason, Arc<Identity>), IdentifyError> {
    let mut world = world(of_policy);
    if let Some(uri) = shows.peer {
        world = world.with_peer(uri);
    }
    let value = |text: String| HeaderValue::try_from(text).unwrap();
    let credentials = Credentials {
        authorization: shows.token.map(|token| value(format!("Bearer {token}"))),
        routing_key: shows.key.map(|key| value(key.into())).into_iter().collect(),
        routing_key_signature: shows
            .signed
            .map(|key| value(signature(key)))
            .into_iter()
            .collect(),
        ..Credentials::default()
    };
    world.identify(&world.evidence(&credentials), &mut Memo::disabled())
}

fn reason(of_policy: &Value, shows: Shows<'_>) -> Reason {
    match ask(of_policy, shows) {
        Ok((reason, _)) => reason,
        refused => reason_of(refused),
    }
}

fn permissive(of_policy: &Value) -> Value {
    let mut policy = of_policy.clone();
    policy["mode"] = json!("permissive");
    policy["anonymous_placement"] = json!("lobby");
    policy
}

const NOTHING: Shows<'_> = Shows {
    token: None,
    peer: None,
    key: None,
    signed: None,
};
const SPOOFED: Shows<'_> = Shows {
    key: Some("acme"),
    ..NOTHING
};
const SIGNED: Shows<'_> = Shows {
    signed: Some("acme"),
    ..SPOOFED
};
const BY_GATEWAY: Shows<'_> = Shows {
    peer: Some(GATEWAY),
    ..SPOOFED
};

const WRONGLY_SIGNED: Shows<'_> = Shows {
    signed: Some("globex"),
    ..SPOOFED
};
const SIGNATURE_ONLY: Shows<'_> = Shows {
    signed: Some("acme"),
    ..NOTHING
};
const GATEWAY_ONLY: Shows<'_> = Shows {
    key: None,
    ..BY_GATEWAY
};

#[test]
fn a_required_routing_key_needs_a_gateway_or_a_signer() {
    use Reason::*;
    let from = |uri| Shows {
        peer: Some(uri),
        ..SPOOFED
    };
    let with_token = Shows {
        token: Some("x"),
        ..SIGNED
    };
    let policy = json!({"any_of": ["routing_key"]});
    for (shows, expected) in [
        (NOTHING, MissingRoutingKey),
        (SPOOFED, UntrustedRoutingKey),
        (SIGNED, Verified),
        (BY_GATEWAY, Verified),
        (WRONGLY_SIGNED, RoutingKeyBadSignature),
        (SIGNATURE_ONLY, MalformedRoutingKey),
        (from(ACME), UntrustedRoutingKey),
        (from(BILLING), UntrustedRoutingKey),
        (GATEWAY_ONLY, MissingRoutingKey),
        (with_token, Verified),
    ] {
        assert_eq!(reason(&policy, shows), expected, "{shows:?}");
    }
}

/// Catches: a bad credential that counts as none.
#[test]
fn an_optional_routing_key_must_be_good() {
    use Reason::*;
    let empty = Shows {
        key: Some(""),
        ..NOTHING
    };
    let policy = permissive(&json!({"any_of": ["routing_key"]}));
    for (shows, expected) in [
        (NOTHING, Anonymous),
        (SPOOFED, UntrustedRoutingKey),
        (WRONGLY_SIGNED, RoutingKeyBadSignature),
        (SIGNATURE_ONLY, MalformedRoutingKey),
        (empty, MalformedRoutingKey),
        (SIGNED, Verified),
        (GATEWAY_ONLY, Anonymous),
    ] {
        assert_eq!(reason(&policy, shows), expected, "{shows:?}");
    }
}

#[test]
fn a_policy_without_routing_keys_ignores_them() {
    use Reason::*;
    let (jwt, mtls) = (
        json!({"any_of": ["jwt"]}),
        json!({"any_of": ["jwt", "mtls"]}),
    );
    let token = ed_token(json!({}));
    let with_token = |shows| Shows {
        token: Some(&token),
        ..shows
    };
    for (policy, shows, expected) in [
        (&jwt, SPOOFED, MissingToken),
        (&jwt, SIGNED, MissingToken),
        (&jwt, BY_GATEWAY, MissingToken),
        (&permissive(&jwt), SPOOFED, Anonymous),
        (
            &jwt,
            with_token(Shows {
                key: Some("globex"),
                ..NOTHING
            }),
            Verified,
        ),
        // Without the scheme `routing_key`, a gateway is not recognized.
        (&mtls, BY_GATEWAY, SanNotAccepted),
        (&mtls, with_token(BY_GATEWAY), SanNotAccepted),
    ] {
        assert_eq!(reason(policy, shows), expected, "{policy} {shows:?}");
    }
}

#[test]
fn with_certificates() {
    use Reason::*;
    let any = json!({"any_of": ["mtls", "routing_key"]});
    let all = json!({"all_of": ["mtls", "routing_key"]});
    let at = |peer, shows| Shows {
        peer: Some(peer),
        ..shows
    };
    for (policy, shows, expected) in [
        (&any, NOTHING, MissingCertificate),
        (&any, at(ACME, NOTHING), Verified),
        (&any, at(GATEWAY, NOTHING), MissingRoutingKey),
        (&any, at(BILLING, NOTHING), MissingRoutingKey),
        (&any, BY_GATEWAY, Verified),
        (&any, SIGNED, Verified),
        (&any, SPOOFED, UntrustedRoutingKey),
        (&any, at(ACME, SPOOFED), UntrustedRoutingKey),
        (&any, at(ACME, SIGNED), Verified),
        (&any, at(BILLING, SIGNED), Verified),
        (
            &any,
            at("spiffe://example/gateway2", SPOOFED),
            SanNotAccepted,
        ),
        (
            &any,
            at("spiffe://example/gateway2", SIGNED),
            SanNotAccepted,
        ),
        (&all, SIGNED, MissingCertificate),
        (&all, at(ACME, NOTHING), MissingRoutingKey),
        (&all, at(GATEWAY, NOTHING), MissingRoutingKey),
        (&all, BY_GATEWAY, Verified),
        (&all, at(GATEWAY, SIGNED), Verified),
        (&all, at(ACME, SIGNED), Verified),
        (&permissive(&all), BY_GATEWAY, Verified),
        (&permissive(&all), at(GATEWAY, NOTHING), MissingRoutingKey),
        (&permissive(&all), NOTHING, Anonymous),
        (&permissive(&all), SIGNED, MissingCertificate),
    ] {
        assert_eq!(reason(policy, shows), expected, "{policy} {shows:?}");
    }
    let globex = Shows {
        key: Some("globex"),
        signed: Some("globex"),
        ..NOTHING
    };
    assert_eq!(reason(&any, at(ACME, globex)), IdentityConflict);
}

#[test]
fn with_tokens() {
    use Reason::*;
    let any = json!({"any_of": ["jwt", "routing_key"]});
    let all = json!({"all_of": ["jwt", "routing_key"]});
    let every = json!({"all_of": ["jwt", "mtls", "routing_key"]});
    let acme = ed_token(json!({}));
    let globex = ed_token(json!({"tenant_id": "globex"}));
    let expired = ed_token(json!({"exp": 0}));
    let with = |token, shows| Shows {
        token: Some(token),
        ..shows
    };
    for (policy, shows, expected) in [
        (&any, NOTHING, MissingToken),
        (&any, SIGNED, Verified),
        (&any, with(&*acme, NOTHING), Verified),
        (&any, with(&acme, SIGNED), Verified),
        (&any, with(&acme, SPOOFED), UntrustedRoutingKey),
        (&any, with(&globex, SIGNED), IdentityConflict),
        (&any, with(&globex, BY_GATEWAY), IdentityConflict),
        (&any, with(&expired, SIGNED), ExpiredToken),
        (&all, SIGNED, MissingToken),
        (&all, with(&acme, NOTHING), MissingRoutingKey),
        (&all, with(&acme, SIGNED), Verified),
        (&every, with(&acme, SIGNED), MissingCertificate),
        (&every, with(&acme, BY_GATEWAY), Verified),
        (
            &every,
            with(
                &acme,
                Shows {
                    peer: Some(ACME),
                    ..SIGNED
                },
            ),
            Verified,
        ),
        (
            &every,
            with(
                &globex,
                Shows {
                    peer: Some(ACME),
                    ..SIGNED
                },
            ),
            IdentityConflict,
        ),
    ] {
        assert_eq!(reason(policy, shows), expected, "{policy} {shows:?}");
    }
}

#[test]
fn what_a_routing_key_proves() {
    let any = json!({"any_of": ["jwt", "mtls", "routing_key"]});
    let of = |shows| ask(&any, shows).unwrap().1;
    let text = |value: &str| Text::new(value).unwrap();

    let signed = of(SIGNED);
    assert_eq!(signed.tenant, Some(text("acme")));
    assert_eq!(signed.subject, None, "it doesn't say who calls");
    assert!(!signed.names_roles && signed.roles.is_empty() && !signed.proof.mtls);
    assert_eq!(
        signed.proof.routing_key,
        Some(RoutingKeySender::Signer(text("edge")))
    );

    let gateway = of(BY_GATEWAY);
    assert_eq!(
        (&gateway.tenant, &gateway.subject),
        (&Some(text("acme")), &None)
    );
    assert!(!gateway.proof.mtls, "its certificate names no tenant");
    let voucher = RoutingKeySender::Gateway(text(GATEWAY));
    assert_eq!(gateway.proof.routing_key, Some(voucher));

    let service = of(Shows {
        peer: Some(BILLING),
        ..SIGNED
    });
    assert_eq!(
        service.subject,
        Some(text(BILLING)),
        "the certificate says who calls"
    );
    assert_eq!(service.proof.cell, Some(text("blue")));

    let token = ed_token(json!({}));
    let both = of(Shows {
        token: Some(&token),
        ..SIGNED
    });
    assert_eq!(both.subject, Some(text("alice")));
    assert!(both.proof.jwt.is_some() && both.proof.routing_key.is_some());
}

#[test]
fn a_client_that_picks_another_tenant_gets_none() {
    let mut world = world(&json!({"any_of": ["routing_key"]}));
    for (choice, expected) in [
        (None, Reason::Verified),
        (Some("acme"), Reason::Verified),
        (Some("globex"), Reason::AmbiguousTenant),
    ] {
        world.choice = choice;
        let credentials = Credentials {
            tenant_choice: choice.map(HeaderValue::from_static),
            routing_key: vec![HeaderValue::from_static("acme")],
            routing_key_signature: vec![HeaderValue::try_from(signature("acme")).unwrap()],
            ..Credentials::default()
        };
        let found = world.identify(&world.evidence(&credentials), &mut Memo::disabled());
        assert_eq!(reason_of(found), expected, "{choice:?}");
    }
}

#[test]
fn a_gateways_certificate_must_hold_itself() {
    let of = |change: fn(&mut rcgen::CertificateParams), now| {
        let der = testing::certificate(|params| {
            params.subject_alt_names = vec![rcgen::SanType::URI(GATEWAY.try_into().unwrap())];
            change(params);
        });
        let mut world = world(&json!({"any_of": ["routing_key"]}));
        world.peer = Some(PeerCertificate::from_der(&der).unwrap());
        world.now = now;
        let credentials = Credentials {
            routing_key: vec![HeaderValue::from_static("acme")],
            ..Credentials::default()
        };
        reason_of(world.identify(&world.evidence(&credentials), &mut Memo::disabled()))
    };
    let end = 365 * 86_400 - START;
    assert_eq!(of(|_| {}, 100), Reason::Verified);
    assert_eq!(of(|_| {}, end), Reason::CertificateExpired);
    let authority = |params: &mut rcgen::CertificateParams| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    };
    assert_eq!(of(authority, 100), Reason::CertificateAuthority);
    assert_eq!(
        of(|params| params.key_usages.clear(), 100),
        Reason::CertificateUsage
    );
}
