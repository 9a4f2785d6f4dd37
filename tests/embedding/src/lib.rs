//! Somebody else's program, which embeds a router by its public API alone.
//!
//! It depends on no crate of the workspace's internals, so that a public API that can't be used
//! without one doesn't compile here.
#![forbid(unsafe_code)]
#![cfg(test)]

use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_router::Router;
use cellway_testbed::{Client, EchoCell, Request};

const CONFIG: &str = r#"
    listener = [{ name = "in", bind = "127.0.0.1:0", policy = "open" }]
    [[policy]]
    name = "open"
    mode = "disabled"
    allow_insecure = true
    insecure_identity = { tenant = "acme" }
"#;

fn registry(endpoint: &str) -> String {
    format!(
        r#"{{ "version": 1,
              "cells": [{{ "id": "eu-1", "tier": "standard", "region": "eu", "state": "active",
                           "endpoints": [{{ "url": "http://{endpoint}" }}] }}],
              "tenants": [{{ "id": "acme", "cell": "eu-1" }}] }}"#
    )
}

#[tokio::test]
async fn two_texts_make_a_router() {
    let env = TokioEnv::new();
    let (cell, address) = EchoCell::start(&env, "eu-1").await.unwrap();
    let builder = Router::from_text(CONFIG, registry(&address.to_string())).unwrap();
    let router = builder.start().await.unwrap();
    router.ready().await;
    let client = Client::plain(env, router.addresses()[0].1);
    assert_eq!(client.send(Request::get("/")).await.unwrap().status, 200);
    assert_eq!(cell.arrivals(), 1);
    router.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn mistakes_are_told_before_it_starts() {
    let wrong = CONFIG.replace("bind", "bound");
    let errors = Router::from_text(&wrong, registry("127.0.0.1:1")).unwrap_err();
    assert!(errors.to_string().contains("bound"), "{errors}");
    let builder = Router::from_text(CONFIG, "{}").unwrap();
    let error = builder.start().await.unwrap_err();
    assert!(error.to_string().contains("registry"), "{error}");
}
