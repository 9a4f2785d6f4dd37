//! Bulkheads limit the requests and connections of each cell, counted over all workers.
//!
//! A cell that hangs fills its own bulkhead. Further requests for it wait a while and get 503. The
//! other cells' bulkheads are not affected. In a bulkhead, no connection, caller or tenant gets more than its
//! share ([`shares`](crate::shares)), so none of them can block a cell for the others. The counts
//! are atomics. The map that finds them is locked only when a worker uses a cell for the first
//! time.
//!
//! The registry may limit what a tenant or a placement has at all cells together
//! ([`caps`](super::caps)). A request takes its places under all limits at once, or none.
//!
//! If it is on, an adaptive limit lets fewer requests pass while the cell's answers take longer than
//! usual ([`adaptive`](super::adaptive)).

mod permits;

use std::collections::BTreeMap;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering, fence};
use std::sync::{Arc, Mutex, Weak};

use cellway_core::Text;
use cellway_core::registry::{EndpointId, Registry};
use tokio::sync::Notify;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, timeout_at};

use super::adaptive::Adaptive;
use super::breaker::Breaker;
use super::budget::RetryBudget;
use super::caps::{Caps, Dispatch, Waits};
use super::counts::Counts;
use super::queue::{Claim, Limits, Place, Places, Queue, Taken};
use crate::lock::lock_uncontended;
use crate::observe::debug::{BreakerState, EndpointUse};
use crate::observe::metrics::CellLoad;
use crate::settings::CellLimits;
use crate::shares::{Bound, Resource, Unadmitted};

pub(crate) use self::permits::{ConnectionPermit, RequestPermit};

/// All cells' bulkheads.
#[derive(Debug, Default)]
pub(crate) struct Bulkheads {
    cells: Mutex<BTreeMap<Text, Arc<Bulkhead>>>,
    /// Each with its cell.
    endpoints: Mutex<BTreeMap<EndpointId, (Text, Arc<Breaker>)>>,
    budgets: Mutex<BTreeMap<Text, Arc<RetryBudget>>>,
    /// The counts of each worker that uses the endpoint.
    counts: Mutex<BTreeMap<EndpointId, Vec<Weak<Counts>>>>,
    /// Notified when a request begins to wait for a connection to close, at any cell.
    wants: Arc<Notify>,
    /// The limits of tenants and placements.
    caps: Arc<Caps>,
}

impl Bulkheads {
    /// The bulkhead of a cell. It is created at the first call.
    pub(crate) fn cell(&self, id: &Text) -> Arc<Bulkhead> {
        let mut cells = lock_uncontended(&self.cells);
        let make = || Bulkhead {
            wants: self.wants.clone(),
            ..Bulkhead::default()
        };
        let cell = cells.entry(id.clone());
        cell.or_insert_with(|| Arc::new(make())).clone()
    }

    /// Completes when a request begins to wait for a connection to close, at any cell.
    pub(super) fn wants(&self) -> Notified<'_> {
        self.wants.notified()
    }

    /// The limits of tenants and placements.
    pub(crate) fn caps(&self) -> &Arc<Caps> {
        &self.caps
    }

    /// The breaker of an endpoint of this cell. It is created at the first call.
    pub(crate) fn breaker(&self, cell: &Text, id: EndpointId) -> Arc<Breaker> {
        let mut endpoints = lock_uncontended(&self.endpoints);
        let make = || (cell.clone(), Arc::default());
        endpoints.entry(id).or_insert_with(make).1.clone()
    }

    /// The cell's retry budget. It is created at the first call.
    pub(crate) fn budget(&self, id: &Text) -> Arc<RetryBudget> {
        let mut budgets = lock_uncontended(&self.budgets);
        budgets.entry(id.clone()).or_default().clone()
    }

    /// Creates counts for a worker's pool of an endpoint.
    pub(super) fn counts(&self, id: EndpointId) -> Arc<Counts> {
        let counts = Arc::default();
        let mut endpoints = lock_uncontended(&self.counts);
        let all = endpoints.entry(id).or_default();
        all.retain(|it| it.strong_count() > 0);
        all.push(Arc::downgrade(&counts));
        counts
    }

    /// How the router uses an endpoint now.
    pub(crate) fn endpoint(&self, id: EndpointId) -> EndpointUse {
        let breaker = lock_uncontended(&self.endpoints).get(&id).cloned();
        let mut sum = EndpointUse {
            breaker: breaker.map_or_else(BreakerState::default, |(_, it)| it.state()),
            ..EndpointUse::default()
        };
        let endpoints = lock_uncontended(&self.counts);
        let counts = endpoints.get(&id).into_iter().flatten();
        counts
            .filter_map(Weak::upgrade)
            .for_each(|it| it.add_to(&mut sum));
        sum
    }

    /// The current requests and connections of each cell, sorted by id.
    pub(crate) fn loads(&self) -> Vec<CellLoad> {
        let cells = lock_uncontended(&self.cells);
        let budgets = lock_uncontended(&self.budgets);
        let open = self.open_circuits();
        cells
            .iter()
            .map(|(cell, bulkhead)| {
                let open = open.get(cell).copied().unwrap_or_default();
                bulkhead.load(cell, budgets.get(cell), open)
            })
            .collect()
    }

    /// The current requests and connections of one cell.
    pub(crate) fn load(&self, cell: &Text) -> CellLoad {
        let cells = lock_uncontended(&self.cells);
        let budgets = lock_uncontended(&self.budgets);
        let open = self.open_circuits().remove(cell).unwrap_or_default();
        match cells.get(cell) {
            Some(bulkhead) => bulkhead.load(cell, budgets.get(cell), open),
            None => Bulkhead::default().load(cell, None, open),
        }
    }

    /// How many endpoints of each cell have a breaker that is open or half-open.
    fn open_circuits(&self) -> BTreeMap<Text, usize> {
        let endpoints = lock_uncontended(&self.endpoints);
        let mut open = BTreeMap::new();
        for (cell, _) in endpoints.values().filter(|(_, breaker)| breaker.is_open()) {
            *open.entry(cell.clone()).or_default() += 1;
        }
        open
    }

    /// Forgets cells and endpoints that the registry no longer has and that nobody uses.
    ///
    /// What a worker or a request still uses is kept. If the cell comes back before all of them have
    /// noticed that it was gone, they must not have two bulkheads for it.
    pub(crate) fn prune(&self, registry: &Registry) {
        // All are cloned under the lock of their map, so nobody can begin to use them meanwhile.
        let has_cell = |id: &Text| registry.cell(id.as_str()).is_some();
        let has_endpoint = |id: EndpointId| registry.endpoint(id).is_some();
        lock_uncontended(&self.cells).retain(|id, it| has_cell(id) || Arc::strong_count(it) > 1);
        lock_uncontended(&self.endpoints)
            .retain(|id, (_, it)| has_endpoint(*id) || Arc::strong_count(it) > 1);
        lock_uncontended(&self.budgets).retain(|id, it| has_cell(id) || Arc::strong_count(it) > 1);
        lock_uncontended(&self.counts)
            .retain(|id, all| has_endpoint(*id) || all.iter().any(|it| it.strong_count() > 0));
    }
}

/// The requests and connections of one cell.
#[derive(Debug, Default)]
pub(crate) struct Bulkhead {
    requests: Bound,
    connections: AtomicUsize,
    adaptive: Adaptive,
    queue: Queue,
    /// How many requests wait for a stream on the cell's connections.
    streams_wanted: AtomicUsize,
    /// How many requests wait for a connection to close.
    wanted: AtomicUsize,
    /// Notified when one begins to wait.
    wants: Arc<Notify>,
    /// Notified when a connection has closed.
    freed: Notify,
    /// Whether the cell's last connection speaks HTTP/1.1. Then each request in flight needs a
    /// connection of its own.
    http1: AtomicBool,
}

impl Bulkhead {
    /// Admits a request if there is a place for it under each limit.
    ///
    /// # Errors
    /// Why the request is refused.
    fn request(
        self: &Arc<Self>,
        places: Places,
        claim: &Claim<'_>,
    ) -> Result<RequestPermit, Unadmitted> {
        let capped = claim.capped.as_deref();
        let taken = self.limits().take(places, claim.stakes, capped)?;
        Ok(self.permit(claim, taken))
    }

    /// Admits a request as soon as there is a place for it, in turn with other tenants. Sets
    /// `waited_us`, in microseconds, if it has to wait.
    ///
    /// # Errors
    /// Why it got none at first, if there is none within `queue_timeout` or until `total`, or the
    /// queue is full.
    pub(crate) async fn admit(
        self: &Arc<Self>,
        limits: &CellLimits,
        claim: Claim<'_>,
        total: Option<Instant>,
        waited_us: &mut u32,
    ) -> Result<RequestPermit, Unadmitted> {
        let places = self.places(limits);
        self.adaptive.follow(limits.adaptive.as_ref());
        let full = match self.request(places, &claim) {
            Ok(permit) => return Ok(permit),
            Err(full) => full,
        };
        if limits.queue_max == 0 {
            return Err(full);
        }
        let began = Instant::now();
        let until = began + limits.queue_timeout;
        let until = total.map_or(until, |total| until.min(total));
        // Boxed, because few requests wait, and otherwise every request's future would be larger.
        let (permit, us) = Box::pin(async move {
            let permit = self.wait((limits.queue_max, places), &claim, until).await;
            (permit, began.elapsed().as_micros())
        })
        .await;
        *waited_us = u32::try_from(us).unwrap_or(u32::MAX);
        permit.ok_or(full)
    }

    /// How many places there are for requests, and which limit that is.
    fn places(&self, limits: &CellLimits) -> Places {
        let connections = limits.connections_max;
        let (most, resource) =
            match self.http1.load(Ordering::Relaxed) && connections < limits.requests_max {
                true => (connections, Resource::CellConnections),
                false => (limits.requests_max, Resource::CellRequests),
            };
        Places { most, resource }
    }

    async fn wait(
        self: &Arc<Self>,
        (queue_max, places): (usize, Places),
        claim: &Claim<'_>,
        until: Instant,
    ) -> Option<RequestPermit> {
        // Dropped last, when the request has left the queue.
        let _waits = claim.capped.as_ref().map(|capped| {
            let cell: Arc<dyn Dispatch> = self.clone();
            Waits::begin(capped.clone(), cell)
        });
        let place = self.queue.enter(queue_max, places, claim);
        // Even if there is no room: for a moment, the first attempt may have kept a place from others.
        self.dispatch();
        let mut granted = Granted {
            bulkhead: self,
            claim,
            place: place.ok()?,
        };
        match timeout_at(until, &mut granted.place.granted).await {
            Ok(Ok(taken)) => Some(self.permit(claim, taken)),
            // The place may have come at the last moment.
            Ok(Err(_)) | Err(_) => granted.take(),
        }
    }

    fn permit(self: &Arc<Self>, claim: &Claim<'_>, taken: Taken) -> RequestPermit {
        RequestPermit {
            bulkhead: self.clone(),
            holders: claim.stakes.map(|stake| stake.holder),
            taken,
            capped: claim.capped.clone(),
            has_left: false,
        }
    }

    fn load(
        &self,
        cell: &Text,
        budget: Option<&Arc<RetryBudget>>,
        circuits_open: usize,
    ) -> CellLoad {
        CellLoad {
            cell: cell.clone(),
            requests: self.requests.taken(),
            limit: self.adaptive.limit(),
            waiting: self.queue.waiting() + self.streams_wanted.load(Ordering::Relaxed),
            connections: self.connections.load(Ordering::Relaxed),
            retries: budget.map_or(0, |budget| budget.in_flight()),
            circuits_open,
        }
    }

    /// Gives free places to requests that wait.
    ///
    /// Call this after each change that may free a place, and after a request has entered the queue.
    fn dispatch(&self) {
        // Whoever frees a place sees a request that has just entered the queue, or that one sees the
        // place.
        fence(Ordering::SeqCst);
        self.queue.dispatch(self.limits());
    }

    /// The limits on requests, by the settings of the last one.
    fn limits(&self) -> Limits<'_> {
        let limit = self.adaptive.limit();
        Limits {
            requests: &self.requests,
            unanswered: limit.map(|limit| (self.adaptive.unanswered(), limit)),
            now: None,
        }
    }

    /// Notes which version of HTTP a new connection to the cell speaks.
    pub(super) fn speaks(&self, http1: bool) {
        self.http1.store(http1, Ordering::Relaxed);
    }

    /// The limit on requests in flight.
    pub(crate) fn requests(&self) -> &Bound {
        &self.requests
    }

    /// Admits a connection as soon as fewer than `connections_max` are open. Requests hold their
    /// places while they wait, so no more requests wait than may be in flight.
    pub(super) async fn connection(
        self: &Arc<Self>,
        limits: &CellLimits,
    ) -> Option<ConnectionPermit> {
        let permit = || {
            let granted = take(&self.connections, limits.connections_max);
            granted.then(|| ConnectionPermit {
                bulkhead: self.clone(),
                counts: None,
            })
        };
        let granted = permit();
        if granted.is_some() || limits.queue_max == 0 {
            return granted;
        }
        let until = Instant::now() + limits.queue_timeout;
        let _wanted = Wanted::new(self);
        loop {
            let mut freed = pin!(self.freed.notified());
            // Enabled before the look, so that no connection that closes in between is missed.
            freed.as_mut().enable();
            let granted = permit();
            if granted.is_some() || timeout_at(until, freed).await.is_err() {
                return granted;
            }
        }
    }

    /// Counts a request that waits for a stream, as long as the value lives.
    pub(super) fn wants_stream(&self) -> StreamWanted<'_> {
        self.streams_wanted.fetch_add(1, Ordering::Relaxed);
        StreamWanted(self)
    }

    /// Whether a request waits for a connection to close.
    pub(super) fn wants_connections(&self) -> bool {
        self.wanted() > 0
    }

    /// How many requests wait for a connection to close.
    pub(super) fn wanted(&self) -> usize {
        self.wanted.load(Ordering::SeqCst)
    }
}

impl Dispatch for Bulkhead {
    fn dispatch(&self) {
        Self::dispatch(self);
    }
}

/// Counts a request that waits for a connection to close.
struct Wanted<'a>(&'a Bulkhead);

impl<'a> Wanted<'a> {
    fn new(bulkhead: &'a Bulkhead) -> Self {
        bulkhead.wanted.fetch_add(1, Ordering::SeqCst);
        bulkhead.wants.notify_waiters();
        Self(bulkhead)
    }
}

impl Drop for Wanted<'_> {
    fn drop(&mut self) {
        self.0.wanted.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Counts a request that waits for a stream.
pub(super) struct StreamWanted<'a>(&'a Bulkhead);

impl Drop for StreamWanted<'_> {
    fn drop(&mut self) {
        self.0.streams_wanted.fetch_sub(1, Ordering::Relaxed);
    }
}

/// A request in the queue. If it is dropped after it got a place, the place goes to the next.
struct Granted<'a> {
    bulkhead: &'a Arc<Bulkhead>,
    claim: &'a Claim<'a>,
    place: Place<'a>,
}

impl Granted<'_> {
    /// The place, if it has come. None comes after this.
    fn take(&mut self) -> Option<RequestPermit> {
        self.place.granted.close();
        let granted = self.place.granted.try_recv();
        granted
            .ok()
            .map(|taken| self.bulkhead.permit(self.claim, taken))
    }
}

impl Drop for Granted<'_> {
    fn drop(&mut self) {
        drop(self.take());
    }
}

fn take(count: &AtomicUsize, most: usize) -> bool {
    let granted = count.fetch_add(1, Ordering::SeqCst) < most;
    if !granted {
        count.fetch_sub(1, Ordering::SeqCst);
    }
    granted
}

#[cfg(test)]
mod tests;
