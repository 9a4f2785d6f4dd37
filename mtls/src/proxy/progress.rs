//! How far a request's body has got, told by the body and read by who waits for the answer.

use std::sync::atomic::{AtomicU8, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use tokio::time::Instant;

/// Shared between a request's body, which the connection to the cell owns, and the task that waits
/// for the cell's answer.
#[derive(Debug)]
pub(crate) struct Progress {
    origin: Instant,
    /// When something moved last, in nanoseconds since `origin`.
    moved: AtomicU64,
    side: AtomicU8,
}

/// Whose turn it is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Turn {
    /// The cell takes what there is, or doesn't.
    Cell,
    /// The client sends more, or doesn't.
    Client,
    /// The body is whole.
    Done,
    /// The client broke it off.
    Broken,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self {
            origin: Instant::now(),
            moved: AtomicU64::new(0),
            side: AtomicU8::new(0),
        }
    }

    /// Something moved, and now it is so-and-so's turn.
    pub(crate) fn moved(&self, turn: Turn) {
        let since = self.origin.elapsed().as_nanos();
        self.moved
            .store(u64::try_from(since).unwrap_or(u64::MAX), Relaxed);
        self.turn_to(turn);
    }

    /// Nothing moved, and it is so-and-so's turn.
    pub(crate) fn turn_to(&self, turn: Turn) {
        let side = match turn {
            Turn::Cell => 0,
            Turn::Client => 1,
            Turn::Done => 2,
            Turn::Broken => 3,
        };
        self.side.store(side, Relaxed);
    }

    pub(crate) fn turn(&self) -> Turn {
        match self.side.load(Relaxed) {
            0 => Turn::Cell,
            1 => Turn::Client,
            2 => Turn::Done,
            _ => Turn::Broken,
        }
    }

    /// When something moved last.
    pub(crate) fn last(&self) -> Instant {
        self.origin + Duration::from_nanos(self.moved.load(Relaxed))
    }
}
