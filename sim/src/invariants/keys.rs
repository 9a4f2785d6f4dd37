//! Made-up keys can't make a router hammer an identity provider.

use std::collections::BTreeMap;
use std::time::Duration;

use super::Invariant;
use crate::fact::{Fact, Life};

/// Two fetches that unknown keys force lie at least a cooldown apart, for each issuer in each
/// life of each router. Scheduled fetches don't count.
#[derive(Debug)]
pub struct BoundedKeyFetches {
    cooldown: Duration,
    last: BTreeMap<(Life, String), Duration>,
}

impl BoundedKeyFetches {
    /// With this cooldown.
    pub fn new(cooldown: Duration) -> Self {
        let last = BTreeMap::new();
        Self { cooldown, last }
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
        let apart = before.map(|before| at - before);
        if apart.is_some_and(|apart| apart < self.cooldown) {
            let (router, cooldown) = (&life.router, self.cooldown);
            return Err(format!(
                "{router} forced fetches from {issuer} {apart:?} apart, cooldown {cooldown:?}"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
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
        feed(
            &mut BoundedKeyFetches::new(Duration::from_secs(cooldown_secs)),
            facts,
        )
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
