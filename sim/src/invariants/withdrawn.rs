//! A key that its issuer has withdrawn is no longer accepted.

use std::time::Duration;

use super::journal::Journal;
use super::{Invariant, Withdrawn};
use crate::fact::Fact;

/// No request passes with a token of a key that was withdrawn so long ago that every router has
/// had to fetch the set since: cached tokens neither.
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
                "{} passed {} with a token of {}, which nobody may believe since {:?}",
                passed.sent.tag, passed.decided.life.router, key.key, key.from
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// The token of `key-1` of `main` is decided on at two seconds.
    fn fed(issuer: &str, key: &str, from: u32, until: Option<u32>) -> Result<(), String> {
        let withdrawn = Withdrawn {
            issuer: issuer.to_owned(),
            key: key.to_owned(),
            from: SECOND * from,
            until: until.map(|until| SECOND * until),
        };
        let facts = [
            published(1, &[]),
            with_token("t", "main"),
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
        ];
        feed(&mut WithdrawnKeys::new("x-cellway-", &[withdrawn]), &facts)
    }

    #[test]
    fn notices_a_token_of_a_withdrawn_key() {
        assert!(fed("main", "key-1", 2, None).is_err());
    }

    #[test]
    fn content_before_the_bound_and_with_a_key_that_came_back() {
        assert_eq!(fed("main", "key-1", 3, None), Ok(()));
        assert_eq!(fed("main", "key-1", 1, Some(2)), Ok(()));
    }

    #[test]
    fn tells_keys_and_issuers_apart() {
        assert_eq!(fed("main", "key-2", 0, None), Ok(()));
        assert_eq!(fed("other", "key-1", 0, None), Ok(()));
    }
}
