//! A cell's adaptive limit, shared by all workers.
//!
//! Core computes the limit ([`AdaptiveLimit`]). This counts how long answers take, in atomics, so that
//! no request waits for another worker. Whichever request finds that the window is over takes the
//! counts to core; if another one does so already, it goes on.
//!
//! Only requests that wait for their answer count against the limit, and for the shares in it. A stream
//! whose answer has begun keeps its place in `requests_max`, but the cell's time for an answer says
//! nothing about it, and many streams must not keep their holders from sending requests. So these
//! requests have a [`Bound`] of their own. It counts those that were admitted while the limit was on.

use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use cellway_core::Mono;
use cellway_core::adaptive_limit::{AdaptiveLimit, AdaptiveSettings, Samples};
use tokio::time::Instant;

use crate::shares::Bound;

/// The limit of a cell that has none.
const NONE: usize = usize::MAX;

/// One cell's limit.
#[derive(Debug)]
pub(super) struct Adaptive {
    limit: AtomicUsize,
    /// How many requests the cell had when a new measurement began and still has. They keep their
    /// places. Those whose end says nothing about the cell's time count until it is over.
    earlier: AtomicUsize,
    /// Requests that wait for their answers. Made when the limit is turned on, because it takes 16 KiB
    /// and most routers have no adaptive limit.
    unanswered: OnceLock<Bound>,
    /// The most requests that waited for their answers at once, since the last window.
    peak: AtomicU32,
    /// When the window is over, and since when a request must have been sent to count. Both in
    /// microseconds since `origin`.
    due: AtomicU64,
    since: AtomicU64,
    /// When a new measurement is given up. The maximum while there is none.
    gives_up: AtomicU64,
    /// How long answers usually take, in microseconds. The maximum until it was measured.
    base: AtomicU64,
    /// Made when the first answer is counted, because most routers have no adaptive limit.
    counts: OnceLock<Box<[AtomicU32; Samples::BUCKETS]>>,
    machine: Mutex<Option<AdaptiveLimit>>,
    origin: Instant,
}

impl Default for Adaptive {
    fn default() -> Self {
        Self {
            limit: AtomicUsize::new(NONE),
            earlier: AtomicUsize::new(0),
            unanswered: OnceLock::new(),
            peak: AtomicU32::new(0),
            due: AtomicU64::new(0),
            since: AtomicU64::new(0),
            gives_up: AtomicU64::new(u64::MAX),
            base: AtomicU64::new(u64::MAX),
            counts: OnceLock::new(),
            machine: Mutex::new(None),
            origin: Instant::now(),
        }
    }
}

/// The time of an answer, and what it is compared with.
#[derive(Clone, Copy, Debug)]
pub(super) struct Took {
    /// When the request was sent.
    pub(super) began: Instant,
    /// The most requests that the configuration allows.
    pub(super) most: usize,
    /// Whether there was no answer when the request's own time was over. The answer would have taken
    /// longer, so this counts only if it is longer than usual: a caller with a short deadline must not
    /// make the cell look quick.
    pub(super) gave_up: bool,
}

impl Adaptive {
    /// Turns the limit on or off, as these settings say.
    pub(super) fn follow(&self, settings: Option<&AdaptiveSettings>) {
        let is_on = self.limit.load(Relaxed) != NONE;
        match settings {
            Some(settings) if !is_on => self.turn_on(settings),
            None if is_on => self.turn_off(),
            // Answers may not come for long, so requests look too.
            Some(_) if micros(self.origin.elapsed()) >= self.gives_up.load(Relaxed) => {
                self.give_up();
            }
            Some(_) | None => {}
        }
    }

    /// The limit, if there is one.
    pub(super) fn limit(&self) -> Option<usize> {
        let limit = Some(self.limit.load(Relaxed)).filter(|limit| *limit != NONE)?;
        Some(limit + self.earlier.load(Relaxed))
    }

    /// The requests that wait for their answers.
    pub(super) fn unanswered(&self) -> &Bound {
        self.unanswered.get_or_init(Bound::default)
    }

    /// Counts the time of an answer, or of a wait that was too long. Returns whether the limit may
    /// have changed.
    pub(super) fn took(&self, settings: &AdaptiveSettings, took: Took) -> bool {
        let waiting = u32::try_from(self.unanswered().taken()).unwrap_or(u32::MAX);
        self.peak.fetch_max(waiting, Relaxed);
        let began = micros(took.began.saturating_duration_since(self.origin));
        let elapsed = took.began.elapsed();
        if began < self.since.load(Relaxed) {
            let _ = (self.earlier).fetch_update(Relaxed, Relaxed, |count| count.checked_sub(1));
        }
        let counts = !took.gave_up || micros(elapsed) >= self.base.load(Relaxed);
        if counts && began >= self.since.load(Relaxed) {
            let bucket = Samples::bucket(elapsed);
            self.counts()[bucket].fetch_add(1, Relaxed);
        }
        micros(self.origin.elapsed()) >= self.due.load(Relaxed)
            && self.window_ends(settings, took.most)
    }

    /// Takes the counts to core, unless another request does.
    fn window_ends(&self, settings: &AdaptiveSettings, most: usize) -> bool {
        let Ok(mut machine) = self.machine.try_lock() else {
            return false;
        };
        let Some(machine) = machine.as_mut() else {
            return false;
        };
        let now = self.now();
        if now < machine.due() {
            return false;
        }
        let counts = self.counts();
        let samples = Samples(std::array::from_fn(|at| counts[at].load(Relaxed)));
        let peak = self.peak.load(Relaxed);
        let most = u32::try_from(most).unwrap_or(u32::MAX);
        let over = machine.handle_window(settings, now, most, (&samples, peak));
        if over {
            self.clear();
        }
        self.publish(machine);
        over
    }

    fn give_up(&self) {
        if let Ok(mut machine) = self.machine.try_lock()
            && let Some(machine) = machine.as_mut()
        {
            machine.give_up(self.now());
            self.publish(machine);
        }
    }

    fn turn_on(&self, settings: &AdaptiveSettings) {
        // If another request holds it, that one turns the limit on.
        if let Ok(mut machine) = self.machine.try_lock()
            && machine.is_none()
        {
            // Answers that were counted before say nothing about the cell now.
            self.clear();
            self.publish(machine.insert(AdaptiveLimit::new(settings, self.now())));
        }
    }

    fn turn_off(&self) {
        if let Ok(mut machine) = self.machine.try_lock() {
            *machine = None;
            self.limit.store(NONE, Relaxed);
        }
    }

    /// Begins a window. Answers that come meanwhile may be lost, or count in this window and the next.
    fn clear(&self) {
        if let Some(counts) = self.counts.get() {
            counts.iter().for_each(|count| count.store(0, Relaxed));
        }
        self.peak.store(0, Relaxed);
    }

    fn publish(&self, machine: &AdaptiveLimit) {
        let limit = machine.limit() as usize;
        self.limit.store(limit, Relaxed);
        self.due
            .store(micros(machine.due().since_origin()), Relaxed);
        let since = micros(machine.counts_since().since_origin());
        let begins = self.since.swap(since, Relaxed) < since;
        let gives_up = machine.gives_up();
        match gives_up {
            Some(_) if begins => self.earlier.store(self.unanswered().taken(), Relaxed),
            Some(_) => {}
            None => self.earlier.store(0, Relaxed),
        }
        let gives_up = gives_up.map_or(u64::MAX, |at| micros(at.since_origin()));
        self.gives_up.store(gives_up, Relaxed);
        self.base
            .store(machine.base().map_or(u64::MAX, micros), Relaxed);
    }

    fn counts(&self) -> &[AtomicU32; Samples::BUCKETS] {
        let make = || Box::new(std::array::from_fn(|_| AtomicU32::new(0)));
        self.counts.get_or_init(make)
    }

    fn now(&self) -> Mono {
        Mono::from_origin(self.origin.elapsed())
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests;
