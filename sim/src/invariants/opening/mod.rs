//! A router without a registry accepts no connections for as long as its configuration says.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::Reason;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Fact, Life};

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
            Fact::Decided(decided) => (&decided.life, decided.reason),
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
                "{} decided a request without a registry {after:?} after its start; its listeners must \
                 stay closed for {wait:?}",
                life.router
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
