//! Why there are no decisions.

use std::fmt;
use std::io;

use cellway_router::config::ConfigErrors;
use cellway_testbed::TestbedError;

/// Why there are no decisions.
#[derive(Debug)]
#[non_exhaustive]
pub enum DecideError {
    /// A file can't be read.
    Read {
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
    },
    /// The configuration or the file of cases has mistakes.
    Mistakes(ConfigErrors),
    /// The registry is not in a file, or its document is not valid.
    Registry {
        /// Where it comes from.
        source: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A key, certificate or token couldn't be made.
    Make(String),
}

impl fmt::Display for DecideError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read { file, error } => write!(f, "can't read {file}: {error}"),
            Self::Mistakes(errors) => errors.fmt(f),
            Self::Registry { source, problem } => write!(f, "{source}: {problem}"),
            Self::Make(problem) => write!(f, "can't make a credential: {problem}"),
        }
    }
}

impl std::error::Error for DecideError {}

impl From<ConfigErrors> for DecideError {
    fn from(errors: ConfigErrors) -> Self {
        Self::Mistakes(errors)
    }
}

impl From<TestbedError> for DecideError {
    fn from(error: TestbedError) -> Self {
        Self::Make(error.to_string())
    }
}
