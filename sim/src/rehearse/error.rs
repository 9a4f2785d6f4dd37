//! Why a change can't be rehearsed.

use std::fmt;
use std::io;

use cellway_decide::DecideError;
use cellway_router::config::ConfigErrors;

/// Why a change can't be rehearsed.
#[derive(Debug)]
#[non_exhaustive]
pub enum RehearseError {
    /// A file can't be read.
    Read {
        /// The file.
        file: String,
        /// What the system said.
        error: io::Error,
        /// What to do.
        advice: String,
    },
    /// A configuration has mistakes.
    Mistakes(ConfigErrors),
    /// A registry is not in the folder, or its document is not valid.
    Registry {
        /// Where it should be.
        source: String,
        /// What is wrong with it, and what to do.
        problem: String,
    },
    /// The decisions can't be made.
    Decide(DecideError),
}

impl RehearseError {
    /// Whether a file can't be read. Otherwise one has mistakes.
    pub fn is_io(&self) -> bool {
        matches!(
            self,
            Self::Read { .. } | Self::Decide(DecideError::Read { .. })
        )
    }
}

impl fmt::Display for RehearseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Read {
                file,
                error,
                advice,
            } => write!(f, "can't read {file}: {error}; {advice}"),
            Self::Mistakes(errors) => errors.fmt(f),
            Self::Registry { source, problem } => write!(f, "{source}: {problem}"),
            Self::Decide(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RehearseError {}

impl From<DecideError> for RehearseError {
    fn from(error: DecideError) -> Self {
        Self::Decide(error)
    }
}
