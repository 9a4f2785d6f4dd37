//! One shard: a sorted table of 16-byte records, and all ids behind it, in one allocation.
//!
//! A lookup in a registry of a million tenants finds nothing in the processor's caches. With the table
//! and the ids in one piece it waits for memory about twice, once for each: tags are evenly spread, so a
//! search starts a few records from where it ends.
//!
//! Rows are in order of tag and id, so that equal content has equal layout.

use std::fmt;
use std::sync::Arc;

use super::Assignment;

/// About a hundred tenants. Clones share them.
///
/// The first unit holds the number of rows, the next are their records, the others hold the ids, one
/// after the other.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Shard(Arc<[Unit]>);

/// Four fit a cache line.
type Unit = [u8; 16];

/// A row of the table.
#[derive(Clone, Copy)]
struct Record {
    tag: u32,
    offset: u32,
    target: u32,
    terms: u16,
    /// An id has 1 to 256 bytes.
    len_less_one: u8,
    suspended: bool,
}

/// A row to put into a shard. Ordered by tag, then id.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Row<'a> {
    pub(super) tag: u32,
    pub(super) id: &'a str,
    pub(super) assignment: Assignment,
}

impl<'a> Row<'a> {
    pub(super) fn new(tag: u32, id: &'a str, assignment: Assignment) -> Self {
        Self {
            tag,
            id,
            assignment,
        }
    }

    /// The sort key of rows.
    pub(super) fn key(&self) -> (u32, &'a str) {
        (self.tag, self.id)
    }
}

impl Record {
    fn unit(self) -> Unit {
        let bits = u128::from(self.tag)
            | u128::from(self.offset) << 32
            | u128::from(self.target) << 64
            | u128::from(self.terms) << 96
            | u128::from(self.len_less_one) << 112
            | u128::from(self.suspended) << 120;
        bits.to_le_bytes()
    }

    fn read(unit: Unit) -> Self {
        let bits = u128::from_le_bytes(unit);
        Self {
            tag: bits as u32,
            offset: (bits >> 32) as u32,
            target: (bits >> 64) as u32,
            terms: (bits >> 96) as u16,
            len_less_one: (bits >> 112) as u8,
            suspended: bits >> 120 != 0,
        }
    }

    fn assignment(self) -> Assignment {
        Assignment {
            target: self.target,
            terms: self.terms,
            suspended: self.suspended,
        }
    }
}

impl Shard {
    /// A shard of these rows, which are sorted and have no id twice.
    pub(super) fn from_rows(rows: &[Row<'_>]) -> Self {
        let ids: usize = rows.iter().map(|row| row.id.len()).sum();
        let len = 1 + rows.len() + ids.div_ceil(16);
        let mut units = Vec::with_capacity(len);
        units.push((rows.len() as u128).to_le_bytes());
        let mut offset = 0;
        for row in rows {
            let record = Record {
                tag: row.tag,
                // Fits, because `parse` refuses documents of 4 GiB or more.
                offset: offset as u32,
                target: row.assignment.target,
                terms: row.assignment.terms,
                len_less_one: (row.id.len() - 1) as u8,
                suspended: row.assignment.suspended,
            };
            units.push(record.unit());
            offset += row.id.len();
        }
        units.resize(len, [0; 16]);
        let mut rest = units[1 + rows.len()..].as_flattened_mut();
        for row in rows {
            let (id, after) = rest.split_at_mut(row.id.len());
            id.copy_from_slice(row.id.as_bytes());
            rest = after;
        }
        Self(units.into())
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.parts().0.len()
    }

    /// Whether both are the same shard, not only equal ones.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn get(&self, tag: u32, id: &str) -> Option<(&str, Assignment)> {
        let (table, ids) = self.parts();
        let same = first_of(tag, table)?.iter().map(|unit| Record::read(*unit));
        let mut same = same.take_while(|record| record.tag == tag);
        let record = same.find(|record| id_of(record, ids) == id)?;
        Some((id_of(&record, ids), record.assignment()))
    }

    /// Every row, in order of the table.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Assignment)> {
        self.rows().map(|row| (row.id, row.assignment))
    }

    /// Whether the shard has exactly these rows, which have no id twice.
    pub(super) fn holds(&self, rows: &[Row<'_>]) -> bool {
        let same = |row: &Row<'_>| {
            let found = self.get(row.tag, row.id);
            found.is_some_and(|(_, assignment)| assignment == row.assignment)
        };
        self.len() == rows.len() && rows.iter().all(same)
    }

    /// The shard with the row of this id replaced or added, or removed for `None`.
    pub(super) fn changed(&self, tag: u32, id: &str, row: Option<Row<'_>>) -> Self {
        let others = self.rows().filter(|row| row.key() != (tag, id));
        let mut rows: Vec<_> = others.chain(row).collect();
        rows.sort_unstable_by_key(Row::key);
        Self::from_rows(&rows)
    }

    fn rows(&self) -> impl Iterator<Item = Row<'_>> {
        let (table, ids) = self.parts();
        let records = table.iter().map(|unit| Record::read(*unit));
        records.map(move |record| Row::new(record.tag, id_of(&record, ids), record.assignment()))
    }

    /// Its table and its ids.
    fn parts(&self) -> (&[Unit], &[u8]) {
        let Some((head, rest)) = self.0.split_first() else {
            return (&[], &[]);
        };
        let rows = u128::from_le_bytes(*head) as usize;
        let (table, ids) = rest.split_at_checked(rows).unwrap_or_default();
        (table, ids.as_flattened())
    }
}

/// Shows the rows.
impl fmt::Debug for Shard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.rows()).finish()
    }
}

fn id_of<'a>(record: &Record, ids: &'a [u8]) -> &'a str {
    let start = record.offset as usize;
    let end = start + usize::from(record.len_less_one) + 1;
    let id = ids.get(start..end).unwrap_or_default();
    std::str::from_utf8(id).unwrap_or_default()
}

/// The part of a sorted table from the first record of this tag on; `None` if no tag is as high.
fn first_of(tag: u32, table: &[Unit]) -> Option<&[Unit]> {
    let is_less = |at: usize| {
        table
            .get(at)
            .is_some_and(|unit| Record::read(*unit).tag < tag)
    };
    let mut at = home(tag, table.len());
    while at > 0 && !is_less(at - 1) {
        at -= 1;
    }
    while is_less(at) {
        at += 1;
    }
    table.get(at..)
}

/// Where a search for a tag starts: the position in the table that is proportional to the tag.
fn home(tag: u32, table_len: usize) -> usize {
    ((u64::from(tag) * table_len as u64) >> 32) as usize
}
