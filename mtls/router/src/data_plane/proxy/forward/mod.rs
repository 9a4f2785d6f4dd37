//! Forwards an allowed request to its cell and returns the answer.
#![expect(
    clippy::manual_async_fn,
    reason = "the future of an `async fn` holds its arguments twice, and each request has these futures"
)]

mod connect;
mod failover;
mod hedge;
mod interim;
mod resend;
mod rewrite;
mod send;
mod switch;
mod timing;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::headers::{self, ConnectionFieldRefused};
use cellway_core::health::{Cause, Outcome};
use cellway_core::{Allow, Reason};
use cellway_env::Env;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode, Version};
use tokio::time::Instant;

use self::connect::is_of_cell;
use self::hedge::{Answer, Hedging};
use self::rewrite::for_any_cell;
use self::timing::{deadline, is_rpc_stream, set_pace, until};
use super::again::Resends;
use super::candidates::{Candidate, Candidates};
use super::circuit::Probing;
use super::health_report::Scope;
use super::report::Report;
use super::upgrade::{CellEnd, Switched, Upgrade};
use super::{Refused, health_report, share};
use crate::active_config::ActiveConfig;
use crate::data_plane::body::{Exchange, Framing, Progress, RequestBody};
use crate::data_plane::http2::StreamBytes;
use crate::data_plane::incoming::Incoming;
use crate::data_plane::interims::Allowance;
use crate::data_plane::pool::{
    ConnectError, EndpointPool, Lease, ProbeSlot, RequestPermit, Retrying, Sender,
};
use crate::data_plane::target;
use crate::observe::event::Sink;
use crate::settings::TrafficSettings;

/// The cell's answer, and what it holds until its body ends.
pub(in crate::data_plane::proxy) struct Answered {
    pub(in crate::data_plane::proxy) response: Response<Incoming>,
    pub(in crate::data_plane::proxy) framing: Framing,
    pub(in crate::data_plane::proxy) lease: Lease,
    pub(in crate::data_plane::proxy) permit: RequestPermit,
    pub(in crate::data_plane::proxy) progress: Option<Arc<Progress>>,
    pub(in crate::data_plane::proxy) idle: Duration,
    pub(in crate::data_plane::proxy) total: Option<Instant>,
    /// Set if the cell agreed to switch the protocol.
    pub(in crate::data_plane::proxy) switched: Option<Box<Switched>>,
}

/// One request that is being forwarded.
struct Forwarding<'a, E: Env, S: Sink> {
    report: &'a Report<E, S>,
    config: &'a Arc<ActiveConfig>,
    traffic: &'a TrafficSettings,
    /// Spreads requests over equal endpoints.
    spread: u64,
    permit: RequestPermit,
    progress: Option<Arc<Progress>>,
    total: Option<Instant>,
    /// Whether the cell is told how much time is left, as the caller told the router.
    has_deadline: bool,
    /// Until when further endpoints are tried. Set when the first couldn't be reached.
    failover: Option<Instant>,
    resends: Resends,
    head: bool,
    /// Whether the client can get interim answers.
    hears_interims: bool,
    /// Counts those that it has got, of all attempts.
    allowance: Allowance,
    upgrade: Option<Box<Upgrade>>,
    /// Whether the request may be served twice (RFC 9110, section 9.2.2).
    idempotent: bool,
    /// Set while this request shows whether its endpoint works again. Boxed, because few requests
    /// have it.
    probe: Option<Box<Probing<'a, E, S>>>,
    /// Set while the request is sent again.
    retrying: Option<Retrying>,
    /// Set until the first attempt, if the request may have two at once. Boxed, because few may.
    hedging: Option<Box<Hedging>>,
}

/// A request to send.
pub(in crate::data_plane::proxy) struct Outgoing {
    pub(in crate::data_plane::proxy) parts: Parts,
    pub(in crate::data_plane::proxy) body: RequestBody,
    pub(in crate::data_plane::proxy) progress: Option<Arc<Progress>>,
    /// Set if the request asks to switch the protocol. Boxed, because few do.
    pub(in crate::data_plane::proxy) upgrade: Option<Box<Upgrade>>,
}

impl Outgoing {
    pub(in crate::data_plane::proxy) fn new(env: &impl Env, request: Request<Incoming>) -> Self {
        let (mut parts, incoming) = request.into_parts();
        let (upgrade, incoming) = Upgrade::take(env, &mut parts, incoming);
        let (body, progress) = match incoming {
            Some(incoming) => RequestBody::new(incoming, parts.version),
            None => (RequestBody::empty(), None),
        };
        Self {
            parts,
            body,
            progress,
            upgrade,
        }
    }
}

impl Outgoing {
    /// The body, if there is one. This consumes `self`, so that the rest of it is dropped while the
    /// body is waited for.
    pub(in crate::data_plane::proxy) fn into_unsent(self) -> Option<Box<RequestBody>> {
        self.body.boxed()
    }
}

/// Where an answer ends, or why it can't be passed on.
type Fit = Result<Framing, &'static str>;

/// What a cell has done for the request.
enum Served {
    Answer(Response<Incoming>, Framing, Lease),
    /// It agreed to switch the protocol.
    Switch(Response<Incoming>, CellEnd, Lease),
}

/// The result of one attempt.
#[expect(
    clippy::large_enum_variant,
    reason = "most attempts are served, and a box would cost each of them an allocation"
)]
enum Attempt {
    Served(Served),
    /// Nothing of the request was sent.
    Unsent(ConnectError),
    /// It was sent, was not served, and may be sent again.
    Again,
    /// Some of it was served, or may have been.
    Failed(Reason, &'static str),
}

/// Sends the request to the decided cell, or to another one that core decides on because this one
/// can't be reached.
///
/// Tries the cell's other endpoints as long as no byte of the request was sent. After that, the
/// request is sent again only if [`again`](mod@super::again) allows it. If no cell got the body, it
/// is in `unsent` afterwards.
///
/// This is not an `async fn`, because the future of an `async fn` would hold the request twice: as it
/// came, and as it is sent.
pub(in crate::data_plane::proxy) fn forward<'a, E: Env, S: Sink>(
    report: &'a Report<E, S>,
    (allow, spread): (&'a Allow, u64),
    config: &'a Arc<ActiveConfig>,
    outgoing: Outgoing,
    unsent: &'a mut Option<Box<RequestBody>>,
) -> impl Future<Output = Result<Answered, Refused>> + Send + 'a {
    let listener = report.connection.listener;
    let traffic = config.traffic(listener, target::path_and_query(&outgoing.parts));
    let asked = deadline(report, &outgoing.parts);
    let total = until(traffic, config, asked);
    let is_rpc_stream = is_rpc_stream(&outgoing);
    let Outgoing {
        mut parts,
        body,
        progress,
        upgrade,
    } = outgoing;
    // A connection that switches protocols is never tried twice.
    let idempotent = parts.method.is_idempotent() && upgrade.is_none();
    let head = parts.method == Method::HEAD;
    // HTTP/1.0 has none (RFC 9110, section 15.2).
    let hears_interims = parts.version >= Version::HTTP_11;
    let hedging = Hedging::of(traffic, &parts, progress.is_none() && upgrade.is_none());
    for_any_cell(&mut parts);
    // The request is taken from here when it is sent, and put back if it may be sent again.
    let mut slot = Some(Request::from_parts(parts, body));
    async move {
        let answered = match share::admit(report, allow, (config, traffic.priority), total).await {
            Ok(permit) => {
                if let Some(progress) = progress.as_ref().filter(|_| !is_rpc_stream) {
                    set_pace(progress, config.listener(listener));
                }
                let processed = idempotent && traffic.retries_processed();
                let resets = idempotent && traffic.retry_resets;
                let percent = config.settings.upstream.retry_percent;
                let forwarding = Forwarding {
                    report,
                    permit,
                    progress,
                    total,
                    has_deadline: asked.is_some(),
                    traffic,
                    spread,
                    failover: None,
                    resends: Resends::new(percent, processed, resets),
                    config,
                    head,
                    hears_interims,
                    allowance: Allowance::default(),
                    idempotent,
                    upgrade,
                    probe: None,
                    retrying: None,
                    hedging,
                };
                forwarding.try_endpoints(allow, &mut slot).await
            }
            Err(refused) => Err(refused),
        };
        *unsent = slot.and_then(|request| request.into_body().boxed());
        answered
    }
}

impl<'a, E: Env, S: Sink> Forwarding<'a, E, S> {
    /// Tries the endpoints of the cell, and then those of another cell, if core allows one. This is not
    /// an `async fn`, because it consumes `self` (see [`forward`]).
    fn try_endpoints(
        mut self,
        allow: &Allow,
        slot: &mut Option<Request<RequestBody>>,
    ) -> impl Future<Output = Result<Answered, Refused>> + Send {
        async move {
            // Set if the request goes to another cell than was decided first.
            let mut moved: Option<Box<Allow>> = None;
            loop {
                let allow = moved.as_deref().unwrap_or(allow);
                let refused = match self.at_cell(allow, slot).await {
                    Ok(Served::Answer(response, framing, lease)) => {
                        return Ok(self.answered(response, framing, lease));
                    }
                    Ok(Served::Switch(response, cell, lease)) => {
                        return Ok(self.switched(response, cell, lease));
                    }
                    Err(refused) => refused,
                };
                if allow.standby.is_none() {
                    return Err(*refused);
                }
                // Boxed, because few requests get here.
                match Box::pin(self.move_on(allow, &refused, slot)).await {
                    Ok(Some(next)) => moved = Some(next),
                    Ok(None) => return Err(*refused),
                    Err(unstamped) => return Err(unstamped),
                }
            }
        }
    }

    /// Tries the endpoints of this cell, the best first. This is not an `async fn`, because the future of
    /// one would hold its arguments twice.
    ///
    /// # Errors
    /// The answer, unless another cell takes the request. Boxed, because it waits for that decision, and
    /// most requests have none.
    fn at_cell(
        &mut self,
        allow: &Allow,
        slot: &mut Option<Request<RequestBody>>,
    ) -> impl Future<Output = Result<Served, Box<Refused>>> + Send {
        async move {
            let mut candidates = Candidates::new(self.asker());
            let mut failure = None;
            // Its position would be one of another cell's list.
            self.resends.take_beside();
            if let Some(hedging) = &mut self.hedging {
                hedging.is_at(allow);
            }
            while let Some(Candidate { at, pool, probe }) =
                candidates.next(&self.report.connection.worker.pools, allow)
            {
                self.tries(at, &pool, probe);
                match self.try_endpoint(&pool, slot).await {
                    Attempt::Served(served) => return Ok(served),
                    Attempt::Failed(reason, detail) => {
                        return Err(Box::new(Refused::new(reason, detail)));
                    }
                    Attempt::Again => {
                        self.probe = None;
                        candidates.gave_back(at);
                        if let Some(hedged) = self.resends.take_beside() {
                            candidates.gave_back(hedged);
                        }
                    }
                    Attempt::Unsent(error) => {
                        self.probe = None;
                        candidates.unreachable(at);
                        failure = Some((error.reason, error.full));
                        if !self.fails_over(&error) {
                            break;
                        }
                    }
                }
            }
            let refused = self.unreached(allow, failure, candidates.circuit_open());
            Err(Box::new(refused))
        }
    }

    /// Notes that the endpoint at this position is tried.
    fn tries(&mut self, at: usize, pool: &Arc<EndpointPool>, probe: Option<ProbeSlot>) {
        let report = self.report;
        self.probe = probe.map(|slot| Box::new(Probing::begins(report, pool.clone(), slot)));
        if let Some(record) = &report.record {
            record.tries(at);
        }
        if let Some(hedging) = &mut self.hedging {
            hedging.tries(at);
        }
    }

    /// The cell's answer, with what it holds until its body ends.
    pub(super) fn answered(
        self,
        response: Response<Incoming>,
        framing: Framing,
        lease: Lease,
    ) -> Answered {
        let idle = self.timeouts().idle;
        Answered {
            response,
            framing,
            lease,
            permit: self.permit,
            progress: self.progress,
            idle,
            total: self.total,
            switched: None,
        }
    }

    /// Reports that an exchange with this endpoint failed.
    fn failed(&mut self, pool: &EndpointPool, reason: Reason, error: &str) {
        self.fails(pool, (reason, Scope::Exchange), error);
    }

    /// The same for a part of it.
    fn fails(&mut self, pool: &EndpointPool, what: (Reason, Scope), error: &str) {
        let outcome = health_report::failed(self.report, pool, what, error);
        match outcome.and_then(Outcome::cause) {
            Some(Cause::Connection) => {
                if let Some(probe) = self.probe.take() {
                    let what = what.1.failed(self.report.holder());
                    probe.failed(self.config.settings.upstream.breaker, what);
                }
            }
            Some(Cause::Answer) => {
                if let Some(probe) = self.probe.take() {
                    probe.answered(outcome);
                }
            }
            None => {}
        }
    }

    /// Tries a pooled connection, and a new one if the pooled one turns out to be closed. A request
    /// that is sent again gets a new connection at once. Like [`send`](Self::send), this is not an
    /// `async fn`: the future of one would hold its arguments twice.
    fn try_endpoint(
        &mut self,
        pool: &Arc<EndpointPool>,
        slot: &mut Option<Request<RequestBody>>,
    ) -> impl Future<Output = Attempt> + Send {
        async move {
            let mut fresh = self.resends.any_used();
            loop {
                let lease = match self.lease(pool, fresh).await {
                    Ok(lease) => lease,
                    Err(error) => {
                        if is_of_cell(error.full) && !error.cut_short {
                            let scope = Scope::of_attempt(error.is_known);
                            self.fails(pool, (error.reason, scope), &error.error);
                        }
                        return Attempt::Unsent(error);
                    }
                };
                match self.send(lease, slot).await {
                    Attempt::Unsent(error) if fresh => {
                        self.fails(pool, (error.reason, Scope::Connection), &error.error);
                        return Attempt::Unsent(error);
                    }
                    Attempt::Unsent(_) => fresh = true,
                    done @ (Attempt::Served(_) | Attempt::Again | Attempt::Failed(..)) => {
                        return done;
                    }
                }
            }
        }
    }

    /// Reports what the answer says about its endpoint.
    fn heard(&mut self, response: &Response<Incoming>, lease: &Lease) {
        let failing = &self.config.settings.upstream.failing_answers;
        let outcome = health_report::outcome(failing, response);
        health_report::answered(self.report, &lease.pool, outcome);
        if let Some(probe) = self.probe.take() {
            probe.answered(outcome);
        }
    }

    fn accept(
        &mut self,
        answer: Answer,
        tunnel: Option<Box<StreamBytes>>,
        lease: Lease,
    ) -> Attempt {
        let Answer { mut response, fit } = answer;
        lease.answered();
        self.permit.is_answered();
        let percent = self.config.settings.upstream.retry_percent;
        lease.pool.budget.earn(percent);
        match self.agreed(&mut response, tunnel, &lease) {
            Ok(None) => {}
            Ok(Some(cell)) => {
                self.heard(&response, &lease);
                return Attempt::Served(Served::Switch(response, cell, lease));
            }
            Err((reason, why)) => {
                self.failed(&lease.pool, reason, why);
                return Attempt::Failed(
                    reason,
                    "the cell does not switch protocols as it was asked",
                );
            }
        }
        let http2 = matches!(lease.sender, Sender::H2(_));
        match fit.unwrap_or_else(|| self.fit(&mut response, http2)) {
            Ok(framing) => {
                self.heard(&response, &lease);
                Attempt::Served(Served::Answer(response, framing, lease))
            }
            Err(why) => {
                let reason = Reason::CellProtocolError;
                self.failed(&lease.pool, reason, why);
                Attempt::Failed(reason, health_report::MALFORMED)
            }
        }
    }

    /// Removes from the answer's header what must not be passed on. Call it once for each answer. The error
    /// says what is wrong with the answer.
    fn fit(&self, response: &mut Response<Incoming>, http2: bool) -> Fit {
        if response.status() == StatusCode::SWITCHING_PROTOCOLS {
            return Err("101 without an upgrade");
        }
        let exchange = Exchange {
            head: self.head,
            http2,
            limits: self.config.settings.upstream.answers,
        };
        let framing = Framing::of(response, exchange)?;
        headers::sanitize_response(self.config.header_rules(), response.headers_mut())
            .map_err(ConnectionFieldRefused::detail)?;
        Ok(framing)
    }
}
