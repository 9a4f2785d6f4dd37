//! The order in which a request tries the endpoints of its cell.

use std::sync::Arc;

use cellway_core::Allow;

use crate::data_plane::pool::{EndpointPool, Pools};

/// The endpoints that one request may still try.
///
/// They are tried in the order of the decision, except that endpoints whose last exchange just
/// failed come later. Outlier detection ejects an endpoint only after several failures. Until then,
/// not every request should try it first. The sets have one bit for each position in the cell's
/// list.
#[derive(Debug, Default)]
pub(super) struct Candidates {
    /// Endpoints that couldn't be reached.
    unreachable: u64,
    /// Endpoints that returned the request unprocessed. They get it again if there are no others.
    gave_back: u64,
}

impl Candidates {
    /// The next endpoint and its position; `None` if none is left.
    pub(super) fn next(
        &mut self,
        pools: &Pools,
        allow: &Allow,
    ) -> Option<(usize, Arc<EndpointPool>)> {
        let next = self.best(pools, allow, self.unreachable | self.gave_back);
        if next.is_some() || self.gave_back == 0 {
            return next;
        }
        self.gave_back = 0;
        self.best(pools, allow, self.unreachable)
    }

    pub(super) fn unreachable(&mut self, at: usize) {
        self.unreachable |= 1 << at;
    }

    pub(super) fn gave_back(&mut self, at: usize) {
        self.gave_back |= 1 << at;
    }

    fn best(&self, pools: &Pools, allow: &Allow, not: u64) -> Option<(usize, Arc<EndpointPool>)> {
        let cell = &allow.cell;
        let left = || {
            let positions = (allow.endpoints.positions()).filter(|at| not & 1 << at == 0);
            positions.filter_map(|at| {
                let endpoint = cell.endpoints.get(at)?;
                Some((at, pools.endpoint(cell, endpoint)))
            })
        };
        left()
            .find(|(_, pool)| !pool.health.avoid())
            .or_else(|| left().next())
    }
}
