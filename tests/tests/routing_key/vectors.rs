//! The test vectors of `docs/routing-key.md`, and its other examples.

use std::fs;

use cellway_core::Reason;
use cellway_core::routing_key::{Signed, canonical};
use cellway_router::config::Config;
use cellway_tests::decide::{Core, Request, Sources, at};
use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

const PAGE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/routing-key.md");

#[derive(Deserialize)]
struct Vectors {
    signers: Vec<Signer>,
    vectors: Vec<Vector>,
}

#[derive(Deserialize)]
struct Signer {
    kid: String,
    jwk: Value,
}

#[derive(Deserialize)]
struct Vector {
    method: String,
    authority: String,
    path: String,
    key: String,
    signed: String,
    signature: String,
}

/// The fenced blocks of this language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let begun = page.split(&fence).skip(1);
    begun
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

fn vectors() -> Vectors {
    let page = fs::read_to_string(PAGE).unwrap();
    let blocks = blocks(&page, "json");
    assert_eq!(blocks.len(), 1, "the page has one block of vectors");
    serde_json::from_str(&blocks[0]).unwrap()
}

/// A core that takes the signers' keys, and no other credential.
fn core(signers: &[Signer]) -> Core {
    let signer = |signer: &Signer| json!({"kid": signer.kid, "jwk": signer.jwk, "tenants": "any"});
    let config = json!({
        "policy": [{"name": "keys", "any_of": ["routing_key"]}],
        "routing_key": {"signer": signers.iter().map(signer).collect::<Vec<_>>()},
    });
    let registry = json!({
        "version": 1,
        "cells": [{"id": "one", "tier": "standard", "region": "eu", "state": "active",
                   "endpoints": [{"url": "https://one.internal:443"}]}],
        "placements": [],
        "tenants": [{"id": "acme", "cell": "one"}, {"id": "Acme Corp.", "cell": "one"}],
    });
    let sources = Sources {
        registry: Some(registry.to_string()),
        ..Sources::default()
    };
    Core::new(&toml::to_string(&config).unwrap(), sources)
}

fn request(vector: &Vector, path: &str) -> Request {
    let method = Method::from_bytes(vector.method.as_bytes()).unwrap();
    Request::to("keys")
        .target(method, &vector.authority, path)
        .header("x-routing-key", &vector.key)
        .header("x-routing-key-signature", &vector.signature)
}

#[test]
fn vectors_hold() {
    let Vectors { signers, vectors } = vectors();
    assert!(vectors.len() >= 4);
    for vector in &vectors {
        let mut core = core(&signers);
        let parts: Vec<_> = vector.signature.split("; ").collect();
        let [_, kid, time, _] = parts[..] else {
            panic!("{}", vector.signature);
        };
        let signed = Signed {
            kid: kid.strip_prefix("kid=").unwrap(),
            time: time.strip_prefix("t=").unwrap().parse().unwrap(),
            method: &Method::from_bytes(vector.method.as_bytes()).unwrap(),
            authority: &vector.authority,
            path: &vector.path,
            key: &vector.key,
        };
        assert_eq!(canonical(&signed), vector.signed.as_bytes());
        let mut reason = |path: &str, secs| {
            let (decision, steps) = core.decide(&request(vector, path), at(secs));
            if let cellway_core::Decision::Allow(allow) = &decision {
                let tenant = allow.identity.tenant.as_ref().unwrap();
                assert_eq!(tenant.as_str(), vector.key, "{steps}");
            }
            decision.reason()
        };
        assert_eq!(reason(&vector.path, 0), Reason::Verified);
        assert_eq!(reason(&vector.path, 60), Reason::Verified);
        assert_eq!(reason(&vector.path, 61), Reason::RoutingKeyExpired);
        assert_eq!(reason("/other", 0), Reason::RoutingKeyBadSignature);
    }
}

/// The settings on the page are some that a router starts with.
#[test]
fn settings_load() {
    let page = fs::read_to_string(PAGE).unwrap();
    let settings = &blocks(&page, "toml")[0];
    let around = r#"
        [[listener]]
        name = "public"
        bind = "127.0.0.1:0"
        [listener.tls]
        certificate = "server.pem"
        key = "server.key"
        client_certificate = "optional"

        [[issuer]]
        name = "main"
        issuer = "https://idp.example"
        audience = "cellway"

        [trust]
        bundle = "clients.pem"
        trust_domains = ["example"]

        [registry]
        file = "registry.json"
    "#;
    // As the page says, with an issuer each must say for whom it speaks.
    let load = |settings: &str| Config::load("cellway.toml", &format!("{around}\n{settings}"), []);
    let errors = load(settings).err().map(|errors| errors.to_string());
    let errors = errors.expect("the first gateway doesn't say for whom");
    assert!(
        errors.contains("routing_key.gateways[0].tenants"),
        "{errors}"
    );
    let bare = "\"spiffe://example/gateway\"";
    assert!(settings.contains(bare));
    let bound = settings.replace(bare, &format!("{{ san = {bare}, tenants = \"any\" }}"));
    let config = load(&bound).unwrap_or_else(|errors| panic!("{errors}"));
    let rules = &config.router.policy.routing_key;
    assert_eq!((rules.gateways(), rules.signers()), (2, 1));
}
