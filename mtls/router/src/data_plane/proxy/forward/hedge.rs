//! Hedging: a second attempt at another endpoint while the first one waits for its answer, if the settings
//! ask for it.
//!
//! The first answer that is no failure counts. The other attempt is cancelled, which says nothing about its
//! endpoint. If one attempt fails, the other goes on alone. If both fail, the request is where it would be if
//! only the first one had been made. The second attempt ends when the first one would have, with the whole of
//! `header_timeout_ms`, also if the first one has less (`try_timeout_ms`).
//!
//! Interim answers of the second attempt aren't passed on, so a client gets none twice.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::health::Outcome;
use cellway_core::registry::Cell;
use cellway_core::{Allow, Ranked, Reason, headers};
use cellway_env::Env;
use http::request::Parts;
use http::{Method, Request, Response};
use tokio::time::{Instant, sleep, timeout_at};

use super::connect::is_of_cell;
use super::timing::Then;
use super::{Attempt, Fit, Forwarding};
use crate::data_plane::body::{Framing, RequestBody};
use crate::data_plane::incoming::{HttpError, Incoming};
use crate::data_plane::pool::{EndpointPool, Lease, RequestPermit, Sender};
use crate::data_plane::proxy::again::{self, HedgeFailed};
use crate::data_plane::proxy::health_report::{self, Scope};
use crate::data_plane::proxy::report::Report;
use crate::data_plane::proxy::spare::Copied;
use crate::observe::event::{Event, HedgeEnd, Sink, Unserved};
use crate::settings::TrafficSettings;

/// How an attempt ended: with the header of an answer, with an error, or because it took too long.
pub(super) type Heard = Result<Result<Answer, HttpError>, Reason>;

/// The header of an answer.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// Whether it can be passed on, if that is known already because it had to be known which of two
    /// attempts counts.
    pub(super) fit: Option<Fit>,
}

impl From<Response<Incoming>> for Answer {
    fn from(response: Response<Incoming>) -> Self {
        Self {
            response,
            fit: None,
        }
    }
}

/// How the first attempt, or both, ended.
pub(super) enum Raced {
    /// There was no second one, or it was cancelled.
    First(Heard),
    /// The same, and the second one failed in this way.
    Alone(Heard, HedgeFailed),
    /// The second one is answered.
    Second(Box<Second>),
}

/// An answer that can be passed on, and where it ends.
type Passable = (Response<Incoming>, Framing);

/// A second attempt that was answered.
pub(super) struct Second {
    response: Response<Incoming>,
    framing: Framing,
    lease: Lease,
    permit: RequestPermit,
    /// The endpoint's position in the cell's list.
    at: usize,
    /// When it was sent.
    began: Instant,
    /// How the first attempt ended, if it failed before.
    first: Option<Heard>,
}

/// A request that may have two attempts at once, before its first one.
pub(super) struct Hedging {
    /// How long the first one has for itself.
    after: Duration,
    /// The cell, and its endpoints in the order of the decision.
    cell: Option<(Arc<Cell>, Ranked)>,
    /// The endpoints that the request has tried, one bit for each position.
    tried: u64,
    /// The head of the request as the first attempt sends it.
    head: Option<Copied>,
    /// Whether the first attempt is made over HTTP/2.
    http2: bool,
}

impl Hedging {
    /// Of a request that may be served twice without any effect: it is safe (RFC 9110, section 9.2.1) and
    /// nothing but its header is sent. `TRACE` is safe too, but it asks what one endpoint gets. `None` for
    /// all requests if the settings don't ask for it.
    pub(super) fn of(
        traffic: &TrafficSettings,
        request: &Parts,
        is_header_only: bool,
    ) -> Option<Box<Self>> {
        let after = traffic.hedge_after?;
        let method = &request.method;
        let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let may = is_header_only && is_safe && !headers::is_grpc(&request.headers);
        may.then(|| {
            Box::new(Self {
                after,
                cell: None,
                tried: 0,
                head: None,
                http2: false,
            })
        })
    }

    /// Notes the cell that gets the request.
    pub(super) fn is_at(&mut self, allow: &Allow) {
        self.cell = Some((allow.cell.clone(), allow.endpoints));
        self.tried = 0;
    }

    /// Notes that the endpoint at this position is tried.
    pub(super) fn tries(&mut self, at: usize) {
        self.tried |= 1 << at;
    }
}

/// A second attempt that is about to be made.
struct Begun {
    at: usize,
    pool: Arc<EndpointPool>,
    permit: RequestPermit,
}

/// Reports how a second attempt ended when it is dropped.
struct Ending<'a, E: Env, S: Sink> {
    report: &'a Report<E, S>,
    pool: &'a EndpointPool,
    end: HedgeEnd,
}

impl<E: Env, S: Sink> Drop for Ending<'_, E, S> {
    fn drop(&mut self) {
        tell(self.report, Some(self.pool), self.end);
    }
}

fn tell<E: Env, S: Sink>(report: &Report<E, S>, pool: Option<&EndpointPool>, end: HedgeEnd) {
    if let Some(cell) = report.cell() {
        report.connection.worker.reporter.emit(&Event::CellHedge {
            cell: &cell.id,
            endpoint: pool.map(|pool| pool.endpoint.url.as_str()),
            request_id: report.request_id(),
            end,
        });
    }
}

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// What is needed for a second attempt, if this one, which is about to be sent, is the first.
    pub(super) fn hedge(
        &mut self,
        lease: &Lease,
        request: Option<&Request<RequestBody>>,
    ) -> Option<Box<Hedging>> {
        let mut hedging = self.hedging.take()?;
        if !self.resends.any_left() {
            return None;
        }
        hedging.head = Some(Copied::of(request?));
        hedging.http2 = matches!(lease.sender, Sender::H2(_));
        Some(hedging)
    }

    /// Waits for the answer's header within the time limits, from another endpoint too if it takes long.
    pub(super) fn race(
        &self,
        then: &Then<'_>,
        hedging: Option<Box<Hedging>>,
        answer: Pin<&mut (impl Future<Output = Result<Response<Incoming>, HttpError>> + Send)>,
    ) -> impl Future<Output = Raced> + Send {
        async move {
            let first = async { (self.in_time(then, answer).await).map(|it| it.map(Answer::from)) };
            match hedging {
                None => Raced::First(first.await),
                // Boxed, because few requests get here.
                Some(hedging) => Box::pin(self.hedged(hedging, pin!(first))).await,
            }
        }
    }

    async fn hedged(
        &self,
        mut hedging: Box<Hedging>,
        mut first: Pin<&mut (impl Future<Output = Heard> + Send)>,
    ) -> Raced {
        let until = self.second_ends(Instant::now());
        tokio::select! {
            biased;
            heard = first.as_mut() => return Raced::First(heard),
            () = sleep(hedging.after) => {}
        }
        let head = hedging.head.take();
        let request = head.and_then(|head| head.restore(RequestBody::empty()));
        let begun = match self.begin_second(&hedging) {
            Ok(begun) => begun,
            Err(end) => {
                tell(self.report, None, end);
                return Raced::First(first.await);
            }
        };
        let mut second = pin!(self.second(begun, request, until));
        let failed = tokio::select! {
            biased;
            mut heard = first.as_mut() => match self.counts(&mut heard, hedging.http2) {
                true => return Raced::First(heard),
                false => heard,
            },
            answered = second.as_mut() => return match answered {
                Ok(second) => Raced::Second(second),
                Err(why) => Raced::Alone(first.await, why),
            },
        };
        match second.await {
            Ok(mut second) => {
                second.first = Some(failed);
                Raced::Second(second)
            }
            Err(why) => Raced::Alone(failed, why),
        }
    }

    /// Whether the first attempt was answered, and the answer is none to wait for the second one instead.
    fn counts(&self, heard: &mut Heard, http2: bool) -> bool {
        match heard {
            Ok(Ok(answer)) if !self.is_declined(&answer.response) => {
                let fit = self.fit(&mut answer.response, http2);
                answer.fit.insert(fit).is_ok()
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// When a second attempt is over at the latest, if the first one began now.
    fn second_ends(&self, now: Instant) -> Instant {
        let header = now + self.timeouts().header;
        self.total.map_or(header, |total| total.min(header))
    }

    /// Takes what a second attempt needs: another endpoint that works, a free place at the cell, and a retry
    /// from the cell's budget.
    fn begin_second(&self, hedging: &Hedging) -> Result<Begun, HedgeEnd> {
        let (at, pool) = self.another(hedging).ok_or(HedgeEnd::NoEndpoint)?;
        let limits = &self.config.settings.upstream.limits;
        let permit = self.permit.another(limits, self.traffic.priority);
        let permit = permit.ok_or(HedgeEnd::NoPlace)?;
        match pool.budget.take() {
            true => Ok(Begun { at, pool, permit }),
            false => Err(HedgeEnd::OverBudget),
        }
    }

    /// The best usable endpoint that the request hasn't tried. One whose last exchange failed, or whose
    /// breaker isn't closed, gets no request that it need not get.
    fn another(&self, hedging: &Hedging) -> Option<(usize, Arc<EndpointPool>)> {
        let (cell, endpoints) = hedging.cell.as_ref()?;
        let pools = &self.report.connection.worker.pools;
        let untried = |at: &usize| endpoints.is_first(*at) && hedging.tried & 1 << at == 0;
        endpoints.positions().filter(untried).find_map(|at| {
            let pool = pools.endpoint(cell, cell.endpoints.get(at)?);
            pool.breaker.is_closed().then_some((at, pool))
        })
    }

    /// Makes the second attempt. It counts as a retry in flight as long as it lasts.
    ///
    /// # Errors
    /// Why it isn't served.
    async fn second(
        &self,
        begun: Begun,
        request: Option<Request<RequestBody>>,
        until: Instant,
    ) -> Result<Box<Second>, HedgeFailed> {
        let Begun { at, pool, permit } = begun;
        let _retrying = pool.budget.begins();
        let mut ending = Ending {
            report: self.report,
            pool: &pool,
            end: HedgeEnd::Lost,
        };
        if let Some(record) = &self.report.record {
            record.hedges();
        }
        let asked = timeout_at(until, self.ask_second(&pool, &permit, request)).await;
        let ((response, framing), lease, began) =
            match asked.unwrap_or(Err(HedgeFailed::MaybeProcessed)) {
                Ok(answered) => answered,
                Err(why) => {
                    ending.end = HedgeEnd::Failed;
                    return Err(why);
                }
            };
        ending.end = HedgeEnd::Won;
        Ok(Box::new(Second {
            response,
            framing,
            lease,
            permit,
            at,
            began,
            first: None,
        }))
    }

    /// Sends the request and reads the header of its answer. Reports what a failure says about the endpoint.
    async fn ask_second(
        &self,
        pool: &Arc<EndpointPool>,
        permit: &RequestPermit,
        mut slot: Option<Request<RequestBody>>,
    ) -> Result<(Passable, Lease, Instant), HedgeFailed> {
        let mut lease = match self.suitable(pool, permit, false).await {
            Ok(lease) => lease,
            Err(error) => {
                if is_of_cell(error.full) && !error.cut_short {
                    let scope = Scope::of_attempt(error.is_known);
                    health_report::failed(self.report, pool, (error.reason, scope), &error.error);
                }
                return Err(HedgeFailed::Unprocessed);
            }
        };
        self.tells_of_new(&lease);
        if let Some(http2) = (slot.as_ref()).and_then(|it| Self::waits_for_greeting(&lease, it)) {
            self.greeted(http2).await;
        }
        if self.prepare(&lease, slot.as_mut()).is_err() {
            return Err(HedgeFailed::Unprocessed);
        }
        let began = Instant::now();
        match self.ask_quietly(&mut lease.sender, &mut slot).await {
            Ok(response) => match self.passable(response, &lease) {
                Some(answer) => Ok((answer, lease, began)),
                None => Err(HedgeFailed::MaybeProcessed),
            },
            Err(_) if slot.is_some() => {
                lease.retire();
                Err(HedgeFailed::Unprocessed)
            }
            Err(error) => {
                if let Some(what) = broke(&error, &lease) {
                    health_report::failed(self.report, pool, what, &error.to_string());
                }
                let why = again::unserved(&error, &lease);
                Err(why.map_or(HedgeFailed::MaybeProcessed, HedgeFailed::from))
            }
        }
    }

    /// Sends the request, and drops interim answers. The request is still in the slot if nothing of it was
    /// sent.
    async fn ask_quietly(
        &self,
        sender: &mut Sender,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<Response<Incoming>, HttpError> {
        match sender {
            Sender::H1(http1) => {
                http1.begin(slot)?;
                let head = poll_fn(|cx| http1.poll_answer(cx, |_, _| ())).await?;
                Ok(self.answer_of(http1, head))
            }
            Sender::H2(stream) => {
                let mut exchange = stream.http2().send(slot).await?;
                poll_fn(|cx| exchange.poll_answer(cx, |_| ())).await
            }
        }
    }

    /// The answer to a second attempt, unless it counts as a failure or can't be passed on, so that the
    /// first one goes on. Reports that.
    fn passable(&self, mut response: Response<Incoming>, lease: &Lease) -> Option<Passable> {
        let failing = &self.config.settings.upstream.failing_answers;
        let outcome = health_report::outcome(failing, &response);
        let listed = (self.traffic.retry_statuses).contains(&response.status().as_u16());
        if listed || outcome.and_then(Outcome::cause).is_some() {
            lease.answered();
            health_report::answered(self.report, &lease.pool, outcome);
            return None;
        }
        match self.fit(&mut response, matches!(lease.sender, Sender::H2(_))) {
            Ok(framing) => Some((response, framing)),
            Err(why) => {
                lease.answered();
                let what = (Reason::CellProtocolError, Scope::Exchange);
                health_report::failed(self.report, &lease.pool, what, why);
                None
            }
        }
    }

    /// The answer to the second attempt is that of the request. Cancels the first one: its connection is
    /// `lease`, and `is_sent` says whether the request was sent on it.
    pub(super) fn second_serves(
        &mut self,
        mut lease: Lease,
        is_sent: bool,
        second: Box<Second>,
    ) -> Attempt {
        let Second {
            response,
            framing,
            lease: serves,
            permit,
            at,
            began,
            first,
        } = *second;
        if let Some(heard) = first {
            self.first_failed(&mut lease, is_sent, heard);
        }
        // If it still shows whether its endpoint works, it has shown nothing.
        self.probe = None;
        drop(lease);
        self.permit = permit;
        self.took(began, &response);
        if let Some(record) = &self.report.record {
            record.is_served_by(at);
            record.speaks(matches!(serves.sender, Sender::H2(_)));
        }
        let fit = Some(Ok(framing));
        self.accept(Answer { response, fit }, None, serves)
    }

    /// Reports what the failure of the first attempt says about its endpoint.
    fn first_failed(&mut self, lease: &mut Lease, is_sent: bool, heard: Heard) {
        match heard {
            Ok(Ok(answer)) => {
                lease.answered();
                match answer.fit {
                    Some(Err(why)) => self.failed(&lease.pool, Reason::CellProtocolError, why),
                    Some(Ok(_)) | None => self.heard(&answer.response, lease),
                }
            }
            Ok(Err(_)) if !is_sent => lease.retire(),
            Ok(Err(error)) => {
                if let Some(what) = broke(&error, lease) {
                    self.fails(&lease.pool, what, &error.to_string());
                }
            }
            Err(reason) => {
                lease.unanswered();
                if is_sent {
                    self.failed(&lease.pool, reason, reason.describe());
                }
            }
        }
    }
}

/// What an exchange that broke off says about its endpoint. `None`: nothing, because the connection was
/// closed in order.
fn broke(error: &HttpError, lease: &Lease) -> Option<(Reason, Scope)> {
    if !error.http2().is_some_and(health_report::is_stream_reset) {
        lease.retire();
    }
    let why = again::unserved(error, lease);
    match why {
        Some(Unserved::GoneAway) => None,
        Some(_) | None => Some((again::reason(error, why), Scope::of(error, lease))),
    }
}
