//! Interim answers (RFC 9110, section 15.2), such as `103 Early Hints`, on their way from a cell to a
//! client. hyper skips a cell's, and can't send any to a client.
//!
//! The guard of the cell's connection copies each head into [`Heads`]. The request's task takes them,
//! sanitizes them and puts them into the client's [`Interims`]. The client's connection writes them
//! between two messages of hyper's. Each of these steps may leave an interim answer out, because a
//! client must get along without.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::task::{Context, Waker};

use bytes::Buf;

use crate::lock::lock_uncontended;

/// The most interim answers to a request that are passed on.
const ANSWERS_MAX: usize = 32;

/// The most bytes that they may have together, and the most that wait for a client.
const BYTES_MAX: usize = 32 * 1024;

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
    /// How many have come, and how many bytes they had.
    count: usize,
    bytes: usize,
    waker: Option<Waker>,
}

impl Heads {
    /// Notes one, and wakes the request's task.
    pub(super) fn add(&self, head: &[u8]) {
        let mut state = lock_uncontended(&self.state);
        state.count += 1;
        state.bytes = state.bytes.saturating_add(head.len());
        self.any.store(true, Relaxed);
        if state.count > ANSWERS_MAX || state.bytes > BYTES_MAX {
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
            (state.count, state.bytes) = (0, 0);
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

/// The interim answers that wait for the client of an HTTP/1.1 connection. One task writes and reads
/// them.
#[derive(Debug, Default)]
pub(crate) struct Interims {
    any: AtomicBool,
    bytes: Mutex<Bytes>,
}

#[derive(Debug, Default)]
struct Bytes {
    waiting: Vec<u8>,
    /// How many of them have been written.
    written: usize,
}

impl Interims {
    /// Whether any bytes wait.
    pub(crate) fn any(&self) -> bool {
        self.any.load(Relaxed)
    }

    /// Adds one in wire form. It is left out if too many bytes wait.
    pub(crate) fn add(&self, head: &[u8]) {
        let mut bytes = lock_uncontended(&self.bytes);
        if bytes.waiting.len() + head.len() <= BYTES_MAX {
            bytes.waiting.extend_from_slice(head);
            self.any.store(true, Relaxed);
        }
    }

    /// Leaves out those that wait. One that has been written in part stays.
    pub(crate) fn leave_out(&self) {
        let mut bytes = lock_uncontended(&self.bytes);
        if bytes.written == 0 {
            bytes.waiting = Vec::new();
            self.any.store(false, Relaxed);
        }
    }

    /// Calls `write` with the bytes that wait, as long as there are some. It returns how many it has
    /// written.
    ///
    /// # Errors
    /// Those of `write`, and its first result that isn't a number of bytes.
    pub(crate) fn write<R>(
        &self,
        mut write: impl FnMut(&[u8]) -> Result<usize, R>,
    ) -> Result<(), R> {
        let mut bytes = lock_uncontended(&self.bytes);
        loop {
            let Bytes { waiting, written } = &mut *bytes;
            let mut rest = &waiting[*written..];
            if !rest.has_remaining() {
                *bytes = Bytes::default();
                self.any.store(false, Relaxed);
                return Ok(());
            }
            let count = write(rest)?;
            rest.advance(count.min(rest.len()));
            *written = waiting.len() - rest.len();
        }
    }
}
