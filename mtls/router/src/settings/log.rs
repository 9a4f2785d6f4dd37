//! `[log]`.

use serde::{Deserialize, Serialize};

/// How the process that the router runs in writes its log. The router only emits events and writes
/// nothing itself; it has these settings to show them to operators.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct LogSettings {
    /// The least severe level that is written.
    pub level: Level,
    /// Where lines are written.
    pub to: Output,
    /// How subjects are shown.
    pub subject: SubjectForm,
    /// The file with the key of the hash.
    pub subject_key: Option<String>,
    /// Where the access log is written. `None`: where the other lines are.
    pub access_to: Option<Output>,
}

/// Where log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
}

impl Output {
    /// The word in the configuration and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Stdout => "stdout",
        }
    }
}

/// How severe a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Serialize, Deserialize)]
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
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
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
