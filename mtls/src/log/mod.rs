//! JSON lines for people and machines, one for each event.
//!
//! A line says what happened, never who it was in their own words, unless that was asked for: no
//! token, and of a subject a keyed hash. Rendering
//! is a function of the event; writing belongs to a thread of its own behind a bounded queue, so
//! that a reader that hangs costs lines (which are counted), never requests.

mod heading;
mod line;
mod render;
mod repeats;
mod subjects;
mod writer;

use std::sync::Arc;

use serde::Deserialize;

use cellway_core::Now;

pub use self::heading::heading;
pub use self::line::rfc3339;
pub use self::render::render;
use self::repeats::Repeats;
pub use self::subjects::{SubjectForm, Subjects};
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
    subjects: Subjects,
    repeats: Arc<Repeats>,
    writer: LogWriter,
}

impl Log {
    /// Writes to `writer` what is at least as severe as `level`.
    pub fn new(level: Level, writer: LogWriter) -> Self {
        Self {
            level,
            subjects: Subjects::Off,
            repeats: Arc::new(Repeats::new()),
            writer,
        }
    }

    /// Shows subjects so, where a line has one.
    #[must_use]
    pub fn with_subjects(self, subjects: Subjects) -> Self {
        Self { subjects, ..self }
    }
}

impl Sink for Log {
    fn emit(&self, now: Now, event: &Event<'_>) {
        let (level, _) = heading(event);
        if level > self.level {
            return;
        }
        if let Some(left_out) = self.repeats.count(now.mono, event) {
            let line = render::line(now.unix, event, &self.subjects, left_out);
            self.writer.write(line);
        }
    }
}

#[cfg(test)]
mod tests;
