//! Interim answers (RFC 9110, section 15.2), such as `103 Early Hints`, on their way from a cell to a
//! client.
//!
//! The request's task gets them from the cell's connection, sanitizes them and hands them to the client's
//! side. An HTTP/1.1 client's connection writes what waits in its [`Interims`] between two messages. Over
//! HTTP/2 the task of the stream sends those in [`StreamInterims`]. Each of these steps may leave an
//! interim answer out, because a client must get along without.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::task::{Context, Waker};

use bytes::Buf;
use http::Response;

use crate::lock::lock_uncontended;

/// The most interim answers to a request that are passed on.
pub(crate) const ANSWERS_MAX: usize = 32;

/// The most bytes of a request's interim answers that are passed on, and the most that wait for a
/// client.
pub(crate) const BYTES_MAX: usize = 32 * 1024;

/// Counts the interim answers to a request.
#[derive(Debug, Default)]
pub(crate) struct Allowance {
    answers: AtomicUsize,
    bytes: AtomicUsize,
}

impl Allowance {
    /// Counts one of this size. Returns whether it may be passed on.
    pub(crate) fn takes(&self, bytes: usize) -> bool {
        let answers = self.answers.fetch_add(1, Relaxed);
        let before = self.bytes.fetch_add(bytes, Relaxed);
        answers < ANSWERS_MAX && before.saturating_add(bytes) <= BYTES_MAX
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

/// The interim answers that wait for the client of an HTTP/2 stream. The task of the stream sends them.
#[derive(Debug, Default)]
pub(crate) struct StreamInterims {
    /// Whether there are any. Most requests get none, so their tasks take no lock for them.
    any: AtomicBool,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    answers: Vec<Response<()>>,
    waker: Option<Waker>,
}

impl StreamInterims {
    /// Adds one.
    pub(crate) fn add(&self, answer: Response<()>) {
        let mut waiting = lock_uncontended(&self.waiting);
        waiting.answers.push(answer);
        self.any.store(true, Relaxed);
        if let Some(waker) = waiting.waker.take() {
            waker.wake();
        }
    }

    /// Wakes this task when one is added by another.
    pub(crate) fn listen(&self, cx: &Context<'_>) {
        lock_uncontended(&self.waiting).waker = Some(cx.waker().clone());
    }

    /// Those that wait.
    pub(crate) fn take(&self) -> Vec<Response<()>> {
        if !self.any.load(Relaxed) {
            return Vec::new();
        }
        self.any.store(false, Relaxed);
        std::mem::take(&mut lock_uncontended(&self.waiting).answers)
    }
}

#[cfg(test)]
mod tests;
