//! The state that all workers of a router share.

use std::sync::Arc;

use crate::data_plane::admission::Admission;
use crate::data_plane::buckets::Buckets;
use crate::data_plane::drain::Drain;
use crate::data_plane::opening::Opening;
use crate::data_plane::pool::Bulkheads;
use crate::data_plane::replay_cache::ShardedReplayCache;
use crate::data_plane::sockets::Sockets;
use crate::observe::ready::ReadyLatch;
use crate::observe::spans::Spans;
use crate::settings::DrainTimes;
use crate::shares::Holders;
use crate::view::ViewCell;

/// One router, as its workers see it. Clones share the same state.
#[derive(Clone, Debug)]
pub(crate) struct RouterState {
    pub(crate) views: Arc<ViewCell>,
    pub(crate) bulkheads: Arc<Bulkheads>,
    /// The token buckets of rate limits.
    pub(crate) buckets: Arc<Buckets>,
    /// Makes the holders of shares.
    pub(crate) holders: Arc<Holders>,
    pub(crate) replay_cache: Arc<ShardedReplayCache>,
    pub(crate) drain: Arc<Drain>,
    pub(crate) opening: Arc<Opening>,
    /// Whether the router was ever ready.
    pub(crate) latch: Arc<ReadyLatch>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) sockets: Arc<Sockets>,
    pub(crate) spans: Arc<Spans>,
}

impl RouterState {
    /// The state of a router with this many listeners.
    pub(crate) fn new(
        views: Arc<ViewCell>,
        opening: Opening,
        listeners: usize,
        sockets: Sockets,
        spans: Arc<Spans>,
    ) -> Self {
        let (holders, drain) = (Arc::<Holders>::default(), Arc::<Drain>::default());
        let admission = Admission::new(listeners, Arc::clone(&holders), Arc::clone(&drain));
        Self {
            views,
            bulkheads: Arc::default(),
            buckets: Arc::default(),
            holders,
            replay_cache: Arc::default(),
            drain,
            opening: Arc::new(opening),
            latch: Arc::default(),
            admission: Arc::new(admission),
            sockets: Arc::new(sockets),
            spans,
        }
    }

    /// Closes the listeners and tells open connections to end. `false` if that was done before.
    pub(crate) fn close_listeners(&self, times: DrainTimes) -> bool {
        self.sockets.close();
        self.drain.begin(times)
    }
}
