//! What the access log says about one request, noted while it is served.
//!
//! A request has a record only if the access log is on. Until the request is over, nobody knows
//! whether it fails, so each one is noted, even if only some are logged.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use cellway_core::http1::MessageError;
use cellway_core::path::PathPattern;
use cellway_core::{Identity, mix, trace};
use http::header::UPGRADE;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderValue, Method, Version};

use crate::active_config::ActiveConfig;
use crate::data_plane::body::Progress;
use crate::observe::event::{Applied, Exchange, Phase, Phases};
use crate::observe::spans::OwnSpan;
use crate::settings::AccessLog;

/// No endpoint was tried.
const NONE: u8 = u8::MAX;

/// The notes about one request. The fields that change have the type of a shared counter because
/// the request's future is sent between threads; only one task writes them.
#[derive(Debug)]
pub(crate) struct Record {
    /// Whether the header could be read.
    is_read: bool,
    /// The settings that decide the request, and the position of its listener.
    config: (Arc<ActiveConfig>, usize),
    method: Method,
    path: Option<PathAndQuery>,
    version: Version,
    traceparent: Option<HeaderValue>,
    /// Whether it has an `Upgrade` that isn't passed on.
    upgrade_ignored: bool,
    /// Whether the request is logged even if nothing fails.
    picked: bool,
    /// Whether there is an access log. Otherwise the notes are for the span.
    logged: bool,
    /// The router's span, if the request belongs to a sampled trace and spans are reported.
    span: Option<OwnSpan>,
    identity: Option<Arc<Identity>>,
    /// How long the connection's handshake took, if this is its first request.
    tls: Option<Duration>,
    /// The body's state, which also counts its bytes.
    body: Option<Arc<Progress>>,
    /// The client's bytes after a switch of protocols.
    tunneled: AtomicU64,
    attempts: AtomicU8,
    /// The position of the last endpoint in its cell's list.
    endpoint: AtomicU8,
    /// The same of the endpoint that was tried first, if the request was hedged.
    hedged_from: AtomicU8,
    http2: AtomicU8,
    /// When the present phase began, in microseconds since the request began.
    since: AtomicU32,
    /// How long each phase took so far, in microseconds.
    phases: [AtomicU32; Phase::ALL.len()],
}

impl Record {
    /// Starts the notes about a request. `None` if none is logged and this one has no span. `count` is
    /// a number that differs from request to request.
    pub(crate) fn of(
        (config, listener): (&Arc<ActiveConfig>, usize),
        span: Option<OwnSpan>,
        request: &Parts,
        body: Option<&Arc<Progress>>,
        (count, tls): (u64, Option<Duration>),
    ) -> Option<Box<Self>> {
        let settings = config.settings.access_log;
        let picked = match settings {
            AccessLog::Off if span.is_none() => return None,
            AccessLog::Off | AccessLog::Errors => false,
            AccessLog::Sampled { one_in } => is_picked(count, one_in),
            AccessLog::Full => true,
        };
        let started = span.filter(|span| span.parent.is_none());
        let traceparent = match started {
            Some(span) => span.context.header(),
            None => request.headers.get("traceparent").cloned(),
        };
        Some(Box::new(Self {
            is_read: request.extensions.get::<MessageError>().is_none(),
            config: (config.clone(), listener),
            method: request.method.clone(),
            path: request.uri.path_and_query().cloned(),
            version: request.version,
            traceparent,
            upgrade_ignored: request.version <= Version::HTTP_11
                && request.headers.contains_key(UPGRADE),
            picked,
            logged: settings != AccessLog::Off,
            span,
            identity: None,
            tls,
            body: body.cloned(),
            tunneled: AtomicU64::new(0),
            attempts: AtomicU8::new(0),
            endpoint: AtomicU8::new(NONE),
            hedged_from: AtomicU8::new(NONE),
            http2: AtomicU8::new(0),
            since: AtomicU32::new(0),
            phases: Default::default(),
        }))
    }

    /// Notes that other settings decide the request, because of a reload while it waited.
    pub(crate) fn is_under(&mut self, config: &Arc<ActiveConfig>) {
        self.config.0 = config.clone();
    }

    /// Notes the trace that the router started.
    pub(crate) fn is_of_trace(&mut self, traceparent: &HeaderValue) {
        self.traceparent = Some(traceparent.clone());
    }

    /// The id of the trace that the router has started for its span.
    pub(crate) fn started_trace(&self) -> Option<&str> {
        self.span.filter(|span| span.parent.is_none())?;
        trace::trace_id(self.traceparent.as_ref()?)
    }

    /// Notes that the cell is asked to switch the protocol.
    pub(crate) fn passes_upgrade(&mut self) {
        self.upgrade_ignored = false;
    }

    /// Notes who is calling.
    pub(crate) fn is_from(&mut self, identity: &Arc<Identity>) {
        self.identity = Some(identity.clone());
    }

    /// Notes that this phase is over. `elapsed` is the time since the request began.
    pub(crate) fn ends(&self, phase: Phase, elapsed: Duration) {
        let now = u32::try_from(elapsed.as_micros()).unwrap_or(u32::MAX);
        let took = now.saturating_sub(self.since.swap(now, Relaxed));
        self.phases[phase as usize].fetch_add(took, Relaxed);
    }

    /// Notes that the request is about to be sent to the endpoint at this position.
    pub(crate) fn tries(&self, endpoint: usize) {
        self.attempts.fetch_add(1, Relaxed);
        let endpoint = u8::try_from(endpoint).unwrap_or(NONE);
        self.endpoint.store(endpoint, Relaxed);
        self.http2.store(0, Relaxed);
    }

    /// Notes that the request is about to be sent to a second endpoint, while the first one works on it.
    pub(crate) fn hedges(&self) {
        self.attempts.fetch_add(1, Relaxed);
        self.hedged_from.store(self.endpoint.load(Relaxed), Relaxed);
    }

    /// Notes that the endpoint at this position has served it, although another one got it too.
    pub(crate) fn is_served_by(&self, endpoint: usize) {
        let endpoint = u8::try_from(endpoint).unwrap_or(NONE);
        self.endpoint.store(endpoint, Relaxed);
    }

    /// Notes which protocol the endpoint speaks.
    pub(crate) fn speaks(&self, http2: bool) {
        self.http2.store(1 + u8::from(http2), Relaxed);
    }

    /// Notes how many bytes the client has sent after a switch of protocols.
    pub(crate) fn tunneled(&self, bytes: u64) {
        self.tunneled.store(bytes, Relaxed);
    }

    /// The router's span, if one is reported.
    pub(crate) fn span(&self) -> Option<OwnSpan> {
        self.span
    }

    /// Whether the request is logged.
    pub(crate) fn is_logged(&self, failed: bool) -> bool {
        self.logged && (self.picked || failed)
    }

    /// What the access log says. `url` gives the URL of the endpoint at a position.
    pub(crate) fn exchange<'a>(&'a self, url: impl Fn(usize) -> Option<&'a str>) -> Exchange<'a> {
        let shown = |at: &AtomicU8| {
            let at = at.load(Relaxed);
            (at != NONE).then(|| url(at.into())).flatten()
        };
        let identity = self.identity.as_deref();
        let path = self.path.as_ref();
        let target = path.map_or("/", |path| path.as_str());
        let (config, listener) = (&self.config.0, self.config.1);
        let routed = config.routed(listener, target).ok();
        Exchange {
            is_read: self.is_read,
            applied: routed.filter(|_| self.is_read).map(|routed| Applied {
                route: routed.route.map(PathPattern::as_str),
                policy: &config.settings.policy.auth(routed.policy).name,
                traffic: &routed.traffic.name,
            }),
            method: &self.method,
            path: path.map_or("/", |path| path.path()),
            version: self.version,
            traceparent: self.traceparent.as_ref(),
            upgrade_ignored: self.upgrade_ignored && self.attempts.load(Relaxed) > 0,
            tenant: identity.and_then(|identity| identity.tenant.as_ref()),
            subject: identity.and_then(|identity| identity.subject.as_ref()),
            attempts: self.attempts.load(Relaxed),
            endpoint: shown(&self.endpoint),
            hedged_from: shown(&self.hedged_from),
            endpoint_version: match self.http2.load(Relaxed) {
                0 => None,
                1 => Some(Version::HTTP_11),
                _ => Some(Version::HTTP_2),
            },
            request_bytes: self.body.as_ref().map_or(0, |body| body.bytes())
                + self.tunneled.load(Relaxed),
            tls: self.tls,
            phases: Phases(std::array::from_fn(|i| {
                Duration::from_micros(self.phases[i].load(Relaxed).into())
            })),
        }
    }
}

/// Picks one of `one_in` requests, spread evenly and not in a pattern that a client could follow.
pub(crate) fn is_picked(count: u64, one_in: u32) -> bool {
    mix(count).is_multiple_of(one_in.max(1).into())
}
