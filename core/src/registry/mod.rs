//! The registry: cells, placements and tenants, as one validated, indexed, versioned document.
//!
//! # The document
//! JSON, or TOML of the same shape. A field that isn't named here is refused.
//!
//! ```json
//! {
//!   "version": 7,
//!   "cells": [
//!     {
//!       "id": "cell-1", "tier": "free", "region": "eu-1", "state": "active", "weight": 1,
//!       "endpoints": [
//!         { "url": "https://10.0.0.1:8443", "san": "spiffe://example/cell/cell-1" }
//!       ],
//!       "annotations": { "owner": "team-a" }
//!     }
//!   ],
//!   "placements": [{
//!     "id": "shared", "tier": "free", "cells": ["cell-1"], "stateless": false,
//!     "fallback": "spare", "failover": true,
//!     "limits": { "rate": { "requests": 5000, "window_secs": 1, "burst": 5000 }, "requests_max": 400 }
//!   }, { "id": "spare", "tier": "free", "cells": ["cell-2"] }],
//!   "tenants": [
//!     { "id": "acme", "placement": "shared", "status": "active", "issuer": "main" },
//!     { "id": "globex", "cell": "cell-1", "status": "suspended" }
//!   ],
//!   "revocations": [{ "sub": "alice", "tenant": "acme", "issued_before": 1767225600 }],
//!   "unknown_tenant": { "placement": "shared" },
//!   "allow_shrink_from": 6
//! }
//! ```
//!
//! - `version` is 1 to [`Registry::VERSION_MAX`], and grows with every change.
//! - A cell's `weight` (default 1), `endpoints` (if its state takes no traffic), `san` (default:
//!   the URL's host) and `annotations` are optional.
//! - A placement's cells are of its tier and not retired; only a `stateless` one has several.
//! - A placement's `fallback` is another placement of the same tier and regions. It serves the
//!   tenants while no cell of the placement takes traffic. With `failover`, it also serves them
//!   while their cell can't be reached, and so do the other cells of a `stateless` placement. The
//!   fallback of a fallback isn't used.
//! - A tenant has a `cell` or a `placement`. The default of `status` is `active`. `issuer` is an
//!   issuer's `name` in the router's configuration, its `iss`, or a trust domain. Without it, the
//!   configuration alone says who may speak for the tenant.
//! - `limits.rate` of a tenant or placement says how many `requests` it may send in `window_secs`
//!   (default 1), and how many at once after a quiet time (`burst`, default `requests`).
//!   `limits.requests_max` says how many of its requests may be at cells at once.
//! - A revocation names a `jti` with its `issuer`, a `sub` with its `tenant` or `issuer`, a
//!   `tenant`, an `issuer`, or nothing, which revokes everything. Except with a `jti`,
//!   `issued_before` limits it to credentials issued before that second. It is required with only
//!   an `issuer`, and with nothing.
//! - `unknown_tenant` is `"deny"` (the default), `"by_tier"` or `{ "placement": id }`.
//! - `allow_shrink_from` names the current version. It allows this document to lose more than
//!   [`RegistryLimits::shrink_percent_max`] of its cells or tenants.
//!
//! # The older form
//! A document `{"data": [cells]}` is read too. `data` is the list of cells. A cell's `tier`,
//! `region`, `state` and `weight` may be annotations of those names instead, and the default of
//! `state` is `active`. `endpoints` may be plain URLs, or one URL in the annotation `endpoint`. The
//! annotation `san` is the SAN of plain URLs. `pinned_tenants` of a cell are tenants that are
//! assigned to it. The default of `unknown_tenant` is `by_tier`, because most such documents list
//! few tenants or none. Other fields of the document, its cells and their endpoints are ignored.
//!
//! Such a document may have no `version`. Then the router numbers each change itself: it can't
//! distinguish a rollback from an update, numbers restart with the process, and cells must not use
//! them to reject older decisions. To avoid this, a control plane sends `version`. Once a document
//! had one, every later document must have one.

mod assign;
mod cells;
mod chunks;
mod document;
mod entries;
mod error;
mod faults;
mod ids;
mod limits;
mod lines;
mod older;
mod parse;
mod placements;
mod read;
mod revocations;
mod source;
mod standby;
mod symbols;
mod tenants;
mod terms;

use std::collections::BTreeMap;
use std::num::NonZeroU32;
use std::sync::Arc;

use crate::rate_limit::RateLimit;
use crate::rendezvous::Spread;
use crate::text::Text;

use assign::Assigned;
use tenants::TargetKind;

pub use crate::cell::{Cell, CellDrain, CellState, Endpoint, EndpointId, EndpointUrl, San, Scheme};
pub use error::{RegistryError, RegistryErrorReason};
pub use limits::{RegistryFormat, RegistryLimits};
pub(crate) use revocations::Kind as RevocationKind;
pub use revocations::Revocations;
pub use source::{
    FetchProblem, RegistryAction, RegistryFetchError, RegistryFetched, RegistryNotice,
    RegistrySource, RegistryTiming, RegistryWake,
};
pub(crate) use standby::StandIn;
pub use standby::Standby;
pub use tenants::{Assignment, TenantIndex};
pub use terms::Terms;

/// One accepted version of the document: immutable, and shared by all requests.
#[derive(Debug)]
pub struct Registry {
    version: u64,
    /// The first version since which nothing has changed for any tenant.
    tenants_since: u64,
    /// Whether the document has a version. Only the older form may lack one.
    names_version: bool,
    /// SHA-256 of the document.
    digest: [u8; 32],
    /// By id.
    cells: Vec<Arc<Cell>>,
    /// By id.
    placements: Vec<Placement>,
    assigned: Assigned,
    unknown_tenant: UnknownTenant,
    revocations: Revocations,
    /// The cells of each tier.
    tiers: BTreeMap<Text, Spread>,
    /// Each endpoint's cell, by position; in order.
    endpoints: Vec<(EndpointId, u32)>,
    /// The next unused endpoint id, in this registry and all before it.
    next_endpoint: u32,
}

/// The result of parsing a document.
#[derive(Debug)]
pub enum Parsed {
    /// It has the same content as the registry that it was compared with.
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
    /// A candidate for the first registry: one that was validated against none.
    #[must_use]
    pub fn first(registry: Registry) -> Self {
        Self {
            registry,
            base: Base(None),
        }
    }

    /// The registry.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The registry, for uses without a [`RegistrySource`].
    #[must_use]
    pub fn into_registry(self) -> Registry {
        self.registry
    }
}

/// The registry that a document was compared with, if any.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Base(Option<DocumentId>);

/// Identifies one registry: its version, and the SHA-256 of its document.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
struct DocumentId {
    version: u64,
    digest: [u8; 32],
}

/// A named target for tenants: one cell, or a set of equal cells of one tier.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Placement {
    /// Its id, unique among placements.
    pub id: Text,
    /// The tier of all its cells.
    pub tier: Text,
    /// Whether its tenants are spread over the cells. A placement that isn't stateless has exactly
    /// one cell.
    pub stateless: bool,
    /// How many requests all its tenants may send together.
    pub rate: Option<RateLimit>,
    /// How many of their requests may be at cells at once.
    pub requests_max: Option<NonZeroU32>,
    /// Where its requests go if its own cell can't take them. `None`: nowhere.
    pub standby: Option<Arc<Standby>>,
    pub(crate) spread: Spread,
}

impl Placement {
    /// The most cells of one placement. A decision computes a hash for each.
    pub const CELLS_MAX: usize = 256;

    /// Its cells, by id; one at least.
    pub fn cells(&self) -> impl Iterator<Item = &Arc<Cell>> {
        self.spread.cells()
    }
}

/// What happens to tenants that the registry doesn't list.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum UnknownTenant {
    /// They are refused.
    #[default]
    Deny,
    /// They go to this placement.
    Placement(Text),
    /// They go to one of the active cells of the tier that the identity names.
    ByTier,
}

/// Whether a tenant is served.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default)]
pub enum TenantStatus {
    /// It is served.
    #[default]
    Active,
    /// Its requests are answered 403 `tenant_suspended`.
    Suspended,
}

impl TenantStatus {
    /// The name in documents and pages.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Suspended => "suspended",
        }
    }
}

/// The registry's entry for one tenant.
#[derive(Clone, Copy, Debug)]
pub struct TenantRef<'a> {
    /// Its id, as in the registry.
    pub id: &'a str,
    /// Whether it is served.
    pub status: TenantStatus,
    /// Who may speak for it, and which roles its callers may have.
    pub terms: &'a Terms,
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
    /// The highest version: 2^53 - 1, the largest whole number that every JSON library reads
    /// exactly. With one version a second it lasts for 285 million years.
    pub const VERSION_MAX: u64 = (1 << 53) - 1;

    /// Reads, validates and indexes a document. A document with any mistake is not used.
    ///
    /// This takes up to a second for a million tenants. Don't call it on the request path.
    ///
    /// # Errors
    /// [`RegistryError`] says which rule the document breaks and where.
    pub fn parse(
        body: &[u8],
        format: RegistryFormat,
        previous: Option<&Registry>,
        limits: &RegistryLimits,
    ) -> Result<Parsed, RegistryError> {
        parse::parse(body, format, previous, limits)
    }

    /// A registry from a JSON document on its own, for tests and tools.
    ///
    /// # Errors
    /// As [`Registry::parse`].
    pub fn from_json(body: &str) -> Result<Registry, RegistryError> {
        let limits = RegistryLimits::default();
        match Self::parse(body.as_bytes(), RegistryFormat::Json, None, &limits)? {
            Parsed::Changed(candidate) => Ok(candidate.into_registry()),
            Parsed::Unchanged(_) => Err(RegistryError::invalid("compared with nothing")),
        }
    }

    /// The version of the document.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// The first version since which nothing has changed for any tenant, listed or not. While it
    /// stays the same, no open stream needs to be rechecked.
    pub fn tenants_since(&self) -> u64 {
        self.tenants_since
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
        self.assigned.tenants.len()
    }

    /// What happens to tenants that the registry doesn't list.
    pub fn unknown_tenant(&self) -> &UnknownTenant {
        &self.unknown_tenant
    }

    /// The credentials that must be refused although they verify.
    pub fn revocations(&self) -> &Revocations {
        &self.revocations
    }

    /// The entry for a tenant. Takes the same time for any number of tenants.
    pub fn tenant(&self, id: &str) -> Option<TenantRef<'_>> {
        let (id, assignment) = self.assigned.tenants.get(id)?;
        let (kind, at) = self.assigned.target(assignment.target)?;
        let target = match kind {
            TargetKind::Cell => Target::Cell(self.cells.get(at)?),
            TargetKind::Placement => Target::Placement(self.placements.get(at)?),
        };
        let status = match assignment.suspended {
            true => TenantStatus::Suspended,
            false => TenantStatus::Active,
        };
        Some(TenantRef {
            id,
            status,
            terms: self
                .assigned
                .terms(assignment.terms)
                .unwrap_or(Terms::none()),
            target,
        })
    }

    /// All terms that tenants have, each once.
    pub(crate) fn all_terms(&self) -> impl Iterator<Item = &Terms> {
        self.assigned.all_terms()
    }

    /// The tenants with their terms, in no particular order.
    pub(crate) fn tenants_with_terms(&self) -> impl Iterator<Item = (&str, &Terms)> {
        let terms =
            |(id, assignment): (_, Assignment)| Some((id, self.assigned.terms(assignment.terms)?));
        self.assigned.tenants.iter().filter_map(terms)
    }

    /// The cells of a tier, whatever their state.
    pub(crate) fn tier(&self, tier: &str) -> Option<&Spread> {
        self.tiers.get(tier)
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
        let at = self.endpoints.binary_search_by_key(&id, |it| it.0).ok()?;
        let cell = self.cells.get(self.endpoints[at].1 as usize)?;
        let endpoint = cell.endpoints.iter().find(|it| it.id == id)?;
        Some((cell, endpoint))
    }

    /// Whether it was read from this document.
    pub fn is_of(&self, document: &[u8]) -> bool {
        self.digest == parse::sha256(document)
    }

    fn stamp(&self) -> DocumentId {
        DocumentId {
            version: self.version,
            digest: self.digest,
        }
    }

    /// Whether both have the same content except for the version. This one must have been built
    /// with `previous`.
    fn has_same_content(&self, previous: &Self) -> bool {
        self.cells == previous.cells
            && self.placements == previous.placements
            && self.has_same_tenants(previous)
    }

    fn has_same_tenants(&self, previous: &Self) -> bool {
        self.unknown_tenant == previous.unknown_tenant
            && self.revocations == previous.revocations
            // New terms may have the slot of old ones, so equal slots don't imply equal terms.
            && self.assigned.has_terms_of(&previous.assigned)
            && self.assigned.tenants.is_same_as(&previous.assigned.tenants)
    }
}

#[cfg(test)]
mod tests;
