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

use super::claims::Proven;

/// How many tokens share a set. Within one, the least recently used makes room.
const WAYS: usize = 8;

/// Remembers which tokens were verified; one per worker, handed to each decision.
///
/// A decision is the same with any memo as with none. Only its cost differs.
pub struct Memo {
    hasher: FixedState,
    /// Sets of [`WAYS`] entries, each set from the most to the least recently used.
    entries: Vec<Option<Entry>>,
}

struct Entry {
    hash: u64,
    /// The whole token: an equal hash proves nothing.
    token: Box<[u8]>,
    proven: Arc<Proven>,
}

impl Memo {
    /// The capacity that suits one worker: half a megabyte when empty, and about 20 MiB when full
    /// of tokens of 700 bytes.
    pub const CAPACITY_DEFAULT: usize = 16_384;

    /// Remembers up to `capacity` tokens, rounded up to a power of two times eight. `seed` keys the
    /// hash, so that nobody outside can choose tokens that collide.
    pub fn new(capacity: usize, seed: u64) -> Self {
        let sets = match capacity {
            0 => 0,
            _ => capacity.div_ceil(WAYS).next_power_of_two(),
        };
        let mut entries = Vec::new();
        entries.resize_with(sets * WAYS, || None);
        Self {
            hasher: FixedState::with_seed(seed),
            entries,
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
        let hash = self.hash(token)?;
        let set = self.set(hash);
        let position = find(set, hash, token)?;
        set[..=position].rotate_right(1);
        let proven = &set[0].as_ref()?.proven;
        holds(proven).then(|| Arc::clone(proven))
    }

    /// Remembers what was proved, in place of anything known of the same token.
    pub(super) fn insert(&mut self, token: &[u8], proven: Arc<Proven>) {
        let Some(hash) = self.hash(token) else {
            return;
        };
        let set = self.set(hash);
        let position = find(set, hash, token).unwrap_or(WAYS - 1);
        set[..=position].rotate_right(1);
        set[0] = Some(Entry {
            hash,
            token: token.into(),
            proven,
        });
    }

    /// `None` for the memo that remembers nothing.
    fn hash(&self, token: &[u8]) -> Option<u64> {
        (!self.entries.is_empty()).then(|| self.hasher.hash_one(token))
    }

    fn set(&mut self, hash: u64) -> &mut [Option<Entry>] {
        let sets = self.entries.len() / WAYS;
        // A power of two, and less than 2^64 on every machine.
        let start = (hash as usize & (sets - 1)) * WAYS;
        &mut self.entries[start..start + WAYS]
    }
}

fn find(set: &[Option<Entry>], hash: u64, token: &[u8]) -> Option<usize> {
    set.iter().position(|entry| {
        entry
            .as_ref()
            .is_some_and(|entry| entry.hash == hash && *entry.token == *token)
    })
}

/// Says how much is remembered, and never what: a token is a secret.
impl fmt::Debug for Memo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Memo")
            .field("len", &self.entries.iter().flatten().count())
            .field("capacity", &self.entries.len())
            .finish_non_exhaustive()
    }
}
