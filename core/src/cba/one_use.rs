//! What was used before.
//!
//! The decision is a function and remembers nothing: it says what is to be [claimed](Claim), and
//! the driver claims it in a table that all workers share. An entry stays as long as the
//! authorization could be shown again, by a clock that nobody can set.

use std::cmp::Reverse;
use std::collections::{BTreeSet, BinaryHeap};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::text::Text;
use crate::time::{Mono, Now};

/// One authorization, to be used once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// Names the source and its `jti`, alike on every router.
    id: [u8; 32],
    /// When it can't be shown any more.
    until: Mono,
}

/// What came of claiming.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Claimed {
    /// It wasn't used before. Now it is.
    First,
    /// It was used before.
    Again,
    /// The table is full, so that it couldn't be remembered.
    Full,
}

impl Claim {
    pub(super) fn new(source: &Text, jti: &Text, exp: u64, now: Now) -> Self {
        // A text has no line feed, so no two pairs make the same bytes.
        let named = [source.as_str(), jti.as_str()].join("\n");
        let mut id = [0; 32];
        id.copy_from_slice(digest(&SHA256, named.as_bytes()).as_ref());
        let left = exp.saturating_sub(now.unix.as_secs());
        Self {
            id,
            until: now.mono.after(Duration::from_secs(left)),
        }
    }

    /// Which of `count` tables it belongs into; always the same.
    pub fn shard(&self, count: usize) -> usize {
        usize::from(self.id[0]) % count.max(1)
    }
}

/// Authorizations that were used, until they can't be used any more.
#[derive(Debug)]
pub struct OneUse {
    used: BTreeSet<[u8; 32]>,
    /// The same, the first to end on top.
    ends: BinaryHeap<Reverse<(Mono, [u8; 32])>>,
    entries_max: usize,
}

impl OneUse {
    /// Most entries that one call lets go, so that no request pays for a burst before it. More
    /// than one, so that the table shrinks.
    const FREED_MAX: usize = 4;

    /// An empty table for at most so many entries.
    pub fn new(entries_max: usize) -> Self {
        Self {
            used: BTreeSet::new(),
            ends: BinaryHeap::new(),
            entries_max,
        }
    }

    /// Uses an authorization.
    pub fn claim(&mut self, claim: &Claim, now: Mono) -> Claimed {
        for _ in 0..Self::FREED_MAX {
            match self.ends.peek() {
                Some(Reverse((until, _))) if *until <= now => {}
                _ => break,
            }
            if let Some(Reverse((_, id))) = self.ends.pop() {
                self.used.remove(&id);
            }
        }
        if self.used.contains(&claim.id) {
            return Claimed::Again;
        }
        if self.used.len() >= self.entries_max {
            return Claimed::Full;
        }
        self.used.insert(claim.id);
        self.ends.push(Reverse((claim.until, claim.id)));
        Claimed::First
    }

    /// How many are remembered.
    pub fn len(&self) -> usize {
        self.used.len()
    }

    /// Whether none is.
    pub fn is_empty(&self) -> bool {
        self.used.is_empty()
    }
}
