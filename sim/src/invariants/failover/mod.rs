//! A request reaches another cell only if its placement allows it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::endpoints::Endpoints;
use super::{Bounds, Invariant, Passed};
use crate::fact::{Answer, Fact, Published, Standby};
use crate::scenario::CellState;

/// A request that its router sends to another cell arrives only at an active cell of its tenant's
/// placement or of the fallback, on the registry version of the decision. Either none of the placement's
/// own cells takes traffic and none is quarantined, or the placement allows failover and one of its cells
/// had a fault shortly before. The cell is told so by a header, and other requests don't have it.
///
/// No request is answered that its cell can't be reached while its placement allows failover and
/// another cell was healthy for long enough.
#[derive(Debug)]
pub struct FailoverAllowed {
    world: Known,
    /// Requests that aren't answered yet, by tag: when they were sent, and for which tenant.
    open: BTreeMap<String, (Duration, String)>,
}

/// What is true in the world.
#[derive(Debug)]
struct Known {
    header: String,
    endpoints: Endpoints,
    /// How long a router may take an endpoint for bad that is well again.
    knows_late: Duration,
    published: BTreeMap<u64, Arc<Published>>,
    newest: u64,
}

impl FailoverAllowed {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            world: Known {
                header: format!("{}failover", bounds.header_prefix),
                endpoints: bounds.endpoints.clone(),
                knows_late: bounds.settings.longest(|it| it.health.knows_late),
                published: BTreeMap::new(),
                newest: 0,
            },
            open: BTreeMap::new(),
        }
    }
}

impl Known {
    /// Whether one of these cells may have failed at this time or shortly before.
    fn may_have_failed(&self, cells: &BTreeSet<String>, at: Duration) -> bool {
        let from = at.saturating_sub(self.knows_late);
        let mut cells = cells.iter();
        cells
            .any(|cell| self.endpoints.healthy(cell, from, at).count() < self.endpoints.count(cell))
    }

    fn check(&self, passed: &Passed<'_>, at: Duration) -> Result<(), String> {
        let Passed {
            sent,
            decided,
            failed_over,
            arrived,
            ..
        } = passed;
        let (tag, tenant, cell) = (&sent.tag, &sent.tenant, &arrived.cell);
        let told = arrived.header(&self.header);
        let Some(failed_over) = failed_over else {
            return match told {
                None => Ok(()),
                Some(_) => Err(format!(
                    "{tag} arrived at {cell} as failed over, but wasn't"
                )),
            };
        };
        if told != Some(failed_over.reason.as_str()) {
            return Err(format!(
                "{tag} arrived at {cell} instead of another cell, with {}: {told:?}",
                self.header
            ));
        }
        let version = decided.registry_version.unwrap_or_default();
        let said = self.published.get(&version);
        let Some((said, standby)) = said.and_then(|said| Some((said, said.standby.get(tenant)?)))
        else {
            return Err(format!(
                "{tag} of {tenant} arrived at {cell}, but on registry version {version} its placement \
                 allows no other cell"
            ));
        };
        if !standby.cells.contains(cell) {
            let cells = &standby.cells;
            return Err(format!(
                "{tag} of {tenant} arrived at {cell}, but only {cells:?} may stand in"
            ));
        }
        let none_serves = said.assignment.get(tenant).is_none_or(BTreeSet::is_empty);
        let state = |cell: &String| said.cells.get(cell).map(|cell| cell.state);
        let mut home = standby.home.iter();
        if none_serves && home.any(|cell| state(cell) == Some(CellState::Quarantined)) {
            return Err(format!(
                "{tag} of {tenant} arrived at {cell}, but its own cell is quarantined, and no other \
                 replaces it"
            ));
        }
        let may = standby.failover && self.may_have_failed(&standby.home, at);
        match none_serves || may {
            true => Ok(()),
            false => Err(format!(
                "{tag} of {tenant} arrived at {cell}, but its own cell takes traffic{}",
                match standby.failover {
                    true => " and had no fault",
                    false => ", and its placement doesn't allow failover",
                }
            )),
        }
    }

    /// Whether another cell could have served a tenant for all of this time.
    fn had_another(&self, tenant: &str, from: Duration, until: Duration) -> bool {
        let said = self.published.get(&self.newest);
        let standby = said.and_then(|said| said.standby.get(tenant));
        let Some(Standby {
            failover: true,
            home,
            cells,
        }) = standby
        else {
            return false;
        };
        let mut others = cells.difference(home);
        others.any(|cell| self.endpoints.one_is_healthy(cell, from, until))
    }
}

impl Invariant for FailoverAllowed {
    fn name(&self) -> &'static str {
        "failover_allowed"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Published(said) => {
                self.world.newest = said.version;
                let published = &mut self.world.published;
                published.insert(said.version, said.clone());
                // A request may be decided before or after the change.
                self.open.clear();
            }
            Fact::Sent(sent) if sent.cell_bound.is_none() => {
                let open = (at, sent.tenant.clone());
                self.open.insert(sent.tag.clone(), open);
            }
            Fact::Answered { tag, answer } => {
                let Some((sent, tenant)) = self.open.remove(tag) else {
                    return Ok(());
                };
                let from = sent.saturating_sub(self.world.knows_late);
                if is_unreachable(answer) && self.world.had_another(&tenant, from, at) {
                    return Err(format!(
                        "{tag} of {tenant} was answered {answer}, but another cell may stand in and \
                         was healthy"
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn arrived(&mut self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        self.world.check(passed, at)
    }
}

/// Whether the answer says that the cell couldn't be reached.
fn is_unreachable(answer: &Answer) -> bool {
    let Answer::Router(reason) = answer else {
        return false;
    };
    let reasons = ["cell_unreachable", "circuit_open", "no_endpoint_healthy"];
    reasons.contains(&reason.as_str())
}

#[cfg(test)]
mod tests;
