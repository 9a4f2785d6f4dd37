//! Chooses the cell for an identity.
//!
//! A tenant with a cell of its own, or with a placement of one cell, is always served there,
//! whatever the cell's state. Only tenants of a `stateless` placement, and unknown tenants under
//! `by_tier`, are spread over several cells, by weighted rendezvous hashing of the tenant's id. The
//! cell depends on the registry and the identity, unless the placement allows failover. An earlier check
//! has decided whether the caller may act for the tenant.
//!
//! Two settings of a placement let another cell stand in ([`Standby`]). If no cell of the placement
//! takes traffic, its `fallback` serves. With `failover`, health counts too: if the cell has no usable
//! endpoint, another cell of the placement or of the fallback serves, if one has. A quarantined cell is
//! never replaced, nor is a tenant's own cell.
//!
//! | state of the cell | tenant that the registry lists | any other caller |
//! | --- | --- | --- |
//! | `active` | served | served |
//! | `draining` | served | `no_cell_available` |
//! | `quarantined` | `cell_quarantined` | `cell_quarantined` |
//! | `provisioning`, `retired` | `no_cell_available` | `no_cell_available` |
//!
//! If a placement spreads, `active` and `quarantined` cells have a share. `draining` cells have one
//! only if there are no others. Under `by_tier`, only `active` cells have a share.
//!
//! A draining cell with a [`CellDrain`](crate::registry::CellDrain) keeps a part of its share, which
//! shrinks over time. Callers whose key it keeps are served as by an active cell.

use std::num::NonZeroU32;
use std::sync::Arc;

use crate::cell::{Cell, CellState};
use crate::decision::FailedOver;
use crate::health::Health;
use crate::identity::Identity;
use crate::mix::mix;
use crate::ranked::Ranked;
use crate::rate_limit::RateLimit;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::{Placement, Registry, StandIn, Standby, Target, TenantRef, UnknownTenant};
use crate::rendezvous::{self, Member};
use crate::text::Text;
use crate::time::{Now, Unix};

/// The name of the check.
pub(crate) const CHECK: &str = "placement";

/// The caller that needs a cell.
#[derive(Clone, Copy, Debug)]
pub struct PlaceQuery<'a> {
    /// The identity that the credentials proved.
    pub identity: &'a Identity,
    /// The registry's entry for the identity's tenant. `None` if the identity has no tenant, or the
    /// registry doesn't list it.
    pub tenant: Option<TenantRef<'a>>,
    /// The id of the placement to which the policy sends callers without a tenant.
    pub anonymous_placement: Option<&'a str>,
    /// Whether the request carries an authorization for one cell. Then it doesn't fail over.
    pub cell_bound: bool,
    /// [`Evidence::spread`](crate::Evidence::spread).
    pub spread: u64,
    /// The time, for the shares of endpoints in their slow start and of cells that drain over time.
    pub now: Now,
}

/// Where a request goes.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Placed {
    /// The placement that chose the cell. `None` if the tenant has a cell of its own, or the
    /// identity's tier decided.
    pub placement: Option<Text>,
    /// The placement's rate limit.
    pub rate: Option<RateLimit>,
    /// The placement's limit on requests in flight.
    pub requests_max: Option<NonZeroU32>,
    /// The cell.
    pub cell: Arc<Cell>,
    /// The cell's endpoints, best first.
    pub endpoints: Ranked,
    /// Which rule chose.
    pub rule: PlaceRule,
    /// The cells to which the request may go if this one can't be reached.
    pub standby: Option<Arc<Standby>>,
    /// Set if this cell replaces another one.
    pub failed_over: Option<Box<FailedOver>>,
}

/// Which rule chose a cell, for `explain`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
#[non_exhaustive]
pub enum PlaceRule {
    /// The registry assigns the tenant a cell.
    OwnCell,
    /// The registry assigns the tenant a placement.
    TenantPlacement,
    /// The registry doesn't list the tenant, and sends unknown tenants to a placement.
    UnknownPlacement,
    /// The registry doesn't list the tenant. The identity's tier chose among the active cells.
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

/// Finds the cell that serves a request, and ranks its endpoints.
///
/// The cell depends only on the registry and the identity, unless its placement allows `failover`.
/// Otherwise health only orders its endpoints.
///
/// # Errors
/// [`Refused`]: the registry has no cell or placement for the tenant, or no cell that may serve it
/// takes traffic.
pub fn place(
    registry: &Registry,
    health: &Health,
    query: PlaceQuery<'_>,
) -> Result<Placed, Refused> {
    let mut choice = match (&query.identity.tenant, query.tenant) {
        (None, _) => anonymous(registry, query)?,
        (Some(_), Some(tenant)) => assigned(tenant, query)?,
        (Some(id), None) => unknown(registry, id, query)?,
    };
    let standby = choice.failover(query);
    if let Some(standby) = standby
        && !health.has_usable(choice.cell)
    {
        choice.avoid_unusable(standby, health, query);
    }
    let cell = Arc::clone(choice.cell);
    let endpoints = health.rank(&cell, query.now.mono, query.spread);
    Ok(Placed {
        placement: choice.placement.map(|placement| placement.id.clone()),
        rate: choice.placement.and_then(|placement| placement.rate),
        requests_max: choice
            .placement
            .and_then(|placement| placement.requests_max),
        cell,
        endpoints,
        rule: choice.rule,
        standby: standby.cloned(),
        failed_over: choice.failed_over,
    })
}

/// A cell, and how it was chosen.
struct Choice<'a> {
    placement: Option<&'a Placement>,
    cell: &'a Arc<Cell>,
    rule: PlaceRule,
    failed_over: Option<Box<FailedOver>>,
}

impl<'a> Choice<'a> {
    /// The cells that may stand in while this one can't be reached.
    fn failover(&self, query: PlaceQuery<'_>) -> Option<&'a Arc<Standby>> {
        let standby = self.placement?.standby.as_ref()?;
        (standby.failover && !query.cell_bound).then_some(standby)
    }

    /// Chooses a cell with a usable endpoint instead. If there is none, the choice stays.
    fn avoid_unusable(&mut self, standby: &'a Standby, health: &Health, query: PlaceQuery<'_>) {
        let accept = |cell: &Cell| health.has_usable(cell);
        let Some(StandIn { cell, fallback }) = standby.stand_in(query.key(), accept) else {
            return;
        };
        let before = std::mem::replace(&mut self.cell, cell);
        let reason = match &self.failed_over {
            Some(earlier) => earlier.reason,
            None => Reason::NoEndpointHealthy,
        };
        self.failed_over = Some(Box::new(FailedOver {
            reason,
            cells: vec![before.clone()],
            fallback: fallback.cloned(),
        }));
    }
}

impl PlaceQuery<'_> {
    /// The key by which a request is spread over cells.
    fn key(&self) -> u64 {
        spread_key(self.identity, self.spread)
    }
}

/// The key by which a request is spread over cells.
pub(crate) fn spread_key(identity: &Identity, spread: u64) -> u64 {
    match &identity.tenant {
        Some(tenant) => rendezvous::hash(tenant.as_str()),
        // Anonymous callers need not stay at one cell.
        None => mix(spread),
    }
}

/// Whether the registry lists the tenant. A draining cell serves only listed tenants.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listing {
    Listed,
    Unlisted,
}

fn refuse<T>(reason: Reason, detail: &'static str) -> Result<T, Refused> {
    Err(Refused::new(CHECK, reason, detail))
}

/// The cell of a tenant that the registry lists.
fn assigned<'a>(tenant: TenantRef<'a>, query: PlaceQuery<'_>) -> Result<Choice<'a>, Refused> {
    match tenant.target {
        Target::Cell(cell) => Ok(Choice {
            placement: None,
            cell: admits(cell, Listing::Listed)?,
            rule: PlaceRule::OwnCell,
            failed_over: None,
        }),
        Target::Placement(placement) => placed(
            placement,
            PlaceRule::TenantPlacement,
            Listing::Listed,
            query,
        ),
    }
}

/// The cell of a placement, or of its fallback if no cell of the placement takes traffic.
fn placed<'a>(
    placement: &'a Placement,
    rule: PlaceRule,
    listing: Listing,
    query: PlaceQuery<'_>,
) -> Result<Choice<'a>, Refused> {
    let choice = |cell, failed_over| Choice {
        placement: Some(placement),
        cell,
        rule,
        failed_over,
    };
    let refused = match within(placement, || query.key(), (listing, query.now.unix)) {
        Ok(cell) => return Ok(choice(cell, None)),
        Err(refused) => refused,
    };
    // A quarantined cell is an operator's decision to serve nobody.
    let takes_none = refused.reason == Reason::NoCellAvailable;
    let standby = placement.standby.as_ref().filter(|_| takes_none);
    let stand_in = standby.and_then(|it| it.stand_in(query.key(), |_| true));
    let Some(StandIn { cell, fallback }) = stand_in else {
        return Err(refused);
    };
    let failed_over = FailedOver {
        reason: refused.reason,
        cells: Vec::new(),
        fallback: fallback.cloned(),
    };
    Ok(choice(cell, Some(Box::new(failed_over))))
}

/// The cell of a tenant that the registry doesn't list.
fn unknown<'a>(
    registry: &'a Registry,
    tenant: &Text,
    query: PlaceQuery<'_>,
) -> Result<Choice<'a>, Refused> {
    let identity = query.identity;
    let placement = match registry.unknown_tenant() {
        UnknownTenant::Deny => {
            let detail = "the registry doesn't list the tenant";
            return refuse(Reason::TenantUnknown, detail);
        }
        UnknownTenant::ByTier => return by_tier(registry, tenant, identity, query.now.unix),
        UnknownTenant::Placement(id) => registry.placement(id.as_str()),
    };
    let Some(placement) = placement else {
        let detail = "the registry no longer has the placement for unknown tenants";
        return refuse(Reason::NoCellAvailable, detail);
    };
    let named = identity.tier.as_ref();
    if named.is_some_and(|named| *named != placement.tier) {
        let detail = "the placement for unknown tenants has another tier than the credential names";
        return refuse(Reason::NoCellAvailable, detail);
    }
    placed(
        placement,
        PlaceRule::UnknownPlacement,
        Listing::Unlisted,
        query,
    )
}

fn by_tier<'a>(
    registry: &'a Registry,
    tenant: &Text,
    identity: &Identity,
    now: Unix,
) -> Result<Choice<'a>, Refused> {
    let Some(tier) = &identity.tier else {
        let detail = "the registry doesn't list the tenant, and the credential names no tier";
        return refuse(Reason::TenantUnknown, detail);
    };
    let key = rendezvous::hash(tenant.as_str());
    let spread = registry.tier(tier.as_str());
    let holds = |it: &Member| it.state() == CellState::Active || it.keeps(key, now);
    match spread.and_then(|cells| cells.choose(key, holds)) {
        Some(cell) => Ok(Choice {
            placement: None,
            cell,
            rule: PlaceRule::UnknownByTier,
            failed_over: None,
        }),
        None => refuse(Reason::NoCellAvailable, "no cell of the tier is active"),
    }
}

fn anonymous<'a>(registry: &'a Registry, query: PlaceQuery<'_>) -> Result<Choice<'a>, Refused> {
    let Some(placement) = query
        .anonymous_placement
        .and_then(|id| registry.placement(id))
    else {
        let detail = "the registry does not have the policy's anonymous_placement";
        return refuse(Reason::NoCellAvailable, detail);
    };
    placed(
        placement,
        PlaceRule::AnonymousPlacement,
        Listing::Unlisted,
        query,
    )
}

/// The cell of a placement that serves a key. The key is computed only if there are several cells.
fn within(
    placement: &Placement,
    key: impl FnOnce() -> u64,
    (listing, now): (Listing, Unix),
) -> Result<&Arc<Cell>, Refused> {
    if let Some(cell) = placement.spread.only() {
        return admits(cell, listing);
    }
    let key = key();
    // A quarantined cell keeps its share, which is answered 503: traffic that took down one cell
    // must not move to the next. A draining cell gives its share away, at once or over time.
    if let Some(cell) = placement
        .spread
        .choose(key, |it| holds_share(it.state()) || it.keeps(key, now))
    {
        return match cell.state {
            // It has not given this key away yet, so it serves whoever it is.
            CellState::Draining => Ok(cell),
            CellState::Active
            | CellState::Quarantined
            | CellState::Provisioning
            | CellState::Retired => admits(cell, listing),
        };
    }
    let drains = |it: &Member| it.state() == CellState::Draining;
    match placement.spread.choose(key, drains) {
        Some(cell) => admits(cell, listing),
        None => refuse(
            Reason::NoCellAvailable,
            "no cell of the placement takes traffic",
        ),
    }
}

/// Whether a cell in this state has its full share of a placement that spreads.
fn holds_share(state: CellState) -> bool {
    matches!(state, CellState::Active | CellState::Quarantined)
}

/// The draining cell that a spread key is at or has left, for `explain`.
///
/// `None` if the request isn't spread, or no cell that drains over time would have it.
pub(crate) fn drained_from<'a>(
    registry: &'a Registry,
    query: PlaceQuery<'_>,
    rule: PlaceRule,
) -> Option<&'a Arc<Cell>> {
    let unknown = || match registry.unknown_tenant() {
        UnknownTenant::Placement(id) => registry.placement(id.as_str()),
        UnknownTenant::Deny | UnknownTenant::ByTier => None,
    };
    let id = query.identity.tenant.as_ref();
    let (spread, key) = match rule {
        PlaceRule::OwnCell | PlaceRule::AnonymousPlacement => return None,
        PlaceRule::TenantPlacement => {
            let Target::Placement(placement) = registry.tenant(id?.as_str())?.target else {
                return None;
            };
            (&placement.spread, id?)
        }
        PlaceRule::UnknownPlacement => (&unknown()?.spread, id?),
        PlaceRule::UnknownByTier => {
            let tier = query.identity.tier.as_ref()?;
            (registry.tier(tier.as_str())?, id?)
        }
    };
    // As before the drain.
    let had = |it: &Member| holds_share(it.state()) || it.drains_over_time();
    let cell = spread.choose(rendezvous::hash(key.as_str()), had)?;
    (cell.state == CellState::Draining).then_some(cell)
}

/// The cell itself, if its state allows this caller.
fn admits(cell: &Arc<Cell>, listing: Listing) -> Result<&Arc<Cell>, Refused> {
    match (cell.state, listing) {
        (CellState::Active, _) | (CellState::Draining, Listing::Listed) => Ok(cell),
        (CellState::Draining, Listing::Unlisted) => refuse(
            Reason::NoCellAvailable,
            "the cell is draining, and takes only tenants that the registry lists",
        ),
        (CellState::Quarantined, _) => refuse(Reason::CellQuarantined, "the cell is quarantined"),
        (CellState::Provisioning, _) => refuse(
            Reason::NoCellAvailable,
            "the cell is still being provisioned",
        ),
        (CellState::Retired, _) => refuse(Reason::NoCellAvailable, "the cell is retired"),
    }
}

#[cfg(test)]
mod tests;
