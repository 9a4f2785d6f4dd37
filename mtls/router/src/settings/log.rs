//! The words of `[log]`.

use serde::Deserialize;

/// How severe a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody must do something.
    Error,
    /// Something was refused or lost, and the router keeps running.
    Warn,
    /// What an operator wants to read afterwards. Every denial is here.
    #[default]
    Info,
    /// Every request and connection.
    Debug,
}

impl Level {
    /// The word in a line.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Error => "error",
            Self::Warn => "warn",
            Self::Info => "info",
            Self::Debug => "debug",
        }
    }
}

/// The setting `log.subject`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SubjectForm {
    /// As a keyed hash.
    #[default]
    Hash,
    /// As it is.
    Raw,
    /// Not at all.
    Off,
}
