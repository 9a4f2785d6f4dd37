//! Made-up keys can't make a router hammer an identity provider.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Fact, Life};

/// Two fetches that unknown keys force lie at least a cooldown apart, for each issuer in each
/// life of each router. Scheduled fetches don't count.
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
            .least(router, [before, at], |it| it.key_cooldown);
        let apart = at - before;
        if apart < cooldown {
            return Err(format!(
                "{router} forced fetches from {issuer} {apart:?} apart, cooldown {cooldown:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::testing::*;
    use super::*;

    fn asked(incarnation: u32, issuer: &str, forced: bool) -> Fact {
        Fact::KeysAsked {
            life: life(incarnation),
            issuer: issuer.to_owned(),
            forced,
        }
    }

    /// Facts are a second apart.
    fn fed(cooldown_secs: u64, facts: &[Fact]) -> Result<(), String> {
        let bounds = with_settings(Settings {
            key_cooldown: Duration::from_secs(cooldown_secs),
            ..Settings::default()
        });
        feed(&mut BoundedKeyFetches::new(&bounds), facts)
    }

    #[test]
    fn content_with_a_cooldown_between() {
        assert_eq!(
            fed(1, &[asked(0, "main", true), asked(0, "main", true)]),
            Ok(())
        );
    }

    #[test]
    fn notices_two_within_a_cooldown() {
        assert!(fed(2, &[asked(0, "main", true), asked(0, "main", true)]).is_err());
    }

    #[test]
    fn counts_issuers_lives_and_schedules_apart() {
        for other in [
            asked(0, "other", true),
            asked(1, "main", true),
            asked(0, "main", false),
        ] {
            assert_eq!(fed(9, &[asked(0, "main", true), other]), Ok(()));
        }
    }
}
