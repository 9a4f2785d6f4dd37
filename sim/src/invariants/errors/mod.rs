//! Routers report no errors, because an ERROR means a bug or a loss.

use std::time::Duration;

use super::Invariant;
use crate::fact::Fact;

/// There are no events of the level ERROR, except those that the scenario lists in `expect.errors`.
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
            Fact::Error { life, event, text } if !self.expected.contains(event) => Err(format!(
                "{} reported the error {event}: {text}. If the scenario provokes it, add it to `expect.errors`",
                life.router
            )),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
