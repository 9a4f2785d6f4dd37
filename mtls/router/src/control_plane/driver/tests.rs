use std::sync::Arc;

use cellway_core::Snapshot;
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_testbed::Signer;
use rustls::RootCertStore;
use tokio::task::yield_now;

use super::*;
use crate::control_plane::sources::RegistryLocation;
use crate::testing::{Heard, Host};

const KEYS: &str = "keys.json";
const REGISTRY: &str = "registry.json";

fn registry(version: u64) -> String {
    format!(
        r#"{{"version": {version},
            "cells": [{{"id": "a", "tier": "std", "region": "eu", "state": "active",
                        "endpoints": [{{"url": "https://a.internal:443"}}]}}],
            "tenants": [{{"id": "acme", "cell": "a"}}]}}"#
    )
}

fn keys(kid: &str) -> String {
    let jwk = Signer::from_seed(kid, [1; 32]).unwrap().jwk();
    serde_json::json!({ "keys": [jwk] }).to_string()
}

fn policy() -> Arc<Policy> {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "issuer": [{ "name": "main", "issuer": "https://idp.example", "audience": "a",
                     "jwks_file": KEYS }],
        "policy": [{ "name": "default", "any_of": ["jwt"] }],
    }))
    .unwrap();
    Arc::new(Policy::build(&specs).unwrap())
}

struct Running {
    snapshots: Arc<SnapshotCell>,
    commands: mpsc::Sender<Command>,
    heard: Heard,
}

/// Starts a driver whose keys and registry are files of `host`.
fn start(host: &Host) -> Running {
    start_with(host, None)
}

/// The same, with a key set that was read before.
fn start_with(host: &Host, keys: Option<String>) -> Running {
    let heard = Heard::default();
    let tls = ClientConfig::builder_with_provider(Arc::new(
        rustls::crypto::aws_lc_rs::default_provider(),
    ))
    .with_safe_default_protocol_versions()
    .unwrap()
    .with_root_certificates(RootCertStore::empty())
    .with_no_client_auth();
    let mut sources = Sources::new(RegistryLocation::File(REGISTRY.to_owned()));
    sources.state = Some("state".to_owned());
    let clock = Clock::new(host.clone());
    let tls = Arc::new(ArcSwap::from_pointee(tls));
    let policy = policy();
    let issuer = policy.issuer_ids().next().unwrap();
    let mut driving = Driver::new(host.clone(), clock, heard.clone(), policy, sources, tls);
    let keys = keys.map(|body| (issuer, body.into()));
    driving.driver.begin_with(keys.into_iter().collect());
    host.spawn(driving.driver.run());
    Running {
        snapshots: driving.snapshots,
        commands: driving.commands,
        heard,
    }
}

impl Running {
    /// Waits for a snapshot of which `holds`. Time is paused, so waiting costs none.
    async fn until(&self, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        loop {
            let mut published = std::pin::pin!(self.snapshots.published().notified());
            published.as_mut().enable();
            let snapshot = Arc::clone(&self.snapshots.snapshot());
            if holds(&snapshot) {
                return snapshot;
            }
            published.await;
        }
    }

    async fn until_heard(&self, event: &str) -> String {
        loop {
            if let Some(line) = self.heard.of(event).pop() {
                return line;
            }
            // Something is due sooner or later; if nothing is, the test hangs and says where.
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
    }
}

fn version(snapshot: &Snapshot) -> Option<u64> {
    snapshot
        .registry
        .as_ref()
        .map(|registry| registry.version())
}

fn generation(snapshot: &Snapshot) -> u64 {
    snapshot.keys.issuers[0].generation
}

#[tokio::test(start_paused = true)]
async fn fetches_publishes_and_follows_changes() {
    let host = Host::new();
    host.disk.put(KEYS, keys("k1"));
    host.disk.put(REGISTRY, registry(1));
    let running = start(&host);
    let first = running
        .until(|snapshot| version(snapshot) == Some(1) && generation(snapshot) > 0)
        .await;
    host.disk.put(REGISTRY, registry(2));
    running.until(|snapshot| version(snapshot) == Some(2)).await;

    // Key files are read again when somebody asks.
    host.disk.put(KEYS, keys("k2"));
    running.commands.send(Command::Refresh).await.unwrap();
    let before = generation(&first);
    running
        .until(|snapshot| generation(snapshot) > before)
        .await;
}

/// Catches: key sets that are thrown away after they were examined, and read again from a file that is
/// another by then, or gone.
#[tokio::test(start_paused = true)]
async fn key_files_that_were_examined_are_put_in_force() {
    let host = Host::new();
    host.disk.put(REGISTRY, registry(1));
    let running = start_with(&host, Some(keys("k1")));
    running.until(|snapshot| generation(snapshot) > 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_router_that_comes_back_knows_what_it_knew() {
    let host = Host::new();
    host.disk.put(KEYS, keys("k1"));
    host.disk.put(REGISTRY, registry(7));
    let before = start(&host);
    before
        .until(|snapshot| version(snapshot) == Some(7) && generation(snapshot) > 0)
        .await;
    // Written behind the driver's back, in order; the registry may come before the keys.
    while host.disk.get("state/registry.keep").is_none()
        || host.disk.get("state/keys-main.keep").is_none()
    {
        yield_now().await;
    }
    before.commands.send(Command::Stop).await.unwrap();

    // Its sources are gone meanwhile, or say what they said long ago.
    host.disk.put(KEYS, "");
    host.disk.put(REGISTRY, registry(6));
    let after = start(&host);
    let snapshot = after
        .until(|snapshot| version(snapshot).is_some() && generation(snapshot) > 0)
        .await;
    assert_eq!(version(&snapshot), Some(7));
    let refused = after.until_heard("registry_refused").await;
    assert!(refused.contains("older_version"), "{refused}");
    after.until_heard("keys_refused").await;
    assert_eq!(version(&after.snapshots.snapshot()), Some(7));
    assert!(after.snapshots.snapshot().keys.issuers[0].set.is_some());
}

#[tokio::test(start_paused = true)]
async fn kept_files_that_are_not_whole_are_reported_and_replaced() {
    let host = Host::new();
    host.disk.put("state/registry.keep", "{\"cellway_keep\":1");
    host.disk.put("state/keys-main.keep", "\u{1}");
    host.disk.put(KEYS, keys("k1"));
    host.disk.put(REGISTRY, registry(1));
    let running = start(&host);
    running.until(|snapshot| version(snapshot) == Some(1)).await;
    assert_eq!(running.heard.of("kept_refused").len(), 2);
    while host.disk.get("state/registry.keep").unwrap().len() < 100 {
        yield_now().await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_disk_is_reported_and_stops_nothing() {
    let host = Host::new();
    host.disk.put(KEYS, keys("k1"));
    host.disk.put(REGISTRY, registry(1));
    host.disk.fill_up();
    let running = start(&host);
    running.until(|snapshot| version(snapshot) == Some(1)).await;
    running.until_heard("keep_failed").await;
}
