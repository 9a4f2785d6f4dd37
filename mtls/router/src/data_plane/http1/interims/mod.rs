//! The interim answers of a cell, which hyper skips. The guard of the cell's connection copies their
//! heads, and the request's task [passes them on](crate::data_plane::interims).

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Waker};

use crate::data_plane::interims::Allowance;
use crate::lock::lock_uncontended;

/// The heads of the interim answers to a cell's present request.
#[derive(Debug, Default)]
pub(crate) struct Heads {
    /// Whether any came since the request was sent. Most requests get none, so their tasks take no
    /// lock for them.
    any: AtomicBool,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    waiting: Vec<Vec<u8>>,
    /// Counts those that have come.
    allowance: Allowance,
    waker: Option<Waker>,
}

impl Heads {
    /// Notes one, and wakes the request's task.
    pub(super) fn add(&self, head: &[u8]) {
        let mut state = lock_uncontended(&self.state);
        self.any.store(true, Relaxed);
        if !state.allowance.takes(head.len()) {
            return;
        }
        state.waiting.push(head.to_vec());
        if let Some(waker) = &state.waker {
            waker.wake_by_ref();
        }
    }

    /// Forgets those of the request before.
    pub(super) fn forget(&self) {
        if self.any.load(Relaxed) {
            let mut state = lock_uncontended(&self.state);
            state.allowance = Allowance::default();
            state.waiting.clear();
            self.any.store(false, Relaxed);
        }
    }

    /// Wakes this task when one comes.
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        let mut state = lock_uncontended(&self.state);
        if !state
            .waker
            .as_ref()
            .is_some_and(|it| it.will_wake(cx.waker()))
        {
            state.waker = Some(cx.waker().clone());
        }
    }

    /// Wakes no task any more. A waker that stays would keep the memory of a task that has ended.
    pub(crate) fn hush(&self) {
        lock_uncontended(&self.state).waker = None;
    }

    /// Those that have come and weren't taken yet.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        match self.any.load(Relaxed) {
            true => std::mem::take(&mut lock_uncontended(&self.state).waiting),
            false => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests;
