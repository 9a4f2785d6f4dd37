//! JSON lines for people and machines.

use serde::Deserialize;

/// How severe a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody must do something.
    Error,
    /// Something was refused or lost, and the router goes on.
    Warn,
    /// What an operator wants to read afterwards.
    #[default]
    Info,
    /// Every request.
    Debug,
}
