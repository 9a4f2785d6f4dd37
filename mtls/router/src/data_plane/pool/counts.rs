//! How many connections and requests each worker has at an endpoint, for operators.
//!
//! Each worker has its own counts, so that workers don't compete for a cache line. A page for
//! operators adds them up.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use crate::observe::debug::EndpointUse;

/// One worker's connections to one endpoint, and the requests on them.
#[derive(Debug, Default)]
pub(super) struct Counts {
    /// Connections that are open or being opened.
    connections: AtomicUsize,
    /// HTTP/1.1 connections that are kept for the next request.
    kept: AtomicUsize,
    /// HTTP/2 connections without a request.
    quiet: AtomicUsize,
    requests: AtomicUsize,
}

impl Counts {
    pub(super) fn opens(&self) {
        self.connections.fetch_add(1, Relaxed);
    }

    pub(super) fn closes(&self) {
        self.connections.fetch_sub(1, Relaxed);
    }

    /// A request gets a connection.
    pub(super) fn lends(&self) {
        self.requests.fetch_add(1, Relaxed);
    }

    /// A request gives its connection back, or the connection ends with it.
    pub(super) fn takes_back(&self) {
        self.requests.fetch_sub(1, Relaxed);
    }

    /// Notes how many HTTP/1.1 connections are kept now.
    pub(super) fn keeps(&self, kept: usize) {
        self.kept.store(kept, Relaxed);
    }

    /// An HTTP/2 connection has no request now.
    pub(super) fn falls_quiet(&self) {
        self.quiet.fetch_add(1, Relaxed);
    }

    /// An HTTP/2 connection without a request gets one, or is forgotten.
    pub(super) fn was_quiet(&self) {
        self.quiet.fetch_sub(1, Relaxed);
    }

    pub(super) fn add_to(&self, sum: &mut EndpointUse) {
        let (kept, quiet) = (self.kept.load(Relaxed), self.quiet.load(Relaxed));
        sum.connections += self.connections.load(Relaxed);
        sum.idle += kept + quiet;
        sum.requests += self.requests.load(Relaxed);
    }
}
