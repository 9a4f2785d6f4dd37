//! How much an HTTP/2 connection carries, and what requests are written to.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::counts::Counts;
use crate::data_plane::http1::Http1Connection;
use crate::data_plane::http2::Http2Sender;
use crate::lock::lock_uncontended;

/// A connection that a request can be written to.
#[derive(Debug)]
pub(crate) enum Sender {
    /// HTTP/1.1, lent to one request at a time.
    H1(Box<Http1Connection>),
    /// HTTP/2, shared.
    H2(Stream),
}

/// One request's share of an HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Stream(pub(super) Arc<Load>);

impl Stream {
    pub(super) fn on(load: &Arc<Load>) -> Self {
        if load.http2.begins() == 0 {
            load.counts.was_quiet();
        }
        Self(load.clone())
    }

    /// The connection.
    pub(crate) fn http2(&self) -> &Http2Sender {
        &self.0.http2
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.0.http2.ends() == 1 {
            *lock_uncontended(&self.0.idle_since) = Instant::now();
            self.0.counts.falls_quiet();
        }
    }
}

/// One HTTP/2 connection with its requests, and when the last one ended.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) http2: Http2Sender,
    /// The number of answers so far, as a sign of life. It may wrap.
    pub(super) answers: AtomicU32,
    idle_since: Mutex<Instant>,
    /// Whether a request has reported that the connection failed.
    failed: AtomicBool,
    counts: Arc<Counts>,
}

impl Load {
    pub(super) fn new(http2: Http2Sender, counts: Arc<Counts>) -> Self {
        counts.falls_quiet();
        Self {
            http2,
            counts,
            answers: AtomicU32::new(0),
            idle_since: Mutex::new(Instant::now()),
            failed: AtomicBool::new(false),
        }
    }

    /// Notes that the connection failed. `false` if that was noted before.
    pub(super) fn fails(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn unused(&self, now: Instant, keep: Duration) -> bool {
        self.http2.requests() == 0 && now >= *lock_uncontended(&self.idle_since) + keep
    }
}

/// Nobody has a stream on it any more.
impl Drop for Load {
    fn drop(&mut self) {
        self.counts.was_quiet();
    }
}
