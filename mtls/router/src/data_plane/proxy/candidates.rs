//! The order in which a request tries the endpoints of its cell.

use std::sync::Arc;

use cellway_core::Allow;
use cellway_env::Env;

use crate::data_plane::pool::EndpointPool;
use crate::data_plane::worker::WorkerState;
use crate::observe::event::Sink;

/// The endpoints that one request may still try.
///
/// They come in the order of the decision, except that endpoints whose last exchange failed a
/// moment ago come later. Outlier detection ejects an endpoint only after several failures, and
/// until then not every request should try it first. The sets are bits by position in the cell's
/// list.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Endpoints that couldn't be reached.
    unreachable: u64,
    /// Endpoints that gave the request back. They get it again if there are no others.
    gave_back: u64,
}

impl Candidates {
    /// The next endpoint and its position; `None` if none is left.
    pub(super) fn next<E: Env, S: Sink>(
        &mut self,
        worker: &WorkerState<E, S>,
        allow: &Allow,
    ) -> Option<(usize, Arc<EndpointPool>)> {
        let next = self.best(worker, allow, self.unreachable | self.gave_back);
        if next.is_some() || self.gave_back == 0 {
            return next;
        }
        self.gave_back = 0;
        self.best(worker, allow, self.unreachable)
    }

    pub(super) fn unreachable(&mut self, at: usize) {
        self.unreachable |= 1 << at;
    }

    pub(super) fn gave_back(&mut self, at: usize) {
        self.gave_back |= 1 << at;
    }

    fn best<E: Env, S: Sink>(
        &self,
        worker: &WorkerState<E, S>,
        allow: &Allow,
        not: u64,
    ) -> Option<(usize, Arc<EndpointPool>)> {
        let cell = &allow.cell;
        let pools = || {
            let left = (allow.endpoints.positions()).filter(|at| not & 1 << at == 0);
            left.filter_map(|at| {
                let endpoint = cell.endpoints.get(at)?;
                let bulkheads = &worker.common.bulkheads;
                Some((at, worker.pools.endpoint(cell, endpoint, bulkheads)))
            })
        };
        pools()
            .find(|(_, pool)| !pool.health.avoid())
            .or_else(|| pools().next())
    }
}
