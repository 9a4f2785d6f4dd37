//! The state that all workers of a router share.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use cellway_env::Clock;

use crate::data_plane::pool::Bulkheads;
use crate::data_plane::replay_cache::ShardedReplayCache;
use crate::data_plane::shares::{Bound, Holders};
use crate::drain::Drain;
use crate::observe::ready::{Mismatches, ReadyLatch};
use crate::opening::Opening;
use crate::tls::Provider;
use crate::view::ViewCell;

/// The state of one router.
#[derive(Debug)]
pub(crate) struct RouterState<E> {
    pub(crate) env: E,
    pub(crate) clock: Clock<E>,
    pub(crate) provider: Provider,
    pub(crate) views: Arc<ViewCell>,
    pub(crate) bulkheads: Bulkheads,
    /// Creates the holders of shares.
    pub(crate) holders: Holders,
    pub(crate) replay_cache: ShardedReplayCache,
    pub(crate) drain: Drain,
    pub(crate) opening: Opening,
    /// Whether the router was ever ready.
    pub(crate) latch: ReadyLatch,
    /// Finds where policy and registry don't fit together, for `/readyz`.
    pub(crate) mismatches: Mismatches,
    /// One for each listener, in the order of the settings.
    pub(crate) listeners: Vec<ListenerState>,
}

/// What a listener's sockets on all workers share.
#[derive(Debug, Default)]
pub(crate) struct ListenerState {
    /// The address that the first worker bound. The other workers bind the same one, because the
    /// system chooses port 0 only once.
    pub(crate) address: OnceLock<SocketAddr>,
    /// The open connections, and who holds them.
    pub(crate) connections: Bound,
}
