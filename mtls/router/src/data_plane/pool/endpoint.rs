//! The connections of one worker to one endpoint.
//!
//! HTTP/2 connections are shared. An HTTP/1.1 connection is lent to one request at a time. The
//! connection that was used last is lent first, so that the others expire in quiet times. While it
//! isn't known which version an endpoint speaks, and while the first HTTP/2 connection is being
//! made, one request connects and the others wait for it. If that fails, it fails for all that
//! waited.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::Text;
use cellway_core::registry::{Endpoint, Scheme};
use tokio::sync::Notify;
use tokio::time::Instant;

use super::breaker::Breaker;
use super::budget::RetryBudget;
use super::bulkhead::{Bulkhead, Bulkheads};
use super::connect::ConnectError;
use super::counts::Counts;
use super::load::{Load, Sender, Stream};
use crate::data_plane::http1::Http1Connection;
use crate::data_plane::http2::Http2Sender;
use crate::lock::lock_uncontended;
use crate::shares::LimitRefused;

/// The most requests that share an HTTP/2 connection before another is opened. Servers allow this
/// many by default (RFC 9113, section 6.5.2, recommends no less). If a server allows fewer, the
/// others wait inside the connection.
const SHARED_STREAMS: usize = 100;
/// The most HTTP/2 connections of a worker to an endpoint. Further requests share these.
const SHARED_CONNECTIONS_MAX: usize = 4;
/// The most unused HTTP/1.1 connections that a worker keeps to an endpoint.
const IDLE_MAX: usize = 256;

/// The connections of one worker to one endpoint.
#[derive(Debug)]
pub(crate) struct EndpointPool {
    pub(crate) endpoint: Endpoint,
    pub(crate) breaker: Arc<Breaker>,
    /// The retry budget of its cell.
    pub(crate) budget: Arc<RetryBudget>,
    /// The bulkhead of its cell.
    bulkhead: Arc<Bulkhead>,
    pub(super) counts: Arc<Counts>,
    pub(super) state: Mutex<State>,
    /// Notified when a connection attempt that others wait for is over.
    pub(super) settled: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    idle: Vec<Idle>,
    shared: Vec<Http2Connection>,
    pub(super) protocol: Protocol,
    /// Whether one request connects for all.
    pub(super) connecting: bool,
    /// The number of attempts for all requests, and how the last one failed.
    pub(super) attempts: u64,
    pub(super) failure: Option<ConnectError>,
    /// The configuration with which the connections were made.
    epoch: u64,
    /// A connection that has reached its age couldn't be replaced. The router tries again at the
    /// next check of the pool.
    pub(super) renewal_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Protocol {
    Unknown,
    Http1,
    Http2,
}

impl Protocol {
    fn of(scheme: Scheme) -> Self {
        match scheme {
            Scheme::Https => Self::Unknown,
            Scheme::Http => Self::Http1,
            Scheme::H2c => Self::Http2,
        }
    }
}

#[derive(Debug)]
struct Idle {
    http1: Box<Http1Connection>,
    since: Instant,
    /// Whether it has reached its age and should be replaced.
    aged: bool,
}

#[derive(Debug)]
struct Http2Connection {
    load: Arc<Load>,
    until: Instant,
    /// Whether it has reached its age and should be replaced.
    aged: bool,
}

/// How a request gets a connection.
pub(super) enum Next {
    Shared(Stream),
    Idle(Box<Http1Connection>),
    /// Another request connects. This is the number of attempts before that one.
    Wait(u64),
    /// The request gets no connection, because one of its holders has as many as it may.
    Refused(LimitRefused),
    /// Connect, for this request only or for all that wait. The new connection may replace an old
    /// one, which keeps serving if that fails.
    Connect {
        for_all: bool,
        aged: Option<Aged>,
    },
}

/// A connection that has reached its age. Boxed, because it is rare.
pub(super) type Aged = Box<Sender>;

impl Next {
    /// Connects for one HTTP/1.1 request.
    fn connect() -> Self {
        Self::Connect {
            for_all: false,
            aged: None,
        }
    }
}

impl EndpointPool {
    /// The pool of an endpoint of this cell.
    pub(super) fn new(endpoint: Endpoint, cell: &Text, bulkheads: &Bulkheads) -> Self {
        let state = State {
            idle: Vec::new(),
            shared: Vec::new(),
            protocol: Protocol::of(endpoint.url.scheme()),
            connecting: false,
            attempts: 0,
            failure: None,
            epoch: 0,
            renewal_failed: false,
        };
        Self {
            breaker: bulkheads.breaker(cell, endpoint.id),
            budget: bulkheads.budget(cell),
            bulkhead: bulkheads.cell(cell),
            counts: bulkheads.counts(endpoint.id),
            endpoint,
            state: Mutex::new(state),
            settled: Notify::new(),
        }
    }

    pub(super) fn next(
        &self,
        epoch: u64,
        fresh: bool,
        exceeds: impl Fn() -> Option<LimitRefused>,
    ) -> Next {
        let mut state = lock_uncontended(&self.state);
        if state.epoch < epoch {
            // These were made with certificates or bundles that are no longer in force. Requests in
            // flight on them continue.
            state.idle.clear();
            state.shared.clear();
            state.protocol = Protocol::of(self.endpoint.url.scheme());
            state.epoch = epoch;
        }
        let next = match state.protocol {
            Protocol::Http1 => match exceeds().map_or_else(|| Ok(state.idle.pop()), Err) {
                Err(full) => Next::Refused(full),
                Ok(Some(idle)) if fresh => {
                    drop(idle);
                    Next::connect()
                }
                Ok(Some(mut idle)) => {
                    match idle.aged && !state.renewal_failed && !idle.http1.is_closed() {
                        true => Next::Connect {
                            for_all: false,
                            aged: Some(Box::new(Sender::H1(idle.http1))),
                        },
                        false => Next::Idle(idle.http1),
                    }
                }
                Ok(None) => Next::connect(),
            },
            Protocol::Unknown | Protocol::Http2 => state.next_shared(),
        };
        self.counts.keeps(state.idle.len());
        next
    }

    /// How the attempt after `attempt` failed, if it did.
    pub(super) fn failure_after(&self, attempt: u64) -> Option<ConnectError> {
        let state = lock_uncontended(&self.state);
        (state.attempts == attempt + 1)
            .then(|| state.failure.clone())
            .flatten()
    }

    pub(super) fn share(&self, http2: Http2Sender, until: Instant, epoch: u64) -> Stream {
        let load = Arc::new(Load::new(http2, Arc::clone(&self.counts)));
        let stream = Stream::on(&load);
        let mut state = lock_uncontended(&self.state);
        if state.epoch == epoch {
            state.protocol = Protocol::Http2;
            // The new connection replaces those that have reached their age.
            state.shared.retain(|shared| !shared.aged);
            state.shared.push(Http2Connection {
                load,
                until,
                aged: false,
            });
        }
        stream
    }

    /// Keeps an unused connection for other requests. If a request of another worker or endpoint
    /// waits for one to close, this one closes.
    pub(super) fn keep(&self, http1: Box<Http1Connection>, epoch: u64) {
        if self.bulkhead.wants_connections() {
            return;
        }
        let mut state = lock_uncontended(&self.state);
        if state.epoch == epoch && state.idle.len() < IDLE_MAX {
            let since = Instant::now();
            let aged = http1.until() <= since;
            state.idle.push(Idle { http1, since, aged });
            self.counts.keeps(state.idle.len());
        }
    }

    /// Stops lending this connection.
    pub(super) fn retire(&self, load: &Arc<Load>) {
        let mut state = lock_uncontended(&self.state);
        state
            .shared
            .retain(|shared| !Arc::ptr_eq(&shared.load, load));
    }

    /// Closes unused connections, the oldest first, if requests of other workers or endpoints wait for
    /// some to close: one for each of these.
    pub(super) fn yield_unused(&self) {
        let wanted = self.bulkhead.wanted();
        if wanted == 0 {
            return;
        }
        let mut state = lock_uncontended(&self.state);
        let kept = state.idle.len();
        state.idle.drain(..wanted.min(kept));
        self.counts.keeps(state.idle.len());
        let unused =
            |shared: &mut Http2Connection| shared.load.unused(Instant::now(), Duration::ZERO);
        let left = wanted.saturating_sub(kept);
        state
            .shared
            .extract_if(.., unused)
            .take(left)
            .for_each(drop);
    }

    /// Closes connections that have been unused for too long, and marks those that have reached
    /// their age.
    pub(super) fn expire(&self, now: Instant, keep: Duration) {
        let mut state = lock_uncontended(&self.state);
        state
            .idle
            .retain_mut(|idle| now < idle.since + keep && !idle.http1.is_closed());
        self.counts.keeps(state.idle.len());
        state
            .shared
            .retain(|shared| !shared.load.http2.has_ended() && !shared.load.unused(now, keep));
        for idle in &mut state.idle {
            idle.aged |= idle.http1.until() <= now;
        }
        for shared in &mut state.shared {
            shared.aged |= shared.until <= now;
        }
        state.renewal_failed = false;
    }
}

impl State {
    fn next_shared(&mut self) -> Next {
        self.shared.retain(|shared| !shared.load.http2.has_ended());
        let least = self
            .shared
            .iter()
            .min_by_key(|shared| (shared.aged, shared.load.http2.requests()));
        let lend = |shared: &Http2Connection| Next::Shared(Stream::on(&shared.load));
        match least {
            Some(shared) if shared.aged && !self.connecting && !self.renewal_failed => {
                self.connecting = true;
                Next::Connect {
                    for_all: true,
                    aged: Some(Box::new(Sender::H2(Stream::on(&shared.load)))),
                }
            }
            Some(shared)
                if shared.has_room()
                    || self.connecting
                    || self.shared.len() >= SHARED_CONNECTIONS_MAX =>
            {
                lend(shared)
            }
            None if self.connecting => Next::Wait(self.attempts),
            _ => {
                self.connecting = true;
                Next::Connect {
                    for_all: true,
                    aged: None,
                }
            }
        }
    }
}

impl Http2Connection {
    fn has_room(&self) -> bool {
        self.load.http2.requests() < SHARED_STREAMS
    }
}
