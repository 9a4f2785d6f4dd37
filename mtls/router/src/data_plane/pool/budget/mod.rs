//! Limits how often requests are sent again to a cell.
//!
//! A cell that refuses everything must not get a multiple of its load. Each request that a cell
//! answers adds a share of one retry to the cell's budget, and each retry takes a whole one. So
//! over any time at most that share of the answered requests is sent again, plus
//! [`RETRIES_RESERVE`]. A retry is taken from the budget before it is sent, so that retries in
//! flight count. All workers of the router share the budget.
//!
//! The first retry after a cell closed a connection in order is not taken from the budget: that connection
//! served before, so a cell that refuses everything gets no such retry.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};

/// How many retries a cell may have before any answered request has earned one.
pub const RETRIES_RESERVE: u32 = 10;

/// The cost of a retry. The balance is in percent of a request.
const RETRY: u32 = 100;
const BALANCE_MAX: u32 = RETRIES_RESERVE * RETRY;

/// One cell's budget. It is full at first.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    balance: AtomicU32,
    /// Requests that were sent again and have got no answer yet.
    in_flight: AtomicUsize,
}

impl Default for RetryBudget {
    fn default() -> Self {
        Self {
            balance: AtomicU32::new(BALANCE_MAX),
            in_flight: AtomicUsize::new(0),
        }
    }
}

/// A retry in flight, while it lasts.
#[derive(Debug)]
pub(crate) struct Retrying(Arc<RetryBudget>);

impl Drop for Retrying {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RetryBudget {
    /// Notes that the cell answered a request. The budget is nearly always full. Then this only
    /// reads, so that workers don't compete for the cache line.
    pub(crate) fn earn(&self, percent: u8) {
        if self.balance.load(Ordering::Relaxed) < BALANCE_MAX {
            let more = |balance: u32| Some((balance + u32::from(percent)).min(BALANCE_MAX));
            let _ = (self.balance).fetch_update(Ordering::Relaxed, Ordering::Relaxed, more);
        }
    }

    /// Takes a retry from the budget, if it has one.
    pub(crate) fn take(&self) -> bool {
        let less = |balance: u32| balance.checked_sub(RETRY);
        (self.balance)
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, less)
            .is_ok()
    }

    /// Whether it has a retry.
    pub(crate) fn has_one(&self) -> bool {
        self.balance.load(Ordering::Relaxed) >= RETRY
    }

    /// Counts a retry as in flight.
    pub(crate) fn begins(self: &Arc<Self>) -> Retrying {
        self.in_flight.fetch_add(1, Ordering::Relaxed);
        Retrying(self.clone())
    }

    /// The number of retries in flight.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests;
