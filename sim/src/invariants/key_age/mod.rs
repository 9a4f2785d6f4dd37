//! A key set that is too old verifies nothing.

use std::time::Duration;

use super::{Invariant, Passed};

/// A period in which a router can't have a key set that is fresh enough.
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
    outages: Vec<KeyOutage>,
}

impl KeyAge {
    /// With these periods.
    pub fn new(outages: &[KeyOutage]) -> Self {
        Self {
            outages: outages.to_vec(),
        }
    }
}

impl Invariant for KeyAge {
    fn name(&self) -> &'static str {
        "key_age"
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
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
                "{router} forwarded {} with a token of {}, but its keys of that issuer must have expired \
                 at {:?}",
                passed.sent.tag, token.issuer, outage.from
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
