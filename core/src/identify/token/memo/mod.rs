//! The verified-token cache.
//!
//! It remembers what a token's signature proved, and under which policy and key set. A hit saves
//! the parsing and the signature check, and no other check: times, binding and the rest are checked
//! for a cached token as for a new one. Only verified tokens enter, so a flood of bad ones
//! displaces nothing.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::claims::VerifiedToken;
use crate::identity::Identity;

/// The most entries that an insertion examines to find one that wasn't used recently, so that no
/// request sweeps the whole memo.
const SWEEP_MAX: usize = 32;

/// Caches verified tokens. Each worker has one and passes it to each decision.
///
/// The memo changes the cost of a decision, never its result.
pub struct Memo {
    hasher: FixedState,
    capacity: u32,
    bytes_max: usize,
    /// The size of all entries together.
    bytes: usize,
    entries: Vec<Entry>,
    /// Positions in `entries`, by the hash of the token.
    positions: HashTable<u32>,
    /// Where the search for an entry to drop continues (the CLOCK algorithm).
    hand: u32,
}

struct Entry {
    hash: u64,
    /// The whole token, because different tokens can have equal hashes.
    token: Box<[u8]>,
    verified: Arc<VerifiedToken>,
    /// Its size in memory.
    bytes: usize,
    /// Whether it was used since the hand last passed.
    used: bool,
}

impl Memo {
    /// The capacity that suits one worker: about 25 MiB when full of tokens of 700 bytes.
    pub const CAPACITY_DEFAULT: u32 = 16_384;
    /// The most bytes of one memo's entries. Without this bound, a full memo of the largest tokens
    /// would need about 500 MiB per worker.
    pub const BYTES_DEFAULT: usize = 32 << 20;

    /// Remembers up to `capacity` tokens in [`Memo::BYTES_DEFAULT`] bytes. `seed` keys the hash, so
    /// that nobody outside can choose tokens that collide.
    pub fn new(capacity: u32, seed: u64) -> Self {
        Self {
            hasher: FixedState::with_seed(seed),
            capacity,
            bytes_max: Self::BYTES_DEFAULT,
            bytes: 0,
            entries: Vec::new(),
            positions: HashTable::new(),
            hand: 0,
        }
    }

    /// Changes the most bytes of its entries. A token that needs more is never cached.
    #[must_use]
    pub fn with_bytes_max(self, bytes_max: usize) -> Self {
        Self { bytes_max, ..self }
    }

    /// Caches nothing: every token is verified every time.
    pub fn disabled() -> Self {
        Self::new(0, 0)
    }

    /// The entry of `token`, if `holds` confirms that it is still valid.
    pub(super) fn get(
        &mut self,
        token: &[u8],
        holds: impl FnOnce(&VerifiedToken) -> bool,
    ) -> Option<Arc<VerifiedToken>> {
        if self.entries.is_empty() {
            return None;
        }
        let position = self.find(self.hasher.hash_one(token), token)?;
        let entry = &mut self.entries[position as usize];
        entry.used = true;
        holds(&entry.verified).then(|| Arc::clone(&entry.verified))
    }

    /// Adds a token, or replaces its entry. Drops others if there is no space.
    pub(super) fn insert(&mut self, token: &[u8], verified: Arc<VerifiedToken>) {
        let bytes = weight(token, &verified);
        if self.capacity == 0 || bytes > self.bytes_max {
            return;
        }
        let hash = self.hasher.hash_one(token);
        let mut used = false;
        if let Some(position) = self.find(hash, token) {
            // Only happens if keys or policy changed. The size may differ.
            used = self.entries[position as usize].used;
            self.remove(position);
        }
        while self.entries.len() >= self.capacity as usize || bytes > self.bytes_max - self.bytes {
            let position = self.least_used();
            self.remove(position);
        }
        let entry = Entry {
            hash,
            token: token.into(),
            verified,
            bytes,
            used,
        };
        self.bytes += bytes;
        let position = self.entries.len() as u32;
        self.entries.push(entry);
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

    /// The position of an entry that wasn't used lately. There is at least one entry.
    fn least_used(&mut self) -> u32 {
        let len = self.entries.len() as u32;
        for _ in 0..SWEEP_MAX {
            self.hand %= len;
            if !std::mem::take(&mut self.entries[self.hand as usize].used) {
                break;
            }
            self.hand += 1;
        }
        self.hand % len
    }

    /// Drops an entry; the last one takes its position.
    fn remove(&mut self, position: u32) {
        let last = self.entries.len() as u32 - 1;
        let old = self.entries.swap_remove(position as usize);
        self.bytes -= old.bytes;
        if let Ok(found) = self.positions.find_entry(old.hash, |p| *p == position) {
            found.remove();
        }
        let moved = self.entries.get(position as usize).map(|moved| moved.hash);
        if let Some(hash) = moved
            && let Some(found) = self.positions.find_mut(hash, |p| *p == last)
        {
            *found = position;
        }
    }
}

#[cfg(test)]
impl Memo {
    /// Every token that is remembered.
    pub(super) fn tokens(&self) -> Vec<Box<[u8]>> {
        let tokens = self.entries.iter().map(|entry| entry.token.clone());
        tokens.collect()
    }

    /// The size that is tracked, and the size computed anew.
    pub(super) fn bytes(&self) -> (usize, usize) {
        let weights = self.entries.iter();
        let sum = weights.map(|entry| weight(&entry.token, &entry.verified));
        (self.bytes, sum.sum())
    }
}

/// An entry's size in memory in bytes, including the heap.
fn weight(token: &[u8], verified: &VerifiedToken) -> usize {
    /// The overhead of an allocation: its header and reference counts.
    const ALLOCATION: usize = 48;
    let identity = &verified.identity;
    let own = [
        &identity.tenant,
        &identity.subject,
        &identity.workspace,
        &identity.org,
        &identity.tier,
    ];
    let texts = verified.tenants.iter().chain(&identity.roles);
    let texts = texts.chain(own.into_iter().flatten());
    let texts = texts.map(|text| text.as_str().len());
    let others = identity.scopes.iter().map(|scope| scope.len());
    let others = others.chain(identity.proof.token.jti.iter().map(|jti| jti.len()));
    let texts: usize = texts.chain(others).map(|len| len + ALLOCATION).sum();
    let lists = size_of_val(&*verified.tenants)
        + size_of_val(&*identity.roles)
        + size_of_val(&*identity.scopes);
    let fixed = size_of::<Entry>() + size_of::<VerifiedToken>() + size_of::<Identity>();
    // Adds the position in the index, and one allocation each for the token, the result and the
    // identity.
    fixed + size_of::<u32>() + 3 * ALLOCATION + token.len() + lists + texts
}

/// Shows sizes only: a token is a secret.
impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo")
            .field("len", &self.entries.len())
            .field("capacity", &self.capacity)
            .field("bytes", &self.bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
