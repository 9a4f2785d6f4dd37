//! A router inside your own process: `cargo run -p cellway-router --example embedded`.
//!
//! A test of your service can start the router that will stand before it, with the real listener,
//! the real proxy path and the real decisions, in a few lines, and send requests through it.

use std::sync::Arc;
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_env::{Env, Listener};
use cellway_router::Router;
use cellway_router::config::Config;
use cellway_router::sources::RegistryLocation;
use cellway_testbed::{Client, EchoCell, Protocol, Request, ServerTls, Target};
use rustls::crypto::aws_lc_rs;
use rustls::time_provider::DefaultTimeProvider;

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

    [registry]
    file = "replaced below"
"#;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let env = TokioEnv::new();

    // Your service; here a cell that answers with what it received.
    let listener = env.bind("127.0.0.1:0".parse()?, false).await?;
    let port = listener.local_addr()?.port();
    let cell = EchoCell::new("eu-1", |_| ());
    env.spawn({
        let env = env.clone();
        async move {
            let _ = cell.serve(env, listener, ServerTls::plain()).await;
        }
    });

    // The router, with the registry as a value.
    let registry = format!(
        r#"{{ "version": 1,
              "cells": [{{ "id": "eu-1", "tier": "standard", "region": "eu", "state": "active",
                           "endpoints": [{{ "url": "http://127.0.0.1:{port}" }}] }}],
              "tenants": [{{ "id": "acme", "cell": "eu-1" }}] }}"#
    );
    let mut settings = Config::load("embedded.toml", CONFIG, [])?.router;
    settings.sources.registry.location = RegistryLocation::Text(registry.into());
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clock = Arc::new(DefaultTimeProvider);
    let router = Router::builder(env.clone(), settings, provider, clock, ())
        .start()
        .await?;
    router.ready().await;

    // A client that claims to be somebody else.
    let address = router.addresses()[0].1;
    let target = Target {
        host: address.ip().to_string(),
        port: address.port(),
        tls: None,
        protocol: Protocol::Http1,
    };
    let client = Client::new(env, target, Duration::from_secs(5));
    let request = Request::get("/orders").header("x-cellway-tenant".parse()?, "globex".parse()?);
    let answer = client.send(request).await?;
    println!("{}", answer.status);
    println!("{}", String::from_utf8_lossy(&answer.body));

    router.drain(Duration::from_secs(1)).await;
    Ok(())
}
