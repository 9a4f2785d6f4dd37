//! Open requests, so that those of a tenant that is no longer served can be ended.
//!
//! A tenant is suspended for all that it does: what is open goes on for hours otherwise, and a
//! suspension is the one thing that mustn't wait for it. So each worker lists the requests that it
//! has let through. When a registry is applied that says something else of tenants, each worker
//! looks through its own list: no request waits for that, and no worker for another.
//!
//! The same goes for clients whose certificates a reload takes away: revoked, or no longer trusted. Where
//! no fresh list says whether one is revoked, only new requests are refused.
//!
//! A stream that is closed ends wherever it is. While no answer has begun, the request is answered
//! as a new one would be. After that the answer breaks off: HTTP/2 resets the stream and leaves the
//! others of the connection alone, HTTP/1.1 ends the connection. A request's body that is still
//! coming breaks off for the cell. Some of it is for who waits (the task that forwards, both
//! bodies), who is woken; where the client takes nothing, so that nobody is asked for more, the
//! stream's task or the connection is dropped.

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

/// Within this time of applying a registry in which a tenant isn't served, nothing of the tenant's
/// is open any more. It is done at once; the bound is what the simulator holds routers to.
pub const STREAMS_CLOSED_WITHIN: Duration = Duration::from_secs(2);

/// How many streams are looked at before others have their turn on the worker's thread.
const CHECKED_AT_ONCE: usize = 1024;

/// The open streams of one worker.
#[derive(Debug, Default)]
pub(crate) struct Streams(Mutex<Table>);

#[derive(Debug, Default)]
struct Table {
    /// As many as ever were open at a time, which the limits on connections and on their streams
    /// bound.
    slots: Vec<Option<Weak<Stream>>>,
    free: Vec<usize>,
    /// What the streams were checked against, or are being checked against.
    checked: Option<Grounds>,
}

/// The parts of a view that decide whether a stream may stay open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct Grounds {
    /// The registry version since which its tenants are what they are.
    tenants_since: Option<u64>,
    /// The configuration's.
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

/// One request that was let through. It is open until the last who has it drops it: answer and
/// request have a body each.
#[derive(Debug)]
pub(crate) struct Stream {
    home: Arc<Streams>,
    slot: usize,
    request: OpenRequest,
    state: Mutex<State>,
}

/// What is known of the request of a stream.
#[derive(Debug)]
pub(crate) struct OpenRequest {
    pub(crate) listener: Arc<str>,
    pub(crate) peer: SocketAddr,
    pub(crate) request_id: HeaderValue,
    /// Why it was allowed, and for which tenant.
    pub(crate) allowed: Reason,
    pub(crate) identity: Arc<Identity>,
    /// The connection's, where it carries this alone: HTTP/1.1.
    pub(crate) alone: Option<Arc<Activity>>,
    /// Whose certificate is behind it, and the listener that they came by.
    pub(crate) client: Option<(usize, Arc<Client>)>,
}

#[derive(Debug, Default)]
struct State {
    closed: Option<Reason>,
    /// An answer has begun, so that no other can be given.
    answering: bool,
    wakers: [Option<Waker>; 2],
}

/// Who waits for the end of a stream: a task each.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Side {
    /// Whoever sends the request's body to the cell.
    Request,
    /// Whoever waits for the answer, and then sends it to the client.
    Answer,
}

impl Streams {
    /// Lists a request that was let through on this view. Also says whether the view is still good:
    /// otherwise the others have been checked against a newer one, and this one must be, too.
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

    /// Those of the next slots; `None` behind the last. What comes to be listed meanwhile looks
    /// after itself, so no slot needs a second look.
    fn some_from(&self, slot: usize) -> Option<Vec<Arc<Stream>>> {
        let table = lock_uncontended(&self.0);
        let slots = table.slots.get(slot..).filter(|rest| !rest.is_empty())?;
        let listed = slots.iter().take(CHECKED_AT_ONCE).flatten();
        Some(listed.filter_map(Weak::upgrade).collect())
    }
}

impl Stream {
    /// Whether it is closed, and why; else wakes the task of this side when it is.
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

    /// Which credential to show another of, where that is what would help.
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

    /// Why it is closed, if it is.
    pub(crate) fn why_closed(&self) -> Option<Reason> {
        self.state().closed
    }

    /// The cell's answer begins. From here on closing cuts it.
    pub(crate) fn answers(&self) {
        let mut state = self.state();
        state.answering = true;
        if let (Some(_), Some(connection)) = (state.closed, &self.request.alone) {
            connection.cut();
        }
    }

    /// Closes it, unless it is.
    fn close<E: Env, S: Sink>(&self, reporter: &Reporter<E, S>, reason: Reason) {
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

    /// Closes it if it may not be open under this view: its tenant is refused, or its client's
    /// certificate has been taken away.
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
        let judged = client.reverify(config, now, |chain| config.verify_chain(*listener, chain));
        let Err(reason) = judged.map_err(ChainRefused::reason) else {
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

/// Looks through a worker's streams whenever a registry says something new of tenants, or a reload
/// something new of certificates. Runs as long as it is polled.
pub(crate) async fn follow<E: Env, S: Sink>(
    streams: &Streams,
    views: &ViewCell,
    reporter: &Reporter<E, S>,
) {
    let mut seen = None;
    loop {
        let is_new = |view: &View| Some(Grounds::of(view)).filter(|it| Some(*it) != seen);
        seen = Some(views.until(is_new).await);
        // Before the first look: a request that is let through on older grounds and is listed from
        // here on looks after itself.
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
