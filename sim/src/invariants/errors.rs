//! A router that reports an ERROR has found a bug or lost something.

use std::time::Duration;

use super::Invariant;
use crate::fact::Fact;

/// No event of the level ERROR, except those that the scenario says it provokes.
#[derive(Debug)]
pub struct NoUnexpectedErrors {
    expected: Vec<String>,
}

impl NoUnexpectedErrors {
    /// With these exceptions: names of events.
    pub fn new(expected: &[String]) -> Self {
        let expected = expected.to_vec();
        Self { expected }
    }
}

impl Invariant for NoUnexpectedErrors {
    fn name(&self) -> &'static str {
        "no_unexpected_errors"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Error { life, event, text } if !self.expected.contains(event) => {
                Err(format!("{} reports the error {event}: {text}", life.router))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
