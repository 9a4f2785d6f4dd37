//! Lends a connection to one request.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cellway_core::registry::Scheme;
use cellway_env::Env;
use tokio::time::timeout;

use super::attempt::Made;
use super::bulkhead::{ConnectionPermit, RequestPermit};
use super::connect::{ConnectError, Opened, Versions};
use super::endpoint::{EndpointPool, Next, Protocol};
use super::load::{Sender, Stream};
use crate::active_config::ActiveConfig;
use crate::data_plane::http1::Http1Connection;
use crate::data_plane::incoming::Incoming;
use crate::data_plane::outlasting::Outlasting;
use crate::lock::lock_uncontended;
use crate::settings::Priority;
use crate::shares::LimitRefused;

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
    /// Set if the upload outlasts the head of its answer over HTTP/2. Boxed, because few do.
    outlasting: Option<Box<Outlasting>>,
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

    /// Notes that the upload outlasts the head of its answer over HTTP/2. It ends with this lease.
    pub(crate) fn is_outlasted_by(&mut self, outlasting: Outlasting) {
        self.outlasting = Some(Box::new(outlasting));
    }

    /// Whether the cell has answered, and the request is still being sent.
    pub(crate) fn is_sending(&mut self) -> bool {
        match &mut self.sender {
            Sender::H1(http1) => http1.is_sending(),
            Sender::H2(_) => {
                let outlasting = self.outlasting.as_mut();
                outlasting.is_some_and(|it| it.is_whole().is_none())
            }
        }
    }

    /// Waits until the request is sent, or can't be.
    pub(crate) async fn sent(&mut self) {
        match (&mut self.sender, &mut self.outlasting) {
            (Sender::H1(http1), _) => http1.sent().await,
            (Sender::H2(_), Some(outlasting)) => {
                outlasting.whole().await;
            }
            (Sender::H2(_), None) => {}
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
            stream.load().answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes that the request timed out. If the cell answered nothing else on the connection
    /// meanwhile, the connection may be dead and gets no more requests. Open requests on it
    /// continue.
    pub(crate) fn unanswered(&self) {
        if let Some(stream) = self.stream()
            && stream.load().answers.load(Ordering::Relaxed) == self.answers
        {
            self.pool.retire_silent(stream.load());
        }
    }

    /// Whether the connection was open before this request and the cell had answered on it.
    pub(crate) fn has_served(&self) -> bool {
        self.opened().is_none() && self.answers > 0
    }

    /// Notes that the connection failed. `false` if another request on it has noted that before: a
    /// connection fails once, however many requests it carries.
    pub(crate) fn fails(&self) -> bool {
        self.stream().is_none_or(|stream| stream.load().fails())
    }

    /// Stops lending the connection, because it takes no more requests or has ended. Open requests
    /// on it may continue.
    pub(crate) fn retire(&self) {
        if let Some(stream) = self.stream() {
            self.pool.retire(stream.load());
        }
    }
}

/// What a request asks of an endpoint.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Asks<'a> {
    pub(crate) permit: &'a RequestPermit,
    pub(crate) priority: Priority,
    /// Whether a new HTTP/1.1 connection is always opened: a pooled one was just found closed, and the
    /// others may be closed too.
    pub(crate) fresh: bool,
}

impl EndpointPool {
    /// Lends an open connection, or opens one.
    ///
    /// # Errors
    /// No connection could be made, or the cell or one of the request's holders is at its limit.
    pub(crate) async fn lease<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &Arc<ActiveConfig>,
        mut asks: Asks<'_>,
    ) -> Result<Lease, ConnectError> {
        let epoch = active.epoch;
        // Until when it waits for a stream.
        let mut until = None;
        loop {
            let settled = self.settled.notified();
            match self.next_for(env, active, asks) {
                Next::Refused(full) => return Err(ConnectError::full(full)),
                Next::Shared(stream) => return Ok(self.lend(Sender::H2(stream), epoch)),
                Next::Idle(mut http1, opened_us) => {
                    if !http1.is_closed() {
                        let lease = self.lend(Sender::H1(http1), epoch);
                        return Ok(Lease { opened_us, ..lease });
                    }
                }
                Next::Wait(attempt) => {
                    settled.await;
                    if let Some(failure) = self.failure_after(attempt) {
                        return Err(failure);
                    }
                    asks.fresh = false;
                }
                Next::Renew => settled.await,
                Next::Full(full) => {
                    let how = (full, &mut until);
                    let waiting = Box::pin(self.wait_for_stream(env, active, asks, how));
                    if let Some(stream) = waiting.await? {
                        return Ok(self.lend(Sender::H2(stream), epoch));
                    }
                }
                Next::Connect(aged) => {
                    return Box::pin(self.renew(env, active, asks.permit, aged)).await;
                }
            }
        }
    }

    /// How the request gets a connection. Begins an attempt if one has to begin.
    fn next_for<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &Arc<ActiveConfig>,
        asks: Asks<'_>,
    ) -> Next {
        let limits = &active.settings.upstream.limits;
        let stakes = asks.permit.stakes(limits.shares);
        let exceeds = || asks.permit.exceeds(limits);
        let (next, begins) = self.next((active.epoch, asks.fresh), &stakes, exceeds);
        if begins {
            self.attempt(env, active);
        }
        next
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
        match self.bulkhead.connection(&upstream.limits).await {
            None => Err(ConnectError::full(LimitRefused::All)),
            Some(connection) => {
                let how = (permit, connection);
                self.connected(env, active, how, Versions::Http1).await
            }
        }
    }

    /// Opens a connection for this request. If it was to replace one that has reached its age and that
    /// fails (for example because the name can't be resolved), the old one keeps serving.
    async fn renew<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        permit: &RequestPermit,
        aged: Option<Box<Http1Connection>>,
    ) -> Result<Lease, ConnectError> {
        match (self.open(env, active, permit).await, aged) {
            (Err(error), Some(mut http1)) => {
                lock_uncontended(&self.state).renewal_failed = true;
                if http1.is_closed() {
                    return Err(error);
                }
                Ok(self.lend(Sender::H1(http1), active.epoch))
            }
            (opened, _) => opened,
        }
    }

    async fn open<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        permit: &RequestPermit,
    ) -> Result<Lease, ConnectError> {
        let upstream = &active.settings.upstream;
        let result = match self.bulkhead.connection(&upstream.limits).await {
            None => Err(ConnectError::full(LimitRefused::All)),
            Some(connection) => {
                let connected = self.connected(env, active, (permit, connection), Versions::Any);
                connected.await
            }
        };
        if let Ok(lease) = &result {
            self.bulkhead.speaks(matches!(lease.sender, Sender::H1(_)));
        }
        result
    }

    async fn connected<E: Env>(
        self: &Arc<Self>,
        env: &E,
        active: &ActiveConfig,
        (permit, connection): (&RequestPermit, ConnectionPermit),
        versions: Versions,
    ) -> Result<Lease, ConnectError> {
        let Made {
            opened,
            until,
            opened_us,
        } = self.connect(env, active, connection, versions).await?;
        let lease = match opened {
            Opened::H1(http1) if versions == Versions::Http1 => {
                self.lend(Sender::H1(http1), NEVER_KEPT)
            }
            Opened::H1(http1) => {
                lock_uncontended(&self.state).protocol = Protocol::Http1;
                self.lend(Sender::H1(http1), active.epoch)
            }
            Opened::H2(http2) => {
                let stakes = permit.stakes(active.settings.upstream.limits.shares);
                let load = self.share(http2, (until, 0), active.epoch);
                let stream = Stream::on(load, self.streams.take_anyway(&stakes));
                self.lend(Sender::H2(stream), active.epoch)
            }
        };
        Ok(Lease { opened_us, ..lease })
    }

    fn lend(self: &Arc<Self>, sender: Sender, epoch: u64) -> Lease {
        let (answers, opened_us) = match &sender {
            Sender::H1(_) => (0, 0),
            Sender::H2(stream) => {
                let load = stream.load();
                (load.answers.load(Ordering::Relaxed), load.opened_us())
            }
        };
        Lease {
            pool: Lent::of(self),
            sender,
            opened_us,
            answers,
            epoch,
            outlasting: None,
        }
    }
}
