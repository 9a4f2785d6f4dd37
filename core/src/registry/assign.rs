//! Which tenant goes where: names resolved to slots, then indexed.

use std::sync::Arc;

use super::cell::{Cell, CellState};
use super::document::RawTenants;
use super::symbols::keep_slots;
use super::tenants::{Duplicate, TenantIndex};
use super::terms::{RawTerms, Terms};
use super::{Placement, Registry, RegistryRefused};
use crate::text::Text;

/// What a tenant refers to.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) enum TargetKind {
    Cell,
    Placement,
}

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
    /// The position of what a slot stands for.
    pub(super) fn target(&self, slot: u32) -> Option<(TargetKind, usize)> {
        let (kind, _) = self.targets.get(slot as usize)?.as_ref()?;
        Some((*kind, *self.positions.get(slot as usize)?))
    }

    /// Whether slots stand for the same terms.
    pub(super) fn has_terms_of(&self, other: &Self) -> bool {
        self.terms == other.terms
    }

    /// The terms, where a tenant has any.
    pub(super) fn terms(&self, slot_and_one: u16) -> Option<&Terms> {
        let slot = usize::from(slot_and_one).checked_sub(1)?;
        self.terms.get(slot)?.as_ref()
    }
}

/// Resolves what the tenants refer to, and builds their index.
pub(super) fn assign(
    mut tenants: RawTenants<'_>,
    cells: &[Arc<Cell>],
    placements: &[Placement],
    previous: Option<&Registry>,
) -> Result<Assigned, RegistryRefused> {
    let previous = previous.map(|previous| &previous.assigned);
    let cell_names = cells.iter().map(|cell| (TargetKind::Cell, cell.id.clone()));
    let placement_names = (placements.iter()).map(|it| (TargetKind::Placement, it.id.clone()));
    let wanted: Vec<_> = cell_names.chain(placement_names).collect();
    let targets = keep_slots(previous.map_or(&[], |it| &it.targets), &wanted);
    let checked = tenants.terms.names().iter().map(RawTerms::check);
    let wanted = checked.collect::<Result<Vec<_>, _>>()?;
    let terms = keep_slots(previous.map_or(&[], |it| &it.terms), &wanted);
    resolve(&mut tenants, &targets, (&wanted, &terms), cells)?;
    let index = TenantIndex::build(&tenants.items, previous.map(|it| &it.tenants));
    let index = index.map_err(|Duplicate { first, second }| {
        let id = &tenants.items[first].id;
        let detail = format!("tenants[{second}].id {id:?} is that of tenants[{first}] too");
        RegistryRefused::invalid(detail)
    })?;
    Ok(Assigned {
        tenants: index,
        positions: positions(&targets, cells, placements),
        targets,
        terms,
    })
}

/// Turns the document's symbols into slots.
fn resolve(
    tenants: &mut RawTenants<'_>,
    targets: &[Option<(TargetKind, Text)>],
    (wanted, terms): (&[Terms], &[Option<Terms>]),
    cells: &[Arc<Cell>],
) -> Result<(), RegistryRefused> {
    let target_of = by_name(targets);
    let mut target_slots = Vec::with_capacity(tenants.targets.names().len());
    for (symbol, (kind, name)) in (0..).zip(tenants.targets.names()) {
        let found = target_of.binary_search_by(|((k, n), _)| (*k, n.as_str()).cmp(&(*kind, name)));
        let problem = match found {
            Err(_) => Some("there is no such one"),
            Ok(_) if *kind == TargetKind::Cell && is_retired(name, cells) => Some("it is retired"),
            Ok(at) => {
                target_slots.push(target_of[at].1);
                None
            }
        };
        if let Some(problem) = problem {
            return Err(unresolved(tenants, symbol, *kind, name, problem));
        }
    }
    let terms_of = by_name(terms);
    let terms_slot = |terms: &Terms| {
        let found = terms_of.binary_search_by(|(other, _)| (*other).cmp(terms));
        found.map_or(0, |at| terms_of[at].1 as u16 + 1)
    };
    let terms_slots: Vec<_> = wanted.iter().map(terms_slot).collect();
    for item in &mut tenants.items {
        let assignment = &mut item.assignment;
        assignment.target = target_slots[assignment.target as usize];
        if let Some(symbol) = usize::from(assignment.terms).checked_sub(1) {
            assignment.terms = terms_slots[symbol];
        }
    }
    Ok(())
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

/// Names the first tenant that refers to it.
fn unresolved(
    tenants: &RawTenants<'_>,
    symbol: u32,
    kind: TargetKind,
    name: &str,
    problem: &str,
) -> RegistryRefused {
    let mut items = tenants.items.iter();
    let at = items
        .position(|item| item.assignment.target == symbol)
        .unwrap_or_default();
    let field = match kind {
        TargetKind::Cell => "cell",
        TargetKind::Placement => "placement",
    };
    RegistryRefused::invalid(format!("tenants[{at}].{field} {name:?}: {problem}"))
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
    // Every taken slot names something that is there: `assign` made them so.
    targets
        .iter()
        .map(|target| position(target).unwrap_or_default())
        .collect()
}
