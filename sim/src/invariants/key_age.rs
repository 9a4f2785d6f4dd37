//! A key set that is too old verifies nothing.

use std::time::Duration;

use super::Invariant;
use super::journal::Journal;
use crate::fact::Fact;

/// A period in which no router can have a fresh enough key set.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyOutage {
    /// The issuer's name.
    pub issuer: String,
    /// The router that gets no keys; all of them if `None`.
    pub router: Option<String>,
    /// When the last set that it can have got has expired, since the start.
    pub from: Duration,
    /// When the issuer can be reached again.
    pub until: Duration,
}

/// A router refuses an issuer's tokens, cached ones too, once its keys of that issuer must have
/// expired: the issuer couldn't be reached for as long as a set may be fresh and then stale. A
/// restart doesn't reset the age of a key set.
#[derive(Debug)]
pub struct KeyAge {
    journal: Journal,
    outages: Vec<KeyOutage>,
}

impl KeyAge {
    /// `prefix` is that of the router's own headers.
    pub fn new(prefix: &str, outages: &[KeyOutage]) -> Self {
        Self {
            journal: Journal::new(prefix),
            outages: outages.to_vec(),
        }
    }
}

impl Invariant for KeyAge {
    fn name(&self) -> &'static str {
        "key_age"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
        let Some(token) = &passed.sent.token else {
            return Ok(());
        };
        let router = &passed.decided.life.router;
        let hit = |outage: &&KeyOutage| {
            outage.issuer == token.issuer
                && outage.router.as_ref().is_none_or(|named| named == router)
                && (outage.from..outage.until).contains(&passed.decided_at)
        };
        match self.outages.iter().find(hit) {
            Some(outage) => Err(format!(
                "{} passed {router} with a token of {}, whose keys must have expired at {:?}",
                passed.sent.tag, token.issuer, outage.from
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// The request is decided two seconds after the start.
    fn fed(from: u32, until: u32, router: Option<&str>, issuer: &str) -> Result<(), String> {
        let outage = KeyOutage {
            issuer: issuer.to_owned(),
            router: router.map(str::to_owned),
            from: SECOND * from,
            until: SECOND * until,
        };
        let facts = [
            with_token("t", "main"),
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
        ];
        feed(&mut KeyAge::new("x-cellway-", &[outage]), &facts)
    }

    #[test]
    fn notices_a_token_under_keys_that_have_expired() {
        assert!(fed(1, 9, None, "main").is_err());
        assert!(fed(0, 2, Some("router-1"), "main").is_err());
    }

    #[test]
    fn content_before_and_after_and_with_others() {
        assert_eq!(fed(2, 9, None, "main"), Ok(()));
        assert_eq!(fed(0, 1, None, "main"), Ok(()));
        assert_eq!(fed(0, 9, Some("router-2"), "main"), Ok(()));
        assert_eq!(fed(0, 9, None, "partner"), Ok(()));
    }
}
