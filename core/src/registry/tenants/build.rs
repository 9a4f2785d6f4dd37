//! Building an index from many tenants at once.

use super::shard::{Row, Shard};
use super::{
    Assignment, GROUP_LEN, Group, SHARD_LEN_IDEAL, SHARD_LEN_MAX, SHARD_LEN_MIN, TenantIndex, hash,
    shard_of, tag,
};

/// How many shards are built at a time, each time from all items. The positions of the items of a million
/// tenants' shards would take 4 MiB when the most memory is in use, and to hash each id again takes little.
const PART_LEN: usize = GROUP_LEN * if cfg!(test) { 1 } else { 32 };

/// The tenants to build an index from, in the order of their document. There are fewer than 2^32, and
/// ids have 1 to 256 bytes.
///
/// A document may list a million, so this says nothing about how they are stored. Their hashes are
/// computed again whenever they are needed, because to store them takes more memory than time.
pub(in crate::registry) trait Items {
    fn len(&self) -> usize;
    /// The id of the tenant at a position, which is less than the length.
    fn id(&self, at: usize) -> &str;
    fn assignment(&self, at: usize) -> Assignment;
}

impl Items for [(&str, Assignment)] {
    fn len(&self) -> usize {
        self.len()
    }

    fn id(&self, at: usize) -> &str {
        self[at].0
    }

    fn assignment(&self, at: usize) -> Assignment {
        self[at].1
    }
}

/// Two items have the same id: their positions.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(in crate::registry) struct Duplicate {
    pub(in crate::registry) first: usize,
    pub(in crate::registry) second: usize,
}

impl TenantIndex {
    /// An index of these tenants that shares every shard and group with `previous` whose content
    /// is the same.
    pub(in crate::registry) fn build<I: Items + ?Sized>(
        items: &I,
        previous: Option<&Self>,
    ) -> Result<Self, Duplicate> {
        let bits = bits_for(items.len(), previous);
        let previous = previous.filter(|previous| previous.bits == bits);
        let counts = count_by_shard(items, bits);
        let mut groups = Vec::with_capacity(counts.len().div_ceil(GROUP_LEN));
        let mut rows = Vec::new();
        for (part, counts) in counts.chunks(PART_LEN).enumerate() {
            let order = by_shard(items, bits, part * PART_LEN, counts);
            let mut order = &order[..];
            for counts in counts.chunks(GROUP_LEN) {
                let old = previous.and_then(|previous| previous.groups.get(groups.len()));
                let mut shards = Vec::with_capacity(counts.len());
                for (at, &count) in counts.iter().enumerate() {
                    let (members, rest) = order.split_at(count as usize);
                    order = rest;
                    collect_rows(items, members, &mut rows)?;
                    shards.push(shared_shard(old.and_then(|group| group.get(at)), &rows));
                }
                groups.push(shared_group(old, shards));
            }
        }
        Ok(Self {
            bits,
            len: items.len(),
            groups,
        })
    }

    /// Rebuilds the index with one more tenant, with more shards.
    pub(super) fn rebuilt_with(&self, id: &str, assignment: Assignment) -> Self {
        let others = self.iter().filter(|(other, _)| *other != id);
        let items: Vec<_> = others.chain([(id, assignment)]).collect();
        // No id occurs twice: the index had no duplicates, and `id` was left out.
        Self::build(&items[..], None).unwrap_or_default()
    }
}

/// How many bits of the hash choose the shard. Keeps that of `previous` while it is good enough,
/// because an index with another number of shards shares nothing.
fn bits_for(len: usize, previous: Option<&TenantIndex>) -> u8 {
    let ideal = (len / SHARD_LEN_IDEAL + 1).next_power_of_two().ilog2() as u8;
    match previous {
        Some(previous) if !previous.groups.is_empty() => {
            let bounds = SHARD_LEN_MIN << previous.bits..=SHARD_LEN_MAX << previous.bits;
            match bounds.contains(&len) {
                true => previous.bits,
                false => ideal,
            }
        }
        _ => ideal,
    }
}

/// How many items each shard has.
fn count_by_shard<I: Items + ?Sized>(items: &I, bits: u8) -> Vec<u32> {
    let mut counts = vec![0; 1 << bits];
    for at in 0..items.len() {
        counts[shard_of(hash(items.id(at)), bits)] += 1;
    }
    counts
}

/// The positions of the items in the shards from `first` on, which have `counts` items, shard by shard (a
/// counting sort).
fn by_shard<I: Items + ?Sized>(items: &I, bits: u8, first: usize, counts: &[u32]) -> Vec<u32> {
    let mut sum = 0;
    let starts = counts.iter().map(|count| {
        let start = sum;
        sum += *count;
        start
    });
    let mut next: Vec<u32> = starts.collect();
    let mut order = vec![0; sum as usize];
    for at in 0..items.len() {
        let shard = shard_of(hash(items.id(at)), bits).checked_sub(first);
        if let Some(next) = shard.and_then(|shard| next.get_mut(shard)) {
            order[*next as usize] = at as u32;
            *next += 1;
        }
    }
    order
}

/// The rows of one shard, in order.
fn collect_rows<'a, I: Items + ?Sized>(
    items: &'a I,
    members: &[u32],
    rows: &mut Vec<Row<'a>>,
) -> Result<(), Duplicate> {
    rows.clear();
    // The members are spread over the whole document, so none of this is in the processor's caches.
    // Without the hashes in between, it waits for several of them at the same time.
    rows.extend(members.iter().map(|&at| {
        let at = at as usize;
        Row::new(0, items.id(at), items.assignment(at))
    }));
    for row in rows.iter_mut() {
        row.tag = tag(hash(row.id));
    }
    rows.sort_unstable_by_key(Row::key);
    let Some(pair) = rows.windows(2).find(|pair| pair[0].id == pair[1].id) else {
        return Ok(());
    };
    let positions = members.iter().map(|&at| at as usize);
    let mut same = positions.filter(|&at| items.id(at) == pair[0].id);
    let first = same.next().unwrap_or_default();
    let second = same.next().unwrap_or(first);
    Err(Duplicate { first, second })
}

/// The old shard if it has these rows.
fn shared_shard(old: Option<&Shard>, rows: &[Row<'_>]) -> Shard {
    match old {
        Some(old) if old.holds(rows) => old.clone(),
        _ => Shard::from_rows(rows),
    }
}

/// The old group if nothing in it has changed.
fn shared_group(old: Option<&Group>, shards: Vec<Shard>) -> Group {
    match old {
        Some(old) if std::iter::zip(&**old, &shards).all(|(a, b)| a.is(b)) => Group::clone(old),
        _ => shards.into(),
    }
}
