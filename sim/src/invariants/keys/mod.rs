//! Tokens with invented key ids can't make a router overload an identity provider.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Fact, Life};

/// Two key fetches that unknown keys cause are at least a cooldown apart, for each issuer and each
/// router between two starts. Scheduled fetches don't count.
#[derive(Debug)]
pub struct BoundedKeyFetches {
    settings: SettingsInForce,
    last: BTreeMap<(Life, String), Duration>,
}

impl BoundedKeyFetches {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            last: BTreeMap::new(),
        }
    }
}

impl Invariant for BoundedKeyFetches {
    fn name(&self) -> &'static str {
        "bounded_key_fetches"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        let Fact::KeysAsked {
            life,
            issuer,
            forced: true,
        } = fact
        else {
            return Ok(());
        };
        let before = self.last.insert((life.clone(), issuer.clone()), at);
        let Some(before) = before else {
            return Ok(());
        };
        let router = &life.router;
        let cooldown = self
            .settings
            .least(router, [before, at], |it| it.issuer.key_cooldown);
        let apart = at - before;
        if apart < cooldown {
            return Err(format!(
                "{router} fetched the keys of {issuer} for unknown keys twice in {apart:?}; the cooldown is \
                 {cooldown:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
