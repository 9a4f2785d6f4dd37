//! Lists open requests, so that those of a tenant that is no longer served can be closed.
//!
//! A suspension must also end what a tenant has open, because a stream may stay open for hours. So
//! each worker lists the requests that it has allowed. When a new registry changes tenants, each
//! worker checks the requests in its own list. No request waits for that, and no worker waits for
//! another.
//!
//! The same happens to the requests of a client if a reload makes its certificate revoked or
//! untrusted. If no fresh list says whether it is revoked, only new requests are refused.
//!
//! A stream can be closed in any state. If no answer has started, the request gets the answer that
//! a new request would get. If one has started, it is cut: HTTP/2 resets the stream and leaves the
//! connection's other streams alone, and HTTP/1.1 closes the connection. If the request's body is
//! still arriving, it is cut at the cell. The tasks that wait for the stream (the one that
//! forwards, and both bodies) are woken and do this. If the client reads nothing, no body is
//! polled, so the stream's task or the connection is dropped.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cellway_core::{Challenge, Class, Identity, Reason, recheck};
use cellway_env::Env;
use http::HeaderValue;

use crate::active_config::ActiveConfig;
use crate::data_plane::activity::Activity;
use crate::data_plane::client::Client;
use crate::lock::lock_uncontended;
use crate::observe::Reporter;
use crate::observe::event::{Event, Sink};
use crate::tls::ChainRefused;
use crate::view::{View, ViewCell};

/// How long a tenant's requests may stay open after a registry is applied in which the tenant isn't
/// served. Routers close them at once; the simulator checks this bound.
pub const STREAMS_CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// How many streams are checked before other tasks get their turn on the worker's thread.
const CHECKED_AT_ONCE: usize = 1024;

/// The open streams of one worker.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// As many slots as streams were ever open at a time. The limits on connections and on their
    /// streams bound this.
    slots: Vec<Option<Weak<Stream>>>,
    free: Vec<usize>,
    /// What the streams were checked against, or are being checked against.
    checked: Option<Grounds>,
}

/// The parts of a view that decide whether a stream may stay open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Grounds {
    /// The registry version that last changed the tenants.
    tenants_since: Option<u64>,
    /// The configuration's epoch.
    epoch: u64,
}

impl Grounds {
    fn of(view: &View) -> Self {
        let registry = view.snapshot.registry.as_ref();
        Self {
            tenants_since: registry.map(|registry| registry.tenants_since()),
            epoch: view.config.epoch,
        }
    }
}

/// One allowed request. It is open until the last owner drops it: the bodies of request and answer
/// are owners.
#[derive(Debug)]
pub(crate) struct Stream {
    home: Arc<Streams>,
    slot: usize,
    request: OpenRequest,
    state: Mutex<State>,
}

/// What is known about a stream's request.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) listener: Arc<str>,
    pub(crate) peer: SocketAddr,
    pub(crate) request_id: HeaderValue,
    /// Why it was allowed, and for which tenant.
    pub(crate) allowed: Reason,
    pub(crate) identity: Arc<Identity>,
    /// The connection's activity, if the connection carries only this request: HTTP/1.1.
    pub(crate) alone: Option<Arc<Activity>>,
    /// The client whose certificate was used, and the position of its listener.
    pub(crate) client: Option<(usize, Arc<Client>)>,
}

#[derive(Debug, Default)]
struct State {
    closed: Option<Reason>,
    /// Whether an answer has started, so that no other can be given.
    answering: bool,
    wakers: [Option<Waker>; 2],
}

/// Who waits for the end of a stream. Each is a task.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// The task that sends the request's body to the cell.
    Request,
    /// The task that waits for the answer and then sends it to the client.
    Answer,
}

impl Streams {
    /// Lists a request that was allowed under this view. Also returns whether the view is still
    /// current. If not, the other streams were already checked under a newer view, and this one
    /// must be checked too.
    pub(crate) fn open(self: &Arc<Self>, view: &View, request: OpenRequest) -> (Arc<Stream>, bool) {
        let mut table = lock_uncontended(&self.0);
        let slot = table.free.pop().unwrap_or(table.slots.len());
        let stream = Arc::new(Stream {
            home: self.clone(),
            slot,
            request,
            state: Mutex::default(),
        });
        let listed = Some(Arc::downgrade(&stream));
        match table.slots.get_mut(slot) {
            Some(free) => *free = listed,
            None => table.slots.push(listed),
        }
        (stream, table.checked == Some(Grounds::of(view)))
    }

    /// The streams in the next slots. `None` after the last slot. A stream that is listed meanwhile
    /// checks itself, so no slot is visited twice.
    fn some_from(&self, slot: usize) -> Option<Vec<Arc<Stream>>> {
        let table = lock_uncontended(&self.0);
        let slots = table.slots.get(slot..).filter(|rest| !rest.is_empty())?;
        let listed = slots.iter().take(CHECKED_AT_ONCE).flatten();
        Some(listed.filter_map(Weak::upgrade).collect())
    }
}

impl Stream {
    /// Ready with the reason if the stream is closed. Otherwise wakes this side's task when it is.
    pub(crate) fn poll_closed(&self, side: Side, cx: &Context<'_>) -> Poll<Reason> {
        let mut state = self.state();
        if let Some(reason) = state.closed {
            return Poll::Ready(reason);
        }
        let waker = &mut state.wakers[side as usize];
        if !waker.as_ref().is_some_and(|w| w.will_wake(cx.waker())) {
            *waker = Some(cx.waker().clone());
        }
        Poll::Pending
    }

    /// The credential that the client should replace, if another one would help.
    pub(crate) fn challenge(&self, reason: Reason) -> Challenge {
        let by_certificate = matches!(
            reason,
            Reason::CertificateRevoked | Reason::CertificateUntrusted | Reason::CertificateExpired
        );
        match (reason.class(), &self.request.identity.proof.jwt) {
            _ if by_certificate => Challenge::Certificate,
            (Class::Unauthenticated, Some(_)) => Challenge::Bearer,
            (Class::Unauthenticated, None) => Challenge::Certificate,
            _ => Challenge::None,
        }
    }

    /// Why the stream is closed, if it is.
    pub(crate) fn why_closed(&self) -> Option<Reason> {
        self.state().closed
    }

    /// Notes that the cell's answer starts. From now on, closing the stream cuts the answer.
    pub(crate) fn answers(&self) {
        let mut state = self.state();
        state.answering = true;
        if let (Some(_), Some(connection)) = (state.closed, &self.request.alone) {
            connection.cut();
        }
    }

    /// Closes the stream, unless it is closed already.
    pub(crate) fn close<E: Env, S: Sink>(&self, reporter: &Reporter<E, S>, reason: Reason) {
        let mut state = self.state();
        if state.closed.is_some() {
            return;
        }
        state.closed = Some(reason);
        if let (true, Some(connection)) = (state.answering, &self.request.alone) {
            connection.cut();
        }
        let wakers = std::mem::take(&mut state.wakers);
        drop(state);
        wakers.into_iter().flatten().for_each(Waker::wake);
        reporter.emit(&Event::StreamClosed {
            listener: &self.request.listener,
            peer: self.request.peer,
            request_id: self.request.request_id.to_str().unwrap_or_default(),
            tenant: self.request.identity.tenant.as_ref(),
            subject: self.request.identity.subject.as_ref(),
            reason,
        });
    }

    /// Closes the stream if it may not stay open under this view: its tenant is refused, or its
    /// client's certificate is revoked or untrusted.
    pub(crate) fn check<E: Env, S: Sink>(&self, reporter: &Reporter<E, S>, view: &View) {
        let snapshot = &view.snapshot;
        if let Some(registry) = &snapshot.registry
            && let Err(refused) = recheck(
                &snapshot.policy,
                registry,
                self.request.allowed,
                &self.request.identity,
            )
        {
            self.close(reporter, refused.reason);
        }
        self.check_client(reporter, &view.config);
    }

    fn check_client<E: Env, S: Sink>(&self, reporter: &Reporter<E, S>, config: &ActiveConfig) {
        let Some((listener, client)) = &self.request.client else {
            return;
        };
        let now = reporter.now().unix;
        let verified = client.reverify(config, now, |chain| config.verify_chain(*listener, chain));
        let Err(reason) = verified.map_err(ChainRefused::reason) else {
            return;
        };
        if reason.class() == Class::Unauthenticated {
            self.close(reporter, reason);
        }
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut table = lock_uncontended(&self.home.0);
        if let Some(slot) = table.slots.get_mut(self.slot) {
            *slot = None;
        }
        table.free.push(self.slot);
    }
}

/// Checks a worker's streams whenever a registry changes tenants or a configuration changes. Runs
/// as long as it is polled.
pub(crate) async fn follow<E: Env, S: Sink>(
    streams: &Streams,
    views: &ViewCell,
    reporter: &Reporter<E, S>,
) {
    let mut seen = None;
    loop {
        let is_new = |view: &View| Some(Grounds::of(view)).filter(|it| Some(*it) != seen);
        seen = Some(views.until(is_new).await);
        // This is set before the first stream is checked: a request that was allowed under an older
        // view and is listed from now on checks itself.
        lock_uncontended(&streams.0).checked = seen;
        check_all(streams, views, reporter).await;
    }
}

async fn check_all<E: Env, S: Sink>(
    streams: &Streams,
    views: &ViewCell,
    reporter: &Reporter<E, S>,
) {
    let mut slot = 0;
    while let Some(some) = streams.some_from(slot) {
        {
            let view = views.load();
            for stream in &some {
                stream.check(reporter, &view);
            }
        }
        slot += CHECKED_AT_ONCE;
        drop(some);
        tokio::task::yield_now().await;
    }
}
