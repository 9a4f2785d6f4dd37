//! From an identity to a cell.

use std::sync::Arc;

use crate::decision::Ranked;
use crate::health::Health;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::registry::{Cell, Registry};
use crate::text::Text;

/// Who asks for a place.
#[derive(Clone, Copy, Debug)]
pub struct PlaceQuery<'a> {
    /// Whom the credentials proved.
    pub identity: &'a Identity,
    /// Says whose credentials may speak for which tenant ([`Policy::may_speak`]).
    pub policy: &'a Policy,
    /// Where the policy sends callers without a tenant: an id of the registry's placements.
    pub anonymous_placement: Option<&'a str>,
    /// [`Evidence::spread`](crate::Evidence::spread).
    pub spread: u64,
}

/// Where a request goes.
#[derive(Clone, PartialEq, Debug)]
pub struct Placed {
    /// The placement that chose the cell; `None` where the tenant has a cell of its own, or where
    /// the identity's tier chose.
    pub placement: Option<Text>,
    /// The cell.
    pub cell: Arc<Cell>,
    /// The cell's endpoints that take traffic, best first.
    pub endpoints: Ranked,
    /// Which rule chose.
    pub rule: PlaceRule,
}

/// Which rule chose a cell, for `explain`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum PlaceRule {
    /// The registry assigns the tenant a cell.
    OwnCell,
    /// The registry assigns the tenant a placement.
    TenantPlacement,
    /// The registry doesn't know the tenant, and sends such to a placement.
    UnknownPlacement,
    /// The registry doesn't know the tenant; the identity's tier chose among the active cells.
    UnknownByTier,
    /// The caller is anonymous.
    AnonymousPlacement,
}

impl PlaceRule {
    /// The name in `explain`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::OwnCell => "own_cell",
            Self::TenantPlacement => "tenant_placement",
            Self::UnknownPlacement => "unknown_placement",
            Self::UnknownByTier => "unknown_by_tier",
            Self::AnonymousPlacement => "anonymous_placement",
        }
    }
}

/// Why there is no place.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct PlaceRefused {
    /// The reason of the denial.
    pub reason: Reason,
    /// Which check failed.
    pub detail: &'static str,
}

/// Finds the cell that serves a request, and ranks its endpoints.
///
/// # Errors
/// [`PlaceRefused`]: the tenant is unknown, suspended or not the issuer's to speak for, its tier
/// contradicts the identity's, or no cell that may serve it takes traffic.
pub fn place(
    registry: &Registry,
    health: &Health,
    query: PlaceQuery<'_>,
) -> Result<Placed, PlaceRefused> {
    let _ = (registry, health, query);
    Err(PlaceRefused {
        reason: Reason::NoCellAvailable,
        detail: "not built yet",
    })
}
