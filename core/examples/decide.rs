//! Decides without any IO: `cargo run -p cellway-core --example decide`.
//!
//! Core says who is calling and which cell serves them, from values that you pass in. So a service,
//! a test or a command-line tool can ask without running a router.

use std::sync::Arc;

use cellway_core::headers::sanitize;
use cellway_core::health::Health;
use cellway_core::identify::Memo;
use cellway_core::keys::KeyTable;
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_core::registry::Registry;
use cellway_core::{Evidence, Now, Outcome, Snapshot, Steps, decide};
use http::{HeaderMap, HeaderValue, Method};

/// A policy without authentication, so that the example needs no token: every request counts as
/// the tenant `acme`.
const POLICY: &str = r#"{ "policy": [{
    "name": "example", "mode": "disabled", "allow_insecure": true,
    "insecure_identity": { "tenant": "acme" }
}] }"#;

const REGISTRY: &str = r#"{
    "version": 1,
    "cells": [{ "id": "eu-1", "tier": "standard", "region": "eu", "state": "active",
                "endpoints": [{ "url": "https://eu-1.internal:443" }] }],
    "tenants": [{ "id": "acme", "cell": "eu-1" }]
}"#;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let specs: PolicySpecs = serde_json::from_str(POLICY)?;
    let policy = Policy::build(&specs).map_err(|errors| errors[0].clone())?;
    let id = policy.policy_id("example").ok_or("no such policy")?;
    let snapshot = Snapshot {
        epoch: 1,
        policy: Arc::new(policy),
        keys: Arc::new(KeyTable::default()),
        registry: Some(Arc::new(Registry::from_json(REGISTRY)?)),
        cell_keys: Arc::default(),
        registry_stale: false,
        status_ages_at: None,
        status_expires_at: None,
        health: Arc::new(Health::default()),
    };

    // The client claims to be somebody else. Sanitizing always comes first.
    let mut headers = HeaderMap::new();
    headers.insert("x-cellway-tenant", HeaderValue::from_static("globex"));
    let credentials = sanitize(&snapshot.policy.headers, &mut headers)?;
    assert!(headers.is_empty());

    let evidence = Evidence {
        policy: id,
        method: &Method::GET,
        authority: "api.example",
        path: "/orders",
        credentials: &credentials,
        peer: None,
        spread: 0,
        waited: false,
    };
    let mut steps = Steps::default();
    let outcome = decide(
        &snapshot,
        &evidence,
        Now::default(),
        &mut Memo::disabled(),
        &mut steps,
    );
    print!("{steps}");
    match outcome {
        Outcome::Done(decision) => println!("{}", serde_json::to_string_pretty(&decision)?),
        Outcome::Wait(wait) => println!("fetch the keys of {:?}, then ask again", wait.issuer),
    }
    Ok(())
}
