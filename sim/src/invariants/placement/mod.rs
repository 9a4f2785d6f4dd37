//! A request reaches only a cell of its tenant.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::{Invariant, shown};
use crate::fact::{Arrived, Decided, Fact, Life, Published};

/// Every request that arrives at a cell was decided by a router on a registry version that this router
/// had accepted. In that version the caller's true tenant is assigned to this cell, unless the router
/// has reported that the request goes to another cell.
///
/// The tenant is the one that the client acts for, not the one that the router identified. The
/// assignment is the simulator's own, not what the router's code read in the document. The endpoint
/// is one that this version lists.
#[derive(Debug)]
pub struct AssignedCell {
    prefix: String,
    published: BTreeMap<u64, Arc<Published>>,
    accepted: BTreeMap<Life, BTreeSet<u64>>,
    /// By tag: the tenant, and the tier that its token names.
    tenants: BTreeMap<String, (String, Option<String>)>,
    /// Requests through an Envoy, which has its own list of endpoints.
    via: BTreeSet<String>,
    /// Requests without a tenant: `anonymous_apart` checks them.
    anonymous: BTreeSet<String>,
    /// Kept after the answer, because the network may deliver a request late.
    decided: BTreeMap<String, Arc<Decided>>,
    /// The requests that went to another cell. `failover_allowed` checks which one.
    failed_over: BTreeSet<String>,
}

impl AssignedCell {
    /// With this prefix of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            published: BTreeMap::new(),
            accepted: BTreeMap::new(),
            tenants: BTreeMap::new(),
            via: BTreeSet::new(),
            anonymous: BTreeSet::new(),
            decided: BTreeMap::new(),
            failed_over: BTreeSet::new(),
        }
    }
}

impl Invariant for AssignedCell {
    fn name(&self) -> &'static str {
        "assigned_cell"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Published(said) => {
                self.published.insert(said.version, said.clone());
            }
            Fact::RegistryApplied { life, version } => {
                if !self.published.contains_key(version) {
                    return Err(format!(
                        "{} applied registry version {version}, which no good document has",
                        life.router
                    ));
                }
                self.accepted
                    .entry(life.clone())
                    .or_default()
                    .insert(*version);
            }
            Fact::Sent(sent) if sent.anonymous => {
                self.anonymous.insert(sent.tag.clone());
            }
            Fact::Sent(sent) => {
                if sent.via.is_some() {
                    self.via.insert(sent.tag.clone());
                }
                let tier = sent.claims.as_ref().and_then(|claims| claims.tier.clone());
                let whose = (sent.tenant.clone(), tier);
                self.tenants.insert(sent.tag.clone(), whose);
            }
            Fact::Decided(decided) => {
                self.decided
                    .insert(decided.request_id.clone(), decided.clone());
            }
            Fact::FailedOver(failed_over) => {
                let id = &failed_over.request_id;
                if let Some(decided) = self.decided.get_mut(id) {
                    Arc::make_mut(decided).cell = Some(failed_over.cell.clone());
                    self.failed_over.insert(id.clone());
                }
            }
            Fact::Arrived(arrived) => return self.check(arrived),
            _ => {}
        }
        Ok(())
    }
}

impl AssignedCell {
    fn check(&self, arrived: &Arrived) -> Result<(), String> {
        let Arrived { cell, tag, .. } = arrived;
        let tag = tag
            .as_ref()
            .ok_or_else(|| format!("{cell} received a request that no client sent"))?;
        if self.anonymous.contains(tag) {
            return Ok(());
        }
        let (tenant, tier) = self
            .tenants
            .get(tag)
            .ok_or_else(|| format!("{cell} received {tag}, which no client sent"))?;
        let id = arrived.header(&format!("{}request-id", self.prefix));
        let decided = id
            .and_then(|id| self.decided.get(id))
            .ok_or_else(|| format!("{cell} received {tag}, which no router has decided"))?;
        if decided.cell.as_ref() != Some(cell) {
            return Err(format!(
                "{cell} received {tag}, which was decided for {}",
                shown(decided.cell.as_ref())
            ));
        }
        let version = decided.registry_version.unwrap_or_default();
        let accepted = self.accepted.get(&decided.life);
        if !accepted.is_some_and(|versions| versions.contains(&version)) {
            return Err(format!(
                "{tag} was decided on registry version {version}, which {} had not accepted",
                decided.life.router
            ));
        }
        if self.failed_over.contains(&decided.request_id) {
            return Ok(());
        }
        let said = self.published.get(&version);
        let cells = said.and_then(|said| said.cells_of(tenant, tier.as_deref()));
        if !cells.as_ref().is_some_and(|cells| cells.contains(cell)) {
            let cells: Vec<_> = cells.into_iter().flatten().collect();
            let cells = (!cells.is_empty()).then(|| cells.join(", "));
            return Err(format!(
                "{tag} of {tenant} reached {cell}, but registry version {version} assigns it to {}",
                shown(cells)
            ));
        }
        let endpoints = said.and_then(|said| said.cells.get(cell));
        let listed = endpoints.is_none_or(|cell| cell.endpoints.contains(&arrived.host));
        if !listed && !self.via.contains(tag) {
            return Err(format!(
                "{tag} reached {}, which is no endpoint of {cell} in registry version {version}",
                arrived.host
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
