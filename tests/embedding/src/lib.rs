//! Somebody else's program, which embeds a router by its public API alone.
//!
//! It depends on no crate of the workspace's internals, so that a public API that can't be used
//! without one doesn't compile here.
#![forbid(unsafe_code)]
#![cfg(test)]

use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_router::Router;
use cellway_testbed::{Client, EchoCell, IdentityProvider, Request};

/// A configuration that takes tokens of `issuer`.
fn config(issuer: &str) -> String {
    format!(
        r#"
            listener = [{{ name = "in", bind = "127.0.0.1:0" }}]
            issuer = [{{ name = "idp", issuer = "{issuer}", audience = "cellway" }}]
            policy = [{{ name = "default", mode = "required", any_of = ["jwt"] }}]
        "#
    )
}

/// One cell, which has the tenant `acme`.
fn registry(cell: &str) -> String {
    format!(
        r#"{{ "version": 1,
              "cells": [{{ "id": "eu-1", "tier": "standard", "region": "eu", "state": "active",
                           "endpoints": [{{ "url": "http://{cell}" }}] }}],
              "tenants": [{{ "id": "acme", "cell": "eu-1" }}] }}"#
    )
}

#[tokio::test]
async fn two_texts_make_a_router_and_each_host_a_line() {
    let env = TokioEnv::new();
    let (cell, address) = EchoCell::start(&env, "eu-1").await.unwrap();
    let idp = IdentityProvider::start(&env).await.unwrap();
    let registry = registry(&address.to_string());
    let builder = Router::from_text(&config(idp.issuer()), registry).unwrap();
    let router = builder.start().await.unwrap();
    router.ready().await;
    let client = Client::plain(env.clone(), router.addresses()[0].1);

    let token = idp.token(&env, "acme").unwrap();
    let answer = client.send(Request::get("/").bearer(&token)).await.unwrap();
    assert_eq!(answer.status, 200);
    let echo = String::from_utf8_lossy(&answer.body);
    for header in [r#""x-cellway-tenant": "acme""#, r#""x-cellway-sub": "ada""#] {
        assert!(echo.contains(header), "{echo}");
    }

    let stranger = idp.token(&env, "hooli").unwrap();
    let other = idp.sign(&idp.claims(&env, "acme").with("aud", "another"));
    let refused = [
        (Request::get("/"), 401, "missing_token"),
        (Request::get("/").bearer(&stranger), 403, "tenant_unknown"),
        (
            Request::get("/").bearer(&other.unwrap()),
            401,
            "wrong_audience",
        ),
    ];
    for (request, status, reason) in refused {
        let answer = client.send(request).await.unwrap();
        let body = String::from_utf8_lossy(&answer.body);
        assert_eq!(answer.status, status, "{body}");
        assert!(body.contains(reason), "{body}");
    }
    assert_eq!(cell.arrivals(), 1, "only the good token reaches the cell");
    router.drain(Duration::ZERO).await;
}

/// Catches: a source in the file that is an error, or is read, beside the registry's text.
#[tokio::test]
async fn the_text_replaces_the_source_of_the_file() {
    let source = "[registry]\nurl = \"https://control.invalid/cells\"\n";
    let config = format!("{}\n{source}", config("https://idp.example"));
    let builder = Router::from_text(&config, registry("127.0.0.1:1")).unwrap();
    let router = builder.start().await.unwrap();
    router.drain(Duration::ZERO).await;
}

#[tokio::test]
async fn mistakes_are_told_before_it_starts() {
    let config = config("https://idp.example");
    let wrong = config.replace("bind", "bound");
    let errors = Router::from_text(&wrong, registry("127.0.0.1:1")).unwrap_err();
    assert!(errors.to_string().contains("bound"), "{errors}");
    let builder = Router::from_text(&config, "{}").unwrap();
    let error = builder.start().await.unwrap_err();
    assert!(error.to_string().contains("registry"), "{error}");
}
