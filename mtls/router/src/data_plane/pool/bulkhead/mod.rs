//! Bulkheads limit the requests and connections of each cell, counted over all workers.
//!
//! A cell that hangs fills its own bulkhead, and further requests for it get 503. The other cells'
//! bulkheads are not affected. In a bulkhead, no connection, caller or tenant gets more than its
//! share ([`shares`](crate::shares)), so none of them can block a cell for the others. The counts
//! are atomics. The map that finds them is locked only when a worker uses a cell for the first
//! time.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use cellway_core::Text;
use cellway_core::registry::{EndpointId, Registry};

use super::breaker::Breaker;
use super::budget::RetryBudget;
use crate::lock::lock_uncontended;
use crate::observe::metrics::CellLoad;
use crate::settings::{CellLimits, CellShares};
use crate::shares::{Bound, Holder, LimitRefused, Share, Stake, Stakes};

/// All cells' bulkheads.
#[derive(Debug, Default)]
pub(crate) struct Bulkheads {
    cells: Mutex<BTreeMap<Text, Arc<Bulkhead>>>,
    endpoints: Mutex<BTreeMap<EndpointId, Arc<Breaker>>>,
    budgets: Mutex<BTreeMap<Text, Arc<RetryBudget>>>,
}

impl Bulkheads {
    /// The bulkhead of a cell. It is created at the first call.
    pub(crate) fn cell(&self, id: &Text) -> Arc<Bulkhead> {
        let mut cells = lock_uncontended(&self.cells);
        cells.entry(id.clone()).or_default().clone()
    }

    /// The breaker of an endpoint. It is created at the first call.
    pub(crate) fn breaker(&self, id: EndpointId) -> Arc<Breaker> {
        let mut endpoints = lock_uncontended(&self.endpoints);
        endpoints.entry(id).or_default().clone()
    }

    /// The cell's retry budget. It is created at the first call.
    pub(crate) fn budget(&self, id: &Text) -> Arc<RetryBudget> {
        let mut budgets = lock_uncontended(&self.budgets);
        budgets.entry(id.clone()).or_default().clone()
    }

    /// The current requests and connections of each cell, sorted by id.
    pub(crate) fn loads(&self) -> Vec<CellLoad> {
        let cells = lock_uncontended(&self.cells);
        let budgets = lock_uncontended(&self.budgets);
        let load = |(cell, bulkhead): (&Text, &Arc<Bulkhead>)| CellLoad {
            cell: cell.clone(),
            requests: bulkhead.requests.taken(),
            connections: bulkhead.connections.load(Ordering::Relaxed),
            retries: budgets.get(cell).map_or(0, |budget| budget.in_flight()),
        };
        cells.iter().map(load).collect()
    }

    /// Forgets cells and endpoints that the registry no longer has. Requests that still use a
    /// bulkhead keep it.
    pub(crate) fn prune(&self, registry: &Registry) {
        lock_uncontended(&self.cells).retain(|id, _| registry.cell(id.as_str()).is_some());
        lock_uncontended(&self.endpoints).retain(|id, _| registry.endpoint(*id).is_some());
        lock_uncontended(&self.budgets).retain(|id, _| registry.cell(id.as_str()).is_some());
    }
}

/// The requests and connections of one cell.
#[derive(Debug, Default)]
pub(crate) struct Bulkhead {
    requests: Bound,
    connections: AtomicUsize,
}

impl Bulkhead {
    /// Admits a request if fewer than `most` are in flight and its holders have less than their
    /// shares.
    ///
    /// # Errors
    /// Why the request is refused.
    pub(crate) fn request(
        self: &Arc<Self>,
        most: usize,
        stakes: &Stakes,
    ) -> Result<RequestPermit, LimitRefused> {
        self.requests.take(most, stakes)?;
        Ok(RequestPermit {
            bulkhead: self.clone(),
            holders: stakes.map(|stake| stake.holder),
        })
    }

    /// The limit on requests in flight.
    pub(crate) fn requests(&self) -> &Bound {
        &self.requests
    }

    /// Admits a connection if fewer than `most` are open.
    pub(crate) fn connection(self: &Arc<Self>, most: usize) -> Option<ConnectionPermit> {
        take(&self.connections, most).then(|| ConnectionPermit(self.clone()))
    }
}

fn take(count: &AtomicUsize, most: usize) -> bool {
    let granted = count.fetch_add(1, Ordering::Relaxed) < most;
    if !granted {
        count.fetch_sub(1, Ordering::Relaxed);
    }
    granted
}

/// A request in flight to a cell.
#[derive(Debug)]
pub(crate) struct RequestPermit {
    bulkhead: Arc<Bulkhead>,
    holders: [Holder; 3],
}

impl RequestPermit {
    /// The cell's bulkhead.
    pub(crate) fn bulkhead(&self) -> &Arc<Bulkhead> {
        &self.bulkhead
    }

    /// Why the request gets no connection to the cell, if one of its holders has more than its
    /// share of the connections. Over HTTP/1.1 each request in flight needs its own connection.
    pub(super) fn exceeds(&self, limits: &CellLimits) -> Option<LimitRefused> {
        let requests = &self.bulkhead.requests;
        requests.exceeds(limits.connections_max, &self.stakes(limits.shares))
    }

    /// The request's holders, each with its share.
    pub(crate) fn stakes(&self, shares: CellShares) -> Stakes {
        let CellShares {
            connection,
            caller,
            tenant,
        } = shares;
        let [a, b, c] = self.holders;
        [
            Stake::new(Share::Connection, a, connection),
            Stake::new(Share::Caller, b, caller),
            Stake::new(Share::Tenant, c, tenant),
        ]
    }
}

impl Drop for RequestPermit {
    fn drop(&mut self) {
        self.bulkhead.requests.give_back(self.holders);
    }
}

/// A connection to a cell.
#[derive(Debug)]
pub(crate) struct ConnectionPermit(Arc<Bulkhead>);

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.0.connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;
