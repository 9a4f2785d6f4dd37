//! Counters for each cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use cellway_core::health::Cause;
use cellway_core::{Reason, Text};

use super::counter::{ANSWERS, Counter, Counters};
use crate::observe::event::{HedgeEnd, Unserved};

/// The most cells with counters of their own, over all workers. All other cells share one label
/// value.
pub const CELLS_MAX: usize = 256;
/// The label value of those other cells. A cell with this name is counted with them.
pub(super) const OTHER: &str = "other";

/// The cells of one router that have counters of their own, sorted by id.
///
/// All workers count the same cells, so that the bound holds for the router. Nothing here takes a
/// lock: a change replaces the whole list, and is tried again if another worker was faster.
#[derive(Debug, Default)]
pub(super) struct Names {
    known: ArcSwap<Vec<Text>>,
    /// How often cells were forgotten. A worker that last saw a lower number removes the forgotten
    /// cells from its own list.
    forgotten: AtomicU64,
}

impl Names {
    /// Whether the cell has counters of its own. If it has none and there is room, it gets them
    /// now.
    pub(super) fn admit(&self, cell: &Text) -> bool {
        if cell.as_str() == OTHER {
            return false;
        }
        let known = self.known.load();
        if known.binary_search(cell).is_ok() {
            return true;
        }
        if known.len() >= CELLS_MAX {
            return false;
        }
        let mut admitted = false;
        self.known.rcu(|known| {
            let mut more = Vec::clone(known);
            let place = more.binary_search(cell);
            if let Err(place) = place
                && more.len() < CELLS_MAX
            {
                more.insert(place, cell.clone());
            }
            admitted = place.is_ok() || more.len() > known.len();
            more
        });
        admitted
    }

    /// Forgets the cells for which `stays` is false, to make room for others.
    pub(super) fn retain(&self, stays: impl Fn(&Text) -> bool) {
        if self.known.load().iter().all(&stays) {
            return;
        }
        self.known.rcu(|known| {
            let left = known.iter().filter(|cell| stays(cell));
            left.cloned().collect::<Vec<_>>()
        });
        self.forgotten.fetch_add(1, Ordering::Release);
    }

    /// Whether the cell has counters of its own.
    pub(super) fn has(&self, cell: &Text) -> bool {
        self.known.load().binary_search(cell).is_ok()
    }
}

/// Upper bounds of the latency buckets, in microseconds.
pub(super) const BUCKETS_US: [u64; 14] = [
    500, 1_000, 2_500, 5_000, 10_000, 25_000, 50_000, 100_000, 250_000, 500_000, 1_000_000,
    2_500_000, 5_000_000, 10_000_000,
];

/// One shard's counts for each cell, sorted by id.
///
/// Looking up a cell takes no lock. Adding a cell replaces the list. Only the shard's own worker
/// does that, so nothing is lost between load and store.
#[derive(Debug, Default)]
pub(super) struct Cells {
    pub(super) names: Arc<Names>,
    known: ArcSwap<Known>,
    other: Arc<CellCounts>,
}

#[derive(Debug, Default)]
struct Known {
    /// The value of [`Names::forgotten`] when this list was made.
    forgotten: u64,
    cells: Vec<(Text, Arc<CellCounts>)>,
}

#[derive(Debug, Default)]
pub(super) struct CellCounts {
    pub(super) latency: Histogram,
    /// How long it took to make a connection.
    pub(super) connecting: Histogram,
    /// How long requests waited for a place, of those that had to wait.
    pub(super) queued: Histogram,
    /// Answers to requests that were allowed for this cell, by owner and class of status.
    pub(super) answers: Counters<ANSWERS>,
    pub(super) connected: Counter,
    pub(super) failed: Counters<{ Reason::ALL.len() }>,
    pub(super) circuits_opened: Counter,
    /// Health checks: first the successes, then the failures.
    pub(super) checks: Counters<{ CHECK_RESULTS.len() }>,
    /// By cause.
    pub(super) ejected: Counters<{ Cause::ALL.len() }>,
    /// By reason: first the requests that were sent again, then those that weren't.
    pub(super) retries: Counters<{ RETRY_RESULTS.len() * Unserved::ALL.len() }>,
    /// By end.
    pub(super) hedges: Counters<{ HedgeEnd::ALL.len() }>,
}

/// The results of health checks, in the order of the counters.
pub(super) const CHECK_RESULTS: [&str; 2] = ["healthy", "failed"];

/// What happened to requests that may be sent again, in the order of the counters.
pub(super) const RETRY_RESULTS: [&str; 2] = ["sent", "over_budget"];

impl CellCounts {
    pub(super) fn retried(&self, why: Unserved, granted: bool) {
        let result = usize::from(!granted);
        self.retries
            .add(result * Unserved::ALL.len() + why as usize);
    }
}

impl Cells {
    /// Starts with no counts. `names` has the cells that get counters of their own.
    pub(super) fn new(names: Arc<Names>) -> Self {
        Self {
            names,
            ..Self::default()
        }
    }

    /// The counts of a cell. A new cell is added if there is room.
    pub(super) fn of(&self, cell: &Text) -> Arc<CellCounts> {
        let forgotten = self.names.forgotten.load(Ordering::Acquire);
        let known = self.known.load();
        if known.forgotten == forgotten
            && let Ok(at) = known.cells.binary_search_by(|(id, _)| id.cmp(cell))
        {
            return Arc::clone(&known.cells[at].1);
        }
        if !self.names.admit(cell) {
            return Arc::clone(&self.other);
        }
        // Leave out the cells that were forgotten, so that this list has the same bound.
        let still = known.cells.iter().filter(|(id, _)| self.names.has(id));
        let mut cells: Vec<_> = still.cloned().collect();
        let counts = match cells.binary_search_by(|(id, _)| id.cmp(cell)) {
            Ok(at) => Arc::clone(&cells[at].1),
            Err(at) => {
                let counts = Arc::<CellCounts>::default();
                cells.insert(at, (cell.clone(), Arc::clone(&counts)));
                counts
            }
        };
        self.known.store(Arc::new(Known { forgotten, cells }));
        counts
    }

    /// All cells with counters of their own, and the shared counters of the others.
    pub(super) fn all(&self) -> Vec<(String, Arc<CellCounts>)> {
        let known = self.known.load();
        let known = known.cells.iter().filter(|(id, _)| self.names.has(id));
        let known = known.map(|(id, counts)| (id.to_string(), Arc::clone(counts)));
        known
            .chain([(OTHER.to_owned(), Arc::clone(&self.other))])
            .collect()
    }
}

/// A histogram of times.
#[derive(Debug, Default)]
pub(super) struct Histogram {
    /// The number of values in each bucket, and above the last one.
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

    /// Whether it has any value.
    pub(super) fn has_any(&self) -> bool {
        let mut buckets = self.buckets.iter();
        buckets.any(|bucket| bucket.load(Ordering::Relaxed) > 0)
    }

    /// The number of values in each bucket, and their sum in microseconds.
    pub(super) fn read(&self) -> ([u64; BUCKETS_US.len() + 1], u64) {
        let buckets = self.buckets.each_ref();
        let buckets = buckets.map(|bucket| bucket.load(Ordering::Relaxed));
        (buckets, self.sum_us.load(Ordering::Relaxed))
    }
}
