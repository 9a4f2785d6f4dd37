//! The verified-token cache.
//!
//! It remembers what a token's signature proved, and under which policy and key set. A hit saves
//! the parsing and the signature check, and no other check: the caller applies time, binding and
//! the rest to a remembered token as to a new one. Only verified tokens enter, so that a flood of
//! bad ones displaces nothing.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::claims::Proven;

/// How many entries an insertion looks at for one that wasn't used lately. The bound keeps one
/// request from paying for a sweep of the whole memo.
const SWEEP_MAX: usize = 32;

/// Remembers which tokens were verified; one per worker, handed to each decision.
///
/// A decision is the same with any memo as with none. Only its cost differs.
pub struct Memo {
    hasher: FixedState,
    capacity: u32,
    entries: Vec<Entry>,
    /// Positions in `entries`, by the hash of the token.
    positions: HashTable<u32>,
    /// Where the search for an entry to replace goes on (the CLOCK algorithm).
    hand: u32,
}

struct Entry {
    hash: u64,
    /// The whole token: an equal hash proves nothing.
    token: Box<[u8]>,
    proven: Arc<Proven>,
    /// Since the hand last passed.
    used: bool,
}

impl Memo {
    /// The capacity that suits one worker: about 25 MiB when full of tokens of 700 bytes.
    pub const CAPACITY_DEFAULT: u32 = 16_384;

    /// Remembers up to `capacity` tokens. `seed` keys the hash, so that nobody outside can choose
    /// tokens that collide.
    pub fn new(capacity: u32, seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            capacity,
            entries: Vec::new(),
            positions: HashTable::new(),
            hand: 0,
        }
    }

    /// Remembers nothing: every token is verified every time.
    pub fn disabled() -> Self {
        Self::new(0, 0)
    }

    /// What is remembered of `token`, if `holds` says that it still counts.
    pub(super) fn get(
        &mut self,
        token: &[u8],
        holds: impl FnOnce(&Proven) -> bool,
    ) -> Option<Arc<Proven>> {
        if self.entries.is_empty() {
            return None;
        }
        let position = self.find(self.hasher.hash_one(token), token)?;
        let entry = &mut self.entries[position as usize];
        entry.used = true;
        holds(&entry.proven).then(|| Arc::clone(&entry.proven))
    }

    /// Remembers what was proved, in place of anything known of the same token.
    pub(super) fn insert(&mut self, token: &[u8], proven: Arc<Proven>) {
        if self.capacity == 0 {
            return;
        }
        let hash = self.hasher.hash_one(token);
        if let Some(position) = self.find(hash, token) {
            self.entries[position as usize].proven = proven;
            return;
        }
        let entry = Entry {
            hash,
            token: token.into(),
            proven,
            used: false,
        };
        let position = if self.entries.len() < self.capacity as usize {
            self.entries.push(entry);
            self.entries.len() as u32 - 1
        } else {
            self.replace(entry)
        };
        let entries = &self.entries;
        self.positions
            .insert_unique(hash, position, |p| entries[*p as usize].hash);
    }

    fn find(&self, hash: u64, token: &[u8]) -> Option<u32> {
        let same = |position: &u32| {
            let entry = &self.entries[*position as usize];
            entry.hash == hash && *entry.token == *token
        };
        self.positions.find(hash, same).copied()
    }

    /// Puts `entry` in the place of one that wasn't used lately, and returns the place.
    fn replace(&mut self, entry: Entry) -> u32 {
        for _ in 0..SWEEP_MAX {
            let candidate = &mut self.entries[self.hand as usize];
            if !std::mem::take(&mut candidate.used) {
                break;
            }
            self.hand = (self.hand + 1) % self.capacity;
        }
        let position = self.hand;
        self.hand = (self.hand + 1) % self.capacity;
        let old = std::mem::replace(&mut self.entries[position as usize], entry);
        if let Ok(found) = self.positions.find_entry(old.hash, |p| *p == position) {
            found.remove();
        }
        position
    }
}

/// Says how much is remembered, and never what: a token is a secret.
impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo")
            .field("len", &self.entries.len())
            .field("capacity", &self.capacity)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
