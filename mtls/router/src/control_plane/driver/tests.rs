use std::sync::Arc;

use cellway_core::Snapshot;
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_core::registry::Parsed;
use cellway_testbed::Signer;
use rustls::RootCertStore;
use tokio::sync::oneshot::error::RecvError;
use tokio::task::yield_now;

use super::*;
use crate::control_plane::check::{Occasion, registry as registry_of};
use crate::finding::Findings;
use crate::settings::RegistryLocation;
use crate::settings::{AccessLog, RevocationSettings, UpstreamSettings};
use crate::testing::{EventLog, Host};
use crate::tls::Provider;

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

fn policy(name: &str) -> Arc<Policy> {
    let specs: PolicySpecs = serde_json::from_value(serde_json::json!({
        "issuer": [{ "name": "main", "issuer": "https://idp.example", "audience": "a",
                     "jwks_file": KEYS }],
        "policy": [{ "name": name, "any_of": ["jwt"] }],
    }))
    .unwrap();
    Arc::new(Policy::build(&specs).unwrap())
}

/// A configuration with this policy, to replace another.
async fn config(host: &Host, policy: Arc<Policy>, before: Option<&ActiveConfig>) -> ActiveConfig {
    let mut sources = Sources::new(RegistryLocation::File(REGISTRY.to_owned()));
    sources.state = Some("state".to_owned());
    let settings = RouterSettings {
        listeners: Vec::new(),
        policy,
        trust_bundle: None,
        domain_bundles: Vec::new(),
        revocation: RevocationSettings::default(),
        upstream: UpstreamSettings::default(),
        sources,
        envelope: None,
        access_log: AccessLog::Off,
        log: None,
        trace: None,
        explain: None,
        admin_tls: None,
        rate_limits: Default::default(),
        warnings: Vec::new(),
    };
    let (provider, now) = (Provider::default(), Clock::new(host.clone()).now());
    let mut findings = Findings::default();
    let config = ActiveConfig::load(host, &provider, settings, now, before, &mut findings).await;
    assert!(findings.into_vec().is_empty());
    config
}

struct Running {
    views: Arc<ViewCell>,
    commands: mpsc::Sender<Command>,
    events: EventLog,
}

fn fetch() -> ClientConfig {
    ClientConfig::builder_with_provider(Provider::default().crypto)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(RootCertStore::empty())
        .with_no_client_auth()
}

/// Starts a driver whose keys and registry are files of `host`.
async fn start(host: &Host) -> Running {
    start_with(host, None, Checked::Nothing).await
}

/// The registry that the check before a start finds on `host`.
async fn check(host: &Host) -> Checked {
    let settings = config(host, policy("default"), None).await.settings;
    let mut findings = Findings::default();
    let found = registry_of(host, &settings, Occasion::Start, &mut findings).await;
    found.into_checked()
}

/// Starts a driver, with a key set and a registry that were read before.
async fn start_with(host: &Host, keys: Option<String>, checked: Checked) -> Running {
    let events = EventLog::default();
    let clock = Clock::new(host.clone());
    let policy = policy("default");
    let issuer = policy.issuer_ids().next().unwrap();
    let config = Arc::new(config(host, policy, None).await);
    let mut driving = Driver::new(host.clone(), clock, events.clone(), config, fetch());
    let keys = keys.map(|body| (issuer, body.into()));
    driving
        .driver
        .begin_with(keys.into_iter().collect(), checked);
    host.spawn(driving.driver.run());
    Running {
        views: driving.views,
        commands: driving.commands,
        events,
    }
}

impl Running {
    /// Waits for a snapshot for which `holds` is true. Time is paused, so waiting takes no real
    /// time.
    async fn until(&self, holds: impl Fn(&Snapshot) -> bool) -> Arc<Snapshot> {
        let found = |view: &View| holds(&view.snapshot).then(|| Arc::clone(&view.snapshot));
        self.views.until(found).await
    }

    async fn until_heard(&self, event: &str) -> String {
        loop {
            if let Some(line) = self.events.of(event).pop() {
                return line;
            }
            // Something becomes due sooner or later. If nothing does, the test hangs here.
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
    let running = start(&host).await;
    let first = running
        .until(|snapshot| version(snapshot) == Some(1) && generation(snapshot) > 0)
        .await;
    host.disk.put(REGISTRY, registry(2));
    running.until(|snapshot| version(snapshot) == Some(2)).await;

    // Key files are read again on request.
    host.disk.put(KEYS, keys("k2"));
    running.commands.send(Command::Refresh).await.unwrap();
    let before = generation(&first);
    running
        .until(|snapshot| generation(snapshot) > before)
        .await;
}

/// Catches: key sets that are dropped after they were checked and read again from a file that has
/// changed or disappeared since.
#[tokio::test(start_paused = true)]
async fn key_files_that_were_examined_are_put_in_force() {
    let host = Host::new();
    host.disk.put(REGISTRY, registry(1));
    let running = start_with(&host, Some(keys("k1")), Checked::Nothing).await;
    running.until(|snapshot| generation(snapshot) > 0).await;
}

/// Catches: a registry in force that its file no longer has.
#[tokio::test(start_paused = true)]
async fn a_registry_that_changed_after_the_check_is_read_again() {
    let host = Host::new();
    host.disk.put(REGISTRY, registry(1));
    let checked = check(&host).await;
    host.disk.put(REGISTRY, registry(2));
    let running = start_with(&host, None, checked).await;
    let first = running.until(|snapshot| version(snapshot).is_some()).await;
    assert_eq!(version(&first), Some(2));
}

/// Catches: a registry that was read before a reload and comes into force after it. The reload may
/// have other limits, and reads the file whatever its times say.
#[tokio::test(start_paused = true)]
async fn a_reload_before_the_first_fetch_reads_the_registry_again() {
    let host = Host::new();
    host.disk.put(REGISTRY, registry(1));
    let checked = check(&host).await;
    let running = start_with(&host, None, checked).await;
    running.commands.send(Command::Refresh).await.unwrap();
    running.until(|snapshot| version(snapshot).is_some()).await;
    assert_eq!(host.disk.reads(REGISTRY), 2);
}

/// Catches: a last-known-good copy that is restored as it was before it changed, and one that is
/// parsed twice at a start.
#[tokio::test(start_paused = true)]
async fn the_copy_that_was_checked_is_restored() {
    let host = Host::new();
    host.disk.put(REGISTRY, registry(1));
    let before = start(&host).await;
    while host.disk.get("state/registry.keep").is_none() {
        yield_now().await;
    }
    before.commands.send(Command::Stop).await.unwrap();

    let checked = check(&host).await;
    let Checked::Kept(kept) = &checked else {
        panic!("{checked:?}")
    };
    let cell = Arc::clone(&kept.cells()[0]);
    let after = start_with(&host, None, checked).await;
    let restored = after.until(|snapshot| version(snapshot).is_some()).await;
    let registry = restored.registry.as_ref().unwrap();
    assert!(Arc::ptr_eq(&registry.cells()[0], &cell));

    let settings = Sources::new(RegistryLocation::File(REGISTRY.to_owned()));
    let settings = Arc::new(settings.registry);
    let other = Bytes::from(self::registry(2));
    let Checked::Kept(kept) = check(&host).await else {
        panic!("the copy is still there")
    };
    let parsed = outputs::parse_kept(&host, &settings, other, Some(*kept)).await;
    let Ok(Parsed::Changed(candidate)) = parsed else {
        panic!("{parsed:?}")
    };
    assert_eq!(candidate.registry().version(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_router_that_comes_back_knows_what_it_knew() {
    let host = Host::new();
    host.disk.put(KEYS, keys("k1"));
    host.disk.put(REGISTRY, registry(7));
    let before = start(&host).await;
    before
        .until(|snapshot| version(snapshot) == Some(7) && generation(snapshot) > 0)
        .await;
    // They are written in the background, in order. The registry may come before the keys.
    while host.disk.get("state/registry.keep").is_none()
        || host.disk.get("state/keys-main.keep").is_none()
    {
        yield_now().await;
    }
    before.commands.send(Command::Stop).await.unwrap();

    // Meanwhile its sources are gone, or have an old version.
    host.disk.put(KEYS, "");
    host.disk.put(REGISTRY, registry(6));
    let after = start(&host).await;
    let snapshot = after
        .until(|snapshot| version(snapshot).is_some() && generation(snapshot) > 0)
        .await;
    assert_eq!(version(&snapshot), Some(7));
    let refused = after.until_heard("registry_refused").await;
    assert!(refused.contains("older_version"), "{refused}");
    after.until_heard("keys_refused").await;
    assert_eq!(version(&after.views.snapshot()), Some(7));
    assert!(after.views.snapshot().keys.issuers[0].set.is_some());
}

#[tokio::test(start_paused = true)]
async fn kept_files_that_are_not_whole_are_reported_and_replaced() {
    let host = Host::new();
    host.disk.put("state/registry.keep", "{\"cellway_keep\":1");
    host.disk.put("state/keys-main.keep", "\u{1}");
    host.disk.put(KEYS, keys("k1"));
    host.disk.put(REGISTRY, registry(1));
    let running = start(&host).await;
    running.until(|snapshot| version(snapshot) == Some(1)).await;
    assert_eq!(running.events.of("kept_refused").len(), 2);
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
    let running = start(&host).await;
    running.until(|snapshot| version(snapshot) == Some(1)).await;
    running.until_heard("keep_failed").await;
}

/// Replaces the configuration, and waits until the new one is in force.
async fn configure(running: &Running, config: ActiveConfig) -> Result<(), RecvError> {
    let (done, in_force) = oneshot::channel();
    let configure = Configure {
        config: Box::new(config),
        fetch: Arc::new(fetch()),
        keys: Vec::new(),
        done,
    };
    let command = Command::Configure(Box::new(configure));
    running.commands.send(command).await.unwrap();
    in_force.await
}

/// Catches: a request that is served by the new settings and decided by the old policy, or the other
/// way around. (A view that mixes the two panics.)
#[tokio::test(start_paused = true)]
async fn configuration_and_policy_are_replaced_together() {
    let host = Host::new();
    host.disk.put(KEYS, keys("k1"));
    host.disk.put(REGISTRY, registry(1));
    let running = start(&host).await;
    running.until(|snapshot| version(snapshot) == Some(1)).await;
    let views = &running.views;
    let before = views.config();

    // The same policy needs no new snapshot, and the configuration is in force all the same.
    let same = Arc::clone(&before.settings.policy);
    let reloaded = config(&host, same, Some(&before)).await;
    configure(&running, reloaded).await.unwrap();
    let reloaded = views.config();
    assert!(!Arc::ptr_eq(&reloaded, &before));

    let renamed = policy("renamed");
    let new = config(&host, Arc::clone(&renamed), Some(&reloaded)).await;
    let replaced = views.until(|view| {
        let is_new = view.config.epoch > reloaded.epoch;
        is_new.then(|| Arc::clone(&view.snapshot.policy))
    });
    let (configured, policy) = tokio::join!(configure(&running, new), replaced);
    configured.unwrap();
    assert!(Arc::ptr_eq(&policy, &renamed));
    assert_eq!(version(&views.snapshot()), Some(1), "the registry stays");
}

/// Catches: two configurations with one epoch. What was verified under the first would then count
/// under the second, for example a client whose CA the second no longer trusts.
#[tokio::test(start_paused = true)]
async fn no_two_configurations_have_the_same_epoch() {
    let host = Host::new();
    let running = start(&host).await;
    let before = running.views.config();
    let mut epochs = vec![before.epoch];
    // Both are made while the same configuration is in force.
    for name in ["one", "other"] {
        let new = config(&host, policy(name), Some(&before)).await;
        configure(&running, new).await.unwrap();
        epochs.push(running.views.config().epoch);
    }
    assert_eq!(epochs, [1, 2, 3]);
}

/// Catches: a reload that waits without end for a router that drains meanwhile.
#[tokio::test(start_paused = true)]
async fn a_configuration_that_comes_too_late_is_told_so() {
    let host = Host::new();
    let running = start(&host).await;
    let config = config(&host, policy("late"), None).await;
    running.commands.send(Command::Stop).await.unwrap();
    assert!(configure(&running, config).await.is_err());
}
