//! How much a change touches.

use std::collections::BTreeSet;

use serde::Serialize;

use super::super::classes::Class;
use super::super::decisions::Decisions;
use super::super::folder::Side;

/// How much a change touches.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct Blast {
    /// Tenants with a decision that differs.
    pub tenants: usize,
    /// All tenants, of both registries.
    pub tenants_of: usize,
    /// Classes with a decision that differs.
    pub classes: usize,
    /// All classes.
    pub classes_of: usize,
    /// The cells that gain or lose requests, or differ in the registry.
    pub cells: Vec<String>,
    /// All cells, of both registries.
    pub cells_of: usize,
}

impl Blast {
    pub(in crate::rehearse) fn of(
        old: &Side,
        new: &Side,
        classes: &[Class],
        decisions: &Decisions,
    ) -> Self {
        let touched: BTreeSet<_> = decisions.changes.iter().filter_map(|it| it.of).collect();
        let ids = |side: &Side| -> BTreeSet<String> {
            let cells = side.registry.cells().iter();
            cells.map(|cell| cell.id.to_string()).collect()
        };
        let all: BTreeSet<_> = ids(old).union(&ids(new)).cloned().collect();
        let mut cells: BTreeSet<_> = all
            .iter()
            .filter(|id| differs(old, new, id))
            .cloned()
            .collect();
        for at in &touched {
            let class = &classes[*at];
            for profile in [&class.old, &class.new].into_iter().flatten() {
                cells.extend(profile.cell.clone());
            }
        }
        Self {
            tenants: touched.iter().map(|at| classes[*at].tenants).sum(),
            tenants_of: classes.iter().map(|class| class.tenants).sum(),
            classes: touched.len(),
            classes_of: classes.len(),
            cells: cells.into_iter().collect(),
            cells_of: all.len(),
        }
    }
}

/// Whether a cell is another one after the change, apart from the numbers that a registry gives endpoints.
fn differs(old: &Side, new: &Side, id: &str) -> bool {
    let (Some(was), Some(is)) = (old.registry.cell(id), new.registry.cell(id)) else {
        return true;
    };
    let endpoints = |cell: &cellway_core::registry::Cell| -> Vec<_> {
        let endpoints = cell.endpoints.iter();
        endpoints
            .map(|it| (it.url.clone(), it.san.clone()))
            .collect()
    };
    let same = (&was.tier, &was.region, was.state, was.weight, was.drain)
        == (&is.tier, &is.region, is.state, is.weight, is.drain);
    !same || endpoints(was) != endpoints(is)
}
