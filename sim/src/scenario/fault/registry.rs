//! A new registry that the control plane publishes in place of the one before.

use toml::Spanned;

use crate::scenario::error::Errors;
use crate::scenario::file;
use crate::scenario::{CellState, Home, Placement, Tenant, UnknownTenant};

/// A whole registry: cells, placements and tenants.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct NewRegistry {
    /// Its cells. Their hosts are those of the world's cells.
    pub cells: Vec<ListedCell>,
    /// Its placements.
    pub placements: Vec<Placement>,
    /// Its tenants.
    pub tenants: Vec<Tenant>,
    /// Where unlisted tenants go.
    pub unknown_tenant: UnknownTenant,
    /// Whether it may have lost many cells or tenants since the version before.
    pub allow_shrink: bool,
}

/// A cell in a new registry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct ListedCell {
    /// The id of a cell of the world.
    pub id: String,
    /// Its tier.
    pub tier: String,
    /// Its region.
    pub region: String,
    /// Its state.
    pub state: CellState,
    /// The hosts of its endpoints.
    pub endpoints: Vec<String>,
}

/// Checks the names of hosts and cells: `is_cell` and `is_endpoint` know those of the world. The router's
/// own reader checks all others.
pub(super) fn read(
    spec: &Spanned<file::NewRegistry>,
    is_cell: impl Fn(&str) -> bool,
    is_endpoint: impl Fn(&str) -> bool,
    errors: &mut Errors<'_>,
) -> NewRegistry {
    const FIELD: &str = "fault.registry";
    let at = spec.span();
    let spec = spec.get_ref();
    for cell in &spec.cell {
        let id = cell.id.get_ref();
        if !is_cell(id) {
            let problem = format!(
                "no cell of this world is called `{id}`: add it to [[world.cell]], with `listed = 0` if the first registry doesn't have it"
            );
            errors.add(at.clone(), FIELD, problem);
        }
        for host in &cell.endpoints {
            let of_cell = host.strip_prefix(id.as_str());
            if of_cell.is_none_or(|rest| !rest.starts_with('-')) || !is_endpoint(host) {
                let problem = format!("`{host}` is no endpoint of {id}");
                errors.add(at.clone(), FIELD, problem);
            }
        }
    }
    NewRegistry {
        cells: spec.cell.iter().map(cell).collect(),
        placements: spec.placement.iter().map(placement).collect(),
        tenants: spec.tenant.iter().map(tenant).collect(),
        unknown_tenant: spec.unknown_tenant,
        allow_shrink: spec.allow_shrink,
    }
}

fn cell(spec: &file::ListedCell) -> ListedCell {
    ListedCell {
        id: spec.id.get_ref().clone(),
        tier: spec.tier.clone(),
        region: spec.region.clone(),
        state: spec.state,
        endpoints: spec.endpoints.clone(),
    }
}

fn placement(spec: &file::Placement) -> Placement {
    Placement {
        id: spec.id.get_ref().clone(),
        tier: spec.tier.clone(),
        cells: spec.cells.iter().map(text).collect(),
        stateless: spec.stateless,
        fallback: spec.fallback.as_ref().map(text),
        failover: spec.failover,
        rate: spec.rate_limit,
        requests_max: spec.requests_max,
    }
}

fn tenant(spec: &file::Tenant) -> Tenant {
    let home = match (&spec.cell, &spec.placement) {
        (_, Some(placement)) => Home::Placement(text(placement)),
        (cell, None) => Home::Cell(cell.as_ref().map(text).unwrap_or_default()),
    };
    Tenant {
        id: text(&spec.id),
        home,
        suspended: spec.suspended,
        issuer: spec.issuer.as_ref().map(text),
        allowed_roles: spec.allowed_roles.clone(),
        default_role: spec.default_role.clone(),
        rate: spec.rate_limit,
        requests_max: spec.requests_max,
    }
}

fn text(name: &file::Name) -> String {
    name.get_ref().clone()
}
