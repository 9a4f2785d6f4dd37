//! One shard: an open-addressed table of 16-byte records, and one string of all ids.
//!
//! Rows are inserted in order of tag and id, so that equal content has equal layout.

use super::Assignment;

/// About a hundred tenants.
#[derive(PartialEq, Eq, Debug, Default)]
pub(super) struct Shard {
    /// A third longer than the number of rows, so that a search soon finds a vacant record.
    table: Box<[Record]>,
    /// All ids, one after the other.
    ids: Box<str>,
    len: u32,
}

/// A row of the table. 16 bytes, so that four fit a cache line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
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

impl Record {
    const NONE: Self = Self {
        tag: 0,
        offset: 0,
        target: VACANT,
        terms: 0,
        len_less_one: 0,
        suspended: false,
    };

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
        let mut table = vec![Record::NONE; rows.len() + rows.len() / 3 + 1].into_boxed_slice();
        let mut ids = String::with_capacity(rows.iter().map(|row| row.id.len()).sum());
        for row in rows {
            let mut at = home(row.tag, table.len());
            while table[at].target != VACANT {
                at = (at + 1) % table.len();
            }
            table[at] = Record {
                tag: row.tag,
                // Fits, because `parse` refuses documents of 4 GiB or more.
                offset: ids.len() as u32,
                target: row.assignment.target,
                terms: row.assignment.terms,
                len_less_one: (row.id.len() - 1) as u8,
                suspended: row.assignment.suspended,
            };
            ids.push_str(row.id);
        }
        Self {
            table,
            ids: ids.into(),
            len: rows.len() as u32,
        }
    }

    pub(super) fn len(&self) -> usize {
        self.len as usize
    }

    pub(super) fn get(&self, tag: u32, id: &str) -> Option<(&str, Assignment)> {
        let start = home(tag, self.table.len());
        let (before, after) = self.table.split_at_checked(start)?;
        for record in after.iter().chain(before) {
            if record.target == VACANT {
                return None;
            }
            if record.tag == tag && self.id(record) == id {
                return Some((self.id(record), record.assignment()));
            }
        }
        None
    }

    /// Every row, in order of the table.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, Assignment)> {
        let taken = self.table.iter().filter(|record| record.target != VACANT);
        taken.map(|record| (self.id(record), record.assignment()))
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
        let taken = self.table.iter().filter(|record| record.target != VACANT);
        let old = taken.map(|record| Row::new(record.tag, self.id(record), record.assignment()));
        let mut rows: Vec<_> = old
            .filter(|row| row.key() != (tag, id))
            .chain(row)
            .collect();
        rows.sort_unstable_by_key(Row::key);
        Self::from_rows(&rows)
    }

    fn id(&self, record: &Record) -> &str {
        let start = record.offset as usize;
        let end = start + usize::from(record.len_less_one) + 1;
        self.ids.get(start..end).unwrap_or_default()
    }
}

/// Where a search for a tag starts: the position in the table that is proportional to the tag.
fn home(tag: u32, table_len: usize) -> usize {
    ((u64::from(tag) * table_len as u64) >> 32) as usize
}
