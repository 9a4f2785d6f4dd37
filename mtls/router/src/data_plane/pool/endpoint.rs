//! The connections of one worker to one endpoint.
//!
//! HTTP/2 connections are shared, HTTP/1.1 ones lent to one request at a time, the last used
//! first, so that a quiet time lets the others age out. While it isn't known which of the two an
//! endpoint speaks, and while a first HTTP/2 connection is on its way, one request connects and
//! the others wait for it; a failure is shared by all who waited.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::registry::{Endpoint, Scheme};
use cellway_env::Env;
use hyper::client::conn::http2;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::budget::RetryBudget;
use super::bulkhead::{Bulkhead, ConnectionPermit, EndpointHealth, RequestPermit};
use super::connect::{ConnectError, connect};
use super::lease::{Lease, Load, Sender, Stream};
use crate::active_config::ActiveConfig;
use crate::data_plane::http1::Http1Sender;
use crate::data_plane::proxy::RequestBody;
use crate::data_plane::shares::Full;
use crate::lock::lock_uncontended;

/// Most requests that share an HTTP/2 connection before another is opened: what servers allow by
/// default (RFC 9113, section 6.5.2, recommends no less). Where one allows fewer, the rest wait
/// inside the connection.
const SHARED_STREAMS: usize = 100;
/// Most HTTP/2 connections of a worker to an endpoint; beyond that they are shared more widely.
const SHARED_CONNECTIONS_MAX: usize = 4;
/// The largest part of the age by which connections are replaced early.
const AGE_SPREAD: f64 = 0.2;
/// Most unused HTTP/1.1 connections that a worker keeps to an endpoint.
const IDLE_MAX: usize = 256;

/// What a new connection speaks.
pub(super) enum Opened {
    H1(Box<Http1Sender>),
    H2(http2::SendRequest<RequestBody>),
}

/// The connections of one worker to one endpoint.
#[derive(Debug)]
pub(crate) struct EndpointPool {
    pub(crate) endpoint: Endpoint,
    pub(crate) health: Arc<EndpointHealth>,
    /// The retry budget of its cell.
    pub(crate) budget: Arc<RetryBudget>,
    state: Mutex<State>,
    /// Tells that a connection attempt that others wait for is over.
    settled: Notify,
}

#[derive(Debug)]
struct State {
    idle: Vec<Idle>,
    shared: Vec<Http2Connection>,
    protocol: Protocol,
    /// Somebody connects for all.
    connecting: bool,
    /// Attempts made for all, and how the last one failed.
    attempts: u64,
    failure: Option<ConnectError>,
    /// The settings under which the connections were made.
    epoch: u64,
    /// A connection that has reached its age couldn't be replaced. The router tries again at the
    /// next check of the pool.
    renewal_failed: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Protocol {
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
    http1: Box<Http1Sender>,
    since: Instant,
    /// It has reached its age and should be replaced.
    aged: bool,
}

#[derive(Debug)]
struct Http2Connection {
    sender: http2::SendRequest<RequestBody>,
    load: Arc<Load>,
    until: Instant,
    /// It has reached its age and should be replaced.
    aged: bool,
}

/// How a request gets a connection.
enum Next {
    Shared(http2::SendRequest<RequestBody>, Stream),
    Idle(Box<Http1Sender>),
    /// Somebody connects; the attempts before that one.
    Wait(u64),
    /// The request gets no connection, because one of its holders has as many as it may.
    Refused(Full),
    /// Connect, for this request only or for all that wait. The new connection may replace an old
    /// one, which keeps serving if that fails.
    Connect {
        for_all: bool,
        aged: Option<Aged>,
    },
}

/// A connection that has reached its age. Boxed, because it is rare.
type Aged = Box<(Sender, Option<Stream>)>;

impl Next {
    /// For one HTTP/1.1 request.
    fn connect() -> Self {
        Self::Connect {
            for_all: false,
            aged: None,
        }
    }
}

impl EndpointPool {
    pub(super) fn new(
        endpoint: Endpoint,
        health: Arc<EndpointHealth>,
        budget: Arc<RetryBudget>,
    ) -> Self {
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
            endpoint,
            health,
            budget,
            state: Mutex::new(state),
            settled: Notify::new(),
        }
    }

    /// Lends a connection that stands, or opens one. With `fresh`, an HTTP/1.1 connection is opened
    /// in any case: a pooled one has just turned out to be closed, and so may the others.
    ///
    /// # Errors
    /// No connection could be made, or the cell or one of the request's holders is at its limit.
    pub(crate) async fn lease<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        permit: &RequestPermit,
        fresh: bool,
    ) -> Result<Lease, ConnectError> {
        let exceeds = || permit.exceeds(&active.settings.upstream.limits);
        loop {
            let settled = self.settled.notified();
            match self.next(active.epoch, fresh, exceeds) {
                Next::Refused(full) => return Err(ConnectError::full(full)),
                Next::Shared(sender, stream) => {
                    return Ok(self.lend(Sender::H2(sender), active.epoch, Some(stream)));
                }
                Next::Idle(mut http1) => {
                    // Its task may not have seen the end of the last answer yet.
                    if http1.ready().await.is_ok() {
                        return Ok(self.lend(Sender::H1(http1), active.epoch, None));
                    }
                }
                Next::Wait(attempt) => {
                    settled.await;
                    if let Some(failure) = self.failure_after(attempt) {
                        return Err(failure);
                    }
                }
                Next::Connect { for_all, aged } => {
                    return Box::pin(self.renew(env, active, permit.bulkhead(), for_all, aged))
                        .await;
                }
            }
        }
    }

    /// Opens a connection. If it was to replace one that has reached its age and that fails (for
    /// example because the name can't be resolved), the old one keeps serving.
    async fn renew<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        bulkhead: &Arc<Bulkhead>,
        for_all: bool,
        aged: Option<Aged>,
    ) -> Result<Lease, ConnectError> {
        let opened = self.open(env, active, bulkhead, for_all).await;
        match (opened, aged) {
            (Err(error), Some(aged)) => {
                lock_uncontended(&self.state).renewal_failed = true;
                let (mut sender, stream) = *aged;
                // As in `lease`: its task may not have seen the end of the last answer yet.
                if let Sender::H1(http1) = &mut sender
                    && http1.ready().await.is_err()
                {
                    return Err(error);
                }
                Ok(self.lend(sender, active.epoch, stream))
            }
            (opened, _) => opened,
        }
    }

    async fn open<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        bulkhead: &Arc<Bulkhead>,
        for_all: bool,
    ) -> Result<Lease, ConnectError> {
        let mut leading = for_all.then(|| Leading {
            pool: self,
            outcome: None,
        });
        let upstream = &active.settings.upstream;
        let result = match bulkhead.connection(upstream.limits.connections_max) {
            None => Err(ConnectError::full(Full::All)),
            Some(permit) => self.connected(env, active, permit).await,
        };
        if let Some(leading) = &mut leading {
            leading.outcome = Some(result.as_ref().err().cloned());
        }
        result
    }

    async fn connected<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        permit: ConnectionPermit,
    ) -> Result<Lease, ConnectError> {
        let upstream = &active.settings.upstream;
        let tls = active.cell_tls.as_ref();
        let until = until(env, upstream.connection_age);
        let opened = connect(env, &self.endpoint, tls, upstream, until, permit).await?;
        let lease = match opened {
            Opened::H1(http1) => {
                lock_uncontended(&self.state).protocol = Protocol::Http1;
                self.lend(Sender::H1(http1), active.epoch, None)
            }
            Opened::H2(sender) => {
                let stream = self.share(sender.clone(), until, active.epoch);
                self.lend(Sender::H2(sender), active.epoch, Some(stream))
            }
        };
        Ok(Lease {
            opened: true,
            ..lease
        })
    }

    fn lend(self: &Arc<Self>, sender: Sender, epoch: u64, stream: Option<Stream>) -> Lease {
        Lease {
            pool: self.clone(),
            sender,
            opened: false,
            answers: (stream.as_ref())
                .map_or(0, |Stream(load)| load.answers.load(Ordering::Relaxed)),
            epoch,
            stream,
        }
    }

    fn next(&self, epoch: u64, fresh: bool, exceeds: impl Fn() -> Option<Full>) -> Next {
        let mut state = lock_uncontended(&self.state);
        if state.epoch < epoch {
            // Made under certificates or bundles that are no longer in force. What is in flight
            // on them goes on.
            state.idle.clear();
            state.shared.clear();
            state.protocol = Protocol::of(self.endpoint.url.scheme());
            state.epoch = epoch;
        }
        match state.protocol {
            Protocol::Http1 => match exceeds().map_or_else(|| Ok(state.idle.pop()), Err) {
                Err(full) => Next::Refused(full),
                Ok(Some(idle)) if fresh => {
                    drop(idle);
                    Next::connect()
                }
                Ok(Some(idle)) if idle.aged && !idle.http1.is_closed() && !state.renewal_failed => {
                    Next::Connect {
                        for_all: false,
                        aged: Some(Box::new((Sender::H1(idle.http1), None))),
                    }
                }
                Ok(Some(idle)) => Next::Idle(idle.http1),
                Ok(None) => Next::connect(),
            },
            Protocol::Unknown | Protocol::Http2 => state.next_shared(),
        }
    }

    /// How the attempt after `attempt` failed, if it did.
    fn failure_after(&self, attempt: u64) -> Option<ConnectError> {
        let state = lock_uncontended(&self.state);
        (state.attempts == attempt + 1)
            .then(|| state.failure.clone())
            .flatten()
    }

    fn share(&self, sender: http2::SendRequest<RequestBody>, until: Instant, epoch: u64) -> Stream {
        let load = Arc::new(Load::new());
        let stream = Stream::on(&load);
        let mut state = lock_uncontended(&self.state);
        if state.epoch == epoch {
            state.protocol = Protocol::Http2;
            // It replaces those that have reached their age.
            state.shared.retain(|shared| !shared.aged);
            state.shared.push(Http2Connection {
                sender,
                load,
                until,
                aged: false,
            });
        }
        stream
    }

    pub(super) fn keep(&self, http1: Box<Http1Sender>, epoch: u64) {
        let mut state = lock_uncontended(&self.state);
        if state.epoch == epoch && state.idle.len() < IDLE_MAX {
            let since = Instant::now();
            let aged = http1.until() <= since;
            state.idle.push(Idle { http1, since, aged });
        }
    }

    /// Stops lending this connection.
    pub(super) fn retire(&self, load: &Arc<Load>) {
        let mut state = lock_uncontended(&self.state);
        state
            .shared
            .retain(|shared| !Arc::ptr_eq(&shared.load, load));
    }

    /// Closes connections that have been unused for too long, and marks those that have reached
    /// their age.
    pub(super) fn expire(&self, now: Instant, keep: Duration) {
        let mut state = lock_uncontended(&self.state);
        state
            .idle
            .retain(|idle| !idle.http1.is_closed() && now < idle.since + keep);
        state
            .shared
            .retain(|shared| !shared.sender.is_closed() && !shared.load.unused(now, keep));
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
        self.shared.retain(|shared| !shared.sender.is_closed());
        let least = self
            .shared
            .iter()
            .min_by_key(|shared| (shared.aged, shared.load.streams.load(Ordering::Relaxed)));
        let lend = |shared: &Http2Connection| {
            Next::Shared(shared.sender.clone(), Stream::on(&shared.load))
        };
        match least {
            Some(shared) if shared.aged && !self.connecting && !self.renewal_failed => {
                self.connecting = true;
                let sender = Sender::H2(shared.sender.clone());
                Next::Connect {
                    for_all: true,
                    aged: Some(Box::new((sender, Some(Stream::on(&shared.load))))),
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
        self.load.streams.load(Ordering::Relaxed) < SHARED_STREAMS
    }
}

/// When a connection that is made now should be replaced: a random time before its age, so that
/// connections that were made together aren't replaced together.
fn until<E: Env>(env: &E, age: Duration) -> Instant {
    let mut random = [0; 2];
    env.fill(&mut random);
    let early =
        age.mul_f64(AGE_SPREAD * f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX));
    Instant::now() + age.saturating_sub(early)
}

/// Whoever connects for all. Dropped without an outcome, because its own client went away, it
/// leaves the lead to one of those who wait.
struct Leading<'a> {
    pool: &'a EndpointPool,
    /// `None`: no outcome.
    outcome: Option<Option<ConnectError>>,
}

impl Drop for Leading<'_> {
    fn drop(&mut self) {
        let mut state = lock_uncontended(&self.pool.state);
        state.connecting = false;
        state.attempts += 1;
        state.failure = self.outcome.take().flatten();
        drop(state);
        self.pool.settled.notify_waiters();
    }
}
