//! Authorizations that were already used.
//!
//! The decision is a function and remembers nothing: it says what is to be [claimed](Claim), and
//! the driver claims it in a table that all workers share. An entry stays as long as the
//! authorization could be shown again, by a clock that nobody can set.
//!
//! Room is limited and nothing is forgotten early, so the cells must share it. Each may hold as
//! much as is still free: one cell that signs without end gets half of the table, two get a third
//! each, and a cell that holds nothing finds room whatever the others do. (Switches share their
//! buffers so: Choudhury and Hahne, "Dynamic queue length thresholds for shared-memory packet
//! switches", 1998.) A fixed share for each would have to be cut for as many cells as a registry
//! may ever have, and would be too small for the few that are busy.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};

use crate::text::Text;
use crate::time::{Mono, Now};

/// One authorization, to be used once.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The cell that made it.
    source: Text,
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
    /// Its cell has used up its room, so that it couldn't be remembered.
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
            source: source.clone(),
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
    /// Each with the cell that made it.
    used: BTreeMap<[u8; 32], Text>,
    /// The same, the first to end on top.
    ends: BinaryHeap<Reverse<(Mono, [u8; 32])>>,
    /// How many are a cell's; a cell with none isn't listed.
    held: BTreeMap<Text, usize>,
    entries_max: usize,
}

impl OneUse {
    /// Most entries that one call lets go, so that no request pays for a burst before it. More
    /// than one, so that the table shrinks.
    const FREED_MAX: usize = 4;

    /// An empty table for at most so many entries.
    pub fn new(entries_max: usize) -> Self {
        Self {
            used: BTreeMap::new(),
            ends: BinaryHeap::new(),
            held: BTreeMap::new(),
            entries_max,
        }
    }

    /// Uses an authorization.
    pub fn claim(&mut self, claim: &Claim, now: Mono) -> Claimed {
        self.let_go(now);
        if self.used.contains_key(&claim.id) {
            return Claimed::Again;
        }
        let free = self.entries_max.saturating_sub(self.used.len());
        let held = self.held.get(&claim.source).copied().unwrap_or(0);
        if held >= free {
            return Claimed::Full;
        }
        self.held.insert(claim.source.clone(), held + 1);
        self.used.insert(claim.id, claim.source.clone());
        self.ends.push(Reverse((claim.until, claim.id)));
        debug_assert!(self.used.len() <= self.entries_max, "the table is bounded");
        debug_assert_eq!(
            self.used.len(),
            self.ends.len(),
            "what was used has one time to be forgotten"
        );
        Claimed::First
    }

    fn let_go(&mut self, now: Mono) {
        for _ in 0..Self::FREED_MAX {
            match self.ends.peek() {
                Some(Reverse((until, _))) if *until <= now => {}
                _ => return,
            }
            let ended = self.ends.pop();
            let source = ended.and_then(|Reverse((_, id))| self.used.remove(&id));
            let Some(source) = source else { continue };
            if let Some(held @ 2..) = self.held.remove(&source) {
                self.held.insert(source, held - 1);
            }
        }
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
