//! What is known of one endpoint, for operators.

use std::time::Duration;

use super::{CheckState, HealthControl};
use crate::cell::EndpointId;
use crate::time::Mono;

/// The health of one endpoint. It explains why requests go to the endpoint or not.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct EndpointHealth {
    /// How long the endpoint stays ejected, if it is.
    pub ejected_for: Option<Duration>,
    /// It has returned from an ejection, and the next failure ejects it again.
    pub on_probation: bool,
    /// How many ejections it has not made up for yet.
    pub ejections: u32,
    /// Connection failures in a row.
    pub connection_failures: u32,
    /// Failing answers in a row.
    pub answer_failures: u32,
    /// Its checks, if it is checked.
    pub check: Option<CheckState>,
}

impl HealthControl {
    /// What is known of this endpoint. An endpoint that never failed has nothing but its checks.
    pub fn endpoint(&self, now: Mono, endpoint: EndpointId) -> EndpointHealth {
        let record = self.records.get(&endpoint).copied().unwrap_or_default();
        let settings = &self.settings.outlier;
        let (connection_failures, answer_failures) = record.rows();
        EndpointHealth {
            ejected_for: record.ejected_until().map(|until| until.since(now)),
            on_probation: record.on_probation(now, settings),
            ejections: record.level_at(now, settings),
            connection_failures,
            answer_failures,
            check: self.checks.state(now, endpoint),
        }
    }
}
