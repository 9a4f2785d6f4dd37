//! Remembers the cell-bound authorizations that were used, over all workers.
//!
//! An authorization may be used once, on whichever worker a connection lands. So this is one of the
//! few things that workers share and write. Only requests with a valid authorization touch it, and
//! only if the configuration says that each may be used once. The table has shards, and a request
//! locks one of them for one lookup and one insertion.

use std::sync::{Mutex, PoisonError};

use cellway_core::cba::ReplayCache;
use cellway_core::{Decision, Now};

/// The number of parts of the table. Each has its own lock.
const SHARDS: usize = 16;

/// The most authorizations that one shard remembers; half a million in all. One cell gets half of
/// that, which is about 4,400 a second if each is valid for a minute. If a cell has more, its calls
/// are refused as `overloaded`, because an authorization that can't be remembered could be used
/// again. Other cells' calls are not affected.
const SHARD_ENTRIES_MAX: usize = 1 << 15;

/// The authorizations that were used.
#[derive(Debug)]
pub(crate) struct ShardedReplayCache([Mutex<ReplayCache>; SHARDS]);

impl Default for ShardedReplayCache {
    fn default() -> Self {
        let shard = || Mutex::new(ReplayCache::new(SHARD_ENTRIES_MAX));
        Self(std::array::from_fn(|_| shard()))
    }
}

impl ShardedReplayCache {
    /// Uses the authorization of an allowed request, if it has one, and returns the decision after
    /// that.
    pub(crate) fn settle(&self, decision: Decision, now: Now) -> Decision {
        let claim = decision.cell_bound().and_then(|bound| bound.claim.clone());
        let Some(claim) = claim else {
            return decision;
        };
        let shard = &self.0[claim.shard(SHARDS)];
        // A claim is recorded completely or not at all, so a poisoned lock is safe to use.
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        let claimed = shard.claim(&claim, now.mono);
        drop(shard);
        decision.claimed(claimed)
    }
}
