//! A key that its issuer has withdrawn is no longer accepted.

use std::time::Duration;

use super::{Invariant, Passed, Withdrawn};

/// No request arrives with a token of a withdrawn key once every router must have fetched the key set
/// again. This includes cached tokens.
#[derive(Debug)]
pub struct WithdrawnKeys {
    withdrawn: Vec<Withdrawn>,
}

impl WithdrawnKeys {
    /// With these keys.
    pub fn new(withdrawn: &[Withdrawn]) -> Self {
        Self {
            withdrawn: withdrawn.to_vec(),
        }
    }
}

impl Invariant for WithdrawnKeys {
    fn name(&self) -> &'static str {
        "withdrawn_keys"
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
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
