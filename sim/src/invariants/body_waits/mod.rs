//! A client that doesn't finish its request doesn't keep its place at a cell.

use std::collections::BTreeSet;
use std::time::Duration;

use super::open::Open;
use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::Fact;

/// A router ends a request whose body has stopped within `body_grace_ms`. The body has stopped by the
/// time when the request arrives at its cell.
#[derive(Debug)]
pub struct BodyWaits {
    settings: SettingsInForce,
    delivery_max: Duration,
    /// Clients whose bodies stop.
    stops: BTreeSet<String>,
    /// When requests of theirs arrived at a cell, and their tags.
    waiting: Open<(Duration, String)>,
}

impl BodyWaits {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            stops: bounds.stopping.clone(),
            waiting: Open::new(),
        }
    }

    fn overdue(&self, at: Duration) -> Result<(), String> {
        for (life, _, (since, tag)) in self.waiting.iter() {
            let router = &life.router;
            let grace = self
                .settings
                .most(router, [*since, at], |it| it.timeouts.body_grace);
            if at > *since + grace + self.delivery_max {
                return Err(format!(
                    "the body of {tag} has stopped since {since:?}, but {router} has not ended the \
                     request within {grace:?}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for BodyWaits {
    fn name(&self) -> &'static str {
        "body_waits"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.waiting.observe(fact);
        self.overdue(at)
    }

    fn arrived(&mut self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        if self.stops.contains(&passed.sent.client) {
            let (tag, decided) = (passed.sent.tag.clone(), passed.decided);
            let (life, id) = (decided.life.clone(), decided.request_id.clone());
            self.waiting.begins(life, id, (at, tag));
        }
        Ok(())
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        self.overdue(at)
    }
}

#[cfg(test)]
mod tests;
