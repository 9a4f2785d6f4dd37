//! No request goes to a cell over a connection from before a change of trust.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::Fact;

/// Once a router has had time to follow a change of the authority between routers and cells, no
/// request arrives over a connection that was made before the change, because that connection uses
/// the old trust and the old certificates.
#[derive(Debug)]
pub struct FreshConnections {
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
        Ok(())
    }

    fn arrived(&mut self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
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
                "{} arrived at {} over a connection that is older than the change of the cells' \
                 authority at {change:?}",
                passed.sent.tag, passed.arrived.host
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
