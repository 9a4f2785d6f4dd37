//! In which order one request tries the endpoints of its cell.

use std::sync::Arc;

use cellway_core::Allow;

use crate::env::Env;
use crate::event::Sink;
use crate::pool::EndpointPool;
use crate::worker::WorkerState;

/// The endpoints that one request may still try.
///
/// They come as the decision ranks them, but those whose last exchange failed a moment ago come
/// later. Health takes an endpoint out after several failures; until then it shouldn't cost every
/// request a failure first. Sets are bits by position in the cell's list.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// No connection to these could be made.
    unreachable: u64,
    /// These gave the request back. They get it again if there are no others.
    gave_back: u64,
}

impl Candidates {
    /// The next one and its position; `None` once none can be reached.
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
                let gates = &worker.common.gates;
                Some((at, worker.pools.endpoint(cell, endpoint, gates)))
            })
        };
        pools()
            .find(|(_, pool)| !pool.blame.avoid())
            .or_else(|| pools().next())
    }
}
