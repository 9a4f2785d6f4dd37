//! The order in which a request tries the endpoints of its cell.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::Allow;

use crate::data_plane::pool::{Asker, EndpointPool, Passage, Pools, ProbeSlot};

/// The endpoints that one request may still try.
///
/// They are tried in the order of the decision, except that endpoints whose last exchange just
/// failed come after the other usable ones, and that those with an open breaker aren't tried. The
/// sets have one bit for each position in the cell's list.
#[derive(Debug)]
pub(super) struct Candidates {
    /// With as much of the request's body as was there when its cell was chosen.
    asker: Asker,
    /// Endpoints that couldn't be reached.
    unreachable: u64,
    /// Endpoints that returned the request unprocessed. They get it again if there are no others.
    gave_back: u64,
    /// When the first of the breakers that let no request pass may do so again.
    open: Option<Duration>,
}

/// The endpoint to try next.
#[derive(Debug)]
pub(super) struct Candidate {
    /// Its position in the cell's list.
    pub(super) at: usize,
    pub(super) pool: Arc<EndpointPool>,
    /// Set if this request shows whether the endpoint works again.
    pub(super) probe: Option<ProbeSlot>,
}

impl Candidates {
    pub(super) fn new(asker: Asker) -> Self {
        Self {
            asker,
            unreachable: 0,
            gave_back: 0,
            open: None,
        }
    }

    /// The next endpoint; `None` if none is left.
    pub(super) fn next(&mut self, pools: &Pools, allow: &Allow) -> Option<Candidate> {
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

    /// If an endpoint wasn't tried because its breaker is open: after how long it may be.
    pub(super) fn circuit_open(&self) -> Option<Duration> {
        self.open
    }

    fn best(&mut self, pools: &Pools, allow: &Allow, not: u64) -> Option<Candidate> {
        let cell = &allow.cell;
        let mut suspect = None;
        for at in allow.endpoints.positions().filter(|at| not & 1 << at == 0) {
            if suspect.is_some() && !allow.endpoints.is_first(at) {
                // A usable endpoint that has just failed is better than one that isn't usable.
                break;
            }
            let Some(endpoint) = cell.endpoints.get(at) else {
                continue;
            };
            let pool = pools.endpoint(cell, endpoint);
            let candidate = |pool, probe| Some(Candidate { at, pool, probe });
            match pool.breaker.pass(self.asker) {
                Passage::Free => return candidate(pool, None),
                Passage::Probe(slot) => return candidate(pool, Some(slot)),
                Passage::Suspect if suspect.is_none() => suspect = candidate(pool, None),
                Passage::Suspect => {}
                Passage::Refused(after) => {
                    self.open = Some(self.open.map_or(after, |open| open.min(after)));
                }
            }
        }
        suspect
    }
}
