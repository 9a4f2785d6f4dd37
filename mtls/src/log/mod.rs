//! JSON lines for people and machines, one for each event.
//!
//! A line says what happened, never who it was in their own words: no token, no subject. Rendering
//! is a function of the event; writing belongs to a thread of its own behind a bounded queue, so
//! that a reader that hangs costs lines (which are counted), never requests.

mod line;
mod render;
mod writer;

use serde::Deserialize;

use cellway_core::Now;

pub use self::line::rfc3339;
pub use self::render::{heading, render};
pub use self::writer::{Flush, LogWriter, Lost};
use crate::event::{Event, Sink};

/// How severe a line is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// Somebody must do something.
    Error,
    /// Something was refused or lost, and the router goes on.
    Warn,
    /// What an operator wants to read afterwards, each denial among it.
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

/// A sink that writes a line for each event of its level or a more severe one.
#[derive(Clone, Debug)]
pub struct Log {
    level: Level,
    writer: LogWriter,
}

impl Log {
    /// Writes to `writer` what is at least as severe as `level`.
    pub fn new(level: Level, writer: LogWriter) -> Self {
        Self { level, writer }
    }
}

impl Sink for Log {
    fn emit(&self, now: Now, event: &Event<'_>) {
        if let Some(line) = render(now.unix, event, self.level) {
            self.writer.write(line);
        }
    }
}

#[cfg(test)]
mod tests;
