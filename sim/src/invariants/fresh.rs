//! No request goes to a cell under trust that was replaced.

use std::collections::BTreeMap;
use std::time::Duration;

use super::journal::Journal;
use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::Fact;

/// Once a router has had the time to follow a change of the authority between routers and cells, no
/// request arrives over a connection that was made before the change: what it trusted, and what it
/// showed, no longer counts.
#[derive(Debug)]
pub struct FreshConnections {
    journal: Journal,
    settings: SettingsInForce,
    stuck: Vec<(String, Duration, Duration)>,
    /// When the first request came on each connection, by host and number.
    first: BTreeMap<(String, u64), Duration>,
    changes: Vec<Duration>,
}

impl FreshConnections {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            journal: Journal::new(&bounds.header_prefix),
            settings: bounds.settings.clone(),
            stuck: bounds.reloads_stuck.clone(),
            first: BTreeMap::new(),
            changes: Vec::new(),
        }
    }
}

impl Invariant for FreshConnections {
    fn name(&self) -> &'static str {
        "fresh_connections"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if let Fact::CellTrustChanged = fact {
            self.changes.push(at);
        }
        if let Fact::Arrived(arrived) = fact {
            let connection = (arrived.host.clone(), arrived.connection);
            self.first.entry(connection).or_insert(at);
        }
        let Some(passed) = self.journal.passed(at, fact) else {
            return Ok(());
        };
        let router = &passed.decided.life.router;
        let connection = (passed.arrived.host.clone(), passed.arrived.connection);
        let first = self.first.get(&connection).copied().unwrap_or(at);
        let decided = passed.decided_at;
        let follows = |from: Duration| {
            let within = self.settings.most(router, [from; 2], |it| it.reload_within);
            let mut stuck = self.stuck.iter();
            let is_stuck = stuck.any(|(name, begin, end)| {
                name == router && *begin <= decided && from <= *end + within
            });
            from + within < decided && !is_stuck
        };
        let mut changes = self.changes.iter();
        match changes.find(|change| first < **change && follows(**change)) {
            Some(change) => Err(format!(
                "{} arrived at {} over a connection of before {change:?}, when the authority of cells \
                 changed",
                passed.sent.tag, passed.arrived.host
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Settings;
    use super::super::testing::*;
    use super::*;

    fn fed(facts: &[Fact]) -> Result<(), String> {
        let bounds = with_settings(Settings {
            reload_within: SECOND * 2,
            ..Settings::default()
        });
        feed(&mut FreshConnections::new(&bounds), facts)
    }

    fn on(connection: u64, tag: &str) -> Vec<Fact> {
        let Fact::Arrived(mut arrived) = arrived("a", tag, tag) else {
            panic!("not an arrival")
        };
        arrived.connection = connection;
        vec![
            sent(tag, "acme"),
            allowed(tag, "a", 1),
            Fact::Arrived(arrived),
        ]
    }

    #[test]
    fn notices_an_old_connection_after_a_change() {
        let change = || vec![Fact::CellTrustChanged];
        let late = [on(1, "a"), change(), on(2, "b"), on(1, "c")].concat();
        assert!(fed(&late).is_err());
        let anew = [on(1, "a"), change(), on(2, "b"), on(2, "c")].concat();
        assert_eq!(fed(&anew), Ok(()));
        // What was decided within the time of a reload may still use it.
        let soon = [on(1, "a"), change(), on(1, "b")].concat();
        assert_eq!(fed(&soon), Ok(()));
    }
}
