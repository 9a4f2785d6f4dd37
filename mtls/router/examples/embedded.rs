//! A router inside your own process: `cargo run -p cellway-router --example embedded`.
//!
//! A test of your service can start the router that will stand before it, with the real listener,
//! the real proxy path and the real decisions, in a few lines, and send requests through it.

use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_router::Router;
use cellway_testbed::{Client, EchoCell, Request};

/// The same tables as in `cellway.toml`. Authentication is off to keep the example short: that is
/// allowed on loopback only, and must be asked for twice.
const CONFIG: &str = r#"
    [[listener]]
    name = "test"
    bind = "127.0.0.1:0"
    policy = "open"

    [[policy]]
    name = "open"
    mode = "disabled"
    allow_insecure = true
    insecure_identity = { tenant = "acme" }
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    // Your service; here a cell that answers with what it received.
    let env = TokioEnv::new();
    let (_cell, address) = EchoCell::start(&env, "eu-1").await?;

    let registry = format!(
        r#"{{ "version": 1,
              "cells": [{{ "id": "eu-1", "tier": "standard", "region": "eu", "state": "active",
                           "endpoints": [{{ "url": "http://{address}" }}] }}],
              "tenants": [{{ "id": "acme", "cell": "eu-1" }}] }}"#
    );
    let router = Router::from_text(CONFIG, registry)?.start().await?;
    router.ready().await;

    // A client that claims to be somebody else.
    let client = Client::plain(env, router.addresses()[0].1);
    let request = Request::get("/orders").header("x-cellway-tenant".parse()?, "globex".parse()?);
    let answer = client.send(request).await?;
    println!("{}", answer.status);
    println!("{}", String::from_utf8_lossy(&answer.body));

    router.drain(Duration::from_secs(1)).await;
    Ok(())
}
