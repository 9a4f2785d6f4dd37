//! The request that shows whether an endpoint with an open circuit breaker works again.

use std::sync::Arc;

use cellway_core::health::Outcome;
use cellway_env::Env;

use super::health_report;
use super::report::Report;
use crate::data_plane::pool::{EndpointPool, ProbeSlot};
use crate::observe::event::{CircuitChange, Sink};
use crate::settings::BreakerSettings;

/// Holds the place of the one request that a half-open breaker lets pass. Each end of it is
/// reported, also if the request is dropped.
pub(super) struct Probing<'a, E: Env, S: Sink> {
    report: &'a Report<E, S>,
    pool: Arc<EndpointPool>,
    slot: Option<ProbeSlot>,
}

impl<'a, E: Env, S: Sink> Probing<'a, E, S> {
    pub(super) fn begins(
        report: &'a Report<E, S>,
        pool: Arc<EndpointPool>,
        slot: ProbeSlot,
    ) -> Self {
        health_report::circuit_changed(report, &pool, CircuitChange::Probing);
        let slot = Some(slot);
        Self { report, pool, slot }
    }

    /// The endpoint answered, with this outcome.
    pub(super) fn answered(mut self, outcome: Option<Outcome>) {
        if let Some(slot) = self.slot.take() {
            slot.answered();
            health_report::circuit_changed(self.report, &self.pool, CircuitChange::Closed);
            if outcome == Some(Outcome::Success) {
                health_report::tell(self.report, &self.pool, Outcome::Recovered);
            }
        }
    }

    /// The endpoint failed again.
    pub(super) fn failed(mut self, settings: BreakerSettings) {
        if let Some(slot) = self.slot.take() {
            slot.failed(settings);
            health_report::circuit_changed(self.report, &self.pool, CircuitChange::Opened);
        }
    }
}

impl<E: Env, S: Sink> Drop for Probing<'_, E, S> {
    fn drop(&mut self) {
        if self.slot.take().is_some() {
            health_report::circuit_changed(self.report, &self.pool, CircuitChange::Freed);
        }
    }
}
