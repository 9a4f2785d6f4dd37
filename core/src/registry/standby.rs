//! Where requests of a placement may go if its own cell can't take them.

use std::sync::Arc;

use crate::cell::{Cell, CellState};
use crate::rendezvous::{Member, Spread};
use crate::text::Text;

/// The other cells that may serve the tenants of a placement.
///
/// Only active cells stand in: a draining cell takes nothing new, and a quarantined one nothing at
/// all.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Standby {
    /// Whether requests also go there if the cell can't be reached. Otherwise only the registry
    /// decides: they go to the fallback if no cell of the placement takes traffic.
    pub failover: bool,
    /// The fallback placement. It has the same tier and the same regions.
    pub fallback: Option<Text>,
    /// The placement's own cells. They may stand in for each other.
    own: Spread,
    /// The cells of the fallback.
    others: Spread,
}

/// The cell that stands in.
#[derive(Clone, Copy, Debug)]
pub(crate) struct StandIn<'a> {
    pub(crate) cell: &'a Arc<Cell>,
    /// The fallback placement, if the cell was chosen there.
    pub(crate) fallback: Option<&'a Text>,
}

impl Standby {
    pub(super) fn new(failover: bool, own: &Spread, fallback: Option<(&Text, &Spread)>) -> Self {
        Self {
            failover,
            fallback: fallback.map(|(id, _)| id.clone()),
            own: own.clone(),
            others: fallback.map_or_else(Spread::default, |(_, others)| others.clone()),
        }
    }

    /// The cells that may stand in, for people.
    pub fn describe(&self) -> String {
        let ids = |cells: &Spread| -> String {
            let active = cells.cells().filter(|it| it.state == CellState::Active);
            let ids: Vec<_> = active.map(|it| it.id.as_str()).collect();
            match &*ids {
                [] => "no active cell".to_owned(),
                ids => ids.join(" or "),
            }
        };
        let own = self
            .own
            .only()
            .is_none()
            .then(|| format!("another cell of {}", ids(&self.own)));
        let fallback = (self.fallback.as_ref())
            .map(|id| format!("{} of the fallback placement {id}", ids(&self.others)));
        let both: Vec<_> = own.into_iter().chain(fallback).collect();
        both.join(", then ")
    }

    /// The cell that replaces the placement's cell that serves `key`: another one of the
    /// placement if one is accepted, otherwise one of the fallback.
    pub(crate) fn stand_in(&self, key: u64, accept: impl Fn(&Cell) -> bool) -> Option<StandIn<'_>> {
        let accepts = |it: &Member| it.state() == CellState::Active && accept(it.cell());
        if let Some(cell) = self.own.choose(key, accepts) {
            let fallback = None;
            return Some(StandIn { cell, fallback });
        }
        let cell = self.others.choose(key, accepts)?;
        let fallback = self.fallback.as_ref();
        Some(StandIn { cell, fallback })
    }
}
