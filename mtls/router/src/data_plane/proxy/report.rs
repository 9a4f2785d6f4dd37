//! Reports the end of each request.

use std::sync::atomic::{AtomicU16, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cellway_core::registry::Cell;
use cellway_core::{Allow, Now, Reason};
use cellway_env::Env;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode};

use super::cors::Grant;
use super::own_span;
use crate::active_config::ActiveConfig;
use crate::data_plane::authz::{Case, Refused};
use crate::data_plane::body::Progress;
use crate::data_plane::buckets::Quota;
use crate::data_plane::connection::Connection;
use crate::data_plane::explained::Explained;
use crate::data_plane::record::Record;
use crate::data_plane::streams::{OpenRequest, Stream};
use crate::data_plane::turns::Turns;
use crate::lock::lock_uncontended;
use crate::observe::event::{Event, Owner, Phase, Responded, Sink};
use crate::observe::spans::Served;
use crate::settings::AccessLog;
use crate::shares::{Holder, HolderTag};
use crate::view::View;

/// Reports a request when it is over. Dropping this emits the event, so every request is reported
/// exactly once, even if the client goes away and all futures of the request are dropped.
pub(crate) struct Report<E: Env, S: Sink> {
    pub(crate) connection: Arc<Connection<E, S>>,
    pub(crate) request_id: HeaderValue,
    /// Whether the request is a `HEAD`.
    pub(super) head: bool,
    /// Notes for the task of an HTTP/2 stream.
    pub(crate) turns: Turns,
    /// When the request's header was complete.
    pub(crate) began: Now,
    /// The cell that was decided. See [`Report::cell`].
    cell: Option<Arc<Cell>>,
    /// Why another cell was decided than the one that the request's placement assigns.
    failover: Option<Reason>,
    /// The cell to which the request went instead.
    moved: OnceLock<Box<Moved>>,
    /// Who answers for the request at a circuit breaker, as bits. Only the request's own task uses it.
    holder: AtomicU16,
    pub(crate) reason: Option<Reason>,
    /// Why the request was allowed, if it was.
    pub(super) allowed: Option<Reason>,
    /// Whether the answer tells the client how the request was routed.
    pub(super) explains: bool,
    /// More about the reason, if the router answers. Boxed, because few requests have it, and
    /// otherwise every request's future would be larger.
    more: Option<Box<ReasonDetail>>,
    pub(crate) bytes: u64,
    pub(crate) complete: bool,
    /// The CORS fields of the answer.
    pub(super) cors: Option<Box<Grant>>,
    /// What the answer says about a rate limit.
    pub(super) quota: Option<Box<Quota>>,
    /// The request as an open stream, after it was allowed.
    pub(crate) stream: Option<Arc<Stream>>,
    /// What the access log says. `None` if it is off.
    pub(super) record: Option<Box<Record>>,
    /// Why it was decided so, if an operator asks.
    pub(crate) explained: Explained,
    answered: Option<(StatusCode, Owner, Now)>,
}

/// A cell that the request went to because another one could not be reached.
struct Moved {
    cell: Arc<Cell>,
    failover: Option<Reason>,
    then: OnceLock<Box<Moved>>,
}

struct ReasonDetail {
    /// Which check failed.
    detail: &'static str,
    /// Whether it was already emitted as a denial.
    told: bool,
}

impl<E: Env, S: Sink> Report<E, S> {
    pub(crate) fn new(
        connection: Arc<Connection<E, S>>,
        method: &Method,
        request_id: HeaderValue,
        turns: Turns,
    ) -> Self {
        connection.activity.request_begins();
        let began = connection.worker.reporter.now();
        Self {
            connection,
            request_id,
            head: method == Method::HEAD,
            turns,
            began,
            cell: None,
            failover: None,
            moved: OnceLock::new(),
            holder: AtomicU16::new(HolderTag::NOBODY.get()),
            reason: None,
            allowed: None,
            explains: false,
            more: None,
            bytes: 0,
            complete: false,
            cors: None,
            quota: None,
            stream: None,
            record: None,
            explained: Explained::default(),
            answered: None,
        }
    }

    /// Notes what the settings want to know about the request, for its client and the access log.
    pub(super) fn begins(
        &mut self,
        config: &Arc<ActiveConfig>,
        (request, body): (&Parts, Option<&Arc<Progress>>),
        count: u64,
    ) {
        self.explains = config.listener(self.connection.listener).explain_headers;
        let settings = &config.settings;
        let access_log = settings.access_log;
        let trace = settings.trace.as_ref();
        if access_log == AccessLog::Off && trace.is_none_or(|trace| trace.otlp.is_none()) {
            return;
        }
        // Only the first request takes it, even if nothing is noted about that one.
        let handshake = lock_uncontended(&self.connection.handshake).take();
        let env = &self.connection.worker.env;
        let span = trace.and_then(|trace| own_span::begins(env, trace, &request.headers, count));
        let config = (config, self.connection.listener);
        self.record = Record::of(config, span, request, body, (count, handshake));
    }

    /// Notes that other settings decide the request, because of a reload while it waited for keys.
    pub(super) fn is_under(&mut self, config: &Arc<ActiveConfig>, request: &Parts) {
        self.cors = Grant::of(config, self.connection.listener, request);
        if let Some(record) = &mut self.record {
            record.is_under(config);
        }
    }

    /// Notes for the access log that the cell is asked to switch the protocol.
    pub(super) fn passes_upgrade(&mut self) {
        if let Some(record) = &mut self.record {
            record.passes_upgrade();
        }
    }

    /// Notes whose allowed request this is, and where it goes.
    pub(crate) fn goes_to(&mut self, allow: &Allow) {
        if let Some(record) = &mut self.record {
            record.is_from(&allow.identity);
        }
        self.cell = Some(allow.cell.clone());
        self.failover = why(allow);
        self.allowed = Some(allow.reason);
    }

    /// Notes that the request goes to another cell, because the last one could not be reached.
    pub(super) fn moves(&self, allow: &Allow) {
        let mut place = &self.moved;
        while let Some(moved) = place.get() {
            place = &moved.then;
        }
        let moved = Moved {
            cell: allow.cell.clone(),
            failover: why(allow),
            then: OnceLock::new(),
        };
        // It was empty, and only the request's own task sets it.
        let _ = place.set(Box::new(moved));
    }

    /// Notes who answers for the request at a circuit breaker: its tenant, or its caller if there is no
    /// proved tenant.
    pub(super) fn is_of(&self, holder: Holder) {
        self.holder.store(holder.tag().get(), Relaxed);
    }

    /// Who answers for the request at a circuit breaker.
    pub(super) fn holder(&self) -> HolderTag {
        HolderTag::from_bits(self.holder.load(Relaxed))
    }

    fn last_move(&self) -> Option<&Moved> {
        let mut moved = self.moved.get()?;
        while let Some(then) = moved.then.get() {
            moved = then;
        }
        Some(moved)
    }

    /// The cell that gets the request, if one was decided.
    pub(crate) fn cell(&self) -> Option<&Arc<Cell>> {
        match self.last_move() {
            Some(moved) => Some(&moved.cell),
            None => self.cell.as_ref(),
        }
    }

    /// Why this isn't the cell that the request's placement assigns.
    pub(super) fn failover(&self) -> Option<Reason> {
        match self.last_move() {
            Some(moved) => moved.failover,
            None => self.failover,
        }
    }

    /// Notes for the access log that the request leaves this phase.
    pub(super) fn ends(&self, phase: Phase) {
        if let Some(record) = &self.record {
            record.ends(phase, self.elapsed());
        }
    }

    fn elapsed(&self) -> Duration {
        let clock = self.connection.worker.reporter.clock();
        clock.mono().since(self.began.mono)
    }

    /// The request to authorize.
    pub(crate) fn case(&self, spread: u64) -> Case<'_, E, S> {
        let connection = &self.connection;
        Case {
            authorizer: &connection.worker.authorizer,
            listener: connection.listener,
            name: &connection.name,
            client: connection.client.as_deref(),
            origin: Some(connection.origin),
            request_id: &self.request_id,
            began: self.began,
            spread,
            forwards: true,
            has_target: true,
            record: self.record.as_deref(),
            explained: &self.explained,
        }
    }

    /// Makes the allowed request an open stream. If its tenant or certificate has become invalid
    /// since `view` decided it, the stream is closed at once.
    pub(crate) fn opens(&mut self, allow: &Allow, view: &View) {
        if allow.identity.tenant.is_none() {
            return;
        }
        let (connection, worker) = (&self.connection, &self.connection.worker);
        let activity = &connection.activity;
        let alone = activity.is_http1().then(|| activity.clone());
        let client = connection.client.clone();
        let request = OpenRequest {
            listener: connection.name.clone(),
            peer: connection.origin.address,
            request_id: self.request_id.clone(),
            allowed: allow.reason,
            identity: allow.identity.clone(),
            alone,
            client: client.map(|client| (connection.listener, client)),
        };
        let (stream, is_current) = worker.streams.open(view, request);
        if !is_current {
            stream.check(&worker.reporter, &worker.views.load());
        }
        self.stream = Some(stream);
    }

    /// Notes that the answer's header is ready.
    pub(crate) fn answered(&mut self, status: StatusCode, owner: Owner) -> Now {
        let now = self.connection.worker.reporter.now();
        self.answered = Some((status, owner, now));
        now
    }

    /// Notes that the router answers, and why.
    pub(crate) fn refused(&mut self, refused: &Refused) {
        self.reason = Some(refused.reason);
        self.more = Some(Box::new(ReasonDetail {
            detail: refused.detail,
            told: refused.told,
        }));
    }

    /// Whether an earlier event already has the reason: a denial, or a closed stream.
    fn is_told(&self) -> bool {
        // Few requests have a reason. The others don't take the stream's lock.
        if self.reason.is_none() {
            return false;
        }
        let denied = self.more.as_ref().is_some_and(|more| more.told);
        denied || self.stream.as_ref().and_then(|it| it.why_closed()) == self.reason
    }

    pub(crate) fn request_id(&self) -> &str {
        self.request_id.to_str().unwrap_or_default()
    }
}

/// Why the cell isn't the one that the request's placement assigns.
fn why(allow: &Allow) -> Option<Reason> {
    allow.failed_over.as_ref().map(|it| it.reason)
}

impl<E: Env, S: Sink> Drop for Report<E, S> {
    fn drop(&mut self) {
        let unfinished = self.answered.is_some() && !self.complete;
        if unfinished && self.reason.is_none() {
            self.reason = self.stream.as_ref().and_then(|stream| stream.why_closed());
        }
        let is_stalled = || self.connection.activity.is_stalled() || self.turns.is_cut();
        if unfinished && self.reason.is_none() && is_stalled() {
            self.reason = Some(Reason::ClientStalled);
        }
        let worker = &self.connection.worker;
        let now = worker.reporter.now();
        let (status, owner, at) = match self.answered {
            Some((status, owner, at)) => (Some(status.as_u16()), owner, at),
            None => (None, Owner::Client, now),
        };
        let failed =
            self.reason.is_some() || !self.complete || status.is_none_or(|status| status >= 500);
        let cell = self.cell();
        let url = |at: usize| Some(cell?.endpoints.get(at)?.url.as_str());
        let record = self.record.as_ref();
        if let Some((record, span)) = record.and_then(|record| Some((record, record.span()?))) {
            let served = Served {
                exchange: record.exchange(url),
                listener: &self.connection.name,
                request_id: self.request_id(),
                began: self.began,
                duration: now.mono.since(self.began.mono),
                status,
                owner,
                reason: self.reason.map(|reason| reason.as_str()),
                cell: cell.map(|cell| &cell.id),
                complete: self.complete,
            };
            worker.spans.push(span, &served);
        }
        let record = record.filter(|record| record.is_logged(failed));
        let exchange = record.map(|record| record.exchange(url));
        let event = Event::Responded(Responded {
            listener: &self.connection.name,
            peer: self.connection.origin.address,
            request_id: self.request_id(),
            status,
            owner,
            reason: self.reason,
            detail: self.more.as_ref().map(|more| more.detail),
            told: self.is_told(),
            cell: cell.map(|cell| &cell.id),
            failover: self.failover(),
            latency: at.mono.since(self.began.mono),
            duration: now.mono.since(self.began.mono),
            bytes: self.bytes,
            complete: self.complete,
            exchange: exchange.as_ref(),
        });
        worker.reporter.emit_at(now, &event);
        let ended = worker.reporter.clock().instant(now.mono);
        self.connection.activity.request_ends(ended);
    }
}
