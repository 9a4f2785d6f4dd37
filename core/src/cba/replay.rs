//! The replay cache: authorizations that were already used.
//!
//! The decision is a function and remembers nothing. It says what to [claim](Claim), and the driver
//! claims it in a cache that all workers share. An entry stays until the authorization has expired
//! by the monotonic clock, which nobody can set.
//!
//! Authorizations expire by the wall clock, which can be set back. An authorization that the cache
//! has already dropped would then be valid again. So the cache keeps the latest `exp` of all that
//! it dropped, and refuses every authorization that doesn't expire later, because it can't know
//! whether it was used.
//!
//! Space is limited and nothing is dropped early, so the cells must share it. Each cell may hold as
//! many entries as are still free: one cell that signs without end gets half of the cache, two get
//! a third each, and a cell with no entries always finds space. (Switches share their buffers this
//! way: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet switches",
//! 1998.) Fixed shares would have to be sized for as many cells as a registry may ever have, and
//! would be too small for the few busy ones.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::text::Text;
use crate::time::{Mono, Now, Unix};

/// One authorization, to be used once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The cell that made it.
    source: Text,
    /// The hash of the source and its `jti`, the same on every router.
    id: [u8; 32],
    /// Its `exp`.
    exp: Unix,
    /// When it expires by the monotonic clock.
    until: Mono,
}

/// The result of a claim.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claimed {
    /// It wasn't used before. Now it is.
    First,
    /// It was used before.
    Again,
    /// It may have been used before: the wall clock was set back, and entries with this `exp` were
    /// already dropped.
    Forgotten,
    /// Its cell has used up its space, so the use can't be recorded.
    Full,
}

impl Claim {
    pub(super) fn new(source: &Text, jti: &Text, exp: u64, now: Now) -> Self {
        // A text has no line feed, so no two pairs make the same bytes.
        let named = [source.as_str(), jti.as_str()].join("\n");
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, named.as_bytes()).as_ref());
        // Whole seconds, so up to one more than is left: a correction of the clock by less must not
        // drop an authorization that is still good.
        let left = exp.saturating_sub(now.unix.as_secs());
        Self {
            source: source.clone(),
            id,
            exp: Unix::from_secs(exp),
            until: now.mono.after(Duration::from_secs(left)),
        }
    }

    /// Which of `count` caches it belongs to, always the same one.
    pub fn shard(&self, count: usize) -> usize {
        usize::from(self.id[0]) % count.max(1)
    }
}

/// Authorizations that were used, until they expire.
#[derive(Debug)]
pub struct ReplayCache {
    /// Each with the cell that made it.
    used: BTreeMap<[u8; 32], Text>,
    /// The same with their `exp`, the first to expire on top.
    ends: BinaryHeap<Reverse<(Mono, Unix, [u8; 32])>>,
    /// The latest `exp` of those that were dropped. It is later than the wall clock only after that
    /// was set back.
    forgotten: Unix,
    /// The number of entries of each cell that has any.
    held: BTreeMap<Text, usize>,
    entries_max: usize,
}

impl ReplayCache {
    /// The most entries that one call drops, so that no request pays for a burst before it. More
    /// than one, so that the cache shrinks.
    const FREED_MAX: usize = 4;

    /// An empty table for at most so many entries.
    pub fn new(entries_max: usize) -> Self {
        Self {
            used: BTreeMap::new(),
            ends: BinaryHeap::new(),
            forgotten: Unix::default(),
            held: BTreeMap::new(),
            entries_max,
        }
    }

    /// Uses an authorization.
    pub fn claim(&mut self, claim: &Claim, now: Mono) -> Claimed {
        self.drop_expired(now);
        if self.used.contains_key(&claim.id) {
            return Claimed::Again;
        }
        if claim.exp <= self.forgotten {
            return Claimed::Forgotten;
        }
        let free = self.entries_max.saturating_sub(self.used.len());
        let held = self.held.get(&claim.source).copied().unwrap_or(0);
        if held >= free {
            return Claimed::Full;
        }
        self.held.insert(claim.source.clone(), held + 1);
        self.used.insert(claim.id, claim.source.clone());
        self.ends.push(Reverse((claim.until, claim.exp, claim.id)));
        debug_assert!(self.used.len() <= self.entries_max, "the table is bounded");
        debug_assert_eq!(
            self.used.len(),
            self.ends.len(),
            "what was used has one time to be forgotten"
        );
        Claimed::First
    }

    fn drop_expired(&mut self, now: Mono) {
        for _ in 0..Self::FREED_MAX {
            match self.ends.peek() {
                Some(Reverse((until, ..))) if *until <= now => {}
                _ => return,
            }
            let Some(Reverse((_, exp, id))) = self.ends.pop() else {
                return;
            };
            self.forgotten = self.forgotten.max(exp);
            let Some(source) = self.used.remove(&id) else {
                continue;
            };
            if let Some(held @ 2..) = self.held.remove(&source) {
                self.held.insert(source, held - 1);
            }
        }
    }

    /// The number of entries.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }
}
