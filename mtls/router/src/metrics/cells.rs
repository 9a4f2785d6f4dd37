//! Counters for each cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use cellway_core::{Reason, Text};

use super::shard::{ANSWERS, Counter, Counters};
use crate::event::Unserved;

/// Most cells that are counted apart; all further ones share one label value.
pub const CELLS_MAX: usize = 256;
/// The label value of the further ones. No cell can be called so: ids have no leading space.
pub(super) const OTHER: &str = " other";

/// Upper bounds of the latency buckets, in microseconds.
pub(super) const BUCKETS_US: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// One shard's cells, in order of their ids.
///
/// Looking a cell up takes no lock. A new cell makes a new list; only the shard's own worker does
/// that, so nothing is lost between load and store.
#[derive(Debug, Default)]
pub(super) struct Cells {
    known: ArcSwap<Vec<(Text, Arc<CellCounts>)>>,
    other: Arc<CellCounts>,
}

#[derive(Debug, Default)]
pub(super) struct CellCounts {
    pub(super) latency: Histogram,
    /// Answers to requests that were let through for it, by who made them and class of status.
    pub(super) answers: Counters<ANSWERS>,
    pub(super) connected: Counter,
    pub(super) failed: Counters<{ Reason::ALL.len() }>,
    pub(super) ejected: Counter,
    /// By reason: first those that were sent again, then those that weren't.
    pub(super) retries: Counters<{ RETRY_RESULTS.len() * Unserved::ALL.len() }>,
}

/// The results for requests that may be sent again, in the order of the counters.
pub(super) const RETRY_RESULTS: [&str; 2] = ["sent", "over_budget"];

impl CellCounts {
    pub(super) fn retried(&self, why: Unserved, granted: bool) {
        let result = usize::from(!granted);
        self.retries
            .add(result * Unserved::ALL.len() + why as usize);
    }
}

impl Cells {
    /// The counts of a cell, which becomes known if there is room.
    pub(super) fn of(&self, cell: &Text) -> Arc<CellCounts> {
        let known = self.known.load();
        match known.binary_search_by(|(id, _)| id.cmp(cell)) {
            Ok(at) => Arc::clone(&known[at].1),
            Err(_) if known.len() >= CELLS_MAX => Arc::clone(&self.other),
            Err(at) => {
                let counts = Arc::<CellCounts>::default();
                let mut more = Vec::clone(&known);
                more.insert(at, (cell.clone(), Arc::clone(&counts)));
                self.known.store(Arc::new(more));
                counts
            }
        }
    }

    /// All cells with their counts, and the further ones.
    pub(super) fn all(&self) -> Vec<(String, Arc<CellCounts>)> {
        let known = self.known.load();
        let known = known
            .iter()
            .map(|(id, counts)| (id.to_string(), Arc::clone(counts)));
        known
            .chain([(OTHER.to_owned(), Arc::clone(&self.other))])
            .collect()
    }
}

/// A latency histogram.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// How many fell into each bucket, and above the last.
    buckets: [AtomicU64; BUCKETS_US.len() + 1],
    sum_us: AtomicU64,
}

impl Histogram {
    pub(super) fn observe(&self, latency: Duration) {
        let us = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX);
        let bucket = BUCKETS_US.partition_point(|bound| *bound < us);
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_us.fetch_add(us, Ordering::Relaxed);
    }

    /// How many fell into each bucket, and the sum in microseconds.
    pub(super) fn read(&self) -> ([u64; BUCKETS_US.len() + 1], u64) {
        let buckets = self.buckets.each_ref();
        let buckets = buckets.map(|bucket| bucket.load(Ordering::Relaxed));
        (buckets, self.sum_us.load(Ordering::Relaxed))
    }
}
