//! A worker's HTTP/2 connections to an endpoint, which requests share.
//!
//! Most requests share one connection. Another is opened when it has many requests ([`SHARED_STREAMS`]), or
//! as many as the cell allows, up to a number of connections ([`SHARED_CONNECTIONS_MAX`]). The cell may
//! change what it allows at any time.

use std::sync::{Arc, Weak};
use std::time::Duration;

use tokio::time::Instant;

use super::load::Load;

/// The most requests that share an HTTP/2 connection before another is opened. Servers allow this
/// many by default (RFC 9113, section 6.5.2, recommends no less).
const SHARED_STREAMS: usize = 100;
/// The most HTTP/2 connections of a worker to an endpoint. Further requests share these.
const SHARED_CONNECTIONS_MAX: usize = 4;

/// How long a new connection is kept for the request that it was made for, although others wait for one to
/// close.
const NEW_FOR: Duration = Duration::from_millis(10);

#[derive(Debug, Default)]
pub(super) struct Shared {
    /// Those that get requests.
    lent: Vec<Http2Connection>,
    /// Those that get no more and may still have requests.
    leaving: Vec<Weak<Load>>,
    /// How many streams the cell allowed on the last one that left.
    left_with: Option<usize>,
}

#[derive(Debug)]
struct Http2Connection {
    load: Arc<Load>,
    until: Instant,
    /// Whether it has reached its age and should be replaced.
    aged: bool,
}

impl Http2Connection {
    /// Whether another connection should take the next request.
    fn is_busy(&self) -> bool {
        self.load.http2.requests() >= SHARED_STREAMS.min(self.load.streams_max())
    }
}

/// The best connection for a request.
pub(super) struct Best {
    pub(super) load: Arc<Load>,
    /// Whether it has reached its age and should be replaced.
    pub(super) aged: bool,
    /// Whether there should be another connection.
    pub(super) busy: bool,
}

impl Shared {
    /// The best connection for a request. `None`: there is no connection.
    pub(super) fn best(&mut self) -> Option<Best> {
        let further = self.has_place();
        let least = self.lent.iter().min_by_key(|shared| {
            let load = &shared.load;
            (!load.has_room(), shared.aged, load.http2.requests())
        });
        least.map(|shared| Best {
            load: shared.load.clone(),
            aged: shared.aged,
            busy: further && shared.is_busy(),
        })
    }

    /// Stops lending connections that have ended. Returns whether all of these have answered something.
    pub(super) fn forget_ended(&mut self) -> bool {
        self.leave(|shared| shared.load.http2.has_ended())
    }

    /// Whether another connection may be opened.
    pub(super) fn has_place(&self) -> bool {
        self.lent.len() < SHARED_CONNECTIONS_MAX
    }

    pub(super) fn is_empty(&self) -> bool {
        self.lent.is_empty()
    }

    /// How many streams there may be, with those that are open.
    pub(super) fn streams_max(&self) -> usize {
        let lent = self.lent.iter().map(|shared| {
            let (most, open) = (shared.load.streams_max(), shared.load.http2.requests());
            most.max(open)
        });
        let leaving = self.leaving.iter().filter_map(Weak::upgrade);
        let leaving = leaving.map(|load| load.http2.requests());
        lent.chain(leaving).fold(0, usize::saturating_add)
    }

    /// How many streams a new connection may have before the cell says how many it allows.
    pub(super) fn streams_at_first(&self) -> usize {
        let lent = self.lent.iter().map(|shared| shared.load.streams_max());
        let known = lent.min().or(self.left_with);
        known.map_or(SHARED_STREAMS, |known| known.clamp(1, SHARED_STREAMS))
    }

    /// Adds a connection. It replaces those that have reached their age.
    pub(super) fn add(&mut self, load: Arc<Load>, until: Instant) {
        self.leave(|shared| shared.aged);
        self.lent.push(Http2Connection {
            load,
            until,
            aged: false,
        });
    }

    /// Counts the streams of a connection that gets no more requests.
    pub(super) fn add_unlent(&mut self, load: &Arc<Load>) {
        self.leaving.push(Arc::downgrade(load));
    }

    /// Stops lending this connection. Returns whether it has answered something, or was not lent.
    pub(super) fn retire(&mut self, load: &Arc<Load>) -> bool {
        self.leave(|shared| Arc::ptr_eq(&shared.load, load))
    }

    /// Stops lending all connections.
    pub(super) fn clear(&mut self) {
        self.leave(|_| true);
    }

    /// Closes up to this many unused connections.
    pub(super) fn yield_unused(&mut self, wanted: usize) {
        let now = Instant::now();
        let unused = |shared: &mut Http2Connection| {
            let keep = match shared.load.is_new() {
                true => NEW_FOR,
                false => Duration::ZERO,
            };
            shared.load.unused(now, keep)
        };
        for shared in self.lent.extract_if(.., unused).take(wanted) {
            self.left_with = Some(shared.load.streams_max());
        }
    }

    /// Closes connections that have been unused for too long, and marks those that have reached their age.
    pub(super) fn expire(&mut self, now: Instant, keep: Duration) {
        self.leave(|shared| shared.load.http2.has_ended() || shared.load.unused(now, keep));
        for shared in &mut self.lent {
            shared.aged |= shared.until <= now;
        }
    }

    /// Returns whether all of these have answered something.
    fn leave(&mut self, which: impl Fn(&Http2Connection) -> bool) -> bool {
        self.leaving.retain(|load| load.strong_count() > 0);
        let mut useful = true;
        for shared in self.lent.extract_if(.., |shared| which(shared)) {
            self.left_with = Some(shared.load.streams_max());
            self.leaving.push(Arc::downgrade(&shared.load));
            useful &= shared.load.has_answered();
        }
        useful
    }
}
