//! The registry documents that the control plane publishes, and what they mean.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::rate_limit::RateLimitSpec;
use serde_json::{Value, json};

use super::{keys, pki};
use crate::engine::EPOCH;
use crate::fact::{Assignment, Fact, Published, PublishedCell, RoleSettings, Standby};
use crate::scenario::{
    Cell, CellProtocol, CellState, Change, Credential, FaultKind, Home, ListedCell, NewRegistry,
    Placement, Scenario, Tenant, UnknownTenant,
};

/// The first version. It is above 1, so that there can be an older one.
const FIRST_VERSION: u64 = 10;
/// The port of cells.
pub(super) const CELL_PORT: u16 = 443;

/// The registry as its operators mean it. Invariants compare it with what routers do. No code of the
/// router touches it.
#[derive(Clone, Debug)]
pub(crate) struct Documents {
    version: u64,
    /// The cells that it lists.
    cells: Vec<Cell>,
    /// All cells of the world.
    known: Vec<Cell>,
    placements: Vec<Placement>,
    tenants: Vec<Tenant>,
    /// How many more there are, which no client acts for.
    more_tenants: u32,
    unknown_tenant: UnknownTenant,
    /// The public keys of the cells that call others, by cell.
    keys: BTreeMap<String, Value>,
    /// Tenants, and subjects of theirs.
    revoked: BTreeSet<(String, String)>,
    /// The SANs of clients that have only a certificate, by the clients' names.
    certified: BTreeMap<String, String>,
    /// The hosts of each cell's endpoints.
    endpoints: BTreeMap<String, Vec<String>>,
}

/// A document, made for a [`Change`].
pub(crate) struct Document {
    pub(crate) text: String,
    /// Its content, if it is good and routers must accept it: a [`Fact::Published`].
    pub(crate) truth: Option<Fact>,
}

/// The SANs of clients without a token.
fn certified(scenario: &Scenario) -> BTreeMap<String, String> {
    let clients = scenario.clients.iter();
    let alone = clients.filter(|client| client.credential == Credential::Certificate);
    alone
        .filter_map(|client| {
            let path = client.certificate_path()?;
            Some((client.name.clone(), pki::client_san(&path)))
        })
        .collect()
}

impl Documents {
    /// The keys in it are those of this seed.
    pub(crate) fn new(scenario: &Scenario, seed: u64) -> Self {
        let cells = scenario.cells.iter();
        let sources = cells.filter(|cell| scenario.is_source(&cell.id));
        Self {
            keys: sources
                .map(|cell| (cell.id.clone(), keys::cell_jwk(seed, &cell.id)))
                .collect(),
            version: FIRST_VERSION,
            cells: (scenario.cells.iter().filter(|cell| cell.listed > 0))
                .cloned()
                .collect(),
            known: scenario.cells.clone(),
            placements: scenario.placements.clone(),
            tenants: scenario.tenants.clone(),
            more_tenants: scenario.more_tenants,
            unknown_tenant: scenario.unknown_tenant,
            revoked: BTreeSet::new(),
            certified: certified(scenario),
            endpoints: scenario
                .cells
                .iter()
                .map(|cell| (cell.id.clone(), cell.listed_hosts().collect()))
                .collect(),
        }
    }

    /// The present document.
    pub(crate) fn present(&self) -> Document {
        Document {
            text: self.render(self.version).to_string(),
            truth: Some(self.truth()),
        }
    }

    fn truth(&self) -> Fact {
        Fact::Published(Arc::new(self.published()))
    }

    fn published(&self) -> Published {
        let suspended = self.tenants.iter().filter(|tenant| tenant.suspended);
        let placements = self.placements.iter();
        let cells = self.cells.iter().map(|cell| {
            let (tier, state) = (cell.tier.clone(), cell.state);
            let drains = drain_of(cell);
            let endpoints = self.endpoints_of(cell).iter().cloned().collect();
            let said = PublishedCell {
                tier,
                state,
                drains,
                endpoints,
            };
            (cell.id.clone(), said)
        });
        let role_settings = self.tenants.iter().map(|tenant| {
            let role_settings = RoleSettings {
                allowed_roles: tenant.allowed_roles.iter().cloned().collect(),
                default_role: tenant.default_role.clone(),
            };
            (tenant.id.clone(), role_settings)
        });
        Published {
            version: self.version,
            assignment: self.assignment(),
            placements: placements
                .map(|placement| (placement.id.clone(), self.serving(&placement.cells)))
                .collect(),
            homes: self.homes(),
            suspended: suspended.map(|tenant| tenant.id.clone()).collect(),
            callers: self.callers(),
            revoked: self.revoked.clone(),
            cells: cells.collect(),
            role_settings: role_settings.collect(),
            standby: self.standby(),
            by_tier: self.unknown_tenant == UnknownTenant::ByTier,
        }
    }

    /// The placements of the tenants that have no cell of their own.
    fn homes(&self) -> BTreeMap<String, String> {
        let home = |tenant: &Tenant| match &tenant.home {
            Home::Placement(id) => Some((tenant.id.clone(), id.clone())),
            Home::Cell(_) => None,
        };
        self.tenants.iter().filter_map(home).collect()
    }

    /// The registry after all good changes.
    pub(super) fn at_end(scenario: &Scenario) -> Published {
        let mut documents = Self::new(scenario, 0);
        for fault in &scenario.faults {
            if let FaultKind::Publish(change) = &fault.kind {
                documents.change(change);
            }
        }
        documents.published()
    }

    /// The cells that may call others and have published their key.
    fn callers(&self) -> BTreeSet<String> {
        let known = |cell: &&Cell| cell.publishes_key && self.keys.contains_key(&cell.id);
        let cells = self.cells.iter().filter(known);
        self.serving(&cells.map(|cell| cell.id.clone()).collect::<Vec<_>>())
    }

    /// Makes the document of this change. A good one becomes the present document.
    pub(crate) fn change(&mut self, change: &Change) -> Document {
        match change {
            Change::Same => {}
            Change::Registry(registry) => return self.replace(registry),
            Change::Move(tenant, cell) => {
                self.tenant(tenant, |it| it.home = Home::Cell(cell.clone()));
            }
            Change::Suspend(tenant) => self.tenant(tenant, |it| it.suspended = true),
            Change::Resume(tenant) => self.tenant(tenant, |it| it.suspended = false),
            Change::Revoke(tenant, subject) => {
                self.revoked.insert((tenant.clone(), subject.clone()));
            }
            Change::Restore(tenant, subject) => {
                self.revoked.remove(&(tenant.clone(), subject.clone()));
            }
            Change::CellState(cell, state) => {
                for known in &mut self.cells {
                    if known.id == *cell {
                        known.state = *state;
                    }
                }
            }
            Change::CellKey(id) => {
                for cell in self.cells.iter_mut().filter(|cell| cell.id == *id) {
                    cell.publishes_key = true;
                }
            }
            Change::MoveEndpoint(from, to) => {
                let hosts = self.endpoints.values_mut().flatten();
                for host in hosts.filter(|host| *host == from) {
                    host.clone_from(to);
                }
            }
            // Older than any that a router may have skipped, so that all must refuse it.
            Change::Older => return bad(self.misplaced().render(FIRST_VERSION - 1)),
            Change::SameVersion => return bad(self.misplaced().render(self.version)),
            Change::Invalid => return bad(self.contradictory()),
            Change::Empty => {
                return bad(json!({ "version": self.version + 1, "cells": [], "tenants": [] }));
            }
            Change::Shrunken => return bad(self.shrunken()),
        }
        self.version += 1;
        self.present()
    }

    /// Changes a tenant. A later registry may not have it any more.
    fn tenant(&mut self, id: &str, change: impl FnOnce(&mut Tenant)) {
        let found = self.tenants.iter_mut().find(|tenant| tenant.id == id);
        if let Some(found) = found {
            change(found);
        }
    }

    /// Makes the next version from another registry.
    fn replace(&mut self, registry: &NewRegistry) -> Document {
        let before = self.version;
        let listed = |it: &ListedCell| {
            let known = self.known.iter().find(|cell| cell.id == it.id)?;
            // What a change said about the cell before counts no longer.
            Some(Cell {
                tier: it.tier.clone(),
                region: it.region.clone(),
                state: it.state,
                ..known.clone()
            })
        };
        self.cells = registry.cells.iter().filter_map(listed).collect();
        let endpoints = registry.cells.iter();
        self.endpoints = endpoints
            .map(|it| (it.id.clone(), it.endpoints.clone()))
            .collect();
        self.placements.clone_from(&registry.placements);
        self.tenants.clone_from(&registry.tenants);
        self.unknown_tenant = registry.unknown_tenant;
        self.version += 1;
        let mut document = self.render(self.version);
        if registry.allow_shrink {
            document["allow_shrink_from"] = before.into();
        }
        Document {
            text: document.to_string(),
            truth: Some(self.truth()),
        }
    }

    fn render(&self, version: u64) -> Value {
        let revoked = self.revoked.iter();
        let called = |subject: &String| self.certified.get(subject).unwrap_or(subject).clone();
        let revocations =
            revoked.map(|(tenant, subject)| json!({ "sub": called(subject), "tenant": tenant }));
        let unknown = match self.unknown_tenant {
            UnknownTenant::Deny => "deny",
            UnknownTenant::ByTier => "by_tier",
        };
        json!({
            "version": version,
            "unknown_tenant": unknown,
            "cells": self.cells.iter().map(|cell| self.render_cell(cell)).collect::<Vec<_>>(),
            "placements": self.placements.iter().map(render_placement).collect::<Vec<_>>(),
            "revocations": revocations.collect::<Vec<_>>(),
            "tenants": self.tenants.iter().map(render_tenant).chain(self.more()).collect::<Vec<_>>(),
        })
    }

    /// Tenants that no client acts for, each at one of the cells.
    fn more(&self) -> impl Iterator<Item = Value> {
        let cells = self.cells.iter().cycle().zip(0..self.more_tenants);
        cells.map(|(cell, number)| json!({ "id": format!("more-{number:05}"), "cell": cell.id }))
    }

    fn endpoints_of(&self, cell: &Cell) -> &[String] {
        let endpoints = self.endpoints.get(&cell.id);
        endpoints.map_or(&[], Vec::as_slice)
    }

    fn render_cell(&self, cell: &Cell) -> Value {
        let mut rendered = render_cell(cell, self.endpoints_of(cell));
        if let Some([from, until]) = drain_of(cell) {
            rendered["drain"] = json!({ "from": from.as_secs(), "until": until.as_secs() });
        }
        if let Some(key) = self.keys.get(&cell.id).filter(|_| cell.publishes_key) {
            let set = json!({ "keys": [key] }).to_string();
            rendered["annotations"] = json!({ "cba-jwks": set });
        }
        rendered
    }

    /// The registry with every tenant at a wrong cell, to make it visible if a router applies it.
    fn misplaced(&self) -> Self {
        let mut other = self.clone();
        let right = self.assignment();
        for tenant in &mut other.tenants {
            let right = right.get(&tenant.id);
            let wrong = |cell: &&Cell| !right.is_some_and(|cells| cells.contains(&cell.id));
            if let Some(cell) = self.cells.iter().find(wrong) {
                tenant.home = Home::Cell(cell.id.clone());
                tenant.suspended = false;
            }
        }
        other
    }

    /// The next version, with a tenant at a cell that doesn't exist.
    fn contradictory(&self) -> Value {
        let mut other = self.misplaced();
        if let Some(tenant) = other.tenants.last_mut() {
            tenant.home = Home::Cell("no-such-cell".to_owned());
        }
        other.render(self.version + 1)
    }

    /// The next version, without the second half of the tenants, and the first half at wrong cells.
    fn shrunken(&self) -> Value {
        let mut other = self.misplaced();
        other.tenants.truncate(self.tenants.len() / 2);
        other.more_tenants /= 2;
        other.render(self.version + 1)
    }

    /// Which cells may serve each tenant.
    pub(super) fn assignment(&self) -> Assignment {
        let placements: BTreeMap<&str, &Vec<String>> = self
            .placements
            .iter()
            .map(|p| (p.id.as_str(), &p.cells))
            .collect();
        let cells = |tenant: &Tenant| -> BTreeSet<String> {
            let named = match &tenant.home {
                Home::Cell(cell) => std::slice::from_ref(cell),
                Home::Placement(id) => placements
                    .get(id.as_str())
                    .map_or(&[][..], |c| c.as_slice()),
            };
            match tenant.suspended {
                true => BTreeSet::new(),
                false => self.serving(named),
            }
        };
        self.tenants
            .iter()
            .map(|tenant| (tenant.id.clone(), cells(tenant)))
            .collect()
    }

    /// The cells that may stand in for those of each tenant's placement.
    fn standby(&self) -> BTreeMap<String, Standby> {
        let placement = |id: &String| self.placements.iter().find(|placement| placement.id == *id);
        let active = |cells: &[String]| -> BTreeSet<String> {
            let is_active = |id: &&String| {
                let cell = self.cells.iter().find(|cell| cell.id == **id);
                cell.is_some_and(|cell| cell.state == CellState::Active)
            };
            cells.iter().filter(is_active).cloned().collect()
        };
        let standby = |tenant: &Tenant| {
            let Home::Placement(id) = &tenant.home else {
                return None;
            };
            let home = placement(id)?;
            let fallback = home.fallback.as_ref().and_then(placement);
            let others = fallback.map_or_else(BTreeSet::new, |it| active(&it.cells));
            let own = active(&home.cells);
            let standby = Standby {
                home: home.cells.iter().cloned().collect(),
                failover: home.failover,
                cells: others.union(&own).cloned().collect(),
            };
            let may = home.failover || home.fallback.is_some();
            may.then(|| (tenant.id.clone(), standby))
        };
        let served = self.tenants.iter().filter(|tenant| !tenant.suspended);
        served.filter_map(standby).collect()
    }

    /// Those of these cells that take traffic.
    fn serving(&self, ids: &[String]) -> BTreeSet<String> {
        let takes_traffic = |id: &&String| {
            let cell = self.cells.iter().find(|cell| cell.id == **id);
            cell.is_some_and(|cell| match cell.state {
                CellState::Active | CellState::Draining => true,
                CellState::Provisioning | CellState::Quarantined => false,
            })
        };
        ids.iter().filter(takes_traffic).cloned().collect()
    }
}

fn bad(document: Value) -> Document {
    Document {
        text: document.to_string(),
        truth: None,
    }
}

/// From when to when a cell gives its tenants away, since 1970, if it does so over time.
fn drain_of(cell: &Cell) -> Option<[Duration; 2]> {
    let drains = cell.drains.filter(|_| cell.state == CellState::Draining)?;
    Some(drains.map(|since_start| EPOCH + since_start))
}

fn render_cell(cell: &Cell, endpoints: &[String]) -> Value {
    let endpoints = endpoints.iter().map(|host| {
        let url = format!("{}://{host}:{CELL_PORT}", cell.protocol.as_str());
        match cell.protocol {
            CellProtocol::Https => json!({ "url": url, "san": pki::cell_san(&cell.id) }),
            CellProtocol::Http | CellProtocol::H2c => json!({ "url": url }),
        }
    });
    json!({
        "id": cell.id, "tier": cell.tier, "region": cell.region, "state": cell.state.as_str(),
        "endpoints": endpoints.collect::<Vec<_>>(),
    })
}

fn render_placement(placement: &Placement) -> Value {
    let mut rendered = json!({
        "id": placement.id, "tier": placement.tier, "cells": placement.cells,
        "stateless": placement.stateless, "failover": placement.failover,
    });
    if let Some(fallback) = &placement.fallback {
        rendered["fallback"] = fallback.as_str().into();
    }
    render_limits(&mut rendered, placement.rate, placement.requests_max);
    rendered
}

fn render_tenant(tenant: &Tenant) -> Value {
    let mut rendered = json!({
        "id": tenant.id,
        "status": if tenant.suspended { "suspended" } else { "active" },
    });
    match &tenant.home {
        Home::Cell(cell) => rendered["cell"] = cell.as_str().into(),
        Home::Placement(placement) => rendered["placement"] = placement.as_str().into(),
    }
    if let Some(issuer) = &tenant.issuer {
        rendered["issuer"] = issuer.as_str().into();
    }
    if !tenant.allowed_roles.is_empty() {
        rendered["allowed_roles"] = json!(tenant.allowed_roles);
    }
    if let Some(role) = &tenant.default_role {
        rendered["default_role"] = role.as_str().into();
    }
    render_limits(&mut rendered, tenant.rate, tenant.requests_max);
    rendered
}

/// Adds the limits of a tenant or a placement.
fn render_limits(rendered: &mut Value, rate: Option<RateLimitSpec>, requests_max: Option<u32>) {
    if let Some(rate) = rate {
        let mut limit = json!({ "requests": rate.requests });
        let given = [("window_secs", rate.window_secs), ("burst", rate.burst)];
        for (name, number) in given {
            if let Some(number) = number {
                limit[name] = number.into();
            }
        }
        rendered["limits"]["rate"] = limit;
    }
    if let Some(requests_max) = requests_max {
        rendered["limits"]["requests_max"] = requests_max.into();
    }
}
