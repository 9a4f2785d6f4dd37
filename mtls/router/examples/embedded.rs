//! A router inside your own process: `cargo run -p cellway-router --example embedded`.
//!
//! In a few lines, a test of your service can start the router that will be in front of it, with
//! the real listener, proxy path and decisions, and send requests through it.

use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_router::Router;
use cellway_testbed::{Client, EchoCell, IdentityProvider, Request};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Your service and your identity provider. Here the service is a cell that answers with what it
    // received.
    let env = TokioEnv::new();
    let (_cell, cell) = EchoCell::start(&env, "eu-1").await?;
    let idp = IdentityProvider::start(&env).await?;

    let router = Router::from_text(&config(idp.issuer()), registry(&cell.to_string()))?;
    let router = router.start().await?;
    router.ready().await;

    // A client of the tenant acme that claims to be another tenant.
    let client = Client::plain(env.clone(), router.addresses()[0].1);
    let request = Request::get("/orders")
        .bearer(&idp.token(&env, "acme")?)
        .header("x-cellway-tenant".parse()?, "globex".parse()?);
    let answer = client.send(request).await?;
    println!("with a token: {}", answer.status);
    println!("{}", String::from_utf8_lossy(&answer.body));

    let answer = client.send(Request::get("/orders")).await?;
    println!("without: {}", answer.status);
    println!("{}", String::from_utf8_lossy(&answer.body));

    router.drain(Duration::from_secs(1)).await;
    Ok(())
}

/// The same tables as in `cellway.toml`.
fn config(issuer: &str) -> String {
    format!(
        r#"
            [[listener]]
            name = "test"
            bind = "127.0.0.1:0"

            [[issuer]]
            name = "idp"
            issuer = "{issuer}"
            audience = "cellway"

            [[policy]]
            name = "default"
            mode = "required"
            any_of = ["jwt"]
        "#
    )
}

/// One cell, which has one tenant.
fn registry(cell: &str) -> String {
    format!(
        r#"{{ "version": 1,
              "cells": [{{ "id": "eu-1", "tier": "standard", "region": "eu", "state": "active",
                           "endpoints": [{{ "url": "http://{cell}" }}] }}],
              "tenants": [{{ "id": "acme", "cell": "eu-1" }}] }}"#
    )
}
