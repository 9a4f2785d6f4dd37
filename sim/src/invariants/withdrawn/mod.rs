//! A key that its issuer has withdrawn is no longer accepted.

use std::time::Duration;

use super::journal::Journal;
use super::{Invariant, Withdrawn};
use crate::fact::Fact;

/// No request arrives with a token of a withdrawn key once every router must have fetched the key set
/// again. This includes cached tokens.
#[derive(Debug)]
pub struct WithdrawnKeys {
    journal: Journal,
    withdrawn: Vec<Withdrawn>,
}

impl WithdrawnKeys {
    /// With this prefix of the router's own headers, and these keys.
    pub fn new(prefix: &str, withdrawn: &[Withdrawn]) -> Self {
        Self {
            journal: Journal::new(prefix),
            withdrawn: withdrawn.to_vec(),
        }
    }
}

impl Invariant for WithdrawnKeys {
    fn name(&self) -> &'static str {
        "withdrawn_keys"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
        let Some(token) = &passed.sent.token else {
            return Ok(());
        };
        let over = |key: &&Withdrawn| {
            let ends = key.until.unwrap_or(Duration::MAX);
            let same = key.issuer == token.issuer && key.key == token.key;
            same && (key.from..ends).contains(&passed.decided_at)
        };
        match self.withdrawn.iter().find(over) {
            None => Ok(()),
            Some(key) => Err(format!(
                "{} forwarded {} with a token of the key {}, which no router may accept since {:?}",
                passed.decided.life.router, passed.sent.tag, key.key, key.from
            )),
        }
    }
}

#[cfg(test)]
mod tests;
