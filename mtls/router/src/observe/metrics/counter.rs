//! Counters.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::observe::event::Owner;

/// A number that only grows.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    pub(super) fn add(&self, n: u64) {
        self.0.fetch_add(n, Ordering::Relaxed);
    }

    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// A counter for each value of an enum, by its position.
#[derive(Debug)]
pub(super) struct Counters<const N: usize>([AtomicU64; N]);

impl<const N: usize> Default for Counters<N> {
    fn default() -> Self {
        Self([const { AtomicU64::new(0) }; N])
    }
}

impl<const N: usize> Counters<N> {
    pub(super) fn add(&self, position: usize) {
        self.add_n(position, 1);
    }

    pub(super) fn add_n(&self, position: usize, n: u64) {
        if let Some(counter) = self.0.get(position) {
            counter.fetch_add(n, Ordering::Relaxed);
        }
    }

    pub(super) fn get(&self, position: usize) -> u64 {
        let counter = self.0.get(position);
        counter.map_or(0, |counter| counter.load(Ordering::Relaxed))
    }
}

/// The owners of answers, in the order of their counters.
pub(super) const OWNERS: [Owner; 3] = [Owner::Router, Owner::Cell, Owner::Client];
/// Classes of status, in the order of their counters. `none` means that the client went away before
/// an answer.
pub(super) const STATUS_CLASSES: [&str; 6] = ["none", "1xx", "2xx", "3xx", "4xx", "5xx"];
/// The number of kinds of answers: one for each owner and class of status.
pub(super) const ANSWERS: usize = OWNERS.len() * STATUS_CLASSES.len();

/// The kinds of answers that there are, with the position of their counter: those of clients that went
/// away have no status, and all others have one.
pub(super) fn answers() -> impl Iterator<Item = (usize, Owner, &'static str)> {
    (0..ANSWERS)
        .map(|at| {
            let (owner, class) = (at / STATUS_CLASSES.len(), at % STATUS_CLASSES.len());
            (at, OWNERS[owner], STATUS_CLASSES[class])
        })
        .filter(|(_, owner, class)| (*owner == Owner::Client) == (*class == STATUS_CLASSES[0]))
}
