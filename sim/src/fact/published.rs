//! What a registry document means.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::scenario::CellState;

/// The cells that may serve each tenant in one registry version.
pub type Assignment = BTreeMap<String, BTreeSet<String>>;

/// The content of a good registry document, as its operators mean it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Published {
    /// Its version.
    pub version: u64,
    /// Which cells may serve each tenant.
    pub assignment: Assignment,
    /// The cells of each placement that take traffic.
    pub placements: Assignment,
    /// The placements of the tenants that have no cell of their own.
    pub homes: BTreeMap<String, String>,
    /// The suspended tenants.
    pub suspended: BTreeSet<String>,
    /// The revoked subjects: tenant and subject.
    pub revoked: BTreeSet<(String, String)>,
    /// The cells that may call others and have their key in the registry.
    pub callers: BTreeSet<String>,
    /// All cells.
    pub cells: BTreeMap<String, PublishedCell>,
    /// The role settings of each tenant.
    pub role_settings: BTreeMap<String, RoleSettings>,
    /// Whether unlisted tenants go to the cells of their token's tier.
    pub by_tier: bool,
    /// Which other cells may serve each tenant, for those whose placement allows any.
    pub standby: BTreeMap<String, Standby>,
}

/// The cells that may stand in for those of a placement.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Standby {
    /// All cells of the placement, whatever their state.
    pub home: BTreeSet<String>,
    /// Whether they also serve while a cell of the placement can't be reached. Otherwise they serve
    /// only while none of its cells takes traffic.
    pub failover: bool,
    /// The active cells of the placement and of its fallback.
    pub cells: BTreeSet<String>,
}

impl Published {
    /// From when to when this cell gives its tenants away, if it drains over time.
    pub fn drains(&self, cell: &str) -> Option<[Duration; 2]> {
        self.cells.get(cell)?.drains
    }

    /// The cells that may serve a tenant, given the tier in its token. For a tenant that isn't
    /// listed these are the cells of its tier that take new traffic, or none.
    pub fn cells_of(&self, tenant: &str, tier: Option<&str>) -> Option<BTreeSet<String>> {
        if let Some(cells) = self.assignment.get(tenant) {
            return Some(cells.clone());
        }
        let tier = tier.filter(|_| self.by_tier)?;
        let of_tier = self
            .cells
            .iter()
            .filter(|(_, cell)| cell.tier == tier && cell.state == CellState::Active);
        Some(of_tier.map(|(id, _)| id.clone()).collect())
    }
}

/// A cell in the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PublishedCell {
    /// Its tier.
    pub tier: String,
    /// Its state.
    pub state: CellState,
    /// From when to when it gives its tenants away, since the Unix epoch, if it drains over time.
    pub drains: Option<[Duration; 2]>,
    /// The hosts of its endpoints.
    pub endpoints: BTreeSet<String>,
}

/// A tenant's role settings in the registry.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RoleSettings {
    /// The roles that its callers may have.
    pub allowed_roles: BTreeSet<String>,
    /// The role of callers whose credentials have no roles.
    pub default_role: Option<String>,
}
