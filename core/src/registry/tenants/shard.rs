//! One shard: an open-addressed table of 16-byte records, and all ids behind it, in one allocation.
//!
//! A lookup in a registry of a million tenants finds nothing in the processor's caches. With the table
//! and the ids in one piece it waits for memory twice, once for each.
//!
//! Rows are inserted in order of tag and id, so that equal content has equal layout.

use std::fmt;
use std::sync::Arc;

use super::Assignment;

/// About a hundred tenants. Clones share them.
///
/// The first unit is the [`Head`], the next are the table's records, the others hold the ids, one after
/// the other.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Shard(Arc<[Unit]>);

/// Four fit a cache line.
type Unit = [u8; 16];

/// How long the parts of a shard are.
struct Head {
    /// A third longer than the number of rows, so that a search soon finds a vacant record.
    table: u32,
    rows: u32,
}

/// A row of the table.
#[derive(Clone, Copy)]
struct Record {
    tag: u32,
    offset: u32,
    /// [`VACANT`] if there is no row.
    target: u32,
    terms: u16,
    /// An id has 1 to 256 bytes.
    len_less_one: u8,
    suspended: bool,
}

const VACANT: u32 = u32::MAX;

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

impl Head {
    fn unit(&self) -> Unit {
        (u128::from(self.table) | u128::from(self.rows) << 32).to_le_bytes()
    }

    fn read(unit: Unit) -> Self {
        let bits = u128::from_le_bytes(unit);
        Self {
            table: bits as u32,
            rows: (bits >> 32) as u32,
        }
    }
}

impl Record {
    const NONE: Self = Self {
        tag: 0,
        offset: 0,
        target: VACANT,
        terms: 0,
        len_less_one: 0,
        suspended: false,
    };

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

    fn is_taken(&self) -> bool {
        self.target != VACANT
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
        let table = rows.len() + rows.len() / 3 + 1;
        let ids: usize = rows.iter().map(|row| row.id.len()).sum();
        let head = Head {
            table: table as u32,
            rows: rows.len() as u32,
        };
        let mut units = vec![Record::NONE.unit(); 1 + table + ids.div_ceil(16)];
        units[0] = head.unit();
        let (records, ids) = units[1..].split_at_mut(table);
        let mut offset = 0;
        for row in rows {
            let mut at = home(row.tag, table);
            while Record::read(records[at]).is_taken() {
                at = (at + 1) % table;
            }
            let record = Record {
                tag: row.tag,
                // Fits, because `parse` refuses documents of 4 GiB or more.
                offset: offset as u32,
                target: row.assignment.target,
                terms: row.assignment.terms,
                len_less_one: (row.id.len() - 1) as u8,
                suspended: row.assignment.suspended,
            };
            records[at] = record.unit();
            let end = offset + row.id.len();
            ids.as_flattened_mut()[offset..end].copy_from_slice(row.id.as_bytes());
            offset = end;
        }
        ids.as_flattened_mut()[offset..].fill(0);
        Self(units.into())
    }

    /// How many rows there are.
    pub(super) fn len(&self) -> usize {
        self.parts().0.rows as usize
    }

    /// Whether both are the same shard, not only equal ones.
    pub(super) fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }

    pub(super) fn get(&self, tag: u32, id: &str) -> Option<(&str, Assignment)> {
        let (_, table, ids) = self.parts();
        let (before, after) = table.split_at_checked(home(tag, table.len()))?;
        for unit in after.iter().chain(before) {
            let record = Record::read(*unit);
            if !record.is_taken() {
                return None;
            }
            if record.tag == tag {
                let found = id_of(&record, ids);
                if found == id {
                    return Some((found, record.assignment()));
                }
            }
        }
        None
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
        let (_, table, ids) = self.parts();
        let records = table.iter().map(|unit| Record::read(*unit));
        records
            .filter(Record::is_taken)
            .map(move |record| Row::new(record.tag, id_of(&record, ids), record.assignment()))
    }

    /// Its head, its table and its ids.
    fn parts(&self) -> (Head, &[Unit], &[u8]) {
        let Some((head, rest)) = self.0.split_first() else {
            return (Head { table: 0, rows: 0 }, &[], &[]);
        };
        let head = Head::read(*head);
        let (table, ids) = rest
            .split_at_checked(head.table as usize)
            .unwrap_or_default();
        (head, table, ids.as_flattened())
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

/// Where a search for a tag starts: the position in the table that is proportional to the tag.
fn home(tag: u32, table_len: usize) -> usize {
    ((u64::from(tag) * table_len as u64) >> 32) as usize
}
