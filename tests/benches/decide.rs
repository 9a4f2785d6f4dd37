//! What one decision costs: with a token seen before, with one never seen, and the signature check
//! that nobody can do without. And what an identity envelope costs on top, at the router and at the
//! cell.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::envelope::{
    EnvelopeContents, HmacKey, KeyRing, RingEntry, RingTiming, SigningKey, Verifier, VerifierSpec,
    seal, seal_hmac,
};
use cellway_core::headers::{HeaderRules, sanitize};
use cellway_core::identify::Memo;
use cellway_core::keys::KeySet;
use cellway_core::{Credentials, Decision, Evidence, Outcome, Snapshot, decide};
use cellway_testbed::{Algorithm, Claims, Signer};
use cellway_tests::decide::{AUDIENCE, Core, EPOCH, ISSUER, Sources, at, jwks};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderValue, Method, header};

const CONFIG: &str = r#"
    [[issuer]]
    name = "main"
    issuer = "https://idp.example"
    audience = "cellway"

    [[policy]]
    name = "default"
    any_of = ["jwt"]
"#;

/// Tenants, and so tokens, in turn: more than fit into a processor's first cache.
const TENANTS: usize = 1_000;

struct World {
    snapshot: Arc<Snapshot>,
    tokens: Vec<String>,
    credentials: Vec<Credentials>,
    public_key: jsonwebtoken::DecodingKey,
}

fn world() -> World {
    let signer = Signer::generate("bench", Algorithm::Rs256).expect("a key");
    let tenants: Vec<_> = (0..TENANTS).map(|i| format!("tenant-{i:06}")).collect();
    let listed: Vec<_> = tenants
        .iter()
        .map(|id| format!(r#"{{"id": "{id}", "cell": "a"}}"#))
        .collect();
    let registry = format!(
        r#"{{"version": 1, "cells": [{{"id": "a", "tier": "std", "region": "eu", "state": "active",
             "endpoints": [{{"url": "https://a.internal:443"}}]}}], "tenants": [{}]}}"#,
        listed.join(",")
    );
    let sources = Sources {
        jwks: Some(jwks(&[&signer])),
        registry: Some(registry),
    };
    let core = Core::new(CONFIG, sources);
    let lifetime = Duration::from_secs(3600);
    let token = |tenant: &String| {
        Claims::new(ISSUER, AUDIENCE, EPOCH, lifetime)
            .tenant(tenant)
            .subject("ada")
            .sign(&signer)
    };
    let tokens: Vec<_> = tenants
        .iter()
        .map(|id| token(id).expect("a token"))
        .collect();
    let jwk = serde_json::from_value(signer.jwk()).expect("a JWK");
    World {
        snapshot: Arc::clone(core.snapshot()),
        credentials: tokens.iter().map(|token| credentials(token)).collect(),
        public_key: jsonwebtoken::DecodingKey::from_jwk(&jwk).expect("a key"),
        tokens,
    }
}

fn credentials(token: &str) -> Credentials {
    let mut headers = HeaderMap::new();
    let value = HeaderValue::try_from(format!("Bearer {token}")).expect("a header value");
    headers.insert(header::AUTHORIZATION, value);
    sanitize(&HeaderRules::default(), &mut headers).expect("a Connection to obey")
}

fn decide_one(world: &World, credentials: &Credentials, memo: &mut Memo) -> Outcome {
    let evidence = Evidence {
        policy: world
            .snapshot
            .policy
            .policy_id("default")
            .expect("the policy"),
        method: &Method::GET,
        authority: "api.example",
        path: "/orders?page=2",
        credentials,
        peer: None,
        spread: 0,
        waited: false,
    };
    decide(&world.snapshot, &evidence, at(1), memo, &mut ())
}

fn decisions(c: &mut Criterion) {
    let world = world();
    let mut group = c.benchmark_group("decide");
    let mut memo = Memo::new(Memo::CAPACITY_DEFAULT, 7);
    let mut turn = (0..TENANTS).cycle();
    group.bench_function("cached, one token", |b| {
        b.iter(|| black_box(decide_one(&world, &world.credentials[0], &mut memo)));
    });
    group.bench_function("cached, 1000 tokens in turn", |b| {
        b.iter(|| {
            let credentials = &world.credentials[turn.next().unwrap_or_default()];
            black_box(decide_one(&world, credentials, &mut memo))
        });
    });
    group.bench_function("RS256, not cached", |b| {
        let mut none = Memo::disabled();
        b.iter(|| black_box(decide_one(&world, &world.credentials[0], &mut none)));
    });
    group.bench_function("RS256, the bare signature check", |b| {
        let (message, signature) = world.tokens[0].rsplit_once('.').expect("three parts");
        let algorithm = jsonwebtoken::Algorithm::RS256;
        b.iter(|| {
            jsonwebtoken::crypto::verify(
                black_box(signature),
                message.as_bytes(),
                &world.public_key,
                algorithm,
            )
        });
    });
    group.finish();
}

/// Sealing is done for each verified request, verifying by each cell that looks.
fn envelopes(c: &mut Criterion) {
    let world = world();
    let outcome = decide_one(&world, &world.credentials[0], &mut Memo::disabled());
    let Outcome::Done(Decision::Allow(allow)) = outcome else {
        unreachable!("the token is good: {outcome:?}");
    };
    let key = SigningKey::from_seed("bench", &[1; 32]).expect("a key");
    let shared = HmacKey::new("shared", "a", &[2; 32]).expect("a key");
    let sealing = EnvelopeContents {
        issuer: "cellway",
        identity: &allow.identity,
        cell: &allow.cell.id,
        placement_epoch: allow.placement_epoch,
        id: "f1ffe1ea2d064e1f0000000000000014",
        method: &Method::GET,
        target: "/orders?page=2",
        now: EPOCH,
        lifetime: Duration::from_secs(30),
    };
    let rules = HeaderRules::default();
    let jws = HeaderMap::from_iter([(rules.envelope().clone(), seal(&key, &sealing))]);
    let names = rules.envelope_hmac().iter().cloned();
    let hmac: HeaderMap = names.zip(seal_hmac(&shared, &sealing)).collect();
    let entry = RingEntry {
        key: Arc::new(key),
        added: EPOCH,
        sign_from: EPOCH,
    };
    let timing = RingTiming {
        max_age: Duration::from_secs(300),
        lifetime: Duration::from_secs(30),
    };
    let ring = KeyRing::new(vec![entry], timing, at(0), None).expect("a ring");
    let keys = ring.jwks(at(0));
    let keys = KeySet::parse(keys.as_bytes(), &Verifier::ALGORITHMS).expect("keys");
    let verifier = Verifier::new(VerifierSpec {
        hmac: vec![HmacKey::new("shared", "a", &[2; 32]).expect("a key")],
        ..VerifierSpec::new("a")
    });
    let verifier = verifier.expect("a verifier");

    let mut group = c.benchmark_group("envelope");
    group.bench_function("seal, JWS", |b| {
        b.iter(|| black_box(seal(ring.signing(at(1)), black_box(&sealing))));
    });
    group.bench_function("seal, HMAC", |b| {
        b.iter(|| black_box(seal_hmac(&shared, black_box(&sealing))));
    });
    for (name, headers) in [("verify, JWS", &jws), ("verify, HMAC", &hmac)] {
        let (method, target) = (sealing.method, sealing.target);
        let verify = || verifier.check(Some(&keys), method, target, headers, EPOCH);
        assert!(verify().is_ok(), "{name}");
        group.bench_function(name, |b| b.iter(|| black_box(verify())));
    }
    group.finish();
}

criterion_group!(benches, decisions, envelopes);
criterion_main!(benches);
