//! A suspended tenant isn't served.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Invariant;
use super::journal::Journal;
use crate::fact::{Fact, Life};

/// Nothing of a suspended tenant passes a router that has applied the suspension, nor any router
/// once the suspension is older than a router may believe what it last heard.
#[derive(Debug)]
pub struct Suspended {
    journal: Journal,
    status_max_age: Duration,
    published: BTreeMap<u64, BTreeSet<String>>,
    /// When each tenant that is suspended now was.
    since: BTreeMap<String, Duration>,
    /// What each router applied last, and when.
    applied: BTreeMap<Life, (Duration, u64)>,
}

impl Suspended {
    /// With this prefix of the router's own headers, and this age beyond which no status of a
    /// tenant is believed.
    pub fn new(prefix: &str, status_max_age: Duration) -> Self {
        Self {
            journal: Journal::new(prefix),
            status_max_age,
            published: BTreeMap::new(),
            since: BTreeMap::new(),
            applied: BTreeMap::new(),
        }
    }

    fn published(&mut self, at: Duration, version: u64, suspended: &BTreeSet<String>) {
        self.since.retain(|tenant, _| suspended.contains(tenant));
        for tenant in suspended {
            self.since.entry(tenant.clone()).or_insert(at);
        }
        self.published.insert(version, suspended.clone());
    }

    /// Whether a router has applied, before this moment, a version in which this tenant is
    /// suspended.
    fn knows(&self, life: &Life, tenant: &str, at: Duration) -> bool {
        let applied = self.applied.get(life).filter(|(since, _)| *since < at);
        let suspended = applied.and_then(|(_, version)| self.published.get(version));
        suspended.is_some_and(|suspended| suspended.contains(tenant))
    }
}

impl Invariant for Suspended {
    fn name(&self) -> &'static str {
        "suspended"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Published {
                version, suspended, ..
            } => self.published(at, *version, suspended),
            Fact::RegistryApplied { life, version } => {
                self.applied.insert(life.clone(), (at, *version));
            }
            _ => {}
        }
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
        if passed.sent.anonymous {
            return Ok(());
        }
        let (tag, tenant) = (passed.sent.tag.clone(), passed.sent.tenant.clone());
        let (decided_at, life) = (passed.decided_at, passed.decided.life.clone());
        if self.knows(&life, &tenant, decided_at) {
            let router = life.router;
            return Err(format!(
                "{tag} passed {router}, which knows that {tenant} is suspended"
            ));
        }
        let since = self.since.get(&tenant).copied();
        match since.filter(|since| decided_at > *since + self.status_max_age) {
            Some(since) => Err(format!(
                "{tag} passed {}, but {tenant} is suspended since {since:?}",
                life.router
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;

    /// Facts are a second apart.
    fn fed(facts: &[Fact], status_max_age: u32) -> Result<(), String> {
        let mut all = facts.to_vec();
        all.extend([
            sent("t", "acme"),
            allowed("r", "a", 1),
            arrived("a", "t", "r"),
        ]);
        let mut suspended = Suspended::new("x-cellway-", SECOND * status_max_age);
        feed(&mut suspended, &all)
    }

    #[test]
    fn content_while_the_router_may_not_know() {
        assert_eq!(fed(&[suspending(1, &["acme"])], 9), Ok(()));
        assert_eq!(fed(&[suspending(1, &["other"]), applied(0, 1)], 0), Ok(()));
    }

    #[test]
    fn notices_a_router_that_knows() {
        let why = fed(&[suspending(1, &["acme"]), applied(0, 1)], 9).unwrap_err();
        assert!(why.contains("knows"), "{why}");
    }

    #[test]
    fn notices_a_router_that_has_heard_nothing_for_too_long() {
        let why = fed(&[suspending(1, &["acme"])], 1).unwrap_err();
        assert!(why.contains("since 0ns"), "{why}");
    }

    #[test]
    fn content_with_a_tenant_that_is_active_again() {
        let resumed = [
            suspending(1, &["acme"]),
            applied(0, 1),
            suspending(2, &[]),
            applied(0, 2),
        ];
        assert_eq!(fed(&resumed, 1), Ok(()));
    }
}
