//! The mistakes of a configuration: where each is, what is wrong, and what to do.

use std::fmt;

use crate::finding::{Finding, Severity};

/// One mistake: its line, its setting, what is wrong, and what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ConfigError {
    /// Where the setting was written.
    pub place: Place,
    /// Its full name, such as `issuer[0].audience`. Empty if the mistake belongs to no setting.
    pub setting: String,
    /// What is wrong with it.
    pub problem: String,
    /// What to do about it. Empty if the problem already says it.
    pub fix: String,
}

/// Where a setting was written.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Place {
    /// In the file, on this line (from 1).
    Line(usize),
    /// In an environment variable of this name.
    Variable(String),
    /// In the file, but on no line, because something is missing.
    File,
}

impl From<ConfigError> for Finding {
    fn from(error: ConfigError) -> Self {
        Self {
            severity: Severity::Error,
            setting: error.setting,
            problem: error.problem,
            fix: error.fix,
        }
    }
}

/// Every mistake of one configuration, in the order of the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ConfigErrors {
    /// The file, as it was named by the caller.
    pub file: String,
    /// At least one.
    pub errors: Vec<ConfigError>,
    /// The files that the settings without mistakes name. They were not read.
    pub files: Vec<NamedFile>,
}

/// A file or a folder that a setting names.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NamedFile {
    /// Where the setting was written.
    pub place: Place,
    /// The setting.
    pub setting: String,
    /// The path, as the router opens it.
    pub path: String,
}

impl Place {
    /// The place in messages: `cellway.toml:7`, or the name of the variable.
    pub fn within(&self, file: &str) -> String {
        match self {
            Self::Line(line) => format!("{file}:{line}"),
            Self::Variable(name) => name.clone(),
            Self::File => file.to_owned(),
        }
    }
}

impl ConfigErrors {
    /// Sorts the mistakes by line and drops repetitions.
    pub(crate) fn new(file: &str, mut errors: Vec<ConfigError>) -> Self {
        errors.sort_by(|a, b| (&a.place, &a.setting).cmp(&(&b.place, &b.setting)));
        errors.dedup();
        Self {
            file: file.to_owned(),
            errors,
            files: Vec::new(),
        }
    }
}

impl fmt::Display for ConfigErrors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, error) in self.errors.iter().enumerate() {
            if i > 0 {
                writeln!(f)?;
            }
            write!(f, "{}: ", error.place.within(&self.file))?;
            if !error.setting.is_empty() {
                write!(f, "{}: ", error.setting)?;
            }
            f.write_str(&error.problem)?;
            if !error.fix.is_empty() {
                write!(f, "\n    {}", error.fix)?;
            }
        }
        Ok(())
    }
}

impl std::error::Error for ConfigErrors {}
