//! The time limits of forwarding: how long to connect, how long to wait for the answer's header, and
//! how fast the request's body must arrive.

use std::future::Future;
use std::pin::{Pin, pin};
use std::time::Duration;

use cellway_core::health::Outcome;
use cellway_core::{Reason, headers};
use cellway_env::Env;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{HeaderValue, Response, Version};
use tokio::time::{Instant, sleep_until};

use super::{Forwarding, Outgoing};
use crate::active_config::ActiveConfig;
use crate::data_plane::body::{Pace, Progress, Turn};
use crate::data_plane::incoming::Incoming;
use crate::data_plane::pool::{Asker, ConnectError, RetryBudget, Sent, UPLOAD_PROBES};
use crate::data_plane::proxy::health_report;
use crate::data_plane::proxy::report::Report;
use crate::data_plane::proxy::spare::Spare;
use crate::observe::event::Sink;
use crate::settings::{CellTimeouts, ClientTimeouts, ListenerSettings, TrafficSettings};

/// What another attempt needs. It is passed by reference, which makes every request's future smaller.
pub(super) struct Then<'a> {
    pub(super) spare: Option<&'a Spare>,
    pub(super) budget: &'a RetryBudget,
}

impl Then<'_> {
    /// Whether another attempt may follow, as far as is known now.
    pub(super) fn may_follow(&self) -> bool {
        self.spare.is_some_and(Spare::is_complete) && self.budget.has_one()
    }
}

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// The time limits of the request. They aren't kept, because they would make every request's
    /// future larger.
    pub(super) fn timeouts(&self) -> CellTimeouts {
        let upstream = &self.config.settings.upstream;
        self.traffic.timeouts(&upstream.timeouts)
    }

    /// The error if the time for all attempts is over, although no single step took too long.
    pub(super) fn no_time_left(&self) -> ConnectError {
        match self.connects_until() {
            Some((_, Reason::CellTimeoutTotal)) => {
                let reason = Reason::CellTimeoutTotal;
                ConnectError::new(reason, reason.describe())
            }
            Some(_) | None => ConnectError::cut_short(),
        }
    }

    /// Whether another endpoint may be tried after this one, and until when.
    pub(super) fn fails_over(&mut self, error: &ConnectError) -> bool {
        let now = Instant::now();
        let limit = now + self.config.settings.upstream.timeouts.failover;
        let until = self.failover.get_or_insert(limit);
        // The limit on connections is for the whole cell, so another endpoint wouldn't help.
        now < *until && !matches!(error.reason, Reason::Overloaded | Reason::CellTimeoutTotal)
    }

    /// When to give up connecting, in addition to the limits of each step, and the reason to give
    /// then.
    pub(super) fn connects_until(&self) -> Option<(Instant, Reason)> {
        let total = self.total.map(|at| (at, Reason::CellTimeoutTotal));
        let failover = self.failover.map(|at| (at, Reason::CellTimeoutConnect));
        total.into_iter().chain(failover).min_by_key(|(at, _)| *at)
    }

    /// Whether the body was cut because it is longer than its route allows.
    pub(super) fn is_too_long(&self) -> bool {
        (self.progress.as_ref()).is_some_and(|progress| progress.was_too_long())
    }

    pub(super) fn turn(&self) -> Turn {
        self.progress
            .as_ref()
            .map_or(Turn::Done, |progress| progress.turn())
    }

    /// How much of its body the client has sent.
    pub(super) fn sent(&self) -> Sent {
        match self.turn() {
            Turn::Done | Turn::Broken => Sent::Whole,
            Turn::Client | Turn::Cell => Sent::Part,
        }
    }

    /// The request, as one that asks for passage.
    pub(super) fn asker(&self) -> Asker {
        Asker {
            sent: self.sent(),
            holder: self.report.holder(),
        }
    }

    /// Waits for the answer's header, within the time limits for the cell and for a client that
    /// still sends. Tells the cell's adaptive limit how long the cell took.
    pub(super) fn in_time<F>(
        &self,
        then: &Then<'_>,
        mut answer: Pin<&mut impl Future<Output = Result<Response<Incoming>, F>>>,
    ) -> impl Future<Output = Result<Result<Response<Incoming>, F>, Reason>> {
        async move {
            let began = Instant::now();
            let first = began + self.look(then);
            let mut timer = pin!(sleep_until(self.limit(began, then).0.min(first)));
            loop {
                tokio::select! {
                    biased;
                    answer = answer.as_mut() => {
                        // A connection that broke says nothing about how long the cell takes.
                        if let Ok(response) = &answer {
                            self.took(began, response);
                        }
                        return Ok(answer);
                    }
                    () = timer.as_mut() => {
                        let (now, (limit, reason)) = (Instant::now(), self.limit(began, then));
                        if limit <= now {
                            self.took_too_long(began, reason);
                            return Err(reason);
                        }
                        self.probes_no_longer(began, now);
                        timer.as_mut().reset(limit.min(now + self.look(then)));
                    }
                }
            }
        }
    }

    /// After how long to look at the turn again. It may change without waking this task, and the limit
    /// of the next turn may be nearer.
    fn look(&self, then: &Then<'_>) -> Duration {
        let (header, idle) = (self.header_limit(then), self.timeouts().idle);
        let grace = self.progress.as_ref().and_then(|it| it.grace());
        let look = header.min(idle).min(grace.unwrap_or(idle));
        match &self.probe {
            Some(probe) if probe.holds() && self.sent() == Sent::Part => look.min(UPLOAD_PROBES),
            Some(_) | None => look,
        }
    }

    /// Gives up the place in a half-open breaker: after a short time if the client still sends, which it
    /// may do for hours, and else after the time that the cell has for a header. Nothing else passes
    /// while the request holds the place.
    fn probes_no_longer(&self, began: Instant, now: Instant) {
        let Some(probe) = &self.probe else { return };
        let spent = now - began;
        if self.turn() == Turn::Client && spent >= UPLOAD_PROBES {
            probe.waits_for_client();
        } else if spent >= self.timeouts().header {
            probe.gives_up();
        }
    }

    /// Tells the cell's adaptive limit how long this answer took. Failures and refusals are left out: a
    /// cell is often quick to fail, and would look slow when it works again.
    pub(super) fn took(&self, began: Instant, response: &Response<Incoming>) {
        let upstream = &self.config.settings.upstream;
        if upstream.limits.adaptive.is_some()
            && health_report::outcome(&upstream.failing_answers, response) == Some(Outcome::Success)
        {
            self.permit.took(&upstream.limits, self.waits_since(began));
        }
    }

    /// Tells the cell's adaptive limit how long the router waited in vain.
    fn took_too_long(&self, began: Instant, reason: Reason) {
        let limits = &self.config.settings.upstream.limits;
        if reason == Reason::CellTimeoutHeader {
            self.permit.took(limits, self.waits_since(began));
        }
        // The time may be over while the client still sends.
        if reason == Reason::CellTimeoutTotal && matches!(self.turn(), Turn::Done | Turn::Broken) {
            self.permit.gave_up(limits, self.waits_since(began));
        }
    }

    /// Since when the cell is waited for. The time that the client took for its body isn't the cell's.
    /// If the body isn't complete, the cell answers to the header, or to a stream.
    fn waits_since(&self, began: Instant) -> Instant {
        let complete = (self.progress.as_ref())
            .filter(|progress| matches!(progress.turn(), Turn::Done | Turn::Broken));
        complete.map_or(began, |progress| progress.last().max(began))
    }

    /// Whether the time for the whole exchange is over.
    pub(super) fn is_over(&self) -> bool {
        self.total.is_some_and(|total| total <= Instant::now())
    }

    /// How long the cell may take for its header in one attempt, if the request may be sent again
    /// after that.
    pub(super) fn try_timeout(&self) -> Option<Duration> {
        self.traffic.try_timeout.filter(|_| self.idempotent)
    }

    /// How long the cell may take for its header in this attempt. If no other attempt can follow, it has
    /// the time of the whole request: an answer that is late is better than none.
    fn header_limit(&self, then: &Then<'_>) -> Duration {
        let header = self.timeouts().header;
        let one = self.try_timeout();
        let one = one.filter(|_| self.resends.any_left() && then.may_follow());
        one.map_or(header, |one| one.min(header))
    }

    /// When the wait has lasted too long at present, and the reason to give then.
    fn limit(&self, began: Instant, then: &Then<'_>) -> (Instant, Reason) {
        let (header, idle) = (self.header_limit(then), self.timeouts().idle);
        let moved = self
            .progress
            .as_ref()
            .map_or(began, |progress| progress.last().max(began));
        let limit = match self.turn() {
            Turn::Done | Turn::Broken => (moved + header, Reason::CellTimeoutHeader),
            Turn::Cell => (moved + idle, Reason::CellTimeoutIdle),
            Turn::Client => {
                let paced = self.progress.as_ref().and_then(|it| it.client_deadline());
                let idle = moved + idle;
                (
                    paced.map_or(idle, |paced| paced.min(idle)),
                    Reason::ClientTimeout,
                )
            }
        };
        match self.total {
            Some(total) if total < limit.0 => (total, Reason::CellTimeoutTotal),
            _ => limit,
        }
    }
}

/// Whether the body may be quiet, because it is a stream of RPC messages. Only HTTP/2 has those.
pub(super) fn is_rpc_stream(outgoing: &Outgoing) -> bool {
    let headers = &outgoing.parts.headers;
    let is_connect = |kind: &HeaderValue| kind.as_bytes().starts_with(b"application/connect+");
    outgoing.body.is_from_http2()
        && (headers::is_grpc(headers) || headers.get(CONTENT_TYPE).is_some_and(is_connect))
}

/// Sets how fast the body must arrive.
pub(super) fn set_pace(progress: &Progress, listener: &ListenerSettings) {
    let ClientTimeouts {
        body_rate_min,
        body_grace,
        ..
    } = listener.timeouts;
    if body_rate_min > 0 {
        progress.set_pace(Pace {
            rate_min: body_rate_min,
            grace: body_grace,
        });
    }
}

/// When the whole exchange must be over. `deadline` is the caller's own.
pub(super) fn until(
    traffic: &TrafficSettings,
    config: &ActiveConfig,
    deadline: Option<Instant>,
) -> Option<Instant> {
    let limits = traffic.timeouts(&config.settings.upstream.timeouts);
    let total = limits.total.map(|total| Instant::now() + total);
    total.into_iter().chain(deadline).min()
}

/// When a gRPC caller stops waiting, counted from the request's header: what came before, such as a
/// wait for keys, is part of its time.
pub(super) fn deadline<E: Env, S: Sink>(report: &Report<E, S>, request: &Parts) -> Option<Instant> {
    // gRPC needs HTTP/2.
    if request.version != Version::HTTP_2 || !headers::is_grpc(&request.headers) {
        return None;
    }
    let timeout = headers::grpc_timeout(&request.headers)?;
    let began = report
        .connection
        .worker
        .reporter
        .clock()
        .instant(report.began.mono);
    began.checked_add(timeout)
}
