//! Reads the placements of a document and checks them.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Placement;
use super::cells;
use super::entries::RawPlacement;
use super::error::{Mistakes, RegistryError};
use super::terms::RawLimits;
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

pub(super) fn read(
    raw: Vec<RawPlacement>,
    cells: &[Arc<Cell>],
    broken_cells: &BTreeSet<String>,
    mistakes: &mut Mistakes,
) -> Placements {
    let mut placements = BTreeMap::new();
    let mut broken = BTreeSet::new();
    for (at, raw) in raw.into_iter().enumerate() {
        let id = raw.id.clone();
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
    Placements {
        placements: placements.into_values().collect(),
        broken,
    }
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
    Ok(Placement {
        id: cells::text(&raw.id, path, "id")?,
        tier,
        stateless: raw.stateless,
        rate: RawLimits::check(raw.limits)
            .map_err(|why| RegistryError::invalid(format!("{path}{why}")))?,
        spread: Spread::new(members),
    })
}
