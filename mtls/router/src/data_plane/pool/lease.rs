//! A connection lent to one request.

use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hyper::client::conn::http2;
use tokio::time::Instant;

use super::endpoint::EndpointPool;
use crate::data_plane::http1::Http1Sender;
use crate::data_plane::proxy::RequestBody;
use crate::lock::lock_uncontended;

/// A connection that a request can be written to.
#[derive(Debug)]
pub(crate) enum Sender {
    /// HTTP/1.1, lent to one request at a time.
    H1(Box<Http1Sender>),
    /// HTTP/2, shared.
    H2(http2::SendRequest<RequestBody>),
}

/// A connection lent to one request. [`Lease::done`] gives the connection back. If the lease is
/// dropped without it, an HTTP/1.1 connection is closed, because bytes of the old exchange may
/// still arrive on it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) pool: Arc<EndpointPool>,
    pub(crate) sender: Sender,
    /// Whether it was opened for this request.
    pub(crate) opened: bool,
    /// [`Load::answers`] when the request began.
    pub(super) answers: u32,
    pub(super) epoch: u64,
    /// Counts the request on its connection while the lease lasts. `None` on HTTP/1.1.
    pub(super) stream: Option<Stream>,
}

impl Lease {
    /// The exchange has ended, and the connection can be used again.
    pub(crate) fn done(self) {
        if let Sender::H1(http1) = self.sender
            && !http1.is_closed()
        {
            self.pool.keep(http1, self.epoch);
        }
    }

    /// Notes that the cell answered.
    pub(crate) fn answered(&self) {
        if let Some(stream) = &self.stream {
            stream.0.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the request timed out. If the cell answered nothing else on the connection
    /// meanwhile, the connection may be dead and gets no more requests. Open requests on it
    /// continue.
    pub(crate) fn unanswered(&self) {
        if let Some(Stream(load)) = &self.stream
            && load.answers.load(Ordering::Relaxed) == self.answers
        {
            self.pool.retire(load);
        }
    }

    /// Whether the connection was open before this request and the cell had answered on it.
    pub(crate) fn has_served(&self) -> bool {
        !self.opened && self.answers > 0
    }

    /// Stops lending the connection, because it takes no more requests or has ended. Open requests
    /// on it may continue.
    pub(crate) fn retire(&self) {
        if let Some(stream) = &self.stream {
            self.pool.retire(&stream.0);
        }
    }
}

/// One request's share of an HTTP/2 connection.
#[derive(Debug)]
pub(crate) struct Stream(pub(super) Arc<Load>);

impl Stream {
    pub(super) fn on(load: &Arc<Load>) -> Self {
        load.streams.fetch_add(1, Ordering::Relaxed);
        Self(load.clone())
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if self.0.streams.fetch_sub(1, Ordering::Relaxed) == 1 {
            *lock_uncontended(&self.0.idle_since) = Instant::now();
        }
    }
}

/// Requests on one HTTP/2 connection, and when the last one ended.
#[derive(Debug)]
pub(super) struct Load {
    pub(super) streams: AtomicUsize,
    /// The number of answers so far, as a sign of life. It may wrap.
    pub(super) answers: AtomicU32,
    idle_since: Mutex<Instant>,
}

impl Load {
    pub(super) fn new() -> Self {
        Self {
            streams: AtomicUsize::new(0),
            answers: AtomicU32::new(0),
            idle_since: Mutex::new(Instant::now()),
        }
    }

    pub(super) fn unused(&self, now: Instant, keep: Duration) -> bool {
        self.streams.load(Ordering::Relaxed) == 0
            && now >= *lock_uncontended(&self.idle_since) + keep
    }
}
