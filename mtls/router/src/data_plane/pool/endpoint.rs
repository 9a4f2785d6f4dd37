//! The connections of one worker to one endpoint.
//!
//! HTTP/2 connections are [shared](super::shared). An HTTP/1.1 connection is lent to one request at a time.
//! The connection that was used last is lent first, so that the others expire in quiet times. While it isn't
//! known which version an endpoint speaks, and while the first HTTP/2 connection is being made, one
//! [attempt](super::attempt) serves all requests that wait. If it fails, it fails for all of them.

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
use super::load::{Load, Stream};
use super::shared::{Best, Shared};
use super::streams::Streams;
use crate::data_plane::http1::Http1Connection;
use crate::data_plane::http2::Http2Sender;
use crate::lock::lock_uncontended;
use crate::shares::{LimitRefused, Resource, Stakes, Unadmitted};

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
    pub(super) bulkhead: Arc<Bulkhead>,
    pub(super) counts: Arc<Counts>,
    pub(super) state: Mutex<State>,
    pub(super) streams: Arc<Streams>,
    /// Notified when a connection attempt that others wait for is over.
    pub(super) settled: Notify,
}

#[derive(Debug)]
pub(super) struct State {
    idle: Vec<Idle>,
    pub(super) shared: Shared,
    pub(super) protocol: Protocol,
    /// Whether an attempt for all is under way.
    connecting: bool,
    /// The number of attempts for all requests, and how the last one failed.
    attempts: u64,
    failure: Option<ConnectError>,
    /// The configuration with which the connections were made.
    epoch: u64,
    /// An attempt failed while there were other connections: one that has reached its age couldn't be
    /// replaced, or no further one made. The router tries again at the next check of the pool.
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
    /// How many microseconds it took to open, if no request has used it.
    opened_us: u32,
}

/// How a request gets a connection.
pub(super) enum Next {
    Shared(Stream),
    /// It took this many microseconds to open, if no request has used it.
    Idle(Box<Http1Connection>, u32),
    /// An attempt for all is under way. This is the number of attempts before that one.
    Wait(u64),
    /// The same, to replace a connection that serves on if that fails.
    Renew,
    /// The cell allows no more streams for this request.
    Full(Unadmitted),
    /// The request gets no connection, because one of its holders has as many as it may.
    Refused(LimitRefused),
    /// Connect for this request only. The new connection may replace an old one, which keeps serving if
    /// that fails.
    Connect(Option<Box<Http1Connection>>),
}

/// What a request finds that waits for a stream.
pub(super) enum Look {
    Full,
    /// The same, and an [attempt](EndpointPool::attempt) has to begin, so that there is more room.
    Attempt,
    /// There is no connection with streams any more. The request must ask anew: an attempt that it then
    /// waits for can fail, and is reported.
    NoConnection,
}

impl EndpointPool {
    /// The pool of an endpoint of this cell.
    pub(super) fn new(endpoint: Endpoint, cell: &Text, bulkheads: &Bulkheads) -> Self {
        let state = State {
            idle: Vec::new(),
            shared: Shared::default(),
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
            streams: Arc::default(),
            settled: Notify::new(),
        }
    }

    /// How a request with these stakes gets a connection. `true`: an [attempt](Self::attempt) has to begin.
    pub(super) fn next(
        &self,
        (epoch, fresh): (u64, bool),
        stakes: &Stakes,
        exceeds: impl Fn() -> Option<LimitRefused>,
    ) -> (Next, bool) {
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
            Protocol::Http1 => match exceeds() {
                Some(full) => (Next::Refused(full), false),
                None => (state.next_idle(fresh), false),
            },
            Protocol::Unknown | Protocol::Http2 => state.next_shared(epoch, &self.streams, stakes),
        };
        self.counts.keeps(state.idle.len());
        next
    }

    /// How the attempt after `attempt` failed, if it did.
    pub(super) fn failure_after(&self, attempt: u64) -> Option<ConnectError> {
        let mut state = lock_uncontended(&self.state);
        if state.attempts != attempt + 1 {
            return None;
        }
        let failure = state.failure.take()?;
        // The first one that is told reports it.
        state.failure = Some(failure.clone().of_another());
        Some(failure)
    }

    /// Notes how an attempt ended.
    pub(super) fn settles(&self, outcome: Result<(), ConnectError>) {
        let mut state = lock_uncontended(&self.state);
        state.connecting = false;
        state.attempts += 1;
        state.failure = outcome.err();
        state.renewal_failed |= state.failure.is_some() && !state.shared.is_empty();
        drop(state);
        self.settled.notify_waiters();
        self.streams.room().notify_one();
    }

    /// Shares a new connection, which took this many microseconds to open. If the configuration has changed
    /// meanwhile, it gets no more requests than the one that it was made for.
    pub(super) fn share(
        &self,
        http2: Http2Sender,
        (until, opened_us): (Instant, u32),
        epoch: u64,
    ) -> Arc<Load> {
        let (counts, streams) = (Arc::clone(&self.counts), Arc::clone(&self.streams));
        let load = Arc::new(Load::new(http2, opened_us, counts, streams));
        let mut state = lock_uncontended(&self.state);
        if state.epoch == epoch {
            state.protocol = Protocol::Http2;
            state.shared.add(Arc::clone(&load), until);
        } else {
            state.shared.add_unlent(&load);
        }
        load
    }

    /// Gives room on the connections to requests that wait for it.
    pub(super) fn look(&self, epoch: u64) -> Look {
        let mut state = lock_uncontended(&self.state);
        state.forget_ended();
        if state.shared.is_empty() || state.protocol == Protocol::Http1 {
            return Look::NoConnection;
        }
        let most = state.shared.streams_max();
        drop(state);
        self.streams.dispatch(most);
        let mut state = lock_uncontended(&self.state);
        let begins =
            self.streams.are_awaited() && state.shared.has_place() && state.begins_further(epoch);
        match begins {
            true => Look::Attempt,
            false => Look::Full,
        }
    }

    /// Keeps an unused connection for other requests. If a request of another worker or endpoint
    /// waits for one to close, this one closes.
    pub(super) fn keep(&self, http1: Box<Http1Connection>, epoch: u64) {
        if !self.bulkhead.wants_connections() {
            self.keep_new(http1, 0, epoch);
        }
    }

    /// Keeps a connection. It took this many microseconds to open, if no request has used it.
    pub(super) fn keep_new(&self, http1: Box<Http1Connection>, opened_us: u32, epoch: u64) {
        let mut state = lock_uncontended(&self.state);
        if state.epoch == epoch && state.idle.len() < IDLE_MAX {
            let since = Instant::now();
            let aged = http1.until() <= since;
            state.idle.push(Idle {
                http1,
                since,
                aged,
                opened_us,
            });
            self.counts.keeps(state.idle.len());
        }
    }

    /// Stops lending this connection, which is broken.
    pub(super) fn retire(&self, load: &Arc<Load>) {
        let mut state = lock_uncontended(&self.state);
        let useful = state.shared.retire(load);
        state.notes_left(useful);
        drop(state);
        self.streams.room().notify_one();
    }

    /// Stops lending this connection, on which a request has waited in vain. That takes so long that another
    /// one may be opened at once.
    pub(super) fn retire_silent(&self, load: &Arc<Load>) {
        lock_uncontended(&self.state).shared.retire(load);
        self.streams.room().notify_one();
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
        state.shared.yield_unused(wanted.saturating_sub(kept));
    }

    /// Closes connections that have been unused for too long, and marks those that have reached
    /// their age.
    pub(super) fn expire(&self, now: Instant, keep: Duration) {
        let mut state = lock_uncontended(&self.state);
        state
            .idle
            .retain_mut(|idle| now < idle.since + keep && !idle.http1.is_closed());
        self.counts.keeps(state.idle.len());
        for idle in &mut state.idle {
            idle.aged |= idle.http1.until() <= now;
        }
        state.shared.expire(now, keep);
        if std::mem::take(&mut state.renewal_failed) {
            self.streams.room().notify_one();
        }
    }
}

impl State {
    fn next_idle(&mut self, fresh: bool) -> Next {
        let Some(mut idle) = self.idle.pop() else {
            return Next::Connect(None);
        };
        if fresh {
            return Next::Connect(None);
        }
        match idle.aged && !self.renewal_failed && !idle.http1.is_closed() {
            true => Next::Connect(Some(idle.http1)),
            false => Next::Idle(idle.http1, idle.opened_us),
        }
    }

    fn next_shared(&mut self, epoch: u64, streams: &Arc<Streams>, stakes: &Stakes) -> (Next, bool) {
        let Some(best) = self.best() else {
            if self.epoch != epoch && !self.connecting {
                // What this request would connect with is no longer in force. It can't serve others.
                return (Next::Connect(None), false);
            }
            let begins = !std::mem::replace(&mut self.connecting, true);
            return (Next::Wait(self.attempts), begins);
        };
        if best.aged && self.begins_further(epoch) {
            return (Next::Renew, true);
        }
        let full = match streams.take(self.shared.streams_max(), stakes) {
            Ok(reserved) if best.load.has_room() && !streams.are_awaited() => {
                let begins = best.busy && self.begins_further(epoch);
                return (Next::Shared(Stream::on(best.load, reserved)), begins);
            }
            Ok(_) => NO_ROOM,
            Err(full) => full,
        };
        let begins = self.shared.has_place() && self.begins_further(epoch);
        (Next::Full(full), begins)
    }

    /// The best connection for a request. `None`: there is no connection.
    pub(super) fn best(&mut self) -> Option<Best> {
        self.forget_ended();
        self.shared.best()
    }

    /// Stops lending connections that have ended.
    fn forget_ended(&mut self) {
        let useful = self.shared.forget_ended();
        self.notes_left(useful);
    }

    /// Notes that connections have left. If one had answered nothing, to open it was a failed attempt:
    /// otherwise a cell that takes a connection and closes it would get one after another.
    fn notes_left(&mut self, useful: bool) {
        self.renewal_failed |= !useful && !self.shared.is_empty();
    }

    /// Whether an attempt may begin although there are connections. It begins then.
    fn begins_further(&mut self, epoch: u64) -> bool {
        let begins = !self.connecting && !self.renewal_failed && self.epoch == epoch;
        self.connecting |= begins;
        begins
    }
}

/// Others wait, and it's their turn, or the cell has just lowered its limit.
const NO_ROOM: Unadmitted = Unadmitted {
    full: LimitRefused::All,
    resource: Resource::CellStreams,
};
