//! Connections to cells.
//!
//! Each worker has its own connections, so that no worker waits for another's lock. The bulkheads
//! that limit them belong to the router. See [`endpoint`] for how requests share connections.

mod adaptive;
mod attempt;
mod breaker;
mod budget;
mod bulkhead;
mod caps;
mod connect;
mod counts;
mod endpoint;
mod lease;
mod load;
mod queue;
mod shared;
mod streams;
mod turn;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::Text;
use cellway_core::registry::{Cell, Endpoint, EndpointId, Registry};
use tokio::time::{Instant, sleep};

pub use self::breaker::BREAKER_HEARD;
pub(crate) use self::breaker::{Asker, Change, Failed, Passage, ProbeSlot, Sent, UPLOAD_PROBES};
pub use self::budget::RETRIES_RESERVE;
pub(crate) use self::budget::{RetryBudget, Retrying};
pub(crate) use self::bulkhead::{Bulkhead, Bulkheads, RequestPermit};
pub(crate) use self::caps::{Capped, Caps};
pub(crate) use self::connect::ConnectError;
pub(crate) use self::endpoint::EndpointPool;
pub(crate) use self::lease::{Asks, Lease};
pub(crate) use self::load::Sender;
pub(crate) use self::queue::Claim;
use crate::lock::lock_uncontended;

/// How long after one look for unused connections that others wait for the next one comes.
const YIELD_PAUSE: Duration = Duration::from_millis(10);

/// One worker's connections to all cells.
#[derive(Debug)]
pub(crate) struct Pools {
    /// The router's, which all workers share.
    bulkheads: Arc<Bulkheads>,
    endpoints: Mutex<BTreeMap<EndpointId, Arc<EndpointPool>>>,
    cells: Mutex<BTreeMap<Text, Arc<Bulkhead>>>,
}

impl Pools {
    pub(crate) fn new(bulkheads: Arc<Bulkheads>) -> Self {
        Self {
            bulkheads,
            endpoints: Mutex::default(),
            cells: Mutex::default(),
        }
    }

    /// The pool of an endpoint of this cell. It is created at the first call.
    pub(crate) fn endpoint(&self, cell: &Cell, endpoint: &Endpoint) -> Arc<EndpointPool> {
        let bulkheads = &self.bulkheads;
        let mut endpoints = lock_uncontended(&self.endpoints);
        let make = || Arc::new(EndpointPool::new(endpoint.clone(), &cell.id, bulkheads));
        endpoints.entry(endpoint.id).or_insert_with(make).clone()
    }

    /// Whether the breaker of one of the cell's endpoints lets a request pass.
    pub(crate) fn has_passage(&self, cell: &Cell, asker: Asker) -> bool {
        let endpoints = cell.endpoints.iter();
        let mut pools = endpoints.map(|endpoint| self.endpoint(cell, endpoint));
        pools.any(|pool| pool.breaker.lets_pass(asker))
    }

    /// The limits of tenants and placements.
    pub(crate) fn caps(&self) -> &Arc<Caps> {
        self.bulkheads.caps()
    }

    /// The bulkhead of a cell.
    pub(crate) fn bulkhead(&self, cell: &Cell) -> Arc<Bulkhead> {
        let mut cells = lock_uncontended(&self.cells);
        if let Some(bulkhead) = cells.get(&cell.id) {
            return bulkhead.clone();
        }
        let bulkhead = self.bulkheads.cell(&cell.id);
        cells.insert(cell.id.clone(), bulkhead.clone());
        bulkhead
    }

    /// Closes unused connections whenever requests of other workers or endpoints wait for one to close.
    /// Runs as long as it is polled.
    pub(crate) async fn yield_unused(&self) {
        loop {
            let mut wants = pin!(self.bulkheads.wants());
            // Enabled before the look, so that no request that begins to wait in between is missed.
            wants.as_mut().enable();
            for pool in lock_uncontended(&self.endpoints).values() {
                pool.yield_unused();
            }
            // Many may wait at a cell that has no unused connection, and each look takes a while.
            sleep(YIELD_PAUSE).await;
            wants.await;
        }
    }

    /// Closes connections that were unused for `keep`, and forgets endpoints that the registry no
    /// longer has. Requests in flight to them continue.
    pub(crate) fn expire(&self, now: Instant, keep: Duration, registry: Option<&Registry>) {
        let mut endpoints = lock_uncontended(&self.endpoints);
        if let Some(registry) = registry {
            endpoints.retain(|id, _| registry.endpoint(*id).is_some());
            lock_uncontended(&self.cells).retain(|id, _| registry.cell(id.as_str()).is_some());
        }
        for pool in endpoints.values() {
            pool.expire(now, keep);
        }
        if let Some(registry) = registry {
            self.bulkheads.prune(registry);
        }
    }
}
