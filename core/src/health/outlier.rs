//! The record of one endpoint: its failures in a row, and its ejections.

use std::time::Duration;

use super::{Cause, OutlierSettings};
use crate::time::Mono;

/// What is known about an endpoint that has failed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Record {
    /// Connection failures in a row.
    connection: u32,
    /// Failing answers in a row.
    answers: u32,
    /// How often it was ejected, less what it has made up for since.
    level: u32,
    state: State,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
enum State {
    /// It has not been ejected lately.
    #[default]
    Steady,
    /// It takes no traffic until then, unless too few others are usable. `well`: what it was sent last
    /// went well.
    Ejected { until: Mono, well: bool },
    /// It returned then. On probation, a single failure ejects it again.
    Returned { at: Mono, probation: bool },
}

impl Record {
    /// Until when the endpoint is ejected, if it is.
    pub(super) fn ejected_until(&self) -> Option<Mono> {
        match self.state {
            State::Ejected { until, .. } => Some(until),
            State::Steady | State::Returned { .. } => None,
        }
    }

    /// Failures in a row: of connections, and of answers.
    pub(super) fn rows(&self) -> (u32, u32) {
        (self.connection, self.answers)
    }

    /// Notes an outcome while it is ejected.
    pub(super) fn tried(&mut self, went_well: bool) {
        if let State::Ejected { well, .. } = &mut self.state {
            *well = went_well;
        }
    }

    /// Counts a failure. `true` if it is one too many.
    pub(super) fn failed(&mut self, now: Mono, cause: Cause, settings: &OutlierSettings) -> bool {
        let (count, limit) = match cause {
            Cause::Connection => (&mut self.connection, settings.connection_failures),
            Cause::Answer => {
                // The connection worked.
                self.connection = 0;
                (&mut self.answers, settings.answer_failures)
            }
        };
        *count = count.saturating_add(1);
        let enough = *count >= limit;
        limit > 0 && (enough || self.on_probation(now, settings))
    }

    /// Counts a success. `true` if nothing is left to remember.
    pub(super) fn succeeded(&mut self, now: Mono, settings: &OutlierSettings) -> bool {
        (self.connection, self.answers) = (0, 0);
        if let State::Returned { probation, .. } = &mut self.state {
            *probation = false;
        }
        self.level_at(now, settings) == 0
    }

    /// Ejects the endpoint. Returns for how long: longer than the last time, unless it was fine for
    /// long enough since.
    pub(super) fn eject(&mut self, now: Mono, settings: &OutlierSettings) -> Duration {
        let level = self.level_at(now, settings).saturating_add(1);
        let duration = settings.ejection(level);
        *self = Self {
            level,
            state: State::Ejected {
                until: now.after(duration),
                well: false,
            },
            ..Self::default()
        };
        duration
    }

    /// Returns the endpoint to traffic, on probation unless it is known to work: workers don't report a
    /// success again before another failure.
    pub(super) fn returns(&mut self, now: Mono) {
        debug_assert!(
            self.ejected_until().is_some(),
            "only an ejected endpoint returns"
        );
        let well = matches!(self.state, State::Ejected { well: true, .. });
        self.state = State::Returned {
            at: now,
            probation: !well,
        };
    }

    /// Probation ends with the first success, which workers report, or after
    /// [`OutlierSettings::ejection_min`], because they report no success without a failure before.
    pub(super) fn on_probation(&self, now: Mono, settings: &OutlierSettings) -> bool {
        match self.state {
            State::Returned { at, probation } => probation && now.since(at) < settings.ejection_min,
            State::Steady | State::Ejected { .. } => false,
        }
    }

    /// The level of ejections now. An endpoint makes up for its last ejection by being in traffic
    /// for as long as that lasted, then for the one before, and so on. While it is ejected it makes
    /// up for nothing.
    pub(super) fn level_at(&self, now: Mono, settings: &OutlierSettings) -> u32 {
        let mut level = self.level;
        let State::Returned { at, .. } = self.state else {
            return level;
        };
        let mut healthy = now.since(at);
        while level > 0 {
            let ejection = settings.ejection(level).max(Duration::from_millis(1));
            let Some(left) = healthy.checked_sub(ejection) else {
                break;
            };
            (healthy, level) = (left, level - 1);
        }
        level
    }
}
