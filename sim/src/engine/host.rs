//! What a simulated host keeps when it crashes: its name, disk and wall clock.

use std::fmt::Display;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::time::Duration;

use cellway_core::Unix;
use rustls::pki_types::UnixTime;
use rustls::time_provider::TimeProvider;

use super::EPOCH;
use crate::store::SimStore;
use crate::trace::Trace;

/// What a host keeps when it crashes.
#[derive(Debug)]
pub(super) struct Host {
    pub(super) name: String,
    pub(super) seed: u64,
    pub(super) starts: AtomicU32,
    trace: Trace,
    pub(super) store: SimStore,
    pub(super) clock: HostClock,
}

impl Host {
    pub(super) fn new(name: &str, seed: u64, trace: Trace) -> Self {
        Self {
            name: name.to_owned(),
            seed,
            starts: AtomicU32::new(0),
            trace,
            store: SimStore::new(),
            clock: HostClock::default(),
        }
    }

    pub(super) fn record(&self, event: impl Display) {
        self.trace.push(elapsed(), &self.name, event);
    }
}

/// Simulated time since the start of the run, as the host that runs now sees it.
pub(crate) fn elapsed() -> Duration {
    turmoil::sim_elapsed().unwrap_or_default()
}

/// Whether this is a part of a run. What is dropped after it is not.
pub(crate) fn is_running() -> bool {
    turmoil::in_simulation()
}

/// A host's wall clock. It runs with simulated time and can be set wrong.
#[derive(Clone, Debug, Default)]
pub struct HostClock {
    skew_millis: Arc<AtomicI64>,
}

impl HostClock {
    /// Sets how far the clock is ahead (positive) or behind (negative) from now on.
    pub fn set_skew_millis(&self, skew: i64) {
        self.skew_millis.store(skew, Ordering::Relaxed);
    }

    /// What the clock shows.
    pub fn now(&self) -> Unix {
        let now = turmoil::since_epoch().unwrap_or(EPOCH);
        let skew = self.skew_millis.load(Ordering::Relaxed);
        let offset = Duration::from_millis(skew.unsigned_abs());
        Unix::from_epoch(match skew {
            0.. => now.saturating_add(offset),
            _ => now.saturating_sub(offset),
        })
    }
}

impl TimeProvider for HostClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(self.now().since_epoch()))
    }
}
