//! Routers: the real router, started from a configuration file on a simulated disk.

use std::fmt::Display;
use std::pin::pin;
use std::sync::Arc;

use cellway_core::cba::CellBound;
use cellway_core::control::Notice;
use cellway_core::health::HealthNotice;
use cellway_core::keys::KeyNotice;
use cellway_core::registry::RegistryNotice;
use cellway_core::{Decision, Now};
use cellway_env::{Env, Privacy, Store};
use cellway_router::config::Config;
use cellway_router::event::{self, Closed, Event, Sink, SpanOutcome};
use cellway_router::log::{self, Level, Subjects};
use cellway_router::reload::Reloader;
use cellway_router::{Router, Worker};
use cellway_testbed::{TestbedError, Validity};

use tokio::sync::Notify;

use super::pki::Pki;
use super::state::WorldHandle;
use crate::engine::{Engine, SimEnv};
use crate::fact::{Decided, Fact, FailedOver, KeySet, Life, Note, Responded};
use crate::scenario::Authority;
use crate::store::SimStore;

/// The port of routers.
pub(super) const PORT: u16 = 8443;
/// The port of routers for Envoys.
pub(super) const ASKED_PORT: u16 = 9443;

const CONFIG: &str = "cellway.toml";

/// Adds a router; returns its disk, which has no configuration yet.
pub(super) fn add(engine: &mut Engine, world: &WorldHandle, name: &str) -> SimStore {
    let world = world.clone();
    engine.host(name, move |env| run(env, world.clone()))
}

pub(super) fn write_configuration(disk: &SimStore, text: String) {
    disk.put(CONFIG, text);
}

/// Writes the files that a router's configuration names, except its serving certificate.
pub(super) fn write_files(disk: &SimStore, pki: &mut Pki, name: &str) -> Result<(), TestbedError> {
    write_upstream(disk, pki, name)?;
    write_trust(disk, pki);
    Ok(())
}

/// Returns the certificate, in DER.
pub(super) fn write_serving(
    disk: &SimStore,
    pki: &mut Pki,
    name: &str,
    validity: Option<Validity>,
) -> Result<Vec<u8>, TestbedError> {
    let serving = pki.server(name, validity)?;
    disk.put("server.pem", serving.pem().to_owned());
    disk.put("server.key", serving.key.pem()?);
    let leaf = serving.chain.first();
    Ok(leaf.map(|leaf| leaf.to_vec()).unwrap_or_default())
}

pub(super) fn write_upstream(
    disk: &SimStore,
    pki: &mut Pki,
    name: &str,
) -> Result<(), TestbedError> {
    let own = pki.router(name)?;
    disk.put("router.pem", own.pem().to_owned());
    disk.put("router.key", own.key.pem()?);
    Ok(())
}

pub(super) fn write_trust(disk: &SimStore, pki: &Pki) {
    disk.put("clients-ca.pem", pki.bundle(Authority::Clients));
    disk.put("cells-ca.pem", pki.bundle(Authority::Cells));
    disk.put("servers-ca.pem", pki.bundle(Authority::Servers));
}

async fn run(env: SimEnv, world: WorldHandle) {
    let life = Life {
        router: env.name().to_owned(),
        incarnation: env.incarnation(),
    };
    world.lock().lives.insert(life.router.clone(), life.clone());
    world.tell(&env, &Fact::Started(life.clone()));
    let text = env
        .store()
        .read(CONFIG, Config::BYTES_MAX, Privacy::Any)
        .await;
    let text = text.expect("the world wrote it before the start");
    let text = String::from_utf8_lossy(&text);
    let config = match Config::load(CONFIG, &text, []) {
        Ok(config) => config,
        Err(errors) => return report_failed_start(&env, &world, &errors).await,
    };
    let sink = SimSink {
        env: env.clone(),
        world: world.clone(),
        life,
    };
    let (provider, time) = (env.provider(), Arc::new(env.clock()));
    let settings = config.router.clone();
    let router = Router::builder(env.clone(), settings, provider, time, sink.clone())
        .share_addresses(config.share_addresses)
        .open_wait(config.open_wait);
    // As in the binary, and unlike `start`, this watches files while the listeners are closed.
    let placed = env.clone();
    let place = move |worker: Worker<_, _>| placed.spawn(worker.run());
    let handle = match router.start_on(place).await {
        Ok(handle) => handle,
        Err(error) => return report_failed_start(&env, &world, &error).await,
    };
    let told = Arc::new(Notify::new());
    let name = env.name().to_owned();
    world.lock().drains.insert(name, told.clone());
    let reloader = Reloader::new(&handle, CONFIG, Vec::new, config);
    let times = reloader.drain_times();
    // As in the binary, it also reloads while it drains.
    let mut reloading = pin!(reloader.run(Arc::default()));
    tokio::select! {
        biased;
        () = told.notified() => {}
        () = &mut reloading => {}
    }
    tokio::select! {
        biased;
        _drained = handle.drain(times.get()) => {}
        () = reloading => {}
    }
    // The process has ended. The host waits for its restart.
    std::future::pending().await
}

/// Reports a router that doesn't start. This fails the run, so the host waits for its end.
async fn report_failed_start(env: &SimEnv, world: &WorldHandle, why: &impl Display) {
    let problem = format!("{} doesn't start: {why}", env.name());
    world.observer.fail(env.elapsed(), "router", problem);
    std::future::pending().await
}

/// Turns a router's events into lines of the trace and facts for the invariants.
#[derive(Clone)]
struct SimSink {
    env: SimEnv,
    world: WorldHandle,
    life: Life,
}

impl Sink for SimSink {
    fn emit(&self, now: Now, event: &Event<'_>) {
        if let Some(line) = log::render(now.unix, event, Level::Debug, &Subjects::Off) {
            self.env.record(line.trim_end());
        }
        if let Some(fact) = self.fact(now, event) {
            self.world.tell(&self.env, &fact);
        }
        let (level, name) = log::heading(event);
        if level == Level::Error {
            let error = Fact::Error {
                life: self.life.clone(),
                event: name.to_owned(),
                text: describe(event).unwrap_or_else(|| name.to_owned()),
            };
            self.world.tell(&self.env, &error);
        }
    }
}

impl SimSink {
    #[expect(
        clippy::wildcard_enum_match_arm,
        reason = "every other event is a line of the timeline, if `describe` has words for it"
    )]
    fn fact(&self, now: Now, event: &Event<'_>) -> Option<Fact> {
        let life = self.life.clone();
        match event {
            Event::Decided {
                request_id,
                decision,
                registry_version,
                ..
            } => Some(Fact::Decided(Arc::new(Decided {
                life,
                request_id: (*request_id).to_owned(),
                cell: match decision {
                    Decision::Allow(allow) => Some(allow.cell.id.to_string()),
                    Decision::Deny(_) => None,
                },
                reason: decision.reason(),
                tenant: tenant_of(decision),
                registry_version: *registry_version,
                unix: now.unix.since_epoch(),
            }))),
            Event::Responded(event::Responded {
                request_id,
                status,
                reason,
                ..
            }) => Some(Fact::Responded(Responded {
                life,
                request_id: (*request_id).to_owned(),
                status: *status,
                reason: *reason,
            })),
            Event::FailedOver {
                request_id,
                from,
                cell,
                reason,
                ..
            } => Some(Fact::FailedOver(FailedOver {
                life,
                request_id: (*request_id).to_owned(),
                from: from.map(|cell| cell.to_string()),
                cell: cell.to_string(),
                reason: *reason,
            })),
            Event::KeysRequested { issuer, forced } => Some(Fact::KeysAsked {
                life,
                issuer: issuer.to_string(),
                forced: *forced,
            }),
            Event::Notice {
                notice: Notice::Registry(RegistryNotice::Applied { version, .. }),
                ..
            } => Some(Fact::RegistryApplied {
                life,
                version: *version,
            }),
            _ => health_fact(&life, event).or_else(|| {
                let (level, name) = log::heading(event);
                // Errors are reported as `Fact::Error`.
                let text = describe(event).filter(|_| level != Level::Error)?;
                let (kind, keys) = (name.to_owned(), key_set(event));
                Some(Fact::Noted(life, Note { kind, text, keys }))
            }),
        }
    }
}

/// What a router reports about an endpoint.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "other events say nothing about an endpoint"
)]
fn health_fact(life: &Life, event: &Event<'_>) -> Option<Fact> {
    let life = life.clone();
    let is_ejected = |life, url: &str, ejected| {
        let host = host_of(url);
        Some(Fact::Ejected {
            life,
            host,
            ejected,
        })
    };
    let is_healthy = |life, url: &str, healthy| {
        let host = host_of(url);
        Some(Fact::Probed {
            life,
            host,
            healthy,
        })
    };
    match event {
        Event::Notice {
            notice: Notice::Health(HealthNotice::Ejected { url, .. }),
            ..
        } => is_ejected(life, url, true),
        Event::Notice {
            notice: Notice::Health(HealthNotice::Returned { url, .. }),
            ..
        } => is_ejected(life, url, false),
        Event::Notice {
            notice: Notice::Health(HealthNotice::Unhealthy { url, .. }),
            ..
        } => is_healthy(life, url, false),
        Event::Notice {
            notice: Notice::Health(HealthNotice::Healthy { url, .. }),
            ..
        } => is_healthy(life, url, true),
        Event::CircuitChanged {
            endpoint,
            request_id,
            change,
            ..
        } => Some(Fact::Circuit {
            life,
            host: host_of(endpoint),
            request_id: (*request_id).to_owned(),
            change: *change,
        }),
        _ => None,
    }
}

/// The key set that a router has from now on, if the event says so.
fn key_set(event: &Event<'_>) -> Option<KeySet> {
    let Event::Notice {
        notice: Notice::Keys { issuer, notice },
        policy,
    } = event
    else {
        return None;
    };
    let (keys, restored) = match notice {
        KeyNotice::Fetched { keys, .. } => (*keys, false),
        KeyNotice::Restored { keys, .. } => (*keys, true),
        KeyNotice::Refused(_) | KeyNotice::Failed(_) => return None,
    };
    let issuer = policy.issuers.get(usize::from(issuer.0))?.name.to_string();
    Some(KeySet {
        issuer,
        keys,
        restored,
    })
}

/// The host of an endpoint's URL.
fn host_of(url: &str) -> String {
    let host = url.split("://").nth(1).unwrap_or(url);
    host.split(':').next().unwrap_or(host).to_owned()
}

fn tenant_of(decision: &Decision) -> Option<String> {
    let tenant = match decision {
        Decision::Allow(allow) => allow.identity.tenant.as_ref(),
        Decision::Deny(deny) => deny.tenant.as_ref(),
    };
    tenant.map(ToString::to_string)
}

/// The line of an event in the timeline; `None` for events of single requests and connections.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "`Event` is non-exhaustive, and most events are of single requests or connections"
)]
fn describe(event: &Event<'_>) -> Option<String> {
    match event {
        Event::OpenedEmpty { .. } => Some("opens without a registry".to_owned()),
        Event::AcceptFailed { error, .. } => Some(format!("can't accept: {error}")),
        Event::TlsRefused { reason, .. } => Some(format!("refuses TLS: {}", reason.as_str())),
        Event::KeptRefused { file, error } => Some(format!("rejects {file}: {error}")),
        Event::KeepFailed { file, error } => Some(format!("can't keep {file}: {error}")),
        Event::Reloaded { .. } => Some("reloaded".to_owned()),
        Event::ReloadRefused { error } => Some(format!("reload refused: {error}")),
        Event::ConnectionClosed {
            why: Closed::CertificateExpired,
            ..
        } => Some("closes a connection whose certificate has expired".to_owned()),
        Event::StreamClosed { tenant, reason, .. } => {
            let tenant = tenant.map_or("nobody", |tenant| tenant.as_str());
            Some(format!("closes open streams of {tenant}: {reason}"))
        }
        Event::ShareRefused {
            resource,
            share,
            cell,
            placement,
            tenant,
            ..
        } => {
            let whose = match resource.as_str() {
                "tenant_requests" => *tenant,
                "placement_requests" => *placement,
                _ => *cell,
            };
            let whose = whose.map_or("its own", |it| it.as_str());
            Some(format!(
                "refuses a {} that has used up its share of {} of {whose}",
                share.as_str(),
                resource.as_str()
            ))
        }
        Event::RateLimited {
            scope,
            tenant,
            news: true,
            ..
        } => {
            let (scope, tenant) = (scope.as_str(), tenant.map_or("nobody", |it| it.as_str()));
            Some(format!(
                "refuses {tenant}: the {scope}'s rate limit is used up"
            ))
        }
        Event::CellHedge { cell, end, .. } => Some(format!("hedges at {cell}: {}", end.as_str())),
        Event::CellBound { bound, .. } => describe_cell_bound(bound),
        Event::Draining { .. } => Some("drains".to_owned()),
        Event::ListenersClosed => Some("closes its listeners".to_owned()),
        Event::Drained { .. } => Some("has drained".to_owned()),
        Event::Spans {
            outcome: SpanOutcome::QueueFull | SpanOutcome::NotSent,
            ..
        } => Some("loses spans".to_owned()),
        Event::Notice { notice, policy } => match notice {
            Notice::Keys { issuer, notice } => {
                let issuer = policy.issuers.get(usize::from(issuer.0));
                let issuer = issuer.map_or("?", |issuer| issuer.name.as_str());
                describe_keys(issuer, notice)
            }
            Notice::Registry(notice) => describe_registry(notice),
            Notice::CellKeysRefused { cell, refused } => {
                let reason = refused.reason.as_str();
                Some(format!("refuses the keys of cell {cell}: {reason}"))
            }
            // These are facts of their own.
            Notice::Health(_) => None,
        },
        _ => None,
    }
}

fn describe_cell_bound(bound: &CellBound) -> Option<String> {
    let reason = bound.refused.as_ref()?.reason;
    let source = bound.source.as_ref().map_or("?", |source| source.as_str());
    Some(match bound.denies() {
        Some(_) => format!("denies a call of cell {source}: {reason}"),
        None => format!("would deny a call of cell {source}: {reason}"),
    })
}

fn describe_keys(issuer: &str, notice: &KeyNotice) -> Option<String> {
    match notice {
        KeyNotice::Fetched { changed: false, .. } => None,
        KeyNotice::Fetched { keys, .. } => {
            Some(format!("has a new key set of {issuer} (keys: {keys})"))
        }
        KeyNotice::Restored { .. } => Some(format!("restores the keys of {issuer}")),
        KeyNotice::Refused(why) => {
            let reason = why.reason.as_str();
            Some(format!("refuses the keys of {issuer}: {reason}"))
        }
        KeyNotice::Failed(_) => Some(format!("can't fetch the keys of {issuer}")),
    }
}

fn describe_registry(notice: &RegistryNotice) -> Option<String> {
    match notice {
        RegistryNotice::Applied { .. } => None,
        RegistryNotice::Refused(why) => Some(format!("registry refused: {why}")),
        RegistryNotice::FetchFailed {
            consecutive: 1,
            failure,
        } => Some(format!(
            "can't fetch the registry: {}",
            failure.problem.as_str()
        )),
        RegistryNotice::FetchFailed { .. } => None,
        RegistryNotice::Stale => Some("registry is stale".to_owned()),
        RegistryNotice::Fresh => Some("registry is fresh again".to_owned()),
        RegistryNotice::StatusAging { left } => {
            let left = left.as_secs();
            Some(format!("tenants' status expires in {left} s"))
        }
        RegistryNotice::StatusExpired => Some("tenants' status has expired".to_owned()),
        RegistryNotice::StatusCurrent => Some("tenants' status is current again".to_owned()),
    }
}
