//! Sends a request to another cell if its own one can't be reached and its placement allows it.

use cellway_core::{Allow, CellFailure, FailoverQuery, fail_over};
use cellway_env::Env;
use http::Request;

use super::Forwarding;
use crate::data_plane::authz::{Refused, fails_over_to, stamp};
use crate::data_plane::body::RequestBody;
use crate::data_plane::proxy::share;
use crate::observe::event::Sink;

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// Asks core for another cell. If there is one, this takes a place there and stamps the request
    /// again: its headers and its envelope name the new cell, and no other cell can use them.
    ///
    /// The other cell has the same time for connecting as the first one had.
    ///
    /// # Errors
    /// The request can't be stamped. It must not reach a cell.
    pub(super) async fn move_on(
        &mut self,
        allow: &Allow,
        failed: &Refused,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<Option<Box<Allow>>, Refused> {
        let report = self.report;
        let worker = &report.connection.worker;
        let failure = CellFailure {
            reason: failed.reason,
            untouched: slot.is_some() && !self.resends.may_be_processed(),
        };
        let decided = {
            // Only for the health of the endpoints. The decision stays on its registry version.
            let view = worker.views.load();
            let query = FailoverQuery {
                health: &view.snapshot.health,
                now: worker.reporter.now().mono,
                spread: self.spread,
            };
            let usable = |cell: &_| worker.pools.has_passage(cell);
            fail_over(allow, failure, query, usable, &mut ())
        };
        let Ok(next) = decided else {
            return Ok(None);
        };
        let how = (self.config, self.traffic.priority);
        let admitted = share::admit_elsewhere(report, &next, how, self.total, &mut self.permit);
        if admitted.await.is_err() {
            return Ok(None);
        }
        let Some(request) = slot.take() else {
            return Ok(None);
        };
        let (mut parts, body) = request.into_parts();
        if let Some(upgrade) = &self.upgrade {
            // An attempt over HTTP/2 has made it a CONNECT.
            parts.method = upgrade.method().clone();
        }
        let case = report.case(self.spread);
        let stamped = stamp(&case, self.config, &next, &mut parts);
        *slot = Some(Request::from_parts(parts, body));
        stamped?;
        fails_over_to(&case, &next);
        report.moves(&next);
        // A retry counts in the budget of the cell that it was sent to.
        self.retrying = None;
        self.failover = None;
        Ok(Some(Box::new(next)))
    }
}
