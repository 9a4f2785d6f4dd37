//! The applied registry never goes back.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Invariant;
use crate::fact::Fact;

/// A router applies ever higher versions; after a restart it doesn't go below what it had, as
/// long as nothing happened to its disk.
#[derive(Debug, Default)]
pub struct MonotonicRegistry {
    /// Per router: the life that applied last, and what.
    last: BTreeMap<String, (u32, u64)>,
    damaged: BTreeSet<String>,
}

impl Invariant for MonotonicRegistry {
    fn name(&self) -> &'static str {
        "monotonic_registry"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::StateDamaged(router) => {
                self.damaged.insert(router.clone());
            }
            Fact::RegistryApplied { life, version } => {
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

#[cfg(test)]
mod tests {
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
}
