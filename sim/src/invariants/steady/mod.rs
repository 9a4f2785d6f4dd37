//! A tenant stays on its cell.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Invariant, Passed};
use crate::fact::{Fact, Published};
use crate::scenario::CellState;

/// On one registry version all requests of a tenant and tier reach the same cell, whichever router
/// decides. If that cell drains over time, the tenant may leave it once, after the start of the drain,
/// and has left it at the end if its placement has an active cell. While that cell is quarantined, a
/// tenant that a placement put there reaches no other cell.
#[derive(Debug, Default)]
pub struct SteadyPlacement {
    published: BTreeMap<u64, Arc<Published>>,
    /// By registry version, tenant and tier.
    cells: BTreeMap<(u64, String, Option<String>), Seen>,
    /// Where each tenant (and tier) was last served, and on which version.
    homes: BTreeMap<(String, Option<String>), (u64, String)>,
}

/// Where a tenant's requests go.
#[derive(Debug)]
struct Seen {
    cell: String,
    /// The draining cell that it has left, and when the first request was decided that it had.
    left: Option<(String, Duration)>,
}

impl Seen {
    /// Whether a request decided at this time may reach a cell. `drains`: whether the known cell gives
    /// tenants away at that time.
    fn may_be(&mut self, cell: &str, decided_at: Duration, drains: bool) -> bool {
        if self.cell == cell {
            return true;
        }
        match &self.left {
            // An earlier request may arrive later.
            Some((old, moved_at)) => old == cell && decided_at <= *moved_at,
            None if drains => {
                let old = std::mem::replace(&mut self.cell, cell.to_owned());
                self.left = Some((old, decided_at));
                true
            }
            None => false,
        }
    }
}

impl SteadyPlacement {
    /// Whether the tenant's cell is quarantined in this version and nothing else has changed for
    /// the tenant.
    fn waits(&self, version: u64, tenant: &str, home: &(u64, String)) -> bool {
        let (before, cell) = home;
        let said = |version: &u64| self.published.get(version);
        let (Some(now), Some(before)) = (said(&version), said(before)) else {
            return false;
        };
        let cells = |said: &Published| said.assignment.get(tenant).cloned().unwrap_or_default();
        let state = now.cells.get(cell).map(|cell| cell.state);
        state == Some(CellState::Quarantined) && cells(now).is_subset(&cells(before))
    }
}

/// Whether an active cell may serve the tenant.
fn has_active(said: &Published, tenant: &str) -> bool {
    let cells = said.assignment.get(tenant);
    let mut cells = cells.into_iter().flatten();
    cells.any(|cell| {
        let cell = said.cells.get(cell);
        cell.is_some_and(|cell| cell.state == CellState::Active)
    })
}

impl Invariant for SteadyPlacement {
    fn name(&self) -> &'static str {
        "steady_placement"
    }

    fn observe(&mut self, _at: Duration, fact: &Fact) -> Result<(), String> {
        if let Fact::Published(said) = fact {
            self.published.insert(said.version, said.clone());
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let Passed {
            sent,
            decided,
            decided_at,
            arrived,
            failed_over,
            ..
        } = *passed;
        // `failover_allowed` checks requests that went to another cell.
        if sent.anonymous || failed_over.is_some() {
            return Ok(());
        }
        let version = decided.registry_version.unwrap_or_default();
        let tier = sent.claims.as_ref().and_then(|claims| claims.tier.clone());
        let (tag, tenant) = (sent.tag.clone(), sent.tenant.clone());
        let cell = arrived.cell.clone();
        let key = (version, tenant.clone(), tier.clone());
        let known = self.cells.entry(key).or_insert_with(|| Seen {
            cell: cell.clone(),
            left: None,
        });
        let said = self.published.get(&version);
        let drain = |cell: &str| said?.drains(cell);
        let drains = drain(&known.cell).is_some_and(|[from, _]| from <= decided.unix);
        if !known.may_be(&cell, decided_at, drains) {
            return Err(format!(
                "{tag} of {tenant} reached {cell}, but on registry version {version} an earlier request \
                 reached {}",
                known.cell
            ));
        }
        if let (Some(said), Some([_, until])) = (said, drain(&cell))
            && until <= decided.unix
            && has_active(said, &tenant)
        {
            return Err(format!(
                "{tag} of {tenant} reached {cell}, which had given all of its tenants away by {until:?}"
            ));
        }
        let whose = (tenant, tier);
        if let Some(home) = self.homes.get(&whose)
            && home.1 != cell
            && self.waits(version, &whose.0, home)
        {
            return Err(format!(
                "{tag} of {} reached {cell}, but its tenant belongs to {}, which is quarantined",
                whose.0, home.1
            ));
        }
        self.homes.insert(whose, (version, cell));
        Ok(())
    }
}

#[cfg(test)]
mod tests;
