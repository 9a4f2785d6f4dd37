//! The health of endpoints, as decisions see it.

use std::time::Duration;

use super::WhenAllEjected;
use crate::cell::{Cell, EndpointId};
use crate::ranked::{FULL_WEIGHT, Ranked, Rest};
use crate::time::Mono;

/// The smallest share of an endpoint in its slow start, compared with the others. With nothing at
/// all it would never show whether it works.
const WEIGHT_MIN: u32 = FULL_WEIGHT / 10;

/// Which endpoints are usable, as decisions see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// Grows with every change.
    pub(super) epoch: u64,
    /// In order.
    pub(super) ejected: Vec<EndpointId>,
    /// Endpoints whose checks fail, in order.
    pub(super) unhealthy: Vec<EndpointId>,
    /// Ejected, unhealthy, or added to a cell that doesn't need them before their first check; in
    /// order.
    pub(super) unusable: Vec<EndpointId>,
    /// Endpoints in their slow start, in order, and when it began.
    pub(super) warming: Vec<(EndpointId, Mono)>,
    pub(super) slow_start: Duration,
    pub(super) when_all_ejected: WhenAllEjected,
}

impl Health {
    /// Grows with every change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the endpoint is ejected.
    pub fn is_ejected(&self, endpoint: EndpointId) -> bool {
        self.ejected.binary_search(&endpoint).is_ok()
    }

    /// All ejected endpoints, in order.
    pub fn ejected(&self) -> &[EndpointId] {
        &self.ejected
    }

    /// All endpoints whose checks fail, in order.
    pub fn unhealthy(&self) -> &[EndpointId] {
        &self.unhealthy
    }

    /// Whether requests may go to the endpoint while its cell has enough others.
    pub fn is_usable(&self, endpoint: EndpointId) -> bool {
        self.unusable.binary_search(&endpoint).is_err()
    }

    /// Whether one of the cell's endpoints is usable.
    pub fn has_usable(&self, cell: &Cell) -> bool {
        self.unusable.is_empty() || cell.endpoints.iter().any(|it| self.is_usable(it.id))
    }

    /// The order in which a request tries the endpoints of its cell. `spread` picks the first one.
    pub fn rank(&self, cell: &Cell, now: Mono, spread: u64) -> Ranked {
        let count = cell.endpoints.len();
        if self.unusable.is_empty() && self.warming.is_empty() {
            return Ranked::all(count, spread);
        }
        let id = |at: usize| cell.endpoints[at].id;
        let weight = |at| match self.is_usable(id(at)) {
            true => self.weight(id(at), now),
            false => 0,
        };
        let usable = (0..count).filter(|at| self.is_usable(id(*at))).count();
        match self.when_all_ejected {
            WhenAllEjected::Panic { threshold_percent }
                if usable == 0 || usable * 100 < count * usize::from(threshold_percent) =>
            {
                Ranked::all(count, spread)
            }
            WhenAllEjected::Panic { .. } => Ranked::weighted(count, spread, weight, Rest::Last),
            WhenAllEjected::Fail => Ranked::weighted(count, spread, weight, Rest::Never),
        }
    }

    /// The endpoint's share in percent of what others of its cell get, below 100 in its slow start.
    pub fn share_percent(&self, endpoint: EndpointId, now: Mono) -> u32 {
        self.weight(endpoint, now) * 100 / FULL_WEIGHT
    }

    /// The endpoint's share, compared with the others of its cell.
    fn weight(&self, endpoint: EndpointId, now: Mono) -> u32 {
        let found = self.warming.binary_search_by_key(&endpoint, |(id, _)| *id);
        let Ok(at) = found else { return FULL_WEIGHT };
        let (_, since) = self.warming[at];
        let total = self.slow_start.as_millis().max(1);
        let done = now.since(since).as_millis().min(total);
        let weight = u128::from(FULL_WEIGHT) * done / total;
        (weight as u32).clamp(WEIGHT_MIN, FULL_WEIGHT)
    }
}
