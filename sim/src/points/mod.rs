//! Sometimes-points: named states of the world that a search ought to reach.
//!
//! An invariant says what must always hold. A point says what should happen in some run: if no run reaches
//! it, the invariants about it have checked nothing. Points are fed from the same facts as invariants, so
//! the router needs no code for them.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each point is about few facts and few reasons"
)]

mod endpoints;
mod requests;
mod routers;
mod table;

use std::collections::BTreeMap;
use std::time::Duration;

use self::endpoints::Endpoints;
use self::requests::Requests;
use self::routers::Routers;
pub use self::table::Point;
use crate::fact::Fact;

/// Which points a run has reached.
#[derive(Debug)]
pub(crate) struct Points {
    reached: Reached,
    requests: Requests,
    routers: Routers,
    endpoints: Endpoints,
}

/// How often each point was reached.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Reached(BTreeMap<String, u64>);

impl Reached {
    fn reach(&mut self, point: Point) {
        self.count(point.name().to_owned());
    }

    fn reach_if(&mut self, holds: bool, point: Point) {
        if holds {
            self.reach(point);
        }
    }

    fn count(&mut self, name: String) {
        *self.0.entry(name).or_default() += 1;
    }

    /// The points that were reached at least once, by name.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// How often each was reached, by name. A router's answers count under `answered_` and their reason,
    /// its denials under `denied_`.
    pub fn counts(&self) -> &BTreeMap<String, u64> {
        &self.0
    }
}

impl Points {
    /// With this prefix of the router's own headers.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            reached: Reached::default(),
            requests: Requests::new(prefix),
            routers: Routers::default(),
            endpoints: Endpoints::default(),
        }
    }

    /// Takes the next fact.
    pub(crate) fn observe(&mut self, at: Duration, fact: &Fact) {
        let reached = &mut self.reached;
        self.requests.observe(at, fact, reached);
        self.routers.observe(at, fact, reached);
        self.endpoints.observe(at, fact, reached);
        match fact {
            Fact::Decided(decided) if decided.cell.is_none() => {
                reached.count(format!("denied_{}", decided.reason));
            }
            Fact::Responded(responded) => {
                if let Some(reason) = responded.reason {
                    reached.count(format!("answered_{reason}"));
                }
            }
            _ => {}
        }
    }

    /// What was reached.
    pub(crate) fn into_reached(self) -> Reached {
        self.reached
    }
}

#[cfg(test)]
mod tests;
