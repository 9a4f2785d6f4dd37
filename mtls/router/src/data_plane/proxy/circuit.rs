//! The request that shows whether an endpoint with an open circuit breaker works again.

use std::sync::{Arc, Mutex};

use cellway_core::health::Outcome;
use cellway_env::Env;

use super::health_report;
use super::report::Report;
use crate::data_plane::pool::{EndpointPool, Failed, ProbeSlot};
use crate::lock::lock_uncontended;
use crate::observe::event::{CircuitChange, Sink};
use crate::settings::BreakerSettings;

/// Holds the place of the one request that a half-open breaker lets pass. Each end of it is
/// reported, even if the request is dropped.
pub(super) struct Probing<'a, E: Env, S: Sink> {
    report: &'a Report<E, S>,
    pool: Arc<EndpointPool>,
    /// `None` if the request has given it up. Its answer still closes the breaker. Only the request's own
    /// task uses it.
    slot: Mutex<Option<ProbeSlot>>,
}

impl<'a, E: Env, S: Sink> Probing<'a, E, S> {
    pub(super) fn begins(
        report: &'a Report<E, S>,
        pool: Arc<EndpointPool>,
        slot: ProbeSlot,
    ) -> Self {
        health_report::circuit_changed(report, &pool, CircuitChange::Probing);
        let slot = Mutex::new(Some(slot));
        Self { report, pool, slot }
    }

    /// The endpoint answered, with this outcome.
    pub(super) fn answered(self, outcome: Option<Outcome>) {
        let closed = match self.take() {
            Some(slot) => slot.answered(),
            None => self.pool.breaker.answered_after_all(),
        };
        if closed {
            health_report::circuit_changed(self.report, &self.pool, CircuitChange::Closed);
            if outcome == Some(Outcome::Success) {
                health_report::tell(self.report, &self.pool, Outcome::Recovered);
            }
        }
    }

    /// The endpoint failed again.
    pub(super) fn failed(self, settings: BreakerSettings, what: Failed) {
        if (self.take()).is_some_and(|slot| slot.failed(settings, what)) {
            health_report::circuit_changed(self.report, &self.pool, CircuitChange::Opened);
        }
    }
}

impl<E: Env, S: Sink> Probing<'_, E, S> {
    /// Whether the request still has the place.
    pub(super) fn holds(&self) -> bool {
        lock_uncontended(&self.slot).is_some()
    }

    /// Frees the place for the next request. If this one fails, that says nothing any more.
    pub(super) fn gives_up(&self) {
        self.leaves(ProbeSlot::freed);
    }

    /// The same for a request that waits for its client.
    pub(super) fn waits_for_client(&self) {
        self.leaves(ProbeSlot::waits_for_client);
    }

    fn leaves(&self, leave: fn(ProbeSlot) -> bool) {
        if self.take().is_some_and(leave) {
            health_report::circuit_changed(self.report, &self.pool, CircuitChange::Freed);
        }
    }

    fn take(&self) -> Option<ProbeSlot> {
        lock_uncontended(&self.slot).take()
    }
}

impl<E: Env, S: Sink> Drop for Probing<'_, E, S> {
    fn drop(&mut self) {
        self.gives_up();
    }
}
