//! Plays the world around the router (registry, key sets, clock), and makes the state that a router would
//! have then.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use cellway_core::policy::Policy;
use cellway_core::registry::RegistryFormat;
use cellway_core::{Snapshot, Unix};
use cellway_env::Clock;
use cellway_router::config::Tables;
use cellway_router::explain::{Rehearsal, gather};
use cellway_router::settings::RouterSettings;
use cellway_router::tls::Provider;

use super::outage::health_without;
use super::scene::Scene;
use crate::cases::Cases;
use crate::credentials::{Caller, Maker};
use crate::error::DecideError;
use crate::made::{
    Authorities, FixedTime, Keys, MadeEnv, Owner, at_once, usual, with_keys_of_cells,
};

/// What takes the place of secrets and sources.
pub(super) struct World {
    now: Unix,
    keys: Keys,
    authorities: Authorities,
    /// By the paths that settings name.
    pub(super) files: BTreeMap<String, Bytes>,
}

impl World {
    pub(super) fn new(settings: &RouterSettings, now: Unix) -> Result<Self, DecideError> {
        Ok(Self {
            now,
            keys: Keys::default(),
            authorities: Authorities::new(settings, now)?,
            files: BTreeMap::new(),
        })
    }

    pub(super) fn callers(
        &mut self,
        settings: &RouterSettings,
        cases: &Cases,
        mistakes: &mut Tables,
    ) -> Result<Vec<Caller>, DecideError> {
        let mut maker = Maker {
            policy: &settings.policy,
            now: self.now,
            keys: &mut self.keys,
            authorities: &mut self.authorities,
            mistakes,
            trusts: settings.trusts_clients(),
            has_lists: !settings.revocation.lists.is_empty(),
        };
        maker.callers(cases)
    }

    /// The registry with the made keys of cells, in JSON.
    pub(super) fn rekeyed(
        &mut self,
        text: &str,
        format: RegistryFormat,
        annotation: &str,
        policy: &Policy,
    ) -> Result<Bytes, DecideError> {
        let broken = |error: &dyn std::fmt::Display| DecideError::Make(error.to_string());
        let mut document: serde_json::Value = match format {
            RegistryFormat::Json => serde_json::from_str(text).map_err(|error| broken(&error))?,
            RegistryFormat::Toml => toml::from_str(text).map_err(|error| broken(&error))?,
        };
        let mut failed = None;
        with_keys_of_cells(&mut document, annotation, |cell| {
            let owner = Owner::Cell(cell.to_owned());
            // A set without keys would be refused.
            let made = self.keys.of(&owner, usual(&policy.cba.algorithms));
            failed = made.err().or(failed.take());
            self.keys.published(&owner)
        });
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(document.to_string().into()),
        }
    }

    /// Gathers the state as `explain` does, from what was made.
    pub(super) fn scene(
        mut self,
        mut settings: RouterSettings,
        cases: &Cases,
        mistakes: &mut Tables,
    ) -> Result<Scene, DecideError> {
        let unreachable = &cases.unreachable_issuers;
        let policy = &settings.policy;
        let policy = self.keys.install(policy, unreachable, &mut self.files)?;
        settings.policy = Arc::new(policy);
        self.authorities.install(&mut settings)?;
        settings.sources.state = None;
        let env = MadeEnv::new(self.now, self.files);
        let provider = Provider {
            time: Arc::new(FixedTime(self.now)),
            ..Provider::default()
        };
        let clock = Clock::new(env.clone());
        let (snapshot, sources) = at_once(gather(&env, &clock, &settings, None));
        let now = clock.now();
        let mut snapshot = Snapshot::clone(&snapshot);
        let Some(registry) = &snapshot.registry else {
            let (source, problem) = ("the registry".to_owned(), sources.join("; "));
            return Err(DecideError::Registry { source, problem });
        };
        if !cases.unreachable_cells.is_empty() {
            let health = &settings.upstream.health;
            snapshot.health =
                health_without(&cases.unreachable_cells, registry, health, now, mistakes);
        }
        let snapshot = Arc::new(snapshot);
        let loaded = Rehearsal::load(&env, &provider, &settings, Arc::clone(&snapshot));
        let rehearsal = at_once(loaded)
            .map_err(|(setting, error)| DecideError::Make(format!("{setting}: {error}")))?;
        Ok(Scene {
            listeners: settings.listeners,
            snapshot,
            rehearsal,
            now,
            unreachable: cases.unreachable_cells.clone(),
        })
    }
}
