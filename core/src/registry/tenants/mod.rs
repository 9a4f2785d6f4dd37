//! The tenant index: a persistent map from tenant id to assignment.
//!
//! A registry may have a million tenants, and usually one changes at a time. So the index is a
//! fixed tree of three levels: groups of shards of about a hundred tenants each, chosen by the top
//! bits of the id's hash. A changed tenant costs a new shard, a new group and a new root, about 200
//! reference counts in all; the other thousands of shards are shared with the version before.
//!
//! A shard's layout depends only on its content (see [`shard`]), so that the build of a new
//! document finds the unchanged shards and keeps them.
//!
//! The hash is fixed, not seeded: ids come from the control plane, and strangers can't insert any.

mod build;
mod shard;

use std::fmt;
use std::hash::BuildHasher;
use std::sync::Arc;

use shard::{Row, Shard};

pub(super) use build::{Duplicate, Items};

/// What a tenant refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum TargetKind {
    Cell,
    Placement,
}

/// The index's entry for one tenant, in numbers that the registry resolves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Assignment {
    /// The slot of the tenant's cell or placement.
    pub target: u32,
    /// The slot of the tenant's terms plus one, or 0 for none.
    pub terms: u16,
    /// Whether the tenant is suspended.
    pub suspended: bool,
}

/// A persistent map from tenant id to [`Assignment`].
///
/// Cloning costs a reference count per about 8,000 tenants.
#[derive(Clone, Default)]
pub struct TenantIndex {
    /// How many bits of the hash choose the shard.
    bits: u8,
    len: usize,
    groups: Vec<Group>,
}

/// Up to [`GROUP_LEN`] shards.
type Group = Arc<[Shard]>;

/// Shards in a group: balances the root (128 groups at a million tenants) and the group.
const GROUP_BITS: u8 = 6;
const GROUP_LEN: usize = 1 << GROUP_BITS;

/// Tenants in a shard when an index is built from nothing.
const SHARD_LEN_IDEAL: usize = 128;
/// The average below which the next build takes fewer shards.
const SHARD_LEN_MIN: usize = 32;
/// The average above which an index is rebuilt with more shards.
const SHARD_LEN_MAX: usize = 512;

impl TenantIndex {
    /// How many tenants there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// The tenant's id, as the index holds it, and its assignment.
    pub fn get(&self, id: &str) -> Option<(&str, Assignment)> {
        let hash = hash(id);
        self.shard(shard_of(hash, self.bits))?.get(tag(hash), id)
    }

    /// Every tenant, in arbitrary order, which depends on earlier versions.
    pub fn iter(&self) -> impl Iterator<Item = (&str, Assignment)> {
        self.shards().flat_map(|shard| shard.iter())
    }

    /// The index with one tenant added or changed. Takes microseconds for any size.
    #[must_use = "the index itself doesn't change"]
    pub fn upsert(&self, id: &str, assignment: Assignment) -> Self {
        let hash = hash(id);
        let known = self.get(id).is_some();
        if self.groups.is_empty() || self.len >= SHARD_LEN_MAX << self.bits {
            return self.rebuilt_with(id, assignment);
        }
        let len = self.len + usize::from(!known);
        let row = Row::new(tag(hash), id, assignment);
        self.with_shard(shard_of(hash, self.bits), len, |shard| {
            shard.changed(tag(hash), id, Some(row))
        })
    }

    /// The index without a tenant. Takes microseconds for any size.
    #[must_use = "the index itself doesn't change"]
    pub fn remove(&self, id: &str) -> Self {
        if self.get(id).is_none() {
            return self.clone();
        }
        let hash = hash(id);
        self.with_shard(shard_of(hash, self.bits), self.len - 1, |shard| {
            shard.changed(tag(hash), id, None)
        })
    }

    /// Whether both have the same content. `self` must have been built with `previous`: then equal
    /// shards are shared, and no rows have to be compared.
    pub(super) fn is_same_as(&self, previous: &Self) -> bool {
        self.len == previous.len
            && self.groups.len() == previous.groups.len()
            && std::iter::zip(&self.groups, &previous.groups).all(|(a, b)| Arc::ptr_eq(a, b))
    }

    fn shards(&self) -> impl Iterator<Item = &Shard> {
        self.groups.iter().flat_map(|group| group.iter())
    }

    fn shard(&self, at: usize) -> Option<&Shard> {
        self.groups.get(at >> GROUP_BITS)?.get(at % GROUP_LEN)
    }

    /// The index with one shard replaced; the rest is shared.
    fn with_shard(&self, at: usize, len: usize, change: impl FnOnce(&Shard) -> Shard) -> Self {
        let mut changed = self.clone();
        changed.len = len;
        if let Some(group) = changed.groups.get_mut(at >> GROUP_BITS) {
            let mut shards = group.to_vec();
            if let Some(shard) = shards.get_mut(at % GROUP_LEN) {
                *shard = change(shard);
            }
            *group = shards.into();
        }
        changed
    }
}

/// Shows sizes only: a million tenants are too many for a log.
impl fmt::Debug for TenantIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TenantIndex")
            .field("len", &self.len)
            .field("shards", &(1u64 << self.bits))
            .finish()
    }
}

/// The hash of an id. Its high bits choose the shard, its low bits the position in it.
fn hash(id: &str) -> u64 {
    foldhash::quality::FixedState::with_seed(0).hash_one(id)
}

fn shard_of(hash: u64, bits: u8) -> usize {
    match bits {
        0 => 0,
        bits => (hash >> (64 - u32::from(bits))) as usize,
    }
}

fn tag(hash: u64) -> u32 {
    hash as u32
}

#[cfg(test)]
mod tests;
