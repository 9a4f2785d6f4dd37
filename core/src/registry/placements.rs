//! Reads the placements of a document and checks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::cells;
use super::entries::RawPlacement;
use super::error::{Mistakes, RegistryError};
use super::terms::{Limits, RawLimits};
use super::{Placement, Standby};
use crate::cell::{Cell, CellState};
use crate::rendezvous::Spread;
use crate::words::suggestion;

/// The checked placements, by id, and the ids of those with mistakes. A reference to one of these
/// is not a mistake.
#[derive(Default)]
pub(super) struct Placements {
    pub(super) placements: Vec<Placement>,
    pub(super) broken: BTreeSet<String>,
}

/// A placement that names a fallback, or allows failover.
struct Wish {
    /// How messages call the placement.
    path: String,
    id: String,
    fallback: Option<String>,
    failover: bool,
}

pub(super) fn read(
    raw: Vec<RawPlacement>,
    cells: &[Arc<Cell>],
    broken_cells: &BTreeSet<String>,
    mistakes: &mut Mistakes,
) -> Placements {
    let mut placements = BTreeMap::new();
    let mut broken = BTreeSet::new();
    let mut wishes = Vec::new();
    for (at, mut raw) in raw.into_iter().enumerate() {
        let id = raw.id.clone();
        let (fallback, failover) = (raw.fallback.take(), raw.failover);
        if fallback.is_some() || failover {
            wishes.push(Wish {
                path: format!("placements[{at}] {id:?}"),
                id: id.clone(),
                fallback,
                failover,
            });
        }
        if raw.cells.iter().any(|cell| broken_cells.contains(cell)) {
            broken.insert(id);
            continue;
        }
        let placement = read_placement(raw, &format!("placements[{at}]"), cells);
        let Some(placement) = mistakes.take(placement) else {
            broken.insert(id);
            continue;
        };
        if placements.insert(placement.id.clone(), placement).is_some() {
            mistakes.invalid(format!("placements[{at}].id {id:?} occurs twice"));
        }
    }
    let mut placements = Placements {
        placements: placements.into_values().collect(),
        broken,
    };
    for wish in wishes {
        if let Some(Some(standby)) = mistakes.take(placements.standby(&wish)) {
            placements.set_standby(&wish.id, standby);
        }
    }
    placements
}

impl Placements {
    /// Where the placement is. A search that walks all would be quadratic for a document in which
    /// every placement has a fallback.
    fn position(&self, id: &str) -> Option<usize> {
        let by_id = |placement: &Placement| placement.id.as_str().cmp(id);
        self.placements.binary_search_by(by_id).ok()
    }

    fn get(&self, id: &str) -> Option<&Placement> {
        self.placements.get(self.position(id)?)
    }

    fn set_standby(&mut self, id: &str, standby: Standby) {
        if let Some(at) = self.position(id) {
            self.placements[at].standby = Some(Arc::new(standby));
        }
    }

    /// The cells that may stand in for those of a placement. `None` if the placement or its fallback
    /// has a mistake of its own.
    fn standby(&self, wish: &Wish) -> Result<Option<Standby>, RegistryError> {
        let Wish { path, id, .. } = wish;
        let Some(placement) = self.get(id) else {
            return Ok(None);
        };
        let own = &placement.spread;
        let Some(name) = &wish.fallback else {
            return match own.only() {
                None => Ok(Some(Standby::new(wish.failover, own, None))),
                Some(_) => Err(RegistryError::invalid(format!(
                    "{path}.failover needs another cell to go to: name a fallback placement, or add cells \
                     to a stateless placement"
                ))),
            };
        };
        let invalid = |what: String| Err(RegistryError::invalid(format!("{path}.fallback{what}")));
        if self.broken.contains(name) {
            return Ok(None);
        }
        let Some(fallback) = self.get(name) else {
            let known = self.placements.iter().map(|it| it.id.as_str());
            let known = suggestion(name, "placements", known);
            return invalid(format!(": unknown placement {name:?}; {known}"));
        };
        if fallback.id == placement.id {
            return invalid(" is the placement itself; name another one".into());
        }
        if fallback.tier != placement.tier {
            let (theirs, ours) = (&fallback.tier, &placement.tier);
            return invalid(format!(
                ": placement {name:?} has tier {theirs:?}, not {ours:?}"
            ));
        }
        let [theirs, ours] = [fallback, placement].map(regions);
        if theirs != ours {
            return invalid(format!(
                ": placement {name:?} has cells in {}, not in {}; a fallback has the same regions",
                list(&theirs),
                list(&ours)
            ));
        }
        let is_own = |cell: &Arc<Cell>| own.cells().any(|own| own.id == cell.id);
        if fallback.cells().all(is_own) {
            return invalid(format!(
                ": placement {name:?} has no other cells than this one"
            ));
        }
        let fallback = (&fallback.id, &fallback.spread);
        Ok(Some(Standby::new(wish.failover, own, Some(fallback))))
    }
}

/// The regions of a placement's cells.
fn regions(placement: &Placement) -> BTreeSet<&str> {
    placement.cells().map(|cell| cell.region.as_str()).collect()
}

fn list(names: &BTreeSet<&str>) -> String {
    let names: Vec<_> = names.iter().map(|name| format!("{name:?}")).collect();
    names.join(", ")
}

fn read_placement(
    raw: RawPlacement,
    path: &str,
    all: &[Arc<Cell>],
) -> Result<Placement, RegistryError> {
    let path = &format!("{path} {:?}", raw.id);
    let invalid = |what: String| Err(RegistryError::invalid(format!("{path}.{what}")));
    let tier = cells::text(&raw.tier, path, "tier")?;
    if raw.cells.len() > Placement::CELLS_MAX {
        return invalid(format!("cells: at most {}", Placement::CELLS_MAX));
    }
    let mut members: Vec<Arc<Cell>> = Vec::with_capacity(raw.cells.len());
    for (at, id) in raw.cells.iter().enumerate() {
        let Ok(found) = all.binary_search_by(|cell| cell.id.as_str().cmp(id)) else {
            let known = suggestion(id, "cells", all.iter().map(|cell| cell.id.as_str()));
            return invalid(format!("cells[{at}]: unknown cell {id:?}; {known}"));
        };
        let cell = &all[found];
        if cell.state == CellState::Retired {
            return invalid(format!("cells[{at}]: cell {id:?} is retired"));
        }
        if cell.tier != tier {
            let other = &cell.tier;
            return invalid(format!(
                "cells[{at}]: cell {id:?} has tier {other:?}, not {tier:?}"
            ));
        }
        if members.iter().any(|member| member.id == cell.id) {
            return invalid(format!("cells[{at}]: cell {id:?} occurs twice"));
        }
        members.push(Arc::clone(cell));
    }
    match (members.len(), raw.stateless) {
        (0, _) => return invalid("cells is empty".into()),
        (1, _) | (_, true) => {}
        (_, false) => {
            return invalid("cells: only a stateless placement spreads over several".into());
        }
    }
    let limits = RawLimits::check(raw.limits);
    let Limits { rate, requests_max } =
        limits.map_err(|why| RegistryError::invalid(format!("{path}{why}")))?;
    Ok(Placement {
        id: cells::text(&raw.id, path, "id")?,
        tier,
        stateless: raw.stateless,
        rate,
        requests_max,
        standby: None,
        spread: Spread::new(members),
    })
}
