//! What happens to a request that no endpoint of its cell takes: another cell gets it, if its placement
//! allows that, or the router answers.

use std::time::Duration;

use cellway_core::{Allow, CellFailure, FailoverQuery, Reason, fail_over};
use cellway_env::Env;
use http::Request;

use super::Forwarding;
use crate::data_plane::authz::{Refused, fails_over_to, stamp};
use crate::data_plane::body::RequestBody;
use crate::data_plane::proxy::share;
use crate::observe::event::Sink;
use crate::shares::Unadmitted;

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
            let usable = |cell: &_| worker.pools.has_passage(cell, self.asker());
            fail_over(allow, failure, query, usable, &mut ())
        };
        let Ok(next) = decided else {
            return Ok(None);
        };
        let how = (&**self.config, self.traffic.priority);
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

    /// The answer if no endpoint takes the request. `failure` is the last one, and `open` says for how
    /// long the breakers of those that are left let no request pass.
    pub(super) fn unreached(
        &self,
        allow: &Allow,
        failure: Option<(Reason, Option<Unadmitted>)>,
        open: Option<Duration>,
    ) -> Refused {
        if let Some((reason, detail)) = self.resends.last() {
            // The others say that no cell has got the request.
            return Refused::new(reason, detail);
        }
        match failure {
            Some((_, Some(Unadmitted { full, resource }))) => {
                let bulkhead = self.permit.bulkhead();
                share::refused(self.report, bulkhead, allow, resource, full)
            }
            Some((Reason::CellNoUpgrade, None)) => Refused::new(
                Reason::CellNoUpgrade,
                "the cell speaks HTTP/2 and takes no extended CONNECT (RFC 8441)",
            ),
            Some((reason, None)) => Refused::new(reason, "no connection to the cell could be made"),
            None if open.is_some() => Refused {
                retry_after: open,
                ..Refused::new(
                    Reason::CircuitOpen,
                    "requests to the cell's endpoints have failed in a row, and it is not yet time to try again",
                )
            },
            None if allow.cell.endpoints.is_empty() => {
                Refused::new(Reason::NoCellAvailable, "the cell has no endpoint")
            }
            None => Refused::new(
                Reason::NoEndpointHealthy,
                "no endpoint of the cell is usable",
            ),
        }
    }
}
