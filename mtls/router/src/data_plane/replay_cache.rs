//! Cell-bound authorizations that were used, over all workers.
//!
//! "Once" has to hold whichever worker a connection landed on, so this is one of the few things
//! that workers share and write. It is touched only by requests that show an authorization which
//! holds, and only where each is to be used once; the table is cut into shards, each locked for one
//! look-up and one insertion.

use std::sync::{Mutex, PoisonError};

use cellway_core::cba::ReplayCache;
use cellway_core::{Decision, Now};

/// Parts of the table, each with a lock of its own.
const SHARDS: usize = 16;

/// Most authorizations that one shard remembers: half a million in all. One cell gets half of it,
/// which it reaches with some 4,400 a second that are each good for a minute; then its calls are
/// refused as `overloaded`, and others' are not. One that can't be remembered could be shown again.
const SHARD_ENTRIES_MAX: usize = 1 << 15;

/// What was used.
#[derive(Debug)]
pub(crate) struct ShardedReplayCache([Mutex<ReplayCache>; SHARDS]);

impl Default for ShardedReplayCache {
    fn default() -> Self {
        let shard = || Mutex::new(ReplayCache::new(SHARD_ENTRIES_MAX));
        Self(std::array::from_fn(|_| shard()))
    }
}

impl ShardedReplayCache {
    /// The decision once its authorization is used, if it has one to use.
    pub(crate) fn settle(&self, decision: Decision, now: Now) -> Decision {
        let claim = decision.cell_bound().and_then(|bound| bound.claim.clone());
        let Some(claim) = claim else {
            return decision;
        };
        let shard = &self.0[claim.shard(SHARDS)];
        // A claim is entered whole or not at all, so that a panic elsewhere leaves nothing half done.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = shard.claim(&claim, now.mono);
        drop(shard);
        decision.claimed(claimed)
    }
}
