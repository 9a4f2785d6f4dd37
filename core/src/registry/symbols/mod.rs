//! Numbers for names, within one document and across versions.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, Hash};

use foldhash::quality::FixedState;
use hashbrown::HashTable;

/// Numbers the names of one document, or other values that tenants share, in the order of their
/// first use.
pub(super) struct Symbols<T> {
    /// Positions in `names`. It is never iterated.
    table: HashTable<u32>,
    names: Vec<T>,
    /// Consecutive entries often have the same name.
    last: u32,
}

impl<T> Default for Symbols<T> {
    fn default() -> Self {
        Self {
            table: HashTable::new(),
            names: Vec::new(),
            last: 0,
        }
    }
}

impl<T: Eq + Hash> Symbols<T> {
    /// The number of a name.
    pub(super) fn number(&mut self, name: T) -> u32 {
        let names = &mut self.names;
        if names.get(self.last as usize) == Some(&name) {
            return self.last;
        }
        let hash = hash_of(&name);
        let is = |at: &u32| names.get(*at as usize) == Some(&name);
        let found = self.table.find(hash, is).copied();
        self.last = found.unwrap_or_else(|| {
            let at = names.len() as u32;
            names.push(name);
            self.table
                .insert_unique(hash, at, |&at| hash_of(&names[at as usize]));
            at
        });
        self.last
    }

    /// All names, in the order of their numbers.
    pub(super) fn names(&self) -> &[T] {
        &self.names
    }
}

fn hash_of(name: &impl Hash) -> u64 {
    FixedState::with_seed(0).hash_one(name)
}

/// Gives every wanted name a slot: the one that it had in the previous version, or else the lowest
/// free one. Slots of names that are no longer wanted become free.
///
/// The tenant index contains slots. Because they stay the same, two versions can share shards. With
/// positions in sorted lists, one new cell would renumber every tenant.
pub(super) fn keep_slots<T: Ord + Clone>(previous: &[Option<T>], wanted: &[T]) -> Vec<Option<T>> {
    let mut pending: BTreeMap<&T, ()> = wanted.iter().map(|name| (name, ())).collect();
    let keep = |slot: &Option<T>| slot.clone().filter(|name| pending.remove(name).is_some());
    let mut slots: Vec<_> = previous.iter().map(keep).collect();
    let mut new = pending.into_keys();
    for slot in slots.iter_mut().filter(|slot| slot.is_none()) {
        *slot = new.next().cloned();
    }
    slots.extend(new.map(|name| Some(name.clone())));
    while slots.last().is_some_and(Option::is_none) {
        slots.pop();
    }
    slots
}

#[cfg(test)]
mod tests;
