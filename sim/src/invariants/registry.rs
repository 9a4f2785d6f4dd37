//! The applied registry never goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Fact, Life};

/// A router applies ever higher versions; after a restart it doesn't go below what it had, as
/// long as nothing happened to its disk. Nor does it forget that it had one: it decides nothing without
/// a registry then.
#[derive(Debug, Default)]
pub struct MonotonicRegistry {
    /// Per router: the life that applied last, and what.
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
                        "{router} decided {} without a registry, and had kept one",
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
                        "{} went from version {highest} to {version}",
                        life.router
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

/// A router decides on the version that it applied last, and has applied whatever the control plane
/// published as soon as it has had the time to ask, if nothing was in the way.
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

    /// How soon the router follows the control plane, in this time.
    fn within(&self, router: &str, time: [Duration; 2]) -> Duration {
        self.settings.most(router, time, |it| it.registry_within)
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
                        "{router} decided {id} on version {version}, and had applied {applied}"
                    ));
                }
                let (published, since) = self.published;
                let due = since + self.within(router, [since, at]);
                if version < published && at > due && !self.is_troubled(router, since, at) {
                    return Err(format!(
                        "{router} decided {id} on version {version}, and {published} was published at \
                         {since:?}"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::testing::*;
    use super::*;

    fn fed(facts: &[Fact]) -> Result<(), String> {
        feed(&mut MonotonicRegistry::default(), facts)
    }

    #[test]
    fn content_with_progress_and_with_a_restored_version() {
        assert_eq!(
            fed(&[applied(0, 1), applied(0, 3), applied(1, 3), applied(1, 4)]),
            Ok(())
        );
    }

    #[test]
    fn notices_a_step_back_and_a_repetition() {
        assert!(fed(&[applied(0, 2), applied(0, 1)]).is_err());
        assert!(fed(&[applied(0, 2), applied(0, 2)]).is_err());
    }

    #[test]
    fn notices_a_step_back_over_a_restart_unless_the_disk_was_damaged() {
        assert!(fed(&[applied(0, 2), applied(1, 1)]).is_err());
        let damaged = Fact::StateDamaged("router-1".to_owned());
        assert_eq!(fed(&[applied(0, 2), damaged, applied(1, 1)]), Ok(()));
    }

    #[test]
    fn notices_a_registry_that_was_forgotten() {
        let without = |incarnation| match allowed("r", "a", 1) {
            Fact::Decided(decided) => Fact::Decided(crate::fact::Decided {
                life: life(incarnation),
                registry_version: None,
                ..decided
            }),
            other => other,
        };
        let pause = || arrived("a", "t", "r");
        let late = [
            applied(0, 1),
            pause(),
            pause(),
            Fact::Crashed(life(0)),
            without(1),
        ];
        assert!(fed(&late).is_err());
        // It may not have been written yet.
        assert_eq!(
            fed(&[applied(0, 1), Fact::Crashed(life(0)), without(1)]),
            Ok(())
        );
        assert_eq!(fed(&[without(0)]), Ok(()));
    }

    fn followed(within: u32, facts: &[Fact]) -> Result<(), String> {
        let bounds = Bounds {
            registry_troubles: vec![(Some("router-2".to_owned()), Duration::ZERO, SECOND * 9)],
            ..with_settings(Settings {
                registry_within: SECOND * within,
                ..Settings::default()
            })
        };
        feed(&mut RegistryFollowed::new(&bounds), facts)
    }

    #[test]
    fn notices_a_decision_on_an_old_version() {
        let facts = [applied(0, 1), applied(0, 2), allowed("r", "a", 1)];
        assert!(followed(9, &facts).is_err());
        let facts = [applied(0, 2), allowed("r", "a", 2)];
        assert_eq!(followed(9, &facts), Ok(()));
    }

    #[test]
    fn notices_a_router_that_does_not_ask() {
        let facts = [published(1, &[]), published(2, &[]), allowed("r", "a", 1)];
        assert!(followed(0, &facts).is_err());
        assert_eq!(followed(1, &facts), Ok(()));
        // Another router may be cut off.
        let other = match allowed("r", "a", 1) {
            Fact::Decided(decided) => Fact::Decided(crate::fact::Decided {
                life: Life {
                    router: "router-2".to_owned(),
                    incarnation: 0,
                },
                ..decided
            }),
            other => other,
        };
        let facts = [published(1, &[]), published(2, &[]), other];
        assert_eq!(followed(0, &facts), Ok(()));
    }
}
