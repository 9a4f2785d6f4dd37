//! A failure as a story: the request, who knew what when, which fact should have led to which, the rule that
//! was broken, and the lines of the scenario. A person who didn't write the router finds the cause with it.

mod because;
mod rule;
mod scene;
mod tell;

use std::fmt::Write;
use std::time::Duration;

use serde::{Deserialize, Serialize};

pub(crate) use self::scene::Scene;
use crate::failure::Violation;
use crate::record::seconds;

/// A failure as a story.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Story {
    /// The invariant or expectation that was broken.
    pub name: String,
    /// When it was noticed, since the start.
    pub at: Duration,
    /// What was found, and what was expected.
    pub found: String,
    /// The tag of the request that shows it.
    pub tag: Option<String>,
    /// The story, row by row.
    pub rows: Vec<Row>,
}

/// A row of a story.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Row {
    /// What the row is about, in a word.
    pub label: String,
    /// A sentence.
    pub text: String,
    /// When it happened, since the start.
    pub at: Option<Duration>,
    /// The host where it happened.
    pub host: Option<String>,
    /// The line of the scenario.
    pub line: Option<usize>,
}

impl Row {
    fn new(label: &str, text: impl Into<String>) -> Self {
        Self {
            label: label.to_owned(),
            text: text.into(),
            at: None,
            host: None,
            line: None,
        }
    }

    fn at(self, at: Duration) -> Self {
        let at = Some(at);
        Self { at, ..self }
    }

    fn host(self, host: &str) -> Self {
        let host = Some(host.to_owned());
        Self { host, ..self }
    }

    fn line(self, line: usize) -> Self {
        let line = Some(line);
        Self { line, ..self }
    }
}

/// The rows that stories about one request don't share.
const OWN: [&str; 3] = ["should", "rule", "expected"];

impl Story {
    pub(crate) fn of(scene: &Scene<'_>, violation: &Violation) -> Self {
        Self {
            name: violation.name.clone(),
            at: violation.at,
            found: violation.why.clone(),
            tag: violation
                .request
                .as_ref()
                .map(|request| request.tag.clone()),
            rows: tell::rows(scene, violation),
        }
    }

    /// The story as lines of text. `file` is the scenario's file. If one before is about the same request,
    /// it has the rows about this already.
    pub(crate) fn text(&self, file: &str, before: &[Self]) -> String {
        let Self {
            name, at, found, ..
        } = self;
        let mut text = format!("{name} at {}: {found}", seconds(*at));
        let is_told = before
            .iter()
            .any(|story| story.tag.is_some() && story.tag == self.tag);
        let rows = self.rows.iter();
        let rows = rows.filter(|row| !is_told || OWN.contains(&row.label.as_str()));
        let mut last = "";
        for row in rows {
            let label = if row.label == last { "" } else { &row.label };
            last = &row.label;
            // Writing to a string can't fail.
            let _ = write!(text, "\n  {label:<11}");
            if let Some(at) = row.at {
                let _ = write!(text, "{}  ", seconds(at));
            }
            text += &row.text;
            if let Some(line) = row.line {
                let _ = write!(text, " ({file}:{line})");
            }
        }
        text
    }
}

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
