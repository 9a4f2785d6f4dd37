//! Assigns tenants to cells and placements: resolves names to slots and indexes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::entries::RawTenants;
use super::error::Mistakes;
use super::symbols::keep_slots;
use super::tenants::{Duplicate, TargetKind, TenantIndex};
use super::terms::Terms;
use super::{Placement, Registry};
use crate::cell::{Cell, CellState};
use crate::text::Text;
use crate::words::suggestion;

/// The tenants, and what the numbers in their index mean.
#[derive(Debug)]
pub(super) struct Assigned {
    pub(super) tenants: TenantIndex,
    /// Slots: see [`keep_slots`].
    targets: Vec<Option<(TargetKind, Text)>>,
    /// For each slot the position among the registry's cells or placements.
    positions: Vec<usize>,
    /// Slots.
    terms: Vec<Option<Terms>>,
}

impl Assigned {
    /// The position of the cell or placement of a slot.
    pub(super) fn target(&self, slot: u32) -> Option<(TargetKind, usize)> {
        let (kind, _) = self.targets.get(slot as usize)?.as_ref()?;
        Some((*kind, *self.positions.get(slot as usize)?))
    }

    /// Whether equal slots have equal terms in both.
    pub(super) fn has_terms_of(&self, other: &Self) -> bool {
        self.terms == other.terms
    }

    /// All terms.
    pub(super) fn all_terms(&self) -> impl Iterator<Item = &Terms> {
        self.terms.iter().flatten()
    }

    /// The terms, if a tenant has any.
    pub(super) fn terms(&self, slot_and_one: u16) -> Option<&Terms> {
        let slot = usize::from(slot_and_one).checked_sub(1)?;
        self.terms.get(slot)?.as_ref()
    }
}

/// The cells and placements that tenants may refer to.
pub(super) struct Targets<'a> {
    pub(super) cells: &'a [Arc<Cell>],
    pub(super) placements: &'a [Placement],
    /// Ids of cells and of placements with mistakes of their own.
    pub(super) broken: (&'a BTreeSet<String>, &'a BTreeSet<String>),
}

/// Resolves the tenants' references and builds their index. After a mistake the result isn't used.
pub(super) fn assign(
    mut tenants: RawTenants<'_>,
    known: &Targets<'_>,
    previous: Option<&Registry>,
    mistakes: &mut Mistakes,
) -> Assigned {
    let (cells, placements) = (known.cells, known.placements);
    let previous = previous.map(|previous| &previous.assigned);
    let cell_names = cells.iter().map(|cell| (TargetKind::Cell, cell.id.clone()));
    let placement_names = (placements.iter()).map(|it| (TargetKind::Placement, it.id.clone()));
    let wanted: Vec<_> = cell_names.chain(placement_names).collect();
    let targets = keep_slots(previous.map_or(&[], |it| &it.targets), &wanted);
    let wanted = checked_terms(&tenants, mistakes);
    let terms = keep_slots(previous.map_or(&[], |it| &it.terms), &wanted);
    let resolved = resolve(&mut tenants, &targets, (&wanted, &terms), known, mistakes);
    let index = match resolved {
        Some(()) => TenantIndex::build(&tenants, previous.map(|it| &it.tenants)),
        // Only repeated ids are left to find.
        None => TenantIndex::build(&tenants, None),
    };
    let index = index.unwrap_or_else(|Duplicate { first, second }| {
        let (first, second) = (tenants.place(first), tenants.place(second));
        mistakes.invalid(format!("{second} has the id of {first}"));
        TenantIndex::default()
    });
    Assigned {
        tenants: index,
        positions: positions(&targets, cells, placements),
        targets,
        terms,
    }
}

/// The terms of all tenants, in the order of their symbols.
fn checked_terms(tenants: &RawTenants<'_>, mistakes: &mut Mistakes) -> Vec<Terms> {
    let mut wanted = Vec::with_capacity(tenants.terms.names().len());
    for (symbol, raw) in (1..).zip(tenants.terms.names()) {
        match raw.check() {
            Ok(terms) => wanted.push(terms),
            Err(why) => {
                let mut items = tenants.items.iter();
                let first = items.position(|item| item.terms == symbol);
                let place = tenants.place(first.unwrap_or_default());
                mistakes.invalid(format!("{place}{why}"));
                wanted.push(Terms::default());
            }
        }
    }
    wanted
}

/// Turns the document's symbols into slots; `None` if one is not a valid target.
fn resolve(
    tenants: &mut RawTenants<'_>,
    targets: &[Option<(TargetKind, Text)>],
    (wanted, terms): (&[Terms], &[Option<Terms>]),
    known: &Targets<'_>,
    mistakes: &mut Mistakes,
) -> Option<()> {
    let target_of = by_name(targets);
    let mut target_slots = Vec::with_capacity(tenants.targets.names().len());
    for (symbol, (kind, name)) in (0..).zip(tenants.targets.names()) {
        let found = target_of.binary_search_by(|((k, n), _)| (*k, n.as_str()).cmp(&(*kind, name)));
        match found {
            Ok(_) if *kind == TargetKind::Cell && is_retired(name, known.cells) => {
                let problem = format!("cell {name:?} is retired");
                mistakes.invalid(refers(tenants, symbol, &problem));
            }
            Ok(at) => target_slots.push(target_of[at].1),
            Err(_) => {
                if let Some(problem) = known.unknown(*kind, name) {
                    mistakes.invalid(refers(tenants, symbol, &problem));
                }
            }
        }
    }
    if target_slots.len() < tenants.targets.names().len() {
        return None;
    }
    let terms_of = by_name(terms);
    let terms_slot = |terms: &Terms| {
        let found = terms_of.binary_search_by(|(other, _)| (*other).cmp(terms));
        found.map_or(0, |at| terms_of[at].1 as u16 + 1)
    };
    let terms_slots: Vec<_> = wanted.iter().map(terms_slot).collect();
    for item in tenants.items.iter_mut() {
        item.target = target_slots[item.target as usize];
        if let Some(symbol) = usize::from(item.terms).checked_sub(1) {
            item.terms = terms_slots[symbol];
        }
    }
    Some(())
}

impl Targets<'_> {
    /// The problem with an unknown reference. `None` if its target exists but has mistakes.
    fn unknown(&self, kind: TargetKind, name: &str) -> Option<String> {
        let (what, broken, known) = match kind {
            TargetKind::Cell => {
                let known = self.cells.iter().map(|cell| cell.id.as_str());
                ("cell", self.broken.0, suggestion(name, "cells", known))
            }
            TargetKind::Placement => {
                let known = self.placements.iter().map(|it| it.id.as_str());
                let known = suggestion(name, "placements", known);
                ("placement", self.broken.1, known)
            }
        };
        (!broken.contains(name)).then(|| format!("unknown {what} {name:?}; {known}"))
    }
}

/// The taken slots, by name.
fn by_name<T: Ord>(slots: &[Option<T>]) -> Vec<(&T, u32)> {
    let numbered = slots.iter().zip(0..);
    let mut taken: Vec<_> = numbered
        .filter_map(|(name, slot)| Some((name.as_ref()?, slot)))
        .collect();
    taken.sort_unstable();
    taken
}

fn is_retired(id: &str, cells: &[Arc<Cell>]) -> bool {
    let found = cells.binary_search_by(|cell| cell.id.as_str().cmp(id));
    found.is_ok_and(|at| cells[at].state == CellState::Retired)
}

/// A mistake, with the first tenant that has this symbol.
fn refers(tenants: &RawTenants<'_>, symbol: u32, problem: &str) -> String {
    let mut items = tenants.items.iter();
    let first = items.position(|item| item.target == symbol);
    let place = tenants.place(first.unwrap_or_default());
    format!("{place}: {problem}")
}

fn positions(
    targets: &[Option<(TargetKind, Text)>],
    cells: &[Arc<Cell>],
    placements: &[Placement],
) -> Vec<usize> {
    let position = |target: &Option<(TargetKind, Text)>| match target {
        Some((TargetKind::Cell, id)) => cells.binary_search_by(|cell| cell.id.cmp(id)),
        Some((TargetKind::Placement, id)) => placements.binary_search_by(|it| it.id.cmp(id)),
        None => Ok(0),
    };
    // `assign` gives slots only to names that exist.
    targets
        .iter()
        .map(|target| position(target).unwrap_or_default())
        .collect()
}
