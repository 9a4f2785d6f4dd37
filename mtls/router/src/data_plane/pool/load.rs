//! How much an HTTP/2 connection carries, and what requests are written to.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::counts::Counts;
use super::streams::{Reserved, StreamHolders, Streams};
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

/// One request's share of an HTTP/2 connection. If the request's body goes on after the answer, it has a
/// clone.
#[derive(Clone, Debug)]
pub(crate) struct Stream(Arc<Open>);

/// A stream, which counts until it is dropped.
#[derive(Debug)]
struct Open {
    load: Arc<Load>,
    holders: StreamHolders,
}

impl Stream {
    pub(super) fn on(load: Arc<Load>, reserved: Reserved) -> Self {
        if load.http2.begins() == 0 {
            load.counts.was_quiet();
        }
        let holders = reserved.opens();
        Self(Arc::new(Open { load, holders }))
    }

    /// The connection.
    pub(crate) fn http2(&self) -> &Http2Sender {
        &self.0.load.http2
    }

    pub(super) fn load(&self) -> &Arc<Load> {
        &self.0.load
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        if self.load.http2.ends() == 1 {
            *lock_uncontended(&self.load.idle_since) = Instant::now();
            self.load.counts.falls_quiet();
        }
        self.load.streams.give_back(self.holders);
    }
}

/// One HTTP/2 connection with its requests, and when the last one ended.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) http2: Http2Sender,
    /// The number of answers so far, as a sign of life. It may wrap.
    pub(super) answers: AtomicU32,
    /// How many microseconds it took to open, until that is reported.
    opened_us: AtomicU32,
    idle_since: Mutex<Instant>,
    /// Whether a request has reported that the connection failed.
    failed: AtomicBool,
    counts: Arc<Counts>,
    streams: Arc<Streams>,
}

impl Load {
    pub(super) fn new(
        http2: Http2Sender,
        opened_us: u32,
        counts: Arc<Counts>,
        streams: Arc<Streams>,
    ) -> Self {
        counts.falls_quiet();
        Self {
            http2,
            counts,
            streams,
            answers: AtomicU32::new(0),
            opened_us: AtomicU32::new(opened_us),
            idle_since: Mutex::new(Instant::now()),
            failed: AtomicBool::new(false),
        }
    }

    /// How many microseconds the connection took to open, for its first request. 0 for others.
    pub(super) fn opened_us(&self) -> u32 {
        match self.opened_us.load(Ordering::Relaxed) {
            0 => 0,
            _ => self.opened_us.swap(0, Ordering::Relaxed),
        }
    }

    /// Whether no request has used it.
    pub(super) fn is_new(&self) -> bool {
        self.opened_us.load(Ordering::Relaxed) > 0
    }

    /// Whether the cell has answered anything on it.
    pub(super) fn has_answered(&self) -> bool {
        self.answers.load(Ordering::Relaxed) > 0
    }

    /// Notes that the connection failed. `false` if that was noted before.
    pub(super) fn fails(&self) -> bool {
        !self.failed.swap(true, Ordering::Relaxed)
    }

    pub(super) fn unused(&self, now: Instant, keep: Duration) -> bool {
        self.http2.requests() == 0 && now >= *lock_uncontended(&self.idle_since) + keep
    }

    /// How many requests the connection may have at a time, as the cell says now.
    pub(super) fn streams_max(&self) -> usize {
        self.http2.streams_max()
    }

    /// Whether the cell allows another stream.
    pub(super) fn has_room(&self) -> bool {
        self.http2.requests() < self.streams_max()
    }
}

/// Nobody has a stream on it any more.
impl Drop for Load {
    fn drop(&mut self) {
        self.counts.was_quiet();
    }
}
