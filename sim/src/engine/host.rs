//! What a simulated host keeps when it crashes: its name, disk and wall clock.

use std::fmt::Display;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use cellway_core::Unix;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::EPOCH;
use super::events::{self, Net};
use super::names::Names;
use crate::store::SimStore;
use crate::trace::Trace;

/// What a host keeps when it crashes.
pub(super) struct Host {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) starts: AtomicU32,
    trace: Trace,
    pub(super) store: SimStore,
    pub(super) clock: HostClock,
    pub(super) network: Network,
    pub(super) names: Names,
}

/// The network that a host is connected to.
pub(super) enum Network {
    /// turmoil's, which knows by itself which host runs.
    Turmoil,
    Events(Net),
}

impl Host {
    pub(super) fn new(name: &str, seed: u64, trace: Trace, network: Network, names: Names) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            starts: AtomicU32::new(0),
            trace,
            store: SimStore::new(),
            clock: HostClock::default(),
            network,
            names,
        }
    }

    pub(super) fn address(&self) -> Ipv4Addr {
        let address = match &self.network {
            Network::Turmoil => return super::ipv4(turmoil::lookup(self.name.as_str())),
            Network::Events(net) => net.address(&self.name),
        };
        address.expect("a host is a part of its network")
    }

    /// The name of another host.
    pub(super) fn name_of(&self, peer: IpAddr) -> String {
        let name = match &self.network {
            Network::Turmoil => turmoil::reverse_lookup(peer),
            Network::Events(net) => net.name(peer),
        };
        name.unwrap_or_else(|| peer.to_string())
    }

    /// Whether what happens is recorded.
    pub(super) fn is_traced(&self) -> bool {
        self.trace.is_on()
    }

    pub(super) fn record(&self, event: impl Display) {
        self.trace.push(elapsed(), &self.name, event);
    }
}

/// Simulated time since the start of the run, as the host that runs now sees it.
pub(crate) fn elapsed() -> Duration {
    let elapsed = events::elapsed().or_else(turmoil::sim_elapsed);
    elapsed.unwrap_or_default()
}

/// Whether this is a part of a run. What is dropped after it is not.
pub(crate) fn is_running() -> bool {
    events::is_running() || turmoil::in_simulation()
}

/// A host's wall clock. It runs with simulated time and can be set wrong.
#[derive(Clone, Debug, Default)]
pub struct HostClock {
    skew_millis: Arc<AtomicI64>,
    /// How much it gains in a second, and since when, in milliseconds since the start.
    drift_millis: Arc<AtomicI64>,
    drifts_since: Arc<AtomicI64>,
}

impl HostClock {
    /// Sets how far the clock is ahead (positive) or behind (negative) from now on.
    pub fn set_skew_millis(&self, skew: i64) {
        self.skew_millis.store(skew, Ordering::Relaxed);
    }

    /// Sets how much the clock gains (positive) or loses (negative) in each second from `now` on, in
    /// milliseconds. With 0 it is right again.
    pub fn set_drift_millis(&self, drift: i64, now: Duration) {
        self.drift_millis.store(drift, Ordering::Relaxed);
        self.drifts_since.store(millis(now), Ordering::Relaxed);
    }

    /// How far it is ahead, in milliseconds.
    fn ahead(&self, at: Duration) -> i64 {
        let drift = self.drift_millis.load(Ordering::Relaxed);
        let drifted = millis(at).saturating_sub(self.drifts_since.load(Ordering::Relaxed));
        let skew = self.skew_millis.load(Ordering::Relaxed);
        skew.saturating_add(drift.saturating_mul(drifted) / 1000)
    }

    /// What the clock shows.
    pub fn now(&self) -> Unix {
        let now = EPOCH + elapsed();
        let skew = self.ahead(elapsed());
        let offset = Duration::from_millis(skew.unsigned_abs());
        Unix::from_epoch(match skew {
            0.. => now.saturating_add(offset),
            _ => now.saturating_sub(offset),
        })
    }
}

fn millis(time: Duration) -> i64 {
    i64::try_from(time.as_millis()).unwrap_or(i64::MAX)
}

impl TimeProvider for HostClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.now().since_epoch()))
    }
}
