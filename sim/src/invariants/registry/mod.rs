//! The applied registry never goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Fact, Life};

/// The registry versions that a router applies increase. After a restart it doesn't go below the last
/// one, unless something happened to its disk, and it decides nothing without a registry if it had
/// one before.
#[derive(Debug, Default)]
pub struct MonotonicRegistry {
    /// Per router: the incarnation that applied a version last, and the version.
    last: BTreeMap<String, (u32, u64)>,
    damaged: BTreeSet<String>,
    /// Routers that have kept a registry on their disk in an earlier life.
    kept: BTreeSet<String>,
    /// When each router applied last.
    applied: BTreeMap<String, Duration>,
}

/// How long a router may take to write what it has applied.
const KEPT_WITHIN: Duration = Duration::from_secs(2);

impl Invariant for MonotonicRegistry {
    fn name(&self) -> &'static str {
        "monotonic_registry"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Crashed(life) => {
                let applied = self.applied.get(&life.router);
                if applied.is_some_and(|applied| *applied + KEPT_WITHIN < at) {
                    self.kept.insert(life.router.clone());
                }
            }
            Fact::Decided(decided) if decided.registry_version.is_none() => {
                let router = &decided.life.router;
                if self.kept.contains(router) && !self.damaged.contains(router) {
                    return Err(format!(
                        "{router} decided {} without a registry, but had one on its disk",
                        decided.request_id
                    ));
                }
            }
            Fact::StateDamaged(router) => {
                self.damaged.insert(router.clone());
            }
            Fact::RegistryApplied { life, version } => {
                self.applied.insert(life.router.clone(), at);
                let before = self
                    .last
                    .insert(life.router.clone(), (life.incarnation, *version));
                let Some((incarnation, highest)) = before else {
                    return Ok(());
                };
                let restarted = incarnation != life.incarnation;
                if restarted && self.damaged.contains(&life.router) {
                    return Ok(());
                }
                // Restoring the same version after a restart is what last-known-good is for.
                let is_back = *version < highest || (*version == highest && !restarted);
                if is_back {
                    return Err(format!(
                        "{} applied registry version {version} after {highest}",
                        life.router
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A router decides on the version that it applied last. It applies what the control plane publishes
/// as soon as it has had time to fetch it, if no fault was in the way.
#[derive(Debug)]
pub struct RegistryFollowed {
    settings: SettingsInForce,
    troubles: Vec<(Option<String>, Duration, Duration)>,
    applied: BTreeMap<Life, u64>,
    /// The last that was published, and when.
    published: (u64, Duration),
}

impl RegistryFollowed {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            troubles: bounds.registry_troubles.clone(),
            applied: BTreeMap::new(),
            published: (0, Duration::ZERO),
        }
    }

    /// How soon the router follows the control plane during this time.
    fn within(&self, router: &str, time: [Duration; 2]) -> Duration {
        self.settings.most(router, time, |it| it.registry.within)
    }

    /// Whether something may have been between the router and the control plane in this time.
    fn is_troubled(&self, router: &str, from: Duration, until: Duration) -> bool {
        self.troubles.iter().any(|(of, begin, end)| {
            let concerns = of.as_ref().is_none_or(|of| of == router);
            concerns && *begin <= until && from <= *end + self.within(router, [from, until])
        })
    }
}

impl Invariant for RegistryFollowed {
    fn name(&self) -> &'static str {
        "registry_followed"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Published(said) => self.published = (said.version, at),
            Fact::RegistryApplied { life, version } => {
                self.applied.insert(life.clone(), *version);
            }
            Fact::Decided(decided) => {
                let (life, id) = (&decided.life, &decided.request_id);
                let router = &life.router;
                let version = decided.registry_version.unwrap_or_default();
                if let Some(applied) = self.applied.get(life).filter(|it| version < **it) {
                    return Err(format!(
                        "{router} decided {id} on registry version {version}, but had applied {applied}"
                    ));
                }
                let (published, since) = self.published;
                let due = since + self.within(router, [since, at]);
                if version < published && at > due && !self.is_troubled(router, since, at) {
                    return Err(format!(
                        "{router} decided {id} on registry version {version}, but {published} was \
                         published at {since:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
