//! The table of decisions, as text and as JSON.

mod compare;
mod row;
mod text;

use std::fmt;

use serde::Serialize;

pub use self::compare::Comparison;
pub use self::row::Row;

/// The decisions of a file of cases, in the order of the file: for each caller, each of its requests.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[serde(transparent)]
pub struct Decisions {
    rows: Vec<Row>,
}

/// How a table is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Form {
    /// Columns, to read.
    Text,
    /// A list of objects, each on a line.
    Json,
}

/// Why a text isn't a table of decisions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TableRefused(String);

impl fmt::Display for TableRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for TableRefused {}

impl Form {
    /// The form of a file, by its name: JSON if it ends in `.json`.
    pub fn of_file(name: &str) -> Self {
        match name.ends_with(".json") {
            true => Self::Json,
            false => Self::Text,
        }
    }
}

impl Decisions {
    pub(crate) fn new(rows: Vec<Row>) -> Self {
        Self { rows }
    }

    /// All decisions.
    pub fn rows(&self) -> &[Row] {
        &self.rows
    }

    /// The whole table, with a line break at its end.
    pub fn write(&self, form: Form) -> String {
        match form {
            Form::Text => text::write(self.rows.iter().map(Row::columns)),
            Form::Json => self.json(),
        }
    }

    /// A list with one line for each decision, so that a change is a changed line.
    fn json(&self) -> String {
        let lines: Vec<_> = self.rows.iter().map(Row::json).collect();
        format!("[\n{}\n]\n", lines.join(",\n"))
    }

    /// Compares with a table that was written before.
    ///
    /// # Errors
    /// The text is not a table in this form.
    pub fn compare(&self, before: &str, form: Form) -> Result<Comparison, TableRefused> {
        match form {
            Form::Text => {
                let old = text::read(before)?;
                let new = self.rows.iter().map(Row::columns).collect();
                Ok(Comparison::of_texts(old, new))
            }
            Form::Json => {
                let old: Vec<Row> = serde_json::from_str(before)
                    .map_err(|error| TableRefused(error.to_string()))?;
                Ok(Comparison::of_rows(&old, &self.rows))
            }
        }
    }
}

/// The table as text, without a line break at its end.
impl fmt::Display for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.write(Form::Text).trim_end())
    }
}

#[cfg(test)]
mod tests;
