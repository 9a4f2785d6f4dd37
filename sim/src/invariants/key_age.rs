//! A key set that couldn't be renewed for too long proves nothing any more.

use std::time::Duration;

use super::Invariant;
use super::journal::Journal;
use crate::fact::Fact;

/// A time in which no router of a world can have a key set that is young enough.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyOutage {
    /// The issuer's name.
    pub issuer: String,
    /// The router that gets no keys; all of them if `None`.
    pub router: Option<String>,
    /// When the last set that it can have got is too old, since the start.
    pub from: Duration,
    /// When the issuer can be asked again.
    pub until: Duration,
}

/// No token passes a router whose keys of that issuer must have expired: for the time that a set is
/// fresh, and then stale, the issuer couldn't be asked. Cached tokens neither, and a restart makes no
/// key set younger.
#[derive(Debug)]
pub struct KeyAge {
    journal: Journal,
    outages: Vec<KeyOutage>,
}

impl KeyAge {
    /// With this prefix of the router's own headers.
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

    /// Decided in the second second.
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
