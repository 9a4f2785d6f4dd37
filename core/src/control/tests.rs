use std::time::Duration;

use super::*;
use crate::health::OutlierSettings;
use crate::keys::KeyState;
use crate::policy::PolicySpecs;
use crate::registry::{FetchProblem, RegistryFormat, RegistryLimits};
use crate::testing::at;

/// An Ed25519 key (RFC 8037, appendix A.2).
const JWKS: &str = r#"{"keys":[{"kty":"OKP","crv":"Ed25519","kid":"a",
    "x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}"#;

fn policy(issuers: &[&str]) -> Arc<Policy> {
    policy_with(issuers, &serde_json::json!({}))
}

/// With these settings of each issuer besides.
fn policy_with(issuers: &[&str], more: &serde_json::Value) -> Arc<Policy> {
    let issuer = |name: &&str| {
        let mut issuer = serde_json::json!({
            "name": name, "issuer": format!("https://{name}.example"), "audience": "cellway",
            "tenants": "registry",
        });
        let more = more.as_object().unwrap().clone();
        issuer.as_object_mut().unwrap().extend(more);
        issuer
    };
    let issuers: Vec<_> = issuers.iter().map(issuer).collect();
    let policy = serde_json::json!([{ "name": "default", "mode": "disabled", "allow_insecure": true,
        "insecure_identity": { "tenant": "acme" } }]);
    let specs = serde_json::json!({ "issuer": issuers, "policy": policy });
    let specs: PolicySpecs = serde_json::from_value(specs).unwrap();
    Arc::new(Policy::build(&specs).unwrap())
}

fn document(version: u64) -> String {
    format!(
        r#"{{"version": {version},
            "cells": [{{"id": "a", "tier": "std", "region": "eu", "state": "active",
                        "endpoints": [{{"url": "https://a-1.internal:443"}},
                                      {{"url": "https://a-2.internal:443"}}]}}],
            "tenants": [{{"id": "acme", "cell": "a"}}]}}"#
    )
}

/// What a driver has seen of one control.
struct Driver {
    control: Control,
    outputs: Vec<Output>,
}

impl Driver {
    fn new(issuers: &[&str]) -> Self {
        let control = Control::new(policy(issuers), ControlSettings::default(), at(0), 1);
        let mut driver = Self {
            control,
            outputs: Vec::new(),
        };
        driver.drain();
        driver.wake(at(0));
        driver
    }

    fn wake(&mut self, now: Now) {
        self.control.handle_timeout(now);
        self.drain();
    }

    fn drain(&mut self) {
        while let Some(output) = self.control.poll_output() {
            self.outputs.push(output);
        }
    }

    fn registry(&mut self, now: Now, document: &str) {
        let parsed = Registry::parse(
            document.as_bytes(),
            RegistryFormat::Json,
            self.control.registry().map(|registry| &**registry),
            &RegistryLimits::default(),
        );
        let body = Bytes::from(document.to_owned());
        let fetched = RegistryFetched::Document {
            parsed,
            body,
            validator: None,
        };
        self.control.handle_registry(now, Ok(fetched));
        self.drain();
    }

    fn keys(&mut self, now: Now, source: KeySourceId) {
        self.control.handle_keys(now, source, Ok(Bytes::from(JWKS)));
        self.drain();
    }

    /// The sources of keys that it was told to fetch, since the last call.
    fn key_fetches(&mut self) -> Vec<KeySourceId> {
        let fetch = |output: &Output| match output {
            Output::FetchKeys { source, .. } => Some(*source),
            _ => None,
        };
        let sources = self.outputs.iter().filter_map(fetch).collect();
        self.outputs.clear();
        sources
    }

    fn key_state(&self, issuer: u16, now: Now) -> KeyState {
        self.control
            .snapshot()
            .keys
            .issuer(IssuerId(issuer))
            .unwrap()
            .state(now.mono)
    }
}

#[test]
fn everything_is_asked_for_at_the_start() {
    let mut driver = Driver::new(&["one", "two"]);
    let registry = driver
        .outputs
        .iter()
        .any(|o| matches!(o, Output::FetchRegistry { .. }));
    assert!(registry);
    assert!(
        matches!(driver.outputs[..], [.., Output::Publish(_)]),
        "requests can be refused"
    );
    assert_eq!(driver.key_fetches().len(), 2);
}

#[test]
fn parts_of_a_snapshot_are_replaced_one_by_one() {
    let mut driver = Driver::new(&["one"]);
    let source = driver.key_fetches()[0];
    driver.registry(at(0), &document(1));
    driver.keys(at(0), source);
    let before = Arc::clone(driver.control.snapshot());
    let registry = before.registry.as_ref().unwrap();

    let endpoint = registry.cells()[0].endpoints[0].id;
    for _ in 0..OutlierSettings::default().connection_failures {
        driver
            .control
            .handle_outcome(at(1), endpoint, Outcome::ConnectFailed);
        driver.drain();
    }
    let ill = Arc::clone(driver.control.snapshot());
    assert!(ill.health.is_ejected(endpoint));
    assert!(
        Arc::ptr_eq(ill.registry.as_ref().unwrap(), registry),
        "health touches no tenant"
    );
    assert!(
        Arc::ptr_eq(&ill.keys, &before.keys),
        "health touches no key"
    );

    driver.registry(at(2), &document(2));
    let moved = Arc::clone(driver.control.snapshot());
    assert_eq!(moved.registry.as_ref().unwrap().version(), 2);
    assert!(
        Arc::ptr_eq(&moved.keys, &before.keys),
        "a registry touches no key"
    );
    assert!(
        moved.health.is_ejected(endpoint),
        "an endpoint's health outlives the version"
    );
}

#[test]
fn an_early_wake_does_nothing() {
    let mut driver = Driver::new(&["one"]);
    let source = driver.key_fetches()[0];
    driver.registry(at(0), &document(1));
    driver.keys(at(0), source);
    driver.outputs.clear();
    let (when, _) = driver
        .control
        .poll_timeout()
        .expect("refreshes are due some time");
    assert!(when > at(0).mono);
    driver.wake(at(0));
    assert!(driver.outputs.is_empty(), "{:?}", driver.outputs);
}

#[test]
fn a_reload_keeps_the_keys_of_issuers_that_stay() {
    let mut driver = Driver::new(&["one", "two"]);
    let sources = driver.key_fetches();
    driver.keys(at(0), sources[0]);
    driver.keys(at(0), sources[1]);

    driver
        .control
        .handle_policy(at(1), policy(&["three", "two"]), Vec::new());
    driver.drain();
    driver.wake(at(1));
    assert_eq!(driver.key_state(1, at(1)), KeyState::Fresh, "two stays");
    assert_eq!(driver.key_state(0, at(1)), KeyState::Empty, "three is new");
    let fetches = driver.key_fetches();
    assert_eq!(fetches.len(), 1, "only three is fetched");

    driver.keys(at(1), sources[0]);
    assert_eq!(
        driver.key_state(0, at(1)),
        KeyState::Empty,
        "one's late answer is nobody's"
    );
    driver.keys(at(1), fetches[0]);
    assert_eq!(driver.key_state(0, at(1)), KeyState::Fresh);
}

/// Catches: an issuer that loses its keys because of a mistake in their new location, and keys that
/// outlive the first good set from there.
#[test]
fn keys_serve_on_while_their_new_place_gives_none() {
    let day = Duration::from_secs(24 * 3600 + 600);
    let moved = serde_json::json!({"jwks_uri": "https://elsewhere.example/keys"});
    let shorter = serde_json::json!({"keys": {"fresh_secs": 60, "stale_max_secs": 60}});
    let narrower = serde_json::json!({"algorithms": ["EdDSA"]});
    for (change, serves) in [
        (&moved, day),
        (&shorter, Duration::from_secs(120)),
        (&narrower, day),
    ] {
        let mut driver = Driver::new(&["one"]);
        let source = driver.key_fetches()[0];
        driver.keys(at(0), source);
        let changed = policy_with(&["one"], change);
        driver.control.handle_policy(at(10), changed, Vec::new());
        driver.drain();
        driver.wake(at(10));
        let fetches = driver.key_fetches();
        assert_eq!(fetches.len(), 1, "{change}: it is asked for at once");
        assert_ne!(fetches[0], source);
        assert_eq!(driver.key_state(0, at(10)), KeyState::Stale, "{change}");
        let failed = Err(JwksFetchError::Unreachable);
        driver.control.handle_keys(at(11), fetches[0], failed);
        driver.drain();
        driver.keys(at(11), source);
        let end = serves.as_secs();
        assert_eq!(
            driver.key_state(0, at(end - 1)),
            KeyState::Stale,
            "{change}"
        );
        assert_eq!(driver.key_state(0, at(end)), KeyState::Expired, "{change}");
        let before = driver.control.snapshot().clone();
        let before = before.keys.issuer(IssuerId(0)).unwrap();
        let other = JWKS.replace("\"a\"", "\"b\"").into();
        driver.control.handle_keys(at(12), fetches[0], Ok(other));
        driver.drain();
        let after = driver.control.snapshot().clone();
        let after = after.keys.issuer(IssuerId(0)).unwrap();
        assert!(after.epoch > before.epoch && after.generation > before.generation);
        let has = |kid| after.usable(at(12).mono).unwrap().has(kid);
        assert_eq!([has("a"), has("b")], [false, true], "{change}");
    }
}

/// Catches: keys of one issuer under the name of another.
#[test]
fn another_issuer_with_the_same_name_gets_none_of_the_keys() {
    let mut driver = Driver::new(&["one"]);
    let source = driver.key_fetches()[0];
    driver.keys(at(0), source);
    let other = serde_json::json!({"issuer": "https://one.example/other"});
    let policy = policy_with(&["one"], &other);
    driver.control.handle_policy(at(1), policy, Vec::new());
    driver.drain();
    driver.wake(at(1));
    assert_eq!(driver.key_state(0, at(1)), KeyState::Empty);
}

#[test]
fn a_registry_is_freed_once_no_request_holds_it() {
    let mut driver = Driver::new(&[]);
    driver.registry(at(0), &document(1));
    let held = Arc::clone(driver.control.snapshot());
    driver.registry(at(10), &document(2));
    driver.outputs.clear();
    let freed = |driver: &Driver| driver.outputs.iter().any(|o| matches!(o, Output::Free(_)));

    driver.wake(at(12));
    assert!(!freed(&driver), "a request still holds it");
    drop(held);
    assert!(
        driver
            .control
            .poll_timeout()
            .is_some_and(|(_, why)| why == Wake::Free)
    );
    driver.wake(at(14));
    assert!(freed(&driver));
}

#[test]
fn a_failing_source_loses_nothing() {
    let mut driver = Driver::new(&["one"]);
    let source = driver.key_fetches()[0];
    driver.registry(at(0), &document(5));
    driver.keys(at(0), source);
    let failure = RegistryFetchError {
        problem: FetchProblem::TimedOut,
        detail: "slow".into(),
    };
    driver.control.handle_registry(at(20), Err(failure));
    driver.drain();
    driver.registry(at(30), &document(4));
    driver.registry(at(40), "not a document");
    driver
        .control
        .handle_keys(at(40), source, Err(JwksFetchError::Timeout));
    driver.drain();
    let snapshot = driver.control.snapshot();
    assert_eq!(snapshot.registry.as_ref().unwrap().version(), 5);
    assert_eq!(driver.key_state(0, at(40)), KeyState::Fresh);
}

#[test]
fn a_refresh_asks_failing_issuers_and_leaves_the_others_alone() {
    let mut driver = Driver::new(&["good", "bad"]);
    let sources = driver.key_fetches();
    driver.keys(at(0), sources[0]);
    driver
        .control
        .handle_keys(at(0), sources[1], Err(JwksFetchError::Tls));
    driver.drain();
    driver.outputs.clear();

    driver.control.handle_refresh(at(1));
    driver.drain();
    assert_eq!(driver.key_fetches(), [sources[1]]);
    driver.control.handle_refresh(at(1));
    driver.drain();
    assert_eq!(driver.key_fetches(), [], "one fetch at a time");
}
