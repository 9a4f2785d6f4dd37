//! A router without a registry accepts no connections for as long as its configuration says.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::Reason;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Decided, Fact, Life};

/// A router without a registry decides no request until its listeners have waited for one.
#[derive(Debug)]
pub struct ClosedWithoutRegistry {
    settings: SettingsInForce,
    started: BTreeMap<Life, Duration>,
}

impl ClosedWithoutRegistry {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            started: BTreeMap::new(),
        }
    }
}

impl Invariant for ClosedWithoutRegistry {
    fn name(&self) -> &'static str {
        "closed_without_registry"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        let (life, reason) = match fact {
            Fact::Started(life) => {
                self.started.insert(life.clone(), at);
                return Ok(());
            }
            Fact::Decided(Decided { life, reason, .. }) => (life, *reason),
            _ => return Ok(()),
        };
        let Some(started) = self.started.get(life) else {
            return Ok(());
        };
        let after = at - *started;
        // A router reads it when it starts, and keeps it.
        let wait = self
            .settings
            .at_start(&life.router, *started, |it| it.open_wait);
        if reason == Reason::RegistryNeverLoaded && after < wait {
            return Err(format!(
                "{} took a request without a registry {after:?} after its start; its listeners wait \
                 {wait:?}",
                life.router
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

    /// Facts a second apart: a start, a pause, and a request decided with this reason.
    fn fed(wait_secs: u64, reason: Reason) -> Result<(), String> {
        let decided = Fact::Decided(Decided {
            life: life(0),
            request_id: "r1".to_owned(),
            cell: None,
            reason,
            tenant: None,
            registry_version: None,
            unix: Duration::ZERO,
        });
        let pause = Fact::FaultEnds("nothing".to_owned());
        let mut invariant = ClosedWithoutRegistry::new(&with_settings(Settings {
            open_wait: Duration::from_secs(wait_secs),
            ..Settings::default()
        }));
        feed(&mut invariant, &[Fact::Started(life(0)), pause, decided])
    }

    #[test]
    fn content_once_the_wait_is_over() {
        assert_eq!(fed(2, Reason::RegistryNeverLoaded), Ok(()));
        assert_eq!(fed(9, Reason::MissingToken), Ok(()));
    }

    #[test]
    fn notices_a_listener_that_opens_too_early() {
        assert!(fed(3, Reason::RegistryNeverLoaded).is_err());
    }
}
