//! The places that requests and connections hold at a cell, and give back when they are dropped.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use tokio::time::Instant;

use super::Bulkhead;
use crate::data_plane::pool::adaptive::Took;
use crate::data_plane::pool::caps::Capped;
use crate::data_plane::pool::counts::Counts;
use crate::data_plane::pool::queue::{Claim, Taken};
use crate::settings::{CellLimits, CellShares, Priority};
use crate::shares::{Holder, LimitRefused, Share, Stake, Stakes};

/// A request in flight to a cell.
#[derive(Debug)]
pub(crate) struct RequestPermit {
    pub(super) bulkhead: Arc<Bulkhead>,
    pub(super) holders: [Holder; 3],
    pub(super) taken: Taken,
    /// The limits of its tenant and placement, under which it has a place too.
    pub(super) capped: Option<Arc<Capped>>,
    /// Whether it has given back its place at the cell, because another cell is to serve it.
    pub(super) has_left: bool,
}

impl RequestPermit {
    /// Takes another place at the cell for the same request, if one is free and no other request waits for
    /// it.
    pub(crate) fn another(&self, limits: &CellLimits, priority: Priority) -> Option<Self> {
        if self.bulkhead.queue.waiting() > 0 {
            return None;
        }
        let claim = Claim {
            stakes: &self.stakes(limits.shares),
            priority,
            capped: self.capped.clone(),
        };
        let places = self.bulkhead.places(limits);
        self.bulkhead.request(places, &claim).ok()
    }

    /// Notes how long the cell took to answer, or how long the router waited in vain, if the cell has
    /// an adaptive limit. The request was sent at `began`.
    pub(crate) fn took(&self, limits: &CellLimits, began: Instant) {
        self.waited(limits, (began, false));
    }

    /// Notes that the time for the request was over, if the cell has an adaptive limit. The request was
    /// sent at `began`.
    pub(crate) fn gave_up(&self, limits: &CellLimits, began: Instant) {
        self.waited(limits, (began, true));
    }

    fn waited(&self, limits: &CellLimits, (began, gave_up): (Instant, bool)) {
        let Some(settings) = &limits.adaptive else {
            return;
        };
        let took = Took {
            began,
            most: self.bulkhead.places(limits).most,
            gave_up,
        };
        if self.bulkhead.adaptive.took(settings, took) {
            self.bulkhead.dispatch();
        }
    }

    /// Notes that the answer has begun. Other requests may use the place in the adaptive limit.
    pub(crate) fn is_answered(&mut self) {
        if self.leave_unanswered() {
            self.bulkhead.dispatch();
        }
    }

    /// Gives back the place in the adaptive limit. Returns whether there was one.
    fn leave_unanswered(&mut self) -> bool {
        let had = std::mem::take(&mut self.taken.unanswered);
        if had {
            (self.bulkhead.adaptive.unanswered()).give_back(self.holders);
        }
        had
    }

    /// Gives back the place at the cell, before the request waits for one at another cell.
    pub(crate) fn leaves_cell(&mut self) {
        if self.give_back_place() {
            self.bulkhead.dispatch();
        }
    }

    /// Returns whether there was one.
    fn give_back_place(&mut self) -> bool {
        if std::mem::replace(&mut self.has_left, true) {
            return false;
        }
        self.leave_unanswered();
        self.bulkhead.requests.give_back(self.holders);
        true
    }

    /// Takes a place at another cell instead. The request keeps its places under the limits of its tenant
    /// and placement.
    pub(crate) fn moves_to(&mut self, other: &mut Self) {
        debug_assert!(other.capped.is_none(), "a request takes these places once");
        other.capped = self.capped.take();
    }

    /// The cell's bulkhead.
    pub(crate) fn bulkhead(&self) -> &Arc<Bulkhead> {
        &self.bulkhead
    }

    /// Why the request gets no connection to the cell, if one of its holders has more than its
    /// share of the connections. Over HTTP/1.1 each request in flight needs its own connection.
    pub(in crate::data_plane::pool) fn exceeds(&self, limits: &CellLimits) -> Option<LimitRefused> {
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
        let had_place = self.give_back_place();
        if let Some(capped) = &self.capped {
            capped.give_back(self.holders);
            // First, because cells take turns.
            capped.dispatch();
        }
        if had_place {
            self.bulkhead.dispatch();
        }
    }
}

/// A connection to a cell.
#[derive(Debug)]
pub(crate) struct ConnectionPermit {
    pub(super) bulkhead: Arc<Bulkhead>,
    pub(super) counts: Option<Arc<Counts>>,
}

impl ConnectionPermit {
    /// Counts the connection here too, as long as it lasts.
    pub(in crate::data_plane::pool) fn counted(self, counts: &Arc<Counts>) -> Self {
        debug_assert!(self.counts.is_none(), "a connection has one endpoint");
        counts.opens();
        let mut counted = self;
        counted.counts = Some(Arc::clone(counts));
        counted
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        self.bulkhead.connections.fetch_sub(1, Ordering::SeqCst);
        if self.bulkhead.wants_connections() {
            self.bulkhead.freed.notify_one();
        }
        if let Some(counts) = &self.counts {
            counts.closes();
        }
    }
}
