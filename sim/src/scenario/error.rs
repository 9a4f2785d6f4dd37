//! What is wrong with a scenario file.

use std::fmt;
use std::ops::Range;

/// All mistakes found in a file, at least one.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ScenarioErrors {
    /// The file, as it was named.
    pub file: String,
    /// The mistakes, in the order of the file.
    pub errors: Vec<ScenarioError>,
}

/// One mistake.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub struct ScenarioError {
    /// The line, from 1; 0 if it belongs to no line.
    pub line: usize,
    /// The field, such as `world.tenant.cell`; empty if the text isn't TOML.
    pub field: String,
    /// What is wrong, and what would be right.
    pub problem: String,
}

impl fmt::Display for ScenarioErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            let separator = if i == 0 { "" } else { "\n" };
            write!(f, "{separator}{}", self.file)?;
            if error.line > 0 {
                write!(f, ":{}", error.line)?;
            }
            if !error.field.is_empty() {
                write!(f, ": {}", error.field)?;
            }
            write!(f, ": {}", error.problem)?;
        }
        Ok(())
    }
}

impl std::error::Error for ScenarioErrors {}

/// Collects mistakes with their lines.
pub(crate) struct Errors<'a> {
    text: &'a str,
    found: Vec<ScenarioError>,
}

impl<'a> Errors<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let found = Vec::new();
        Self { text, found }
    }

    /// The line on which this begins, from 1. 0 for a default value, which isn't in the file.
    pub(super) fn line(&self, at: &Range<usize>) -> usize {
        match at.is_empty() {
            true => 0,
            false => 1 + self.text[..at.start].matches('\n').count(),
        }
    }

    pub(crate) fn add(&mut self, at: Range<usize>, field: &str, problem: impl Into<String>) {
        self.at_line(self.line(&at), field, problem);
    }

    /// A mistake on this line.
    pub(super) fn at_line(&mut self, line: usize, field: &str, problem: impl Into<String>) {
        self.found.push(ScenarioError {
            line,
            field: field.to_owned(),
            problem: problem.into(),
        });
    }

    /// A mistake in `[router]`; `setting` is the router's own name of the setting.
    pub(crate) fn setting(&mut self, setting: &str, problem: impl Into<String>) {
        self.found.push(ScenarioError {
            line: self.line_of_setting(setting),
            field: format!("router.{setting}"),
            problem: problem.into(),
        });
    }

    /// The first line in a `[router...]` table that names the last part of the setting; 0 if it
    /// isn't set there at all.
    fn line_of_setting(&self, setting: &str) -> usize {
        let leaf = setting.rsplit('.').next().unwrap_or_default();
        let leaf = leaf.split('[').next().unwrap_or_default();
        let mut in_router = false;
        for (line, text) in (1..).zip(self.text.lines().map(str::trim)) {
            if text.starts_with('[') {
                let header = text.trim_matches(['[', ']']);
                in_router = header == "router" || header.starts_with("router.");
                if in_router && header.rsplit('.').next() == Some(leaf) {
                    return line;
                }
            } else if in_router && text.split('=').next().map(str::trim) == Some(leaf) {
                return line;
            }
        }
        0
    }

    /// A mistake that the TOML reader found. It stops at the first.
    pub(super) fn toml(&mut self, error: &toml::de::Error) {
        let at = error.span().unwrap_or_default();
        let line = 1 + self.text[..at.start.min(self.text.len())]
            .matches('\n')
            .count();
        self.found.push(ScenarioError {
            line,
            field: self.field_at(line),
            problem: error.message().replace('\n', "; "),
        });
    }

    /// What the line sets: its key under the last header above it.
    fn field_at(&self, line: usize) -> String {
        let above: Vec<&str> = self.text.lines().take(line).collect();
        let Some(own) = above.last() else {
            return String::new();
        };
        let header = above
            .iter()
            .rev()
            .find(|line| line.trim_start().starts_with('['));
        let header = header.map_or("", |line| line.trim().trim_matches(['[', ']']));
        let key = match own.split_once('=') {
            Some((key, _)) if !own.trim_start().starts_with('[') => key.trim(),
            _ => "",
        };
        match (header, key) {
            (header, "") => header.to_owned(),
            ("", key) => key.to_owned(),
            (header, key) => format!("{header}.{key}"),
        }
    }

    /// Whether nothing was found so far.
    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    pub(crate) fn finish(mut self, file: &str) -> Result<(), ScenarioErrors> {
        if self.found.is_empty() {
            return Ok(());
        }
        self.found.sort();
        Err(ScenarioErrors {
            file: file.to_owned(),
            errors: self.found,
        })
    }
}
