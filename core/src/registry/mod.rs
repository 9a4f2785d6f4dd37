//! The registry: cells, placements and tenants, as one validated, indexed, versioned document.

mod cell;
mod refused;
mod source;

use std::sync::Arc;

use crate::text::Text;

pub use cell::{Cell, CellState, Endpoint, EndpointId, EndpointUrl, San, Scheme};
pub use refused::{RefusedReason, RegistryFormat, RegistryLimits, RegistryRefused};
pub use source::{
    FetchProblem, RegistryAction, RegistryFailure, RegistryFetched, RegistryNotice, RegistrySource,
    RegistryTiming, RegistryWake,
};

/// One accepted version of the document: immutable, and shared by all requests.
#[derive(Debug)]
pub struct Registry {
    version: u64,
    cells: Vec<Arc<Cell>>,
    placements: Vec<Placement>,
    unknown_tenant: UnknownTenant,
}

/// What reading a document led to.
#[derive(Debug)]
pub enum Parsed {
    /// It says what the registry that it was compared with already says.
    Unchanged(Base),
    /// It is the next version.
    Changed(Box<Candidate>),
}

/// A registry that was validated against another, and may only replace that one.
#[derive(Debug)]
pub struct Candidate {
    registry: Registry,
    base: Base,
}

impl Candidate {
    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry, for uses without a [`RegistrySource`].
    pub fn into_registry(self) -> Registry {
        self.registry
    }
}

/// Which registry a document was compared with.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base(Option<Stamp>);

/// Names one registry by what it was read from.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Stamp {
    /// Its version.
    pub version: u64,
    /// The SHA-256 of its document.
    pub digest: [u8; 32],
}

/// A named target for tenants: one cell, or a set of equal cells of one tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Its id, unique among placements.
    pub id: Text,
    /// The tier of all its cells.
    pub tier: Text,
    /// Whether its tenants are spread over the cells. One that isn't has exactly one cell.
    pub stateless: bool,
}

/// What becomes of tenants that the registry doesn't list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum UnknownTenant {
    /// They are refused.
    #[default]
    Deny,
    /// They go to this placement.
    Placement(Text),
    /// The tier that the identity names picks among the active cells of it.
    ByTier,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TenantStatus {
    /// It is.
    #[default]
    Active,
    /// It isn't: 403 `tenant_suspended`.
    Suspended,
}

/// What the registry says of one tenant.
#[derive(Clone, Copy, Debug)]
pub struct TenantRef<'a> {
    /// Its id, as in the registry.
    pub id: &'a str,
    /// Whether it is served.
    pub status: TenantStatus,
    /// The `name` (in the router's configuration) of the only issuer whose tokens may speak for
    /// it.
    pub issuer: Option<&'a Text>,
    /// Where it goes.
    pub target: Target<'a>,
}

/// Where a tenant is assigned to.
#[derive(Clone, Copy, Debug)]
pub enum Target<'a> {
    /// A cell of its own.
    Cell(&'a Arc<Cell>),
    /// A placement.
    Placement(&'a Placement),
}

impl Registry {
    /// Reads, validates and indexes a document: one step, all or nothing.
    ///
    /// Heavy: up to a second for a million tenants. Call it off the request path.
    ///
    /// # Errors
    /// [`RegistryRefused`] says which rule the document breaks and where.
    pub fn parse(
        body: &[u8],
        format: RegistryFormat,
        previous: Option<&Registry>,
        limits: &RegistryLimits,
    ) -> Result<Parsed, RegistryRefused> {
        let _ = (body, format, previous, limits);
        Err(RegistryRefused::invalid("not built yet"))
    }

    /// A registry from a JSON document on its own, for tests and tools.
    ///
    /// # Errors
    /// As [`Registry::parse`].
    pub fn from_json(body: &str) -> Result<Registry, RegistryRefused> {
        let limits = RegistryLimits::default();
        match Self::parse(body.as_bytes(), RegistryFormat::Json, None, &limits)? {
            Parsed::Changed(candidate) => Ok(candidate.into_registry()),
            Parsed::Unchanged(_) => Err(RegistryRefused::invalid("compared with nothing")),
        }
    }

    /// The version of the document.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// All cells, by id.
    pub fn cells(&self) -> &[Arc<Cell>] {
        &self.cells
    }

    /// All placements, by id.
    pub fn placements(&self) -> &[Placement] {
        &self.placements
    }

    /// How many tenants there are.
    pub fn tenant_count(&self) -> usize {
        0
    }

    /// What becomes of tenants that aren't listed.
    pub fn unknown_tenant(&self) -> &UnknownTenant {
        &self.unknown_tenant
    }

    /// What the registry says of a tenant.
    pub fn tenant(&self, id: &str) -> Option<TenantRef<'_>> {
        let _ = id;
        None
    }

    /// The cell with this id.
    pub fn cell(&self, id: &str) -> Option<&Arc<Cell>> {
        let at = self.cells.binary_search_by(|cell| cell.id.as_str().cmp(id));
        at.ok().map(|at| &self.cells[at])
    }

    /// The placement with this id.
    pub fn placement(&self, id: &str) -> Option<&Placement> {
        let at = self.placements.binary_search_by(|p| p.id.as_str().cmp(id));
        at.ok().map(|at| &self.placements[at])
    }

    /// The cell that an endpoint belongs to, and the endpoint.
    pub fn endpoint(&self, id: EndpointId) -> Option<(&Arc<Cell>, &Endpoint)> {
        let _ = id;
        None
    }
}
