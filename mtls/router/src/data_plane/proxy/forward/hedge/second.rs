//! The second attempt of a request: which endpoint gets it, how long it may take, and what its failure says.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cellway_core::Reason;
use cellway_core::health::Outcome;
use cellway_env::Env;
use http::{Request, Response};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::super::Forwarding;
use super::super::connect::is_of_cell;
use super::{Heard, Hedging};
use crate::data_plane::body::{Framing, RequestBody};
use crate::data_plane::incoming::{HttpError, Incoming};
use crate::data_plane::pool::{EndpointPool, Lease, RequestPermit, Sender};
use crate::data_plane::proxy::again::{self, HedgeFailed};
use crate::data_plane::proxy::health_report::{self, Scope};
use crate::data_plane::proxy::report::Report;
use crate::observe::event::{Event, HedgeEnd, Sink, Unserved};

/// An answer that can be passed on, and where it ends.
type Passable = (Response<Incoming>, Framing);

/// A second attempt that was answered.
pub(in super::super) struct Second {
    pub(super) response: Response<Incoming>,
    pub(super) framing: Framing,
    pub(super) lease: Lease,
    pub(super) permit: RequestPermit,
    /// The endpoint's position in the cell's list.
    pub(super) at: usize,
    /// When it was sent.
    pub(super) began: Instant,
    /// How the first attempt ended, if it failed before.
    pub(super) first: Option<Heard>,
}

/// A second attempt that is about to be made.
pub(super) struct Begun {
    pub(super) at: usize,
    pool: Arc<EndpointPool>,
    permit: RequestPermit,
}

/// How long a second attempt may take.
#[derive(Clone, Copy)]
pub(super) struct Patience<'a> {
    /// When it is over at the latest.
    pub(super) until: Instant,
    /// How long the endpoint may take for the header.
    pub(super) own: &'a OwnTime,
}

/// How long an endpoint may take for the header, from when the request was sent. Set when the first attempt
/// has failed and others may follow.
#[derive(Default)]
pub(super) struct OwnTime {
    time: OnceLock<Duration>,
    is_set: Notify,
}

impl OwnTime {
    pub(super) fn set(&self, time: Duration) {
        let _ = self.time.set(time);
        self.is_set.notify_one();
    }
}

impl Patience<'_> {
    /// Waits for the result, or until the time is over for a request that was sent then, if it was.
    async fn with<T>(self, sent: Option<Instant>, work: impl Future<Output = T>) -> Option<T> {
        let mut work = pin!(work);
        loop {
            let own = self.own.time.get();
            let ends = sent.zip(own).map(|(sent, own)| sent + *own);
            let ends = ends.map_or(self.until, |ends| ends.min(self.until));
            tokio::select! {
                biased;
                done = work.as_mut() => return Some(done),
                () = sleep_until(ends) => return None,
                () = self.own.is_set.notified(), if own.is_none() => {}
            }
        }
    }

    /// Whether the endpoint has had all of its own time, if the request was sent to it then.
    fn is_used_up(self, sent: Instant) -> bool {
        let own = self.own.time.get();
        own.is_some_and(|own| sent.elapsed() >= *own)
    }
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

pub(super) fn tell<E: Env, S: Sink>(
    report: &Report<E, S>,
    pool: Option<&EndpointPool>,
    end: HedgeEnd,
) {
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
    /// Takes what a second attempt needs: another endpoint that works, a free place at the cell, and a retry
    /// from the cell's budget.
    pub(super) fn begin_second(&self, hedging: &Hedging) -> Result<Begun, HedgeEnd> {
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
    pub(super) async fn second(
        &self,
        begun: Begun,
        request: Option<Request<RequestBody>>,
        patience: Patience<'_>,
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
        let ((response, framing), lease, began) =
            match self.ask_second(&pool, &permit, request, patience).await {
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
        patience: Patience<'_>,
    ) -> Result<(Passable, Lease, Instant), HedgeFailed> {
        let ready = self.ready_second(pool, permit, slot.as_mut());
        let Some(Some(mut lease)) = patience.with(None, ready).await else {
            return Err(HedgeFailed::Unprocessed);
        };
        let began = Instant::now();
        let asking = self.ask_quietly(&mut lease.sender, &mut slot);
        let Some(asked) = patience.with(Some(began), asking).await else {
            let is_overdue = slot.is_none() && patience.is_used_up(began);
            lease.unanswered();
            if is_overdue {
                let what = (Reason::CellTimeoutHeader, Scope::Exchange);
                health_report::failed(self.report, pool, what, what.0.describe());
            }
            return Err(match slot {
                Some(_) => HedgeFailed::Unprocessed,
                None => HedgeFailed::MaybeProcessed,
            });
        };
        match asked {
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

    /// A connection for the request, whose header is rewritten for it. Reports what a failure says about the
    /// endpoint.
    async fn ready_second(
        &self,
        pool: &Arc<EndpointPool>,
        permit: &RequestPermit,
        request: Option<&mut Request<RequestBody>>,
    ) -> Option<Lease> {
        let lease = match self.suitable(pool, permit, false).await {
            Ok(lease) => lease,
            Err(error) => {
                if is_of_cell(error.full) && !error.cut_short {
                    let scope = Scope::of_attempt(error.is_known);
                    health_report::failed(self.report, pool, (error.reason, scope), &error.error);
                }
                return None;
            }
        };
        self.tells_of_new(&lease);
        if let Some(http2) = request
            .as_deref()
            .and_then(|it| Self::waits_for_greeting(&lease, it))
        {
            self.greeted(http2).await;
        }
        self.prepare(&lease, request).is_ok().then_some(lease)
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
                http1.begin(slot).map_err(HttpError::Answer)?;
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
}

/// What an exchange that broke off says about its endpoint. `None`: nothing, because the connection was
/// closed in order.
pub(super) fn broke(error: &HttpError, lease: &Lease) -> Option<(Reason, Scope)> {
    if !error.http2().is_some_and(health_report::is_stream_reset) {
        lease.retire();
    }
    let why = again::unserved(error, lease);
    match why {
        Some(Unserved::GoneAway) => None,
        Some(_) | None => Some((again::reason(error, why), Scope::of(error, lease))),
    }
}
