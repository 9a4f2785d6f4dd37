//! The log: one JSON line for each event.
//!
//! A line never has a token, and it has only a keyed hash of a subject unless the configuration
//! asks for more. Rendering is a function of the event. A separate thread writes the lines from a
//! bounded queue: if the reader of the log hangs, lines are lost and counted, but no request waits.

mod control;
mod heading;
mod line;
mod render;
mod repeats;
mod subjects;
mod writer;

use std::io::{self, Write};
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering::Relaxed};

use arc_swap::ArcSwap;

use cellway_core::Now;

pub(crate) use self::control::LogChange;
pub use self::control::{LogControl, LogError, subjects};
pub use self::heading::heading;
pub use self::render::{access, render};
use self::repeats::Repeats;
pub use self::subjects::Subjects;
pub use self::writer::{Flush, LogWriter, Lost};
use crate::observe::event::{Event, Responded, Sink};
pub use crate::rfc3339::rfc3339;
pub use crate::settings::{Level, SubjectForm};

/// A sink that writes a line for each event that is at least as severe as its level. All clones are
/// the same log, and a change applies to all of them.
#[derive(Clone, Debug)]
pub struct Log(Arc<LogState>);

/// Every worker reads it. Most events need only the level. It is rarely written.
#[derive(Debug)]
struct LogState {
    level: AtomicU8,
    output: ArcSwap<Output>,
    repeats: Repeats,
}

/// How subjects are shown, and where lines are written.
#[derive(Clone, Debug)]
struct Output {
    subjects: Subjects,
    writer: LogWriter,
    /// For lines of the access log. The same writer as the other if they go to the same place.
    access: LogWriter,
}

impl Log {
    /// Creates a log that writes events at least as severe as `level` to `writer`.
    pub fn new(level: Level, writer: LogWriter) -> Self {
        let output = Output {
            subjects: Subjects::Off,
            access: writer.clone(),
            writer,
        };
        Self(Arc::new(LogState {
            level: AtomicU8::new(level as u8),
            output: ArcSwap::from_pointee(output),
            repeats: Repeats::new(),
        }))
    }

    /// Sets how subjects are shown.
    #[must_use]
    pub fn with_subjects(self, subjects: Subjects) -> Self {
        self.put(|output| output.subjects = subjects);
        self
    }

    /// Sets where lines of the access log are written.
    #[must_use]
    pub fn with_access(self, access: LogWriter) -> Self {
        self.put(|output| output.access = access);
        self
    }

    /// The counter of lost lines.
    pub(crate) fn lost(&self) -> Lost {
        self.0.output.load().writer.lost()
    }

    /// The writer of all lines but those of the access log.
    fn writer(&self) -> LogWriter {
        self.0.output.load().writer.clone()
    }

    /// Creates a writer to another place, which [`change`](Self::change) can put in force.
    fn writer_to(&self, out: Box<dyn Write + Send>) -> io::Result<LogWriter> {
        self.0.output.load().writer.to(out)
    }

    /// Changes the level, and what `change` changes of the output.
    fn change(&self, level: Level, change: impl FnOnce(&mut Output)) {
        self.put(change);
        self.0.level.store(level as u8, Relaxed);
    }

    /// Each line uses either the old or the new output. The old writer stops when the last line for
    /// it is sent and everything that it took is written.
    fn put(&self, change: impl FnOnce(&mut Output)) {
        let mut output = Output::clone(&self.0.output.load());
        change(&mut output);
        self.0.output.store(Arc::new(output));
    }
}

impl Sink for Log {
    fn emit(&self, now: Now, event: &Event<'_>) {
        if let Event::Responded(Responded {
            exchange: Some(_), ..
        }) = event
        {
            let output = self.0.output.load();
            if let Some(line) = render::access(now.unix, event, &output.subjects) {
                output.access.write(line);
            }
        }
        let (level, _) = heading(event);
        let least = self.0.level.load(Relaxed);
        if level as u8 > least {
            return;
        }
        // At `debug`, every answer has a line.
        let each = least >= Level::Debug as u8 && matches!(event, Event::Responded(_));
        let left_out = match each {
            true => Some(0),
            false => self.0.repeats.count(now.mono, event),
        };
        if let Some(left_out) = left_out {
            let output = self.0.output.load();
            let line = render::line(now.unix, event, &output.subjects, left_out);
            output.writer.write(line);
        }
    }
}

#[cfg(test)]
mod change;
#[cfg(test)]
mod page;
#[cfg(test)]
mod tests;
