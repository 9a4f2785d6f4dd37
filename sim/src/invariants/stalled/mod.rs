//! A client that reads nothing doesn't keep its place at a cell.

use std::collections::BTreeMap;
use std::time::Duration;

use super::open::Open;
use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::{Fact, Life};

/// A router ends a request within `stall_timeout_ms` after its client has stopped reading the answer.
#[derive(Debug)]
pub struct StalledCut {
    settings: SettingsInForce,
    delivery_max: Duration,
    /// The router and its id of each request that arrived at a cell, by tag.
    passed: BTreeMap<String, (Life, String)>,
    /// Requests whose clients have stopped reading: since when, and the tag.
    stalled: Open<(Duration, String)>,
}

impl StalledCut {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            passed: BTreeMap::new(),
            stalled: Open::new(),
        }
    }

    fn overdue(&self, at: Duration) -> Result<(), String> {
        for (life, _, (since, tag)) in self.stalled.iter() {
            let router = &life.router;
            let stall = self
                .settings
                .most(router, [*since, at], |it| it.timeouts.stall);
            if at > *since + stall + self.delivery_max {
                return Err(format!(
                    "the client of {tag} reads nothing since {since:?}, but {router} has not ended \
                     the request within {stall:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for StalledCut {
    fn name(&self) -> &'static str {
        "stalled_cut"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::StoppedReading { tag } => {
                if let Some((life, id)) = self.passed.get(tag).cloned() {
                    self.stalled.begins(life, id, (at, tag.clone()));
                }
            }
            // A client that closes its connection is not waited for.
            Fact::Answered { tag, .. } => {
                if let Some((life, id)) = self.passed.remove(tag) {
                    self.stalled.forget(&life, &id);
                }
            }
            _ => {}
        }
        self.stalled.observe(fact);
        self.overdue(at)
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let decided = passed.decided;
        let key = (decided.life.clone(), decided.request_id.clone());
        self.passed.insert(passed.sent.tag.clone(), key);
        Ok(())
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        self.overdue(at)
    }
}

#[cfg(test)]
mod tests;
