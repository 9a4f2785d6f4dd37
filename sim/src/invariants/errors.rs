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
mod tests {
    use super::super::testing::*;
    use super::*;

    #[test]
    fn notices_an_error_that_is_not_expected() {
        let error = Fact::Error {
            life: life(0),
            event: "accept_failed".to_owned(),
            text: "no more files".to_owned(),
        };
        let mut strict = NoUnexpectedErrors::new(&[]);
        assert!(feed(&mut strict, std::slice::from_ref(&error)).is_err());
        let mut warned = NoUnexpectedErrors::new(&["accept_failed".to_owned()]);
        assert_eq!(feed(&mut warned, &[error]), Ok(()));
    }
}
