//! The world of a scenario: cells, placements, issuers and tenants, before the change and after it.

use std::collections::BTreeSet;

use cellway_core::policy::Issuer;
use cellway_core::registry::{Cell, CellState, Registry};
use serde_json::Value as Json;
use toml::{Table, Value};

use super::super::cases::issuers;
use super::super::classes::{Class, Profile, may_speak};
use super::super::folder::{Side, list};
use super::super::settings::{Instead, Left};
use super::names::Names;
use super::{Ends, Part, ROUTERS, table};

/// The most classes with traffic, cells and endpoints of a cell. More make runs slow.
const CLASSES_MAX: usize = 16;
const CELLS_MAX: usize = 24;
const ENDPOINTS_MAX: usize = 3;

/// A world, and the registry that replaces its first one.
pub(super) struct World {
    /// The positions of the classes that have traffic.
    pub(super) classes: Vec<usize>,
    /// The cells.
    pub(super) cells: Vec<String>,
    /// The registry after the change, as a fault publishes it.
    pub(super) next: Table,
    /// Whether that registry has lost many cells, so that routers take it only after the one before.
    pub(super) shrinks: bool,
    pub(super) remarks: Vec<String>,
    /// Cells, placements and tenants: of the first registry, and of the last.
    first: [Vec<Value>; 3],
    last: [Vec<Value>; 3],
    issuers: Vec<Value>,
    unknown_tenant: [&'static str; 2],
}

impl World {
    pub(super) fn new(ends: &Ends<'_>, names: &mut Names, left: &mut Left) -> Result<Self, String> {
        let mut remarks = Vec::new();
        let classes = chosen(ends.classes, &mut remarks);
        // Cells first: their names should stay as they are, because tenants are spread by them.
        let ids = cells(ends, &classes, &mut remarks);
        let cells: Vec<_> = ids.iter().map(|id| names.of("cell", id)).collect();
        let (old, new) = (ends.old.0, ends.new.0);
        let hosts = ids.iter().map(|id| Hosts::of(old, new, id, left));
        let hosts: Vec<_> = hosts.collect();
        let mut builder = Builder { ends, names, left };
        let issuers = builder.issuers(&classes);
        let mut side = |of: &Side, is_new: bool| {
            let placements = builder.placements(of, &ids);
            let tenants = builder.tenants(&classes, is_new, &ids);
            (placements, tenants)
        };
        let (old_placements, mut old_tenants) = side(old, false);
        let (new_placements, mut new_tenants) = side(new, true);
        let all = ids.iter().zip(&cells).zip(&hosts);
        let both = all.clone();
        let next_cells: Vec<_> = all
            .clone()
            .filter_map(|((id, name), hosts)| hosts.listed(new, id, name))
            .collect();
        let lost = both.filter(|(_, hosts)| hosts.new.is_empty() && !hosts.old.is_empty());
        let had = hosts.iter().filter(|hosts| !hosts.old.is_empty()).count();
        if had == 0 {
            return Err("its registry has no cell that takes traffic".to_owned());
        }
        let mut shrinks = lost.count() * 5 > had;
        shrinks |= !fill(
            &mut old_tenants,
            &mut new_tenants,
            &next_cells,
            &cells,
            &hosts,
        );
        let cell_tables = |after: bool| {
            let cells = all.clone();
            cells
                .map(|((id, name), hosts)| hosts.world(old, new, id, name, after))
                .collect()
        };
        let unknown = [old, new].map(|side| unknown_tenant(&side.registry));
        let next = table([
            ("cell", next_cells.clone().into()),
            ("placement", new_placements.clone().into()),
            ("tenant", new_tenants.clone().into()),
            ("unknown_tenant", unknown[1].into()),
            ("allow_shrink", shrinks.into()),
        ]);
        let first = [cell_tables(false), old_placements, old_tenants];
        let last = [cell_tables(true), new_placements, new_tenants];
        Ok(Self {
            first,
            last,
            classes,
            cells,
            next,
            shrinks,
            remarks,
            issuers,
            unknown_tenant: unknown,
        })
    }

    /// The table `[world]` of a part of the change.
    pub(super) fn table(&self, part: Part) -> Table {
        let after = part == Part::After;
        let [cells, placements, tenants] = if after { &self.last } else { &self.first };
        let later = self.last[2].iter().filter(|_| part == Part::Change);
        let known: BTreeSet<_> = tenants
            .iter()
            .chain(later)
            .filter_map(|it| it.get("id")?.as_str())
            .collect();
        let issuers = self.issuers.iter().map(|issuer| {
            let mut issuer = issuer.clone();
            if let Some(Value::Array(tenants)) = issuer.get_mut("tenants") {
                tenants.retain(|it| it.as_str().is_some_and(|it| known.contains(it)));
            }
            issuer
        });
        table([
            ("routers", Value::Integer(ROUTERS as i64)),
            ("issuer", Value::Array(issuers.collect())),
            ("cell", cells.clone().into()),
            ("placement", placements.clone().into()),
            ("tenant", tenants.clone().into()),
            (
                "unknown_tenant",
                self.unknown_tenant[usize::from(after)].into(),
            ),
        ])
    }
}

/// The classes with traffic: first those that the change touches, then the largest.
fn chosen(classes: &[Class], remarks: &mut Vec<String>) -> Vec<usize> {
    let mut order: Vec<_> = (0..classes.len()).collect();
    order.sort_by_key(|at| !classes[*at].is_changed());
    if order.len() > CLASSES_MAX {
        remarks.push(format!(
            "{CLASSES_MAX} of {} classes have traffic: those that the change touches come first, then the largest",
            order.len()
        ));
        order.truncate(CLASSES_MAX);
    }
    order
}

/// The ids of the cells: all, or those of the chosen classes if there are too many.
fn cells(ends: &Ends<'_>, classes: &[usize], remarks: &mut Vec<String>) -> Vec<String> {
    let registries = [&ends.old.0.registry, &ends.new.0.registry];
    let takes_part = |cell: &&std::sync::Arc<Cell>| cell.state != CellState::Retired;
    let all: BTreeSet<_> = registries
        .iter()
        .flat_map(|registry| registry.cells().iter().filter(takes_part))
        .map(|cell| cell.id.to_string())
        .collect();
    if all.len() <= CELLS_MAX {
        return all.into_iter().collect();
    }
    let mut used = BTreeSet::new();
    for at in classes {
        let class = &ends.classes[*at];
        for (profile, registry) in [&class.old, &class.new].into_iter().zip(registries) {
            let Some(profile) = profile else { continue };
            used.extend(profile.cell.clone());
            let placement = profile.placement.as_ref();
            let placement = placement.and_then(|id| registry.placement(id));
            used.extend(
                placement
                    .into_iter()
                    .flat_map(|it| it.cells().map(|it| it.id.to_string())),
            );
        }
    }
    let chosen: Vec<_> = all.intersection(&used).take(CELLS_MAX).cloned().collect();
    remarks.push(format!(
        "{} of {} cells are simulated",
        chosen.len(),
        all.len()
    ));
    chosen
}

fn unknown_tenant(registry: &Registry) -> &'static str {
    use cellway_core::registry::UnknownTenant::{ByTier, Deny, Placement};
    match registry.unknown_tenant() {
        Deny | Placement(_) => "deny",
        ByTier => "by_tier",
    }
}

/// The endpoints of a cell, by the numbers of their hosts.
struct Hosts {
    all: usize,
    old: Vec<usize>,
    new: Vec<usize>,
}

impl Hosts {
    fn of(old: &Side, new: &Side, id: &str, left: &mut Left) -> Self {
        let urls = |side: &Side| -> Vec<String> {
            let cell = side
                .registry
                .cell(id)
                .filter(|it| it.state != CellState::Retired);
            let endpoints = cell.into_iter().flat_map(|it| &it.endpoints);
            endpoints.map(|it| it.url.to_string()).collect()
        };
        let (mut before, mut after) = (urls(old), urls(new));
        if before.len().max(after.len()) > ENDPOINTS_MAX {
            let why = format!("at most {ENDPOINTS_MAX} endpoints of a cell are simulated");
            left.add(Instead::Decisions, &why, &format!("endpoints of {id}"));
            before.truncate(ENDPOINTS_MAX);
            after.truncate(ENDPOINTS_MAX);
        }
        let mut all = before.clone();
        all.extend(after.iter().filter(|url| !before.contains(url)).cloned());
        let numbers = |urls: &[String]| -> Vec<usize> {
            let number = |url: &String| all.iter().position(|it| it == url).map(|at| at + 1);
            urls.iter().filter_map(number).collect()
        };
        Self {
            old: numbers(&before),
            new: numbers(&after),
            all: all.len(),
        }
    }

    /// The cell in the registry that is published, if that lists it. Its hosts are those of the first world.
    fn listed(&self, new: &Side, id: &str, name: &str) -> Option<Value> {
        let cell = new.registry.cell(id)?;
        if self.new.is_empty() {
            return None;
        }
        let hosts = self.new.iter().map(|n| Value::from(format!("{name}-{n}")));
        Some(Value::Table(table([
            ("id", name.into()),
            ("tier", cell.tier.as_str().into()),
            ("region", cell.region.as_str().into()),
            ("state", cell.state.as_str().into()),
            ("endpoints", Value::Array(hosts.collect())),
        ])))
    }

    /// The cell of the world, with what the first registry says of it, or the last.
    fn world(&self, old: &Side, new: &Side, id: &str, name: &str, after: bool) -> Value {
        let sides = if after { [new, old] } else { [old, new] };
        let mut known = sides.iter().filter_map(|side| side.registry.cell(id));
        let cell = known.find(|cell| cell.state != CellState::Retired);
        let listed = if after { &self.new } else { &self.old };
        let protocol = cell.and_then(|cell| cell.endpoints.first());
        let protocol = protocol.map_or("https", |it| it.url.scheme().as_str());
        let text = |text: Option<&str>| Value::from(text.unwrap_or_default());
        Value::Table(table([
            ("id", name.into()),
            ("tier", text(cell.map(|cell| cell.tier.as_str()))),
            ("region", text(cell.map(|cell| cell.region.as_str()))),
            ("state", text(cell.map(|cell| cell.state.as_str()))),
            ("endpoints", Value::Integer(self.all.max(1) as i64)),
            ("listed", Value::Integer(listed.len() as i64)),
            ("protocol", protocol.into()),
        ]))
    }
}

/// Adds tenants without clients, until not so many are gone that routers would take the document for half a
/// database. Returns whether that was possible.
fn fill(
    old: &mut Vec<Value>,
    new: &mut Vec<Value>,
    next: &[Value],
    cells: &[String],
    hosts: &[Hosts],
) -> bool {
    let id = |tenant: &Value| tenant.get("id").cloned();
    let kept: Vec<_> = new.iter().filter_map(id).collect();
    let gone = old
        .iter()
        .filter_map(id)
        .filter(|id| !kept.contains(id))
        .count();
    if gone * 5 <= old.len() {
        return true;
    }
    let stays = |name: &&String| {
        next.iter()
            .filter_map(id)
            .any(|it| it.as_str() == Some(name))
    };
    let had = cells
        .iter()
        .zip(hosts)
        .filter(|(_, hosts)| !hosts.old.is_empty());
    let Some(home) = had.map(|(name, _)| name).find(stays) else {
        return false;
    };
    for n in old.len()..gone * 5 {
        let filler = table([
            ("id", format!("filler-{n}").into()),
            ("cell", home.clone().into()),
        ]);
        old.push(Value::Table(filler.clone()));
        new.push(Value::Table(filler));
    }
    true
}

/// Makes the parts of a world.
struct Builder<'a, 'b> {
    ends: &'b Ends<'a>,
    names: &'b mut Names,
    left: &'b mut Left,
}

impl Builder<'_, '_> {
    /// The identity providers, with the tenants that each speaks for on one side or the other.
    fn issuers(&mut self, classes: &[usize]) -> Vec<Value> {
        let (old, new) = (self.ends.old.0, self.ends.new.0);
        let all = issuers(old, new);
        let several = all.len() > 1;
        let mut tables = Vec::new();
        for issuer in all {
            let mut made = table([("name", self.issuer(issuer).into())]);
            if several {
                let speaks = |side: &Side, class: &Class, profile: Option<&Profile>| {
                    let bound = profile.and_then(|it| it.issuer.as_deref());
                    may_speak(&side.settings.policy, issuer, &class.example, bound)
                };
                let theirs = classes
                    .iter()
                    .map(|at| &self.ends.classes[*at])
                    .filter(|class| {
                        speaks(old, class, class.old.as_ref())
                            || speaks(new, class, class.new.as_ref())
                    });
                let theirs: Vec<_> = theirs.map(|class| class.example.clone()).collect();
                let theirs = theirs.iter().map(|id| self.names.of("tenant", id));
                let theirs: Vec<_> = theirs.map(Value::from).collect();
                made.insert("tenants".to_owned(), theirs.into());
            }
            tables.push(Value::Table(made));
        }
        tables
    }

    fn issuer(&mut self, issuer: &Issuer) -> String {
        self.names.of("issuer", issuer.name.as_str())
    }

    /// The placements of a side whose cells are all simulated.
    fn placements(&mut self, side: &Side, ids: &[String]) -> Vec<Value> {
        let mut placements = Vec::new();
        for raw in list(&side.document, "placements") {
            let text = |name: &str| raw.get(name).and_then(Json::as_str).unwrap_or_default();
            let cells: Vec<_> = list(raw, "cells").iter().filter_map(Json::as_str).collect();
            if !cells.iter().all(|cell| ids.iter().any(|id| id == cell)) {
                continue;
            }
            let cells = cells
                .iter()
                .map(|cell| Value::from(self.names.of("cell", cell)));
            let cells: Vec<_> = cells.collect();
            let flag = |name: &str| raw.get(name).and_then(Json::as_bool).unwrap_or(false);
            let mut made = table([
                ("id", self.names.of("placement", text("id")).into()),
                ("tier", text("tier").into()),
                ("cells", cells.into()),
                ("stateless", flag("stateless").into()),
                ("failover", flag("failover").into()),
            ]);
            if let Some(fallback) = raw.get("fallback").and_then(Json::as_str) {
                made.insert(
                    "fallback".to_owned(),
                    self.names.of("placement", fallback).into(),
                );
            }
            let other = match std::ptr::eq(side, self.ends.old.0) {
                true => self.ends.new.0,
                false => self.ends.old.0,
            };
            let others = list(&other.document, "placements").iter();
            let mut others = others.filter(|it| it.get("id") == raw.get("id"));
            let changed = others.any(|it| it.get("limits") != raw.get("limits"));
            let limits = raw.get("limits").filter(|_| !changed);
            self.limits(
                &mut made,
                limits,
                changed,
                &format!("placement {}", text("id")),
            );
            placements.push(Value::Table(made));
        }
        placements
    }

    /// The first tenants of these classes.
    fn tenants(&mut self, classes: &[usize], is_new: bool, ids: &[String]) -> Vec<Value> {
        let mut tenants = Vec::new();
        for at in classes {
            let class = &self.ends.classes[*at];
            let (profile, other) = match is_new {
                true => (&class.new, &class.old),
                false => (&class.old, &class.new),
            };
            let Some(profile) = profile else { continue };
            let side = if is_new {
                self.ends.new.0
            } else {
                self.ends.old.0
            };
            let Some(home) = self.home(side, profile, &class.example, ids) else {
                let what = format!("tenants: {}", class.name);
                self.left
                    .add(Instead::Decisions, "their cell isn't simulated", &what);
                continue;
            };
            let mut made = table([
                ("id", self.names.of("tenant", &class.example).into()),
                home,
                ("suspended", profile.suspended.into()),
                ("allowed_roles", profile.allowed_roles.clone().into()),
            ]);
            if let Some(role) = &profile.default_role {
                made.insert("default_role".to_owned(), role.clone().into());
            }
            self.bind(&mut made, side, profile);
            let changed = other.as_ref().is_some_and(|it| it.limits != profile.limits);
            let limits = serde_json::from_str::<Json>(&profile.limits).ok();
            let limits = limits.as_ref().filter(|_| !changed);
            self.limits(
                &mut made,
                limits,
                changed,
                &format!("tenants: {}", class.name),
            );
            tenants.push(Value::Table(made));
        }
        tenants
    }

    fn home(
        &mut self,
        side: &Side,
        profile: &Profile,
        tenant: &str,
        ids: &[String],
    ) -> Option<(&'static str, Value)> {
        use cellway_core::registry::Target;
        let is_simulated = |cell: &Cell| ids.iter().any(|id| id == cell.id.as_str());
        match side.registry.tenant(tenant)?.target {
            Target::Cell(cell) => {
                let name = self.names.of("cell", cell.id.as_str());
                is_simulated(cell).then(|| ("cell", name.into()))
            }
            Target::Placement(placement) => {
                let all = placement.cells().all(|cell| is_simulated(cell));
                let name = self.names.of("placement", profile.placement.as_deref()?);
                all.then(|| ("placement", name.into()))
            }
        }
    }

    /// The issuer that the registry binds the tenant to. Trust domains have no name in a scenario.
    fn bind(&mut self, tenant: &mut Table, side: &Side, profile: &Profile) {
        let Some(bound) = &profile.issuer else { return };
        let issuers = side.settings.policy.issuers.iter();
        let mut issuers = issuers.filter(|it| it.name.as_str() == bound || &*it.iss == bound);
        match issuers.next() {
            Some(issuer) => {
                let name = self.names.of("issuer", issuer.name.as_str());
                tenant.insert("issuer".to_owned(), name.into());
            }
            None => {
                let why = "a simulated tenant is bound to no trust domain";
                self.left
                    .add(Instead::Decisions, why, "the registry's tenants.issuer");
            }
        }
    }

    fn limits(&mut self, made: &mut Table, limits: Option<&Json>, changed: bool, whose: &str) {
        if changed {
            let why = "the invariants know only limits that stay as they are";
            self.left
                .add(Instead::Nothing, why, &format!("limits of {whose}"));
        }
        let Some(limits) = limits else { return };
        if let Some(rate) = limits.get("rate").and_then(|it| Value::try_from(it).ok()) {
            made.insert("rate_limit".to_owned(), rate);
        }
        if let Some(most) = limits.get("requests_max").and_then(Json::as_i64) {
            made.insert("requests_max".to_owned(), most.into());
        }
    }
}
