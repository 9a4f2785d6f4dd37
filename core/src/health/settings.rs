//! When endpoints are ejected, when they return, and what happens if a cell has none left.

use std::sync::Arc;
use std::time::Duration;

use super::CheckSettings;

/// The settings of [`HealthControl`](super::HealthControl).
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct HealthSettings {
    /// When endpoints are ejected, and for how long.
    pub outlier: OutlierSettings,
    /// What happens if a cell has too few usable endpoints.
    pub when_all_ejected: WhenAllEjected,
    /// How long the share of an endpoint grows after it has come back. Zero: it gets its whole share
    /// at once.
    pub slow_start: Duration,
    /// How endpoints are probed. For each cell the first check that names it counts. None: endpoints
    /// aren't probed.
    pub checks: Vec<Arc<CheckSettings>>,
}

/// When endpoints are ejected, and for how long.
///
/// Failures of the connection (no connection, a reset, a timeout) and failing answers are counted
/// apart. An answer, whatever it says, ends the row of connection failures, but a connection failure
/// says nothing about answers.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OutlierSettings {
    /// Connection failures in a row that eject an endpoint. 0: they never do.
    pub connection_failures: u32,
    /// Failing answers in a row that eject an endpoint. 0: they never do.
    pub answer_failures: u32,
    /// How long the first ejection lasts.
    pub ejection_min: Duration,
    /// How much longer each following ejection lasts. 1: no longer.
    pub ejection_factor: u32,
    /// The longest ejection.
    pub ejection_max: Duration,
    /// The most endpoints of one cell that are ejected at once, in percent, rounded down.
    pub ejected_percent_max: u8,
}

impl Default for OutlierSettings {
    /// 5 failures of either kind, 10 s, twice as long each time up to 5 minutes, half of the
    /// endpoints.
    fn default() -> Self {
        Self {
            connection_failures: 5,
            answer_failures: 5,
            ejection_min: Duration::from_secs(10),
            ejection_factor: 2,
            ejection_max: Duration::from_secs(300),
            ejected_percent_max: 50,
        }
    }
}

impl OutlierSettings {
    /// How long the `level`-th ejection lasts, counted from 1.
    pub(super) fn ejection(&self, level: u32) -> Duration {
        let factor = (self.ejection_factor.max(1)).saturating_pow(level.saturating_sub(1));
        self.ejection_min
            .saturating_mul(factor)
            .min(self.ejection_max.max(self.ejection_min))
    }
}

/// What happens to a request whose cell has too few usable endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum WhenAllEjected {
    /// If fewer endpoints than this percentage are usable, or none, all of the cell's endpoints are
    /// used as if they were healthy. If enough are usable, the others are still tried after them.
    Panic {
        /// In percent of the cell's endpoints. 0: only if none is usable.
        threshold_percent: u8,
    },
    /// Only usable endpoints get requests. If there are none, the request is refused.
    Fail,
}

impl Default for WhenAllEjected {
    fn default() -> Self {
        Self::Panic {
            threshold_percent: 0,
        }
    }
}
