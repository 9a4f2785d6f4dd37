//! What differs between two tables.

use std::collections::BTreeMap;
use std::fmt;

use super::row::Row;
use super::text::{COLUMNS, aligned};

/// The most lines of a difference that are shown.
const LINES_MAX: usize = 200;

/// What differs between an older table and a newer one.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
#[non_exhaustive]
pub struct Comparison {
    /// How many cases are decided in another way.
    pub changed: usize,
    /// How many cases are only in the newer table.
    pub added: usize,
    /// How many cases are only in the older table.
    pub removed: usize,
    /// How many cases are decided in the same way.
    pub same: usize,
    /// Whether the cases of both are in another order.
    pub reordered: bool,
    lines: Vec<String>,
}

/// The caller and the request of a case.
type Key = (String, String);

impl Comparison {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        self.changed + self.added + self.removed == 0 && !self.reordered
    }

    /// The lines that differ: those of the older table begin with `-`, those of the newer with `+`.
    pub fn lines(&self) -> &[String] {
        &self.lines
    }

    pub(super) fn of_texts(old: Vec<[String; COLUMNS]>, new: Vec<[String; COLUMNS]>) -> Self {
        let key = |row: &[String; COLUMNS]| (row[0].clone(), row[1].clone());
        Self::of(old, new, key, aligned)
    }

    pub(super) fn of_rows(old: &[Row], new: &[Row]) -> Self {
        let key = |row: &Row| (row.caller.clone(), row.request.clone());
        let written = |rows: &[Row]| rows.iter().map(Row::json).collect();
        Self::of(old.to_vec(), new.to_vec(), key, written)
    }

    /// Compares in the order of `new`. What is missing there comes last.
    fn of<R: PartialEq + Clone>(
        old: Vec<R>,
        new: Vec<R>,
        key: impl Fn(&R) -> Key,
        written: impl Fn(&[R]) -> Vec<String>,
    ) -> Self {
        let mut found = Self::default();
        let keys = |rows: &[R]| rows.iter().map(&key).collect::<Vec<_>>();
        let (old_keys, new_keys) = (keys(&old), keys(&new));
        let mut before: BTreeMap<_, _> = old_keys.iter().zip(&old).collect();
        let (mut marks, mut rows) = (Vec::new(), Vec::new());
        let mut show = |mark, row: &R| {
            marks.push(mark);
            rows.push(row.clone());
        };
        for (key, row) in new_keys.iter().zip(&new) {
            match before.remove(key) {
                Some(known) if known == row => found.same += 1,
                Some(known) => {
                    found.changed += 1;
                    show('-', known);
                    show('+', row);
                }
                None => {
                    found.added += 1;
                    show('+', row);
                }
            }
        }
        let gone = old_keys.iter().zip(&old);
        for (_, row) in gone.filter(|(key, _)| before.contains_key(*key)) {
            found.removed += 1;
            show('-', row);
        }
        // A caller and a request twice in the older table is a table that somebody wrote by hand.
        let kept = |keys: &[Key], others: &[Key]| -> Vec<Key> {
            let kept = keys.iter().filter(|key| others.contains(key));
            kept.cloned().collect()
        };
        found.reordered = kept(&old_keys, &new_keys) != kept(&new_keys, &old_keys);
        let lines = marks.iter().zip(written(&rows));
        found.lines = lines.map(|(mark, line)| format!("{mark} {line}")).collect();
        found
    }
}

/// The lines that differ, and how many there are.
impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for line in self.lines.iter().take(LINES_MAX) {
            writeln!(f, "{line}")?;
        }
        if let Some(more) = self.lines.len().checked_sub(LINES_MAX).filter(|it| *it > 0) {
            writeln!(f, "  and {more} lines more")?;
        }
        if !self.lines.is_empty() {
            writeln!(f)?;
        }
        f.write_str(&self.counts())
    }
}

impl Comparison {
    /// `2 decisions changed, 1 is new, 1 is gone; 996 are the same`
    fn counts(&self) -> String {
        let many = |count: usize, one: &str, more: &str| match count {
            0 => None,
            1 => Some(format!("1 {one}")),
            count => Some(format!("{count} {more}")),
        };
        let parts = [
            many(self.changed, "decision changed", "decisions changed"),
            many(self.added, "is new", "are new"),
            many(self.removed, "is gone", "are gone"),
            self.reordered.then(|| "the order differs".to_owned()),
        ];
        let parts: Vec<_> = parts.into_iter().flatten().collect();
        let same = match self.same {
            1 => "1 is the same".to_owned(),
            same => format!("{same} are the same"),
        };
        match parts.is_empty() {
            true => same,
            false => format!("{}; {same}", parts.join(", ")),
        }
    }
}
