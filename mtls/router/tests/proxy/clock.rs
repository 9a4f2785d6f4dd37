//! Sets the wall clock ahead and back while the router runs. Only the router's clock is set, not
//! the machine's.

use std::sync::Arc;

use cellway_core::policy::{Policy, PolicySpecs};
use cellway_router::{Handle, Router};
use cellway_testbed::{
    Answer, Claims, Client, EchoCell, IdentityProvider, Request, Signer, TlsProvider,
};
use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::json;

use crate::stepped_clock::Stepped;
use crate::world::{EventLog, now, plain, reason, set_policy};

/// A router with its own clock, in front of the cell `a` with the tenant `acme`. The cell `b` may
/// call it, and each of its authorizations is accepted once.
struct Scene {
    env: Stepped,
    idp: IdentityProvider,
    caller: Signer,
    handle: Handle<Stepped, EventLog>,
}

impl Scene {
    async fn new() -> Self {
        let env = Stepped::new(now().as_secs());
        let idp = IdentityProvider::start(&env).await.unwrap();
        let (_, address) = EchoCell::start(&env, "a").await.unwrap();
        let caller = Signer::from_seed("b-1", [9; 32]).unwrap();
        let keys = json!({ "keys": [caller.jwk()] }).to_string();
        let endpoints = json!([{ "url": format!("http://{address}") }]);
        let cell = |id: &str| {
            json!({"id": id, "tier": "t", "region": "r", "state": "active",
                   "endpoints": endpoints, "annotations": {"cba-jwks": keys}})
        };
        let registry = json!({"version": 1, "cells": [cell("a"), cell("b")],
                              "tenants": [{"id": "acme", "cell": "a"}]});
        let mut settings = plain(registry.to_string().into());
        set_policy(&mut settings, policy(idp.issuer()));
        let crypto = TlsProvider::default().crypto;
        let time = Arc::new(env.clone());
        let router = Router::builder(env.clone(), settings, crypto, time, EventLog::default());
        let handle = router.start().await.unwrap();
        handle.ready().await;
        Self {
            env,
            idp,
            caller,
            handle,
        }
    }

    fn client(&self) -> Client<Stepped> {
        Client::plain(self.env.clone(), self.handle.addresses()[0].1)
    }

    /// An authorization of `b` that is valid for this many seconds from now.
    fn authorization(&self, jti: &str, secs: u64) -> String {
        let now = self.env.now();
        let claims = Claims::cell_bound("b", "a", jti, now)
            .with("tenant", "acme")
            .with("exp", now.as_secs() + secs)
            .subject("ada");
        claims.sign(&self.caller).unwrap()
    }

    /// Calls as `b`, with a long-lived token, and returns the result.
    async fn call(&self, token: &str, shown: &str) -> String {
        let name = HeaderName::from_static("cell-bound-authorization");
        let request = Request::get("/").bearer(token);
        let request = request.header(name, HeaderValue::try_from(shown).unwrap());
        outcome(&self.client().send(request).await.unwrap())
    }
}

fn policy(issuer: &str) -> Arc<Policy> {
    let specs = json!({
        "issuer": [{"name": "idp", "issuer": issuer, "audience": "cellway"}],
        "policy": [{"name": "default", "any_of": ["jwt"]}],
        "cba": {"one_use": true},
    });
    let specs: PolicySpecs = serde_json::from_value(specs).unwrap();
    Arc::new(Policy::build(&specs).unwrap())
}

/// `served`, or the reason of the refusal.
fn outcome(answer: &Answer) -> String {
    match answer.status {
        StatusCode::OK => "served".to_owned(),
        _ => reason(answer),
    }
}

/// Catches: a cached token, or a token on an open connection, whose times are not checked again
/// after the clock was set.
#[tokio::test]
async fn a_token_follows_the_clock_on_an_open_connection() {
    let scene = Scene::new().await;
    let token = scene.idp.token(&scene.env, "acme").unwrap();
    let mut connection = scene.client().connect().await.unwrap();
    for (when, step, expected) in [
        ("when it was issued", 0, "served"),
        ("two hours later", 7_200, "expired_token"),
        ("back again", -7_200, "served"),
        ("an hour before it was issued", -3_600, "not_yet_valid"),
        ("at the right time", 3_600, "served"),
    ] {
        scene.env.step(step);
        let request = Request::get("/").bearer(&token);
        let answer = connection.send(request).await.unwrap();
        assert_eq!(outcome(&answer), expected, "{when}");
    }
}

/// Catches: an authorization that is accepted a second time because the clock was set back after
/// its use was forgotten.
#[tokio::test]
async fn a_used_authorization_stays_used_when_the_clock_goes_back() {
    let scene = Scene::new().await;
    let token = scene.idp.token(&scene.env, "acme").unwrap();
    let used = scene.authorization("used", 1);
    assert_eq!(scene.call(&token, &used).await, "served");
    assert_eq!(scene.call(&token, &used).await, "cba_replayed");
    // By now the router has forgotten the use.
    scene.env.pass(1).await;
    assert_eq!(scene.call(&token, &used).await, "cba_expired");
    scene.env.step(-1);
    // It would be valid again, and the router can't know whether it was used.
    assert_eq!(scene.call(&token, &used).await, "cba_expired");
    let later = scene.authorization("later", 30);
    assert_eq!(scene.call(&token, &later).await, "served");
}
