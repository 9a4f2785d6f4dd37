//! Sends a request again that was sent and not served, or whose answer asks for it.

use std::sync::Arc;

use cellway_core::Reason;
use cellway_core::registry::Cell;
use cellway_env::Env;
use http::header::RETRY_AFTER;
use http::{Request, Response};

use super::{Attempt, Forwarding};
use crate::data_plane::body::{RequestBody, Turn};
use crate::data_plane::incoming::{HttpError, Incoming};
use crate::data_plane::pool::Lease;
use crate::data_plane::proxy::again;
use crate::data_plane::proxy::health_report::{self, Scope};
use crate::data_plane::proxy::spare::Spare;
use crate::observe::event::{Event, Sink, Unserved};

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// Handles an exchange that broke off before an answer came. Returns the request if it may be
    /// sent again.
    pub(super) fn broken(
        &mut self,
        lease: &mut Lease,
        error: &HttpError,
        spare: Option<Spare>,
    ) -> (Attempt, Option<Request<RequestBody>>) {
        if self.is_too_long() {
            let detail = "the request's body is longer than body_bytes_max of its route";
            return (Attempt::Failed(Reason::BodyTooLarge, detail), None);
        }
        if self.turn() == Turn::Broken || matches!(error, HttpError::Upload(_)) {
            let progress = self.progress.as_ref();
            let broken = match progress.and_then(|progress| progress.fault()) {
                Some(fault) => Attempt::Failed(fault.reason(), fault.detail()),
                None => Attempt::Failed(Reason::BadRequest, "the request's body broke off"),
            };
            return (broken, None);
        }
        let why = again::unserved(error, lease);
        if !error.http2().is_some_and(health_report::is_stream_reset) {
            lease.retire();
        }
        // The cell didn't process the first one, so this retry adds no load and needs no budget.
        let free = !self.resends.any_used() && again::closed_in_order(error, lease);
        let again = why.and_then(|why| self.again(lease, free, why, spare?));
        let reason = again::reason(error, why);
        match (&again, why) {
            // A connection that was closed in order, or that died after it was kept, says nothing
            // about the endpoint's health.
            (Some(_), Some(Unserved::GoneAway | Unserved::Died)) => {}
            _ => {
                let scope = Scope::of(error, lease);
                self.fails(&lease.pool, (reason, scope), &error.to_string());
            }
        }
        match again {
            Some(_) => (Attempt::Again, again),
            None if reason == Reason::CellRefused => (
                Attempt::Failed(reason, "the cell has not processed the request"),
                None,
            ),
            None if reason == Reason::CellProtocolError => {
                (Attempt::Failed(reason, health_report::MALFORMED), None)
            }
            None => (
                Attempt::Failed(
                    reason,
                    "the cell closed the connection or reset the stream before it answered",
                ),
                None,
            ),
        }
    }

    /// Whether this answer is one after which the settings say to send the request again. A cell that says
    /// when to come back is not asked before, at no endpoint.
    pub(super) fn is_declined(&self, response: &Response<Incoming>) -> bool {
        let listed = &self.traffic.retry_statuses;
        listed.contains(&response.status().as_u16())
            && !response.headers().contains_key(RETRY_AFTER)
    }

    /// The request, if it is sent again after this answer.
    pub(super) fn declined(
        &mut self,
        response: &Response<Incoming>,
        lease: &mut Lease,
        spare: Spare,
    ) -> Option<Request<RequestBody>> {
        if !self.is_declined(response) {
            return None;
        }
        let again = self.again(lease, false, Unserved::Status, spare)?;
        lease.answered();
        self.heard(response, lease);
        Some(again)
    }

    /// Handles a request that waited for another stream on its connection until its time was over. The
    /// endpoint is at its limit and has got nothing of it, so this is no failure of the endpoint.
    pub(super) fn never_sent(&self, reason: Reason) -> Attempt {
        if reason == Reason::CellTimeoutHeader {
            let detail =
                "the cell allows no more streams on its connection, and none ended in time";
            return Attempt::Failed(Reason::Overloaded, detail);
        }
        let detail = "the request waited for a stream to the cell for too long";
        Attempt::Failed(reason, detail)
    }

    /// Handles an exchange that took too long. Returns the request if it may be sent again.
    pub(super) fn overdue(
        &mut self,
        reason: Reason,
        lease: &mut Lease,
        spare: Option<Spare>,
    ) -> (Attempt, Option<Request<RequestBody>>) {
        if reason == Reason::ClientTimeout {
            let detail = "the request's body arrived more slowly than body_rate_min";
            return (Attempt::Failed(reason, detail), None);
        }
        lease.unanswered();
        self.failed(&lease.pool, reason, reason.describe());
        match spare.and_then(|spare| self.too_slow(reason, lease, spare)) {
            Some(again) => (Attempt::Again, Some(again)),
            None => {
                // While a hedge went on, the time for everything may have ended.
                let reason = match self.is_over() {
                    true => Reason::CellTimeoutTotal,
                    false => reason,
                };
                (Attempt::Failed(reason, reason.describe()), None)
            }
        }
    }

    /// The request, if the attempt took longer than the settings allow for one.
    fn too_slow(
        &mut self,
        reason: Reason,
        lease: &mut Lease,
        spare: Spare,
    ) -> Option<Request<RequestBody>> {
        if reason != Reason::CellTimeoutHeader || self.try_timeout().is_none() {
            return None;
        }
        self.again(lease, false, Unserved::TimedOut, spare)
    }

    /// The request, if it may be sent again after this failure and the budget allows it. Without
    /// `free` it is taken from the budget.
    fn again(
        &mut self,
        lease: &mut Lease,
        free: bool,
        why: Unserved,
        spare: Spare,
    ) -> Option<Request<RequestBody>> {
        if !self.resends.allows(why, lease, &spare) || self.is_over() {
            return None;
        }
        if !self.may_pass() {
            // The breaker may have opened by this very failure. Then nothing is sent again, and the
            // client is told of this one. A request that the cell hasn't processed is as good as unsent:
            // another cell may get it.
            if !why.is_unprocessed() {
                return None;
            }
            self.resends.used(why);
            return spare.restore(&mut lease.sender);
        }
        let granted = free || lease.pool.budget.take();
        if let Some(cell) = self.report.cell() {
            self.report
                .connection
                .worker
                .reporter
                .emit(&Event::CellRetry {
                    cell: &cell.id,
                    endpoint: lease.pool.endpoint.url.as_str(),
                    request_id: self.report.request_id(),
                    why,
                    granted,
                });
        }
        if !granted {
            return None;
        }
        self.resends.used(why);
        self.retrying = Some(lease.pool.budget.begins());
        spare.restore(&mut lease.sender)
    }

    /// Whether an endpoint of the cell lets the request pass again. If it is the one that tries a
    /// half-open breaker, its own place is free then.
    fn may_pass(&self) -> bool {
        let pools = &self.report.connection.worker.pools;
        let passes = |cell: &Arc<Cell>| pools.has_passage(cell, self.asker());
        (self.probe.as_ref()).is_some_and(|probe| probe.holds())
            || self.report.cell().is_some_and(passes)
    }
}
