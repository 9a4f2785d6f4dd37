//! The trace of a run, line by line.

use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// The ordered record of a run: simulated time, ordinal, host, event.
///
/// It contains nothing from the real machine (no wall clock, no memory addresses, no thread ids), so
/// two runs of one seed can be compared byte for byte.
#[derive(Clone, Debug)]
pub struct Trace(Option<Arc<Mutex<Vec<String>>>>);

impl Default for Trace {
    fn default() -> Self {
        Self(Some(Arc::default()))
    }
}

impl Trace {
    /// Keeps nothing. It makes a run faster, and changes nothing in it.
    pub fn off() -> Self {
        Self(None)
    }

    /// Whether lines are kept.
    pub fn is_on(&self) -> bool {
        self.0.is_some()
    }

    /// Adds a line. `at` is the simulated time since the start.
    pub fn push(&self, at: Duration, host: &str, event: impl Display) {
        let Some(mut lines) = self.lock() else { return };
        let ordinal = lines.len();
        let (secs, micros) = (at.as_secs(), at.subsec_micros());
        lines.push(format!(
            "{secs:>5}.{micros:06} {ordinal:>6} {host:<12} {event}"
        ));
    }

    /// All lines so far.
    pub fn lines(&self) -> Vec<String> {
        self.lock().map(|lines| lines.clone()).unwrap_or_default()
    }

    fn lock(&self) -> Option<MutexGuard<'_, Vec<String>>> {
        let lines = self.0.as_ref()?;
        // After a panic the trace is still worth reading.
        Some(lines.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The first line in which two traces differ, with what each has there.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Difference {
    /// Counted from 1.
    pub line: usize,
    /// What the first trace has there; `None` past its end.
    pub left: Option<String>,
    /// What the second trace has there.
    pub right: Option<String>,
}

impl Difference {
    /// Compares two traces; `None` if they are the same.
    pub fn between(left: &str, right: &str) -> Option<Self> {
        let (mut left, mut right) = (left.lines(), right.lines());
        for line in 1.. {
            match (left.next(), right.next()) {
                (None, None) => return None,
                (a, b) if a == b => {}
                (a, b) => {
                    return Some(Self {
                        line,
                        left: a.map(str::to_owned),
                        right: b.map(str::to_owned),
                    });
                }
            }
        }
        None
    }
}

impl Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let show = |side: &Option<String>| side.clone().unwrap_or_else(|| "(ended)".to_owned());
        writeln!(f, "traces differ at line {}:", self.line)?;
        writeln!(f, "  first:  {}", show(&self.left))?;
        write!(f, "  second: {}", show(&self.right))
    }
}

#[cfg(test)]
mod tests;
