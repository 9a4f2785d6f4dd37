use http::{HeaderValue, Method};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::evidence::Credentials;
use crate::explain::Steps;
use crate::testing::{START, Signer, at, certificate_for, policy};
use crate::time::Mono;

mod keys;
mod replay;

/// The request of the tests: cell `a` calls cell `b` for `ada` of `acme`.
struct World {
    policy: Policy,
    registry: Registry,
    keys: CellKeys,
    identity: Identity,
    peer: Option<PeerCertificate>,
    /// The policy's name.
    by: &'static str,
    cell: &'static str,
}

fn annotation(signers: &[(&str, &Signer)]) -> String {
    let keys: Vec<_> = signers.iter().map(|(kid, it)| it.jwk(kid)).collect();
    json!({ "keys": keys }).to_string()
}

fn key() -> Signer {
    Signer::ed25519(1)
}

fn rules(cba: Value) -> Policy {
    policy(json!({
        "policy": [{"name": "default", "any_of": ["jwt", "mtls"]}, {"name": "tokens", "any_of": ["jwt"]}],
        "issuer": [{"name": "main", "issuer": "https://idp.example", "audience": "cellway"}],
        "trust": {
            "bundle": "ca.pem",
            "trust_domains": ["example"],
            "san": ["spiffe://{trust_domain}/cell/{cell}", "spiffe://{trust_domain}/tenant/{tenant}"],
        },
        "cba": cba,
    }))
}

fn registry_with(keys_of_a: &str, state_of_a: &str) -> Registry {
    let cell = |id: &str, state: &str, annotations: Value| {
        json!({"id": id, "tier": "std", "region": "eu", "state": state,
               "endpoints": [{"url": format!("http://{id}.internal:80")}], "annotations": annotations})
    };
    let document = json!({
        "version": 1,
        "cells": [
            cell("a", state_of_a, json!({"cba-jwks": keys_of_a})),
            cell("b", "active", json!({})),
            cell("broken", "active", json!({"cba-jwks": "{"})),
        ],
    });
    Registry::from_json(&document.to_string()).unwrap()
}

impl World {
    fn new(cba: Value) -> Self {
        Self::with(cba, &annotation(&[("k1", &key())]), "active")
    }

    fn with(cba: Value, keys_of_a: &str, state_of_a: &str) -> Self {
        let policy = rules(cba);
        let registry = registry_with(keys_of_a, state_of_a);
        let keys = CellKeys::default().follow(&policy.cba, Some(&registry));
        let text = |value| Some(Text::new(value).unwrap());
        Self {
            policy,
            registry,
            keys,
            identity: Identity {
                tenant: text("acme"),
                subject: text("ada"),
                ..Identity::default()
            },
            peer: None,
            by: "default",
            cell: "b",
        }
    }

    /// Over a connection with this certificate, which the identity knows if the policy looks at it.
    fn of(mut self, san: &str) -> Self {
        let peer = PeerCertificate::from_der(&certificate_for(&[san], &[])).unwrap();
        let id = self.policy.policy_id(self.by).unwrap();
        if self.policy.auth(id).mtls {
            let accepted = self.policy.sans().accept(&peer).ok();
            self.identity.proof.cell = accepted.and_then(|accepted| accepted.cell);
        }
        self.peer = Some(peer);
        self
    }

    /// With the policy that accepts tokens only.
    fn by_tokens(mut self) -> Self {
        self.by = "tokens";
        self
    }

    fn check(&self, shown: &[String], secs: u64) -> (Option<Box<CellBound>>, Steps) {
        let field = |text: &String| HeaderValue::from_str(text).unwrap();
        let credentials = Credentials {
            cell_bound: shown.iter().map(field).collect(),
            ..Credentials::default()
        };
        let evidence = Evidence {
            policy: self.policy.policy_id(self.by).unwrap(),
            method: &Method::GET,
            authority: "api.example",
            path: "/",
            credentials: &credentials,
            peer: self.peer.as_ref(),
            spread: 0,
            waited: false,
        };
        let request = RequestContext {
            policy: &self.policy,
            auth: self.policy.auth(evidence.policy),
            registry: &self.registry,
            keys: &self.keys,
            evidence: &evidence,
            identity: &self.identity,
            cell: self.registry.cell(self.cell).unwrap(),
            now: at(secs),
        };
        let mut steps = Steps::default();
        (check(&request, &mut steps), steps)
    }

    /// The reason why one authorization is refused.
    fn refuses(&self, shown: &str) -> Option<Reason> {
        let (bound, _) = self.check(&[shown.to_owned()], 0);
        bound.unwrap().refused.map(|refused| refused.reason)
    }
}

fn header() -> Value {
    json!({"alg": "EdDSA", "typ": "cba+jwt", "kid": "k1"})
}

fn claims() -> Value {
    json!({"iss": "a", "aud": "b", "sub": "ada", "tenant": "acme",
           "iat": START, "exp": START + 60, "jti": "1"})
}

/// A good authorization with these members changed; `null` takes one away.
fn changed(mut value: Value, members: Value) -> Value {
    let object = value.as_object_mut().unwrap();
    for (name, member) in members.as_object().unwrap().clone() {
        match member {
            Value::Null => drop(object.remove(&name)),
            member => drop(object.insert(name, member)),
        }
    }
    value
}

fn with_claims(members: Value) -> String {
    key().token(&header(), &changed(claims(), members))
}

fn with_header(members: Value) -> String {
    key().token(&changed(header(), members), &claims())
}

fn good() -> String {
    with_claims(json!({}))
}

#[test]
fn accepts_a_valid_authorization() {
    let world = World::new(json!({}));
    for shown in [
        good(),
        with_claims(json!({"aud": ["b"]})),
        with_claims(json!({"nbf": START + 5, "iat": START + 5})),
        with_header(json!({"typ": "application/CBA+jwt"})),
        with_header(json!({"kid": null})),
    ] {
        let (bound, steps) = world.check(&[shown], 0);
        let bound = bound.unwrap();
        assert_eq!(bound.refused, None, "{steps}");
        assert_eq!(bound.source.unwrap().as_str(), "a");
        assert_eq!(bound.claim, None, "it was not asked for");
    }
}

#[test]
fn refuses_an_authorization_with_wrong_claims() {
    use Reason::*;
    let world = World::new(json!({}));
    for (members, reason) in [
        (json!({"iss": null}), CbaMalformed),
        (json!({"iss": ["a"]}), CbaMalformed),
        (json!({"iss": "nobody"}), CbaUnknownCell),
        (json!({"iss": "b"}), CbaNoKeys),
        (json!({"iss": "broken"}), CbaNoKeys),
        (json!({"aud": null}), CbaMalformed),
        (json!({"aud": 7}), CbaMalformed),
        (json!({"aud": []}), CbaMalformed),
        (json!({"aud": ["b", "c"]}), CbaMalformed),
        (json!({"aud": "a"}), CbaWrongDestination),
        (json!({"aud": "B"}), CbaWrongDestination),
        (json!({"tenant": null}), CbaMalformed),
        (json!({"tenant": ["acme"]}), CbaMalformed),
        (json!({"tenant": "globex"}), CbaWrongTenant),
        (json!({"sub": null}), CbaWrongSubject),
        (json!({"sub": 7}), CbaMalformed),
        (json!({"sub": "bob"}), CbaWrongSubject),
        (json!({"jti": null}), CbaMalformed),
        (json!({"jti": ""}), CbaMalformed),
        (json!({"jti": "x".repeat(257)}), CbaMalformed),
        (json!({"cnf": {"jkt": "x"}}), CbaMalformed),
        (json!({"exp": null}), CbaMalformed),
        (json!({"iat": null}), CbaMalformed),
        (json!({"exp": "soon"}), CbaMalformed),
        (json!({"exp": START + 61}), CbaLifetime),
        (json!({"exp": START}), CbaLifetime),
        (json!({"iat": START - 60, "exp": START}), CbaExpired),
        (json!({"iat": START + 6, "exp": START + 60}), CbaNotYetValid),
        (json!({"nbf": START + 6}), CbaNotYetValid),
    ] {
        let refused = world.refuses(&with_claims(members.clone()));
        assert_eq!(refused, Some(reason), "{members}");
    }
}

#[test]
fn refuses_other_keys_and_malformed_authorizations() {
    use Reason::*;
    let world = World::new(json!({}));
    let other = Signer::ed25519(2).token(&header(), &claims());
    let p256 = Signer::p256().token(&changed(header(), json!({"alg": "ES256"})), &claims());
    let mut cut = good();
    cut.pop();
    for (shown, reason) in [
        (other, CbaBadSignature),
        (p256, CbaForbiddenAlgorithm),
        (with_header(json!({"kid": "k2"})), CbaNoMatchingKey),
        (with_header(json!({"alg": "none"})), CbaForbiddenAlgorithm),
        (with_header(json!({"alg": "HS256"})), CbaForbiddenAlgorithm),
        (with_header(json!({"crit": ["exp"]})), CbaMalformed),
        // A bearer token and an envelope are no authorization, whoever signed them.
        (with_header(json!({"typ": "JWT"})), CbaMalformed),
        (with_header(json!({"typ": "at+jwt"})), CbaMalformed),
        (
            with_header(json!({"typ": "cellway-envelope+jwt"})),
            CbaMalformed,
        ),
        (with_header(json!({"typ": null})), CbaMalformed),
        (cut, CbaMalformed),
        (format!("Bearer {}", good()), CbaMalformed),
        (format!("{}, {}", good(), good()), CbaMalformed),
        (String::new(), CbaMalformed),
        ("a.b".to_owned(), CbaMalformed),
    ] {
        assert_eq!(world.refuses(&shown), Some(reason), "{shown}");
    }
}

#[test]
fn two_authorizations_are_refused() {
    let world = World::new(json!({}));
    let (bound, _) = world.check(&[good(), good()], 0);
    assert_eq!(bound.unwrap().refused.unwrap().reason, Reason::CbaDuplicate);
}

#[test]
fn only_active_and_draining_cells_may_call() {
    let keys = annotation(&[("k1", &key())]);
    for (state, refused) in [
        ("active", None),
        ("draining", None),
        ("provisioning", Some(Reason::CbaCellNotAllowed)),
        ("quarantined", Some(Reason::CbaCellNotAllowed)),
        ("retired", Some(Reason::CbaCellNotAllowed)),
    ] {
        let world = World::with(json!({}), &keys, state);
        assert_eq!(world.refuses(&good()), refused, "{state}");
    }
}

#[test]
fn it_expires_to_the_second() {
    let world = World::new(json!({}));
    let refused = |secs| world.check(&[good()], secs).0.unwrap().refused;
    assert_eq!(refused(59), None);
    assert_eq!(refused(60).unwrap().reason, Reason::CbaExpired);
}

#[test]
fn a_certificate_must_name_the_source() {
    let worlds: [fn() -> World; 2] = [
        || World::new(json!({})),
        || World::new(json!({})).by_tokens(),
    ];
    for world in worlds {
        let refused = |san: &str| world().of(san).refuses(&good());
        assert_eq!(refused("spiffe://example/cell/a"), None);
        for other in [
            "spiffe://example/cell/b",
            "spiffe://example/tenant/acme",
            "spiffe://elsewhere/cell/a",
        ] {
            let mismatch = Some(Reason::CbaCertificateMismatch);
            assert_eq!(refused(other), mismatch, "{other}");
        }
    }
}

#[test]
fn a_pinned_destination_is_the_only_one() {
    let mut world = World::new(json!({"destination": "b"}));
    assert_eq!(world.refuses(&good()), None);
    // Neither the decision nor the claims can bypass the pin.
    world.cell = "broken";
    for aud in ["broken", "b"] {
        let refused = world.refuses(&with_claims(json!({"aud": aud})));
        assert_eq!(refused, Some(Reason::CbaWrongDestination), "{aud}");
    }
}

#[test]
fn absence_is_denied_where_cells_must_show_one() {
    let absent = |mode: &str, san: Option<&str>| {
        let world = World::new(json!({ "mode": mode }));
        let world = match san {
            Some(san) => world.of(san),
            None => world,
        };
        let (bound, _) = world.check(&[], 0);
        bound.map(|bound| bound.refused.unwrap().reason)
    };
    let (cell, tenant) = ("spiffe://example/cell/a", "spiffe://example/tenant/acme");
    assert_eq!(absent("require", Some(cell)), Some(Reason::CbaMissing));
    assert_eq!(absent("require", Some(tenant)), None);
    assert_eq!(absent("require", None), None);
    for mode in ["enforce", "monitor", "off"] {
        assert_eq!(absent(mode, Some(cell)), None, "{mode}");
    }
    let by_tokens = World::new(json!({"mode": "require"})).by_tokens();
    let (bound, _) = by_tokens.of(cell).check(&[], 0);
    assert_eq!(bound.unwrap().refused.unwrap().reason, Reason::CbaMissing);
}

#[test]
fn off_looks_at_nothing_and_parses_no_keys() {
    let world = World::new(json!({"mode": "off"}));
    assert_eq!(world.check(&["rubbish".to_owned()], 0).0, None);
    assert_eq!((world.keys.usable(), world.keys.refused().count()), (0, 0));
}

#[test]
fn enforce_denies_at_the_check_that_monitor_reports() {
    let shown = [with_claims(json!({"tenant": "globex"}))];
    let judged = |mode: &str| World::new(json!({ "mode": mode })).check(&shown, 0);
    let (bound, _) = judged("enforce");
    let denied = bound.unwrap().denies().cloned().unwrap();
    assert_eq!(denied.check, "cba.identity");
    let (bound, mut steps) = judged("monitor");
    assert_eq!(bound.unwrap().denies(), None);
    let last = steps.0.pop().unwrap();
    assert_eq!((last.check, last.passed), ("cba.monitor", true));
    assert_eq!(
        last.detail,
        format!("would be denied at cba.identity, {denied}")
    );
}

proptest! {
    /// For any authorization, `monitor` reports the reason for which `enforce` denies, and denies
    /// nothing.
    #[test]
    fn monitor_counts_what_enforce_denies(
        member in prop::sample::select(vec!["iss", "aud", "sub", "tenant", "iat", "exp", "jti", "typ"]),
        value in prop_oneof![
            Just(Value::Null),
            any::<u64>().prop_map(Value::from),
            "[a-c]{0,2}".prop_map(Value::from),
            (START - 70..START + 130).prop_map(Value::from),
        ],
        fields in 0_usize..3,
        cell in any::<bool>(),
    ) {
        let shown = match member {
            "typ" => with_header(json!({ "typ": value })),
            member => with_claims(json!({ member: value })),
        };
        let shown = vec![shown; fields];
        let judged = |mode: &str| {
            let world = World::new(json!({ "mode": mode }));
            let world = if cell { world.of("spiffe://example/cell/a") } else { world };
            world.check(&shown, 0).0
        };
        let (enforced, watched) = (judged("enforce"), judged("monitor"));
        let refused = |bound: &Option<Box<CellBound>>| bound.as_ref()?.refused.clone();
        let denies = |bound: &Option<Box<CellBound>>| bound.as_ref()?.denies().cloned();
        prop_assert_eq!(refused(&enforced), refused(&watched));
        prop_assert_eq!(denies(&enforced), refused(&enforced));
        prop_assert_eq!(denies(&watched), None);
    }
}
