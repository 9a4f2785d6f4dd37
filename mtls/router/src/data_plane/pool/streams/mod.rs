//! The streams of a worker's HTTP/2 connections to an endpoint, and the requests that wait for one.
//!
//! An HTTP/2 cell says how many streams it allows on a connection. As with the cell's other limits, each
//! holder gets only its share, and the requests that find none wait in a [`Queue`] in which tenants take
//! turns. Each worker has its own connections, so it has its own places and its own queue.

use std::sync::{Arc, OnceLock};

use tokio::sync::Notify;

use super::queue::{Claim, Limits, Place, Places, Queue, Taken};
use crate::shares::{Bound, Holder, LimitRefused, Resource, Stake, Stakes, Unadmitted};

/// The holders of a stream: a connection, its caller, and the caller's tenant.
pub(super) type StreamHolders = [Holder; 3];

/// How many streams the configuration allows.
const UNLIMITED: Places = Places {
    most: usize::MAX,
    resource: Resource::CellStreams,
};

/// The streams of one worker at one endpoint.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Made when it is needed: endpoints that speak HTTP/1.1 have no streams.
    open: OnceLock<Bound>,
    queue: Queue,
    /// Notified when there may be more room for those that wait.
    room: Arc<Notify>,
}

impl Streams {
    /// Takes one of `most` places.
    ///
    /// # Errors
    /// All are taken, or one of the request's holders has used up its share.
    pub(super) fn take(
        self: &Arc<Self>,
        most: usize,
        stakes: &Stakes,
    ) -> Result<Reserved, Unadmitted> {
        let taken = self.limits(most).take(UNLIMITED, stakes, None);
        taken.map(|_| self.reserved(stakes))
    }

    /// Takes a place, however many are taken.
    pub(super) fn take_anyway(self: &Arc<Self>, stakes: &Stakes) -> Reserved {
        let all = stakes.map(|stake| Stake {
            percent: 100,
            ..stake
        });
        // There is no limit that this could reach.
        let _ = self.open().take(usize::MAX, &all);
        self.reserved(stakes)
    }

    /// Lets a request wait for a place.
    ///
    /// # Errors
    /// As many wait as may, or one of the request's holders has used up its share of the queue.
    pub(super) fn enter<'a>(
        self: &'a Arc<Self>,
        queue_max: usize,
        claim: &Claim<'_>,
    ) -> Result<Waits<'a>, LimitRefused> {
        Ok(Waits {
            streams: self,
            place: self.queue.enter(queue_max, UNLIMITED, claim)?,
            holders: claim.stakes.map(|stake| stake.holder),
        })
    }

    /// Whether requests wait for a place.
    pub(super) fn are_awaited(&self) -> bool {
        self.queue.waiting() > 0
    }

    /// Gives free places to those that wait. There are `most` places.
    pub(super) fn dispatch(&self, most: usize) {
        self.queue.dispatch(self.limits(most));
    }

    /// Notified when there may be more room for those that wait. It wakes one of them, which must
    /// [`dispatch`](Self::dispatch).
    pub(super) fn room(&self) -> &Arc<Notify> {
        &self.room
    }

    /// Gives back the place of a stream that has ended.
    pub(super) fn give_back(&self, holders: StreamHolders) {
        self.open().give_back(holders);
        self.wake_next();
    }

    /// Wakes one of those that wait, if any do.
    pub(super) fn wake_next(&self) {
        if self.are_awaited() {
            self.room.notify_one();
        }
    }

    fn reserved(self: &Arc<Self>, stakes: &Stakes) -> Reserved {
        Reserved(Some((Arc::clone(self), stakes.map(|stake| stake.holder))))
    }

    fn open(&self) -> &Bound {
        self.open.get_or_init(Bound::default)
    }

    fn limits(&self, most: usize) -> Limits<'_> {
        Limits {
            requests: self.open(),
            unanswered: None,
            now: Some(most),
        }
    }
}

/// A place for a stream that isn't open yet.
#[derive(Debug)]
pub(super) struct Reserved(Option<(Arc<Streams>, StreamHolders)>);

impl Reserved {
    /// The stream is open. It gives the place back.
    pub(super) fn opens(mut self) -> StreamHolders {
        let reserved = self.0.take();
        reserved.map_or([Holder::NOBODY; 3], |(_, holders)| holders)
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        if let Some((streams, holders)) = self.0.take() {
            streams.give_back(holders);
        }
    }
}

/// A request that waits. If it is dropped after it got a place, the place goes to the next.
pub(super) struct Waits<'a> {
    streams: &'a Arc<Streams>,
    place: Place<'a>,
    holders: StreamHolders,
}

impl Waits<'_> {
    /// Waits for a place. `None`: there will be none.
    pub(super) async fn granted(&mut self) -> Option<Reserved> {
        let taken = (&mut self.place.granted).await;
        taken.ok().map(|taken| self.reserved(taken))
    }

    /// The place, if it has come. None comes after this.
    pub(super) fn ends(&mut self) -> Option<Reserved> {
        self.place.granted.close();
        let taken = self.place.granted.try_recv();
        taken.ok().map(|taken| self.reserved(taken))
    }

    fn reserved(&self, _: Taken) -> Reserved {
        Reserved(Some((Arc::clone(self.streams), self.holders)))
    }
}

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        drop(self.ends());
    }
}

#[cfg(test)]
mod tests;
