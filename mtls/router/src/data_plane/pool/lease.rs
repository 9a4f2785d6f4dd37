//! Lends a connection to one request.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cellway_core::registry::Scheme;
use cellway_env::Env;
use tokio::time::{Instant, timeout};

use super::bulkhead::{Bulkhead, ConnectionPermit, RequestPermit};
use super::connect::{ConnectError, Opened, Versions, connect};
use super::endpoint::{Aged, EndpointPool, Next, Protocol};
use super::load::{Sender, Stream};
use crate::active_config::ActiveConfig;
use crate::data_plane::incoming::Incoming;
use crate::lock::lock_uncontended;
use crate::shares::LimitRefused;

/// The largest part of the age by which connections are replaced early.
const AGE_SPREAD: f64 = 0.2;

/// The epoch of a lease whose connection isn't kept, because the pool's other connections speak
/// HTTP/2.
const NEVER_KEPT: u64 = u64::MAX;

/// A connection lent to one request. [`Lease::done`] gives the connection back. If the lease is
/// dropped without it, an HTTP/1.1 connection is closed, because bytes of the old exchange may
/// still arrive on it.
#[derive(Debug)]
pub(crate) struct Lease {
    pub(crate) pool: Lent,
    pub(crate) sender: Sender,
    /// How many microseconds it took to open. 0: it wasn't opened for this request. A `Duration`
    /// would make every request's future larger.
    opened_us: u32,
    /// The value of [`Load::answers`](super::load::Load::answers) when the request started.
    pub(super) answers: u32,
    pub(super) epoch: u64,
}

/// The pool of a connection that is lent to a request. Counts the request.
#[derive(Debug)]
pub(crate) struct Lent(Arc<EndpointPool>);

impl Lent {
    fn of(pool: &Arc<EndpointPool>) -> Self {
        pool.counts.lends();
        Self(Arc::clone(pool))
    }
}

impl Deref for Lent {
    type Target = Arc<EndpointPool>;

    fn deref(&self) -> &Arc<EndpointPool> {
        &self.0
    }
}

impl Drop for Lent {
    fn drop(&mut self) {
        self.0.counts.takes_back();
    }
}

impl Lease {
    /// Gives the connection back after the exchange with this body, so that it can be used again.
    pub(crate) fn done(self, body: Incoming) {
        if let (Sender::H1(mut http1), Incoming::Answer(body)) = (self.sender, body)
            && http1.is_reusable(body)
        {
            self.pool.keep(http1, self.epoch);
        }
    }

    /// How long it took to open, if it was opened for this request.
    pub(crate) fn opened(&self) -> Option<Duration> {
        (self.opened_us > 0).then(|| Duration::from_micros(self.opened_us.into()))
    }

    /// The request's share of an HTTP/2 connection.
    fn stream(&self) -> Option<&Stream> {
        match &self.sender {
            Sender::H1(_) => None,
            Sender::H2(stream) => Some(stream),
        }
    }

    /// Notes that the cell answered.
    pub(crate) fn answered(&self) {
        if let Some(stream) = self.stream() {
            stream.0.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the request timed out. If the cell answered nothing else on the connection
    /// meanwhile, the connection may be dead and gets no more requests. Open requests on it
    /// continue.
    pub(crate) fn unanswered(&self) {
        if let Some(Stream(load)) = self.stream()
            && load.answers.load(Ordering::Relaxed) == self.answers
        {
            self.pool.retire(load);
        }
    }

    /// Whether the connection was open before this request and the cell had answered on it.
    pub(crate) fn has_served(&self) -> bool {
        self.opened().is_none() && self.answers > 0
    }

    /// Notes that the connection failed. `false` if another request on it has noted that before: a
    /// connection fails once, however many requests it carries.
    pub(crate) fn fails(&self) -> bool {
        self.stream().is_none_or(|Stream(load)| load.fails())
    }

    /// Stops lending the connection, because it takes no more requests or has ended. Open requests
    /// on it may continue.
    pub(crate) fn retire(&self) {
        if let Some(stream) = self.stream() {
            self.pool.retire(&stream.0);
        }
    }
}

impl EndpointPool {
    /// Lends an open connection, or opens one. With `fresh`, a new HTTP/1.1 connection is always
    /// opened: a pooled one was just found closed, and the others may be closed too.
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
                Next::Shared(stream) => {
                    return Ok(self.lend(Sender::H2(stream), active.epoch));
                }
                Next::Idle(mut http1) => {
                    if !http1.is_closed() {
                        return Ok(self.lend(Sender::H1(http1), active.epoch));
                    }
                }
                Next::Wait(attempt) => {
                    settled.await;
                    if let Some(failure) = self.failure_after(attempt) {
                        return Err(failure.of_another());
                    }
                }
                Next::Connect { for_all, aged } => {
                    return Box::pin(self.renew(env, active, permit.bulkhead(), for_all, aged))
                        .await;
                }
            }
        }
    }

    /// Lends a connection on which the endpoint can be asked to switch protocols: this one, or a new
    /// one over HTTP/1.1 if this one is HTTP/2 without extended CONNECT (RFC 8441).
    ///
    /// # Errors
    /// As [`lease`](Self::lease). Also if the endpoint speaks only HTTP/2.
    pub(crate) async fn lease_to_switch<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        permit: &RequestPermit,
        lease: Lease,
    ) -> Result<Lease, ConnectError> {
        let Some(stream) = lease.stream() else {
            return Ok(lease);
        };
        let upstream = &active.settings.upstream;
        // The endpoint's settings may not have come yet.
        let takes_connect = stream.http2().takes_connect();
        if timeout(upstream.timeouts.connect, takes_connect).await == Ok(true) {
            return Ok(lease);
        }
        drop(lease);
        if self.endpoint.url.scheme() != Scheme::Https {
            return Err(ConnectError::no_upgrade());
        }
        if let Some(full) = permit.exceeds(&upstream.limits) {
            return Err(ConnectError::full(full));
        }
        match permit.bulkhead().connection(&upstream.limits).await {
            None => Err(ConnectError::full(LimitRefused::All)),
            Some(permit) => self.connected(env, active, permit, Versions::Http1).await,
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
                let mut sender = *aged;
                if let Sender::H1(http1) = &mut sender
                    && http1.is_closed()
                {
                    return Err(error);
                }
                Ok(self.lend(sender, active.epoch))
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
        let result = match bulkhead.connection(&upstream.limits).await {
            None => Err(ConnectError::full(LimitRefused::All)),
            Some(permit) => self.connected(env, active, permit, Versions::Any).await,
        };
        if let Ok(lease) = &result {
            bulkhead.speaks(matches!(lease.sender, Sender::H1(_)));
        }
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
        versions: Versions,
    ) -> Result<Lease, ConnectError> {
        let (began, permit) = (Instant::now(), permit.counted(&self.counts));
        let upstream = &active.settings.upstream;
        let tls = active.cell_tls.as_ref();
        let until = until(env, upstream.connection_age);
        let how = (until, versions);
        let opened = connect(env, &self.endpoint, tls, upstream, how, permit).await?;
        let lease = match opened {
            Opened::H1(http1) if versions == Versions::Http1 => {
                self.lend(Sender::H1(http1), NEVER_KEPT)
            }
            Opened::H1(http1) => {
                lock_uncontended(&self.state).protocol = Protocol::Http1;
                self.lend(Sender::H1(http1), active.epoch)
            }
            Opened::H2(http2) => {
                let stream = self.share(http2, until, active.epoch);
                self.lend(Sender::H2(stream), active.epoch)
            }
        };
        Ok(Lease {
            opened_us: u32::try_from(began.elapsed().as_micros())
                .unwrap_or(u32::MAX)
                .max(1),
            ..lease
        })
    }

    fn lend(self: &Arc<Self>, sender: Sender, epoch: u64) -> Lease {
        let answers = match &sender {
            Sender::H1(_) => 0,
            Sender::H2(Stream(load)) => load.answers.load(Ordering::Relaxed),
        };
        Lease {
            pool: Lent::of(self),
            sender,
            opened_us: 0,
            answers,
            epoch,
        }
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

/// The request that connects for all. If it is dropped without an outcome, because its own client
/// went away, one of the waiting requests takes over.
struct Leading<'a> {
    pool: &'a EndpointPool,
    /// `None` if there is no outcome.
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
