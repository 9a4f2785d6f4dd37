//! Columns of text, divided by two spaces or more.

use super::TableRefused;

pub(super) const COLUMNS: usize = 8;

const TITLES: [&str; COLUMNS] = [
    "CALLER", "REQUEST", "DECISION", "REASON", "TENANT", "CELL", "POLICY", "RULE",
];

/// Widths are multiples of this, so that a longer value seldom changes the lines of all others.
const WIDTH_STEP: usize = 8;

/// Writes rows below the titles.
pub(super) fn write(rows: impl Iterator<Item = [String; COLUMNS]>) -> String {
    let titles = TITLES.map(str::to_owned);
    let rows: Vec<_> = [titles].into_iter().chain(rows).collect();
    aligned(&rows)
        .into_iter()
        .fold(String::new(), |mut text, line| {
            text += &line;
            text.push('\n');
            text
        })
}

/// The lines of rows whose columns begin at the same places.
pub(super) fn aligned(rows: &[[String; COLUMNS]]) -> Vec<String> {
    let width = |at: usize| rows.iter().map(|row| row[at].chars().count()).max();
    let width = |at| width(at).unwrap_or_default().next_multiple_of(WIDTH_STEP);
    let widths: [usize; COLUMNS] = std::array::from_fn(width);
    let line = |row: &[String; COLUMNS]| {
        let columns = row.iter().zip(widths);
        let columns: Vec<_> = columns
            .map(|(value, width)| format!("{value:width$}"))
            .collect();
        columns.join("  ").trim_end().to_owned()
    };
    rows.iter().map(line).collect()
}

/// Reads a table back. The titles and the widths of columns don't count.
pub(super) fn read(text: &str) -> Result<Vec<[String; COLUMNS]>, TableRefused> {
    let mut rows = Vec::new();
    for (number, line) in (1..).zip(text.lines()) {
        let line = line.trim_end();
        if line.is_empty() {
            continue;
        }
        let columns = line.split("  ").map(str::trim);
        let columns: Vec<_> = columns
            .filter(|column| !column.is_empty())
            .map(str::to_owned)
            .collect();
        let columns: Result<[String; COLUMNS], _> = columns.try_into();
        let row = columns.map_err(|columns: Vec<_>| {
            let found = columns.len();
            TableRefused(format!("line {number} has {found} columns, not {COLUMNS}"))
        })?;
        if row != TITLES {
            rows.push(row);
        }
    }
    Ok(rows)
}
