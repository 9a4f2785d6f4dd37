//! How many requests a cell can serve at once, learned from how long its answers take.
//!
//! A cell that gets more requests than it can work on lets them wait, and its answers take longer. So
//! the time of its answers says how many requests it should have at once. At the end of each window,
//! the median of the window's times is compared with the time of a cell that isn't busy:
//!
//! ```text
//! gradient = base * (1 + tolerance) / median     from 1/2 to 2
//! limit    = limit * gradient + sqrt(limit)      from `requests_min` to the configured maximum
//! ```
//!
//! While the answers take as long as usual, the limit grows; the square root lets it grow a little
//! beyond that, to find out whether there is room. When they take longer, it shrinks. If less than half
//! of it was used, it sinks slowly to twice what was used, whatever the times: a limit far above the
//! use would let an overload build up before it has any effect.
//!
//! The base is **measured**: for as long as [`SAMPLES_MIN`] answers take, the cell gets only
//! `requests_min` requests at once. That happens at the start. It happens again when the limit has held
//! requests back for `remeasure`, because the usual time may have changed. Requests that the cell has by
//! then keep their places beside these, and a new measurement that takes too long ([`MEASURE_MAX`]) is
//! given up. Shorter medians in
//! [`QUICKER_WINDOWS`] windows in a row lower the base to the longest of them. A single one doesn't: a
//! burst of quick answers, such as refusals, would make the usual time look slow afterwards.
//!
//! The median, not the mean: a few requests that take long, such as long polls, don't change it.
//!
//! The driver counts the times in [`Samples`] and calls [`AdaptiveLimit::handle_window`] once
//! [`AdaptiveLimit::due`] has come. The machine is deterministic and computes in integers.

use std::time::Duration;

use crate::time::Mono;

/// The fewest answers from which a median is taken.
pub const SAMPLES_MIN: u32 = 20;

/// How long the base may be measured again. The limit is low meanwhile, and if only requests such as
/// long polls have its places, hardly any other passes.
pub const MEASURE_MAX: Duration = Duration::from_secs(10);

/// The part of a limit that is not used by which it sinks in each window.
const UNUSED_PART: u32 = 16;

/// In how many windows in a row the median must be below the base before it lowers the base.
pub const QUICKER_WINDOWS: u32 = 8;

/// The settings of an adaptive limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AdaptiveSettings {
    /// The fewest requests that the cell may have at once, and the number while the base is measured.
    pub requests_min: u32,
    /// How much longer than the base answers may take, in percent, before the limit shrinks.
    pub tolerance_percent: u32,
    /// The length of a window.
    pub window: Duration,
    /// The base is measured again when the limit has held requests back for this long.
    pub remeasure: Duration,
}

impl Default for AdaptiveSettings {
    fn default() -> Self {
        Self {
            requests_min: 8,
            tolerance_percent: 50,
            window: Duration::from_millis(250),
            remeasure: Duration::from_secs(60),
        }
    }
}

/// Steps for each doubling of the time. The error of a median is less than one step: 9 %.
const STEPS: usize = 8;
/// Doublings, from 2^3 microseconds to half an hour.
const DOUBLINGS: usize = 28;

/// The times of a window's answers, as a histogram.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Samples(pub [u32; Samples::BUCKETS]);

impl Default for Samples {
    fn default() -> Self {
        Self([0; Self::BUCKETS])
    }
}

impl Samples {
    /// The number of buckets.
    pub const BUCKETS: usize = STEPS * DOUBLINGS;

    /// The bucket that counts this time.
    pub fn bucket(took: Duration) -> usize {
        let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(8);
        let doubling = micros.ilog2() as usize;
        let step = (micros >> (doubling - 3)) as usize & (STEPS - 1);
        ((doubling - 3) * STEPS + step).min(Self::BUCKETS - 1)
    }

    /// The longest time, in microseconds, that this bucket counts.
    fn micros(bucket: usize) -> u64 {
        let (doubling, step) = (bucket / STEPS, (bucket % STEPS) as u64);
        ((STEPS as u64 + step + 1) << doubling) - 1
    }

    /// Counts a time.
    pub fn add(&mut self, took: Duration) {
        let count = &mut self.0[Self::bucket(took)];
        *count = count.saturating_add(1);
    }

    /// How many there are.
    pub fn count(&self) -> u32 {
        self.0
            .iter()
            .fold(0, |all, count| all.saturating_add(*count))
    }

    /// The median, in microseconds. `None` if there are too few.
    fn median(&self) -> Option<u64> {
        let count = self.count();
        let mut left = count.div_ceil(2);
        let mut counts = self.0.iter().enumerate();
        let middle = counts.find(|(_, count)| {
            let here = **count >= left;
            left = left.saturating_sub(**count);
            here
        });
        let (bucket, _) = middle.filter(|_| count >= SAMPLES_MIN)?;
        Some(Self::micros(bucket))
    }
}

/// What the machine does at present.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Phase {
    /// It measures the base since then. Answers to earlier requests don't count.
    Measures {
        since: Mono,
        /// The limit before. `None` at the start.
        before: Option<u32>,
    },
    /// It adjusts the limit.
    Adjusts {
        /// Since when it holds requests back. `None` if it doesn't.
        limits_since: Option<Mono>,
    },
}

/// One cell's limit.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AdaptiveLimit {
    limit: u32,
    /// In microseconds. `None` until it was measured.
    base: Option<u64>,
    /// How many windows in a row had a median below the base, and the longest of these medians.
    quicker: (u32, u64),
    phase: Phase,
    due: Mono,
}

impl AdaptiveLimit {
    /// Starts to measure.
    pub fn new(settings: &AdaptiveSettings, now: Mono) -> Self {
        Self {
            limit: settings.requests_min,
            base: None,
            quicker: (0, 0),
            phase: Phase::Measures {
                since: now,
                before: None,
            },
            due: now.after(settings.window),
        }
    }

    /// The most requests that the cell may have at once.
    pub fn limit(&self) -> u32 {
        self.limit
    }

    /// How long the answers of a cell take that isn't busy, once that is known.
    pub fn base(&self) -> Option<Duration> {
        self.base.map(Duration::from_micros)
    }

    /// When to call [`handle_window`](Self::handle_window).
    pub fn due(&self) -> Mono {
        self.due
    }

    /// Only answers to requests that were sent since then count.
    pub fn counts_since(&self) -> Mono {
        match self.phase {
            Phase::Measures { since, .. } => since,
            Phase::Adjusts { .. } => Mono::default(),
        }
    }

    /// When a new measurement is given up. `None` while there is none. Call
    /// [`give_up`](Self::give_up) then.
    pub fn gives_up(&self) -> Option<Mono> {
        match self.phase {
            Phase::Measures { since, before } => before.map(|_| since.after(MEASURE_MAX)),
            Phase::Adjusts { .. } => None,
        }
    }

    /// Ends a new measurement that has taken too long. The limit before it holds again.
    pub fn give_up(&mut self, now: Mono) {
        if let Phase::Measures { since, before } = self.phase
            && let Some(before) = before.filter(|_| now >= since.after(MEASURE_MAX))
        {
            self.limit = before;
            self.phase = Phase::Adjusts { limits_since: None };
        }
    }

    /// Takes the times of the answers since the last window, and the most requests that the cell had
    /// at once. `most` is the configured maximum.
    ///
    /// Returns whether the window is over. If it isn't, because there are too few answers, the driver
    /// keeps them and counts on.
    pub fn handle_window(
        &mut self,
        settings: &AdaptiveSettings,
        now: Mono,
        most: u32,
        (samples, peak): (&Samples, u32),
    ) -> bool {
        if now < self.due {
            return false;
        }
        self.due = now.after(settings.window);
        let Some(median) = samples.median() else {
            return false;
        };
        let least = settings.requests_min.min(most).max(1);
        match self.phase {
            Phase::Measures { before, .. } => {
                self.base = Some(median);
                self.quicker = (0, 0);
                let start = least.saturating_mul(2);
                self.limit = before.unwrap_or(start).clamp(least, most.max(least));
                self.phase = Phase::Adjusts { limits_since: None };
            }
            Phase::Adjusts { limits_since } => {
                let base = self.lowered(median);
                if limits_since.is_some_and(|since| now >= since.after(settings.remeasure)) {
                    self.phase = Phase::Measures {
                        since: now,
                        before: Some(self.limit),
                    };
                    self.limit = least;
                    return true;
                }
                let limits = peak >= self.limit && self.limit < most;
                let used = peak.saturating_mul(2);
                let ends = self.limit >= most || used < self.limit;
                self.phase = Phase::Adjusts {
                    limits_since: match limits_since.filter(|_| !ends) {
                        None if limits => Some(now),
                        since => since,
                    },
                };
                let next = match used >= self.limit {
                    true => adjusted(self.limit, base, median, settings.tolerance_percent),
                    false => used.max(self.limit - self.limit.div_ceil(UNUSED_PART)),
                };
                self.limit = next.clamp(least, most.max(least));
            }
        }
        true
    }
}

impl AdaptiveLimit {
    /// The base after a window with this median.
    fn lowered(&mut self, median: u64) -> u64 {
        let base = self.base.unwrap_or(median);
        let (windows, longest) = self.quicker;
        let longest = longest.max(median);
        let (base, quicker) = match windows + 1 {
            _ if median >= base => (base, (0, 0)),
            QUICKER_WINDOWS.. => (longest, (0, 0)),
            windows => (base, (windows, longest)),
        };
        (self.base, self.quicker) = (Some(base), quicker);
        base
    }
}

/// The next limit.
fn adjusted(limit: u32, base: u64, median: u64, tolerance_percent: u32) -> u32 {
    let limit = u128::from(limit);
    let allowed = u128::from(base) * u128::from(100 + tolerance_percent);
    let scaled = limit * allowed / (u128::from(median.max(1)) * 100);
    let scaled = scaled.clamp(limit / 2, limit * 2);
    let next = scaled + limit.isqrt();
    u32::try_from(next).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests;
