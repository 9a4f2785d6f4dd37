//! All names of a scenario file, to check references to them.

use std::collections::{BTreeMap, BTreeSet};

use toml::Spanned;

use super::CONTROL_PLANE;
use super::choices::CellProtocol;
use super::error::Errors;
use super::fault::Names;
use super::file::{File, Name};

/// The most hosts of one kind. With more, runs are too slow.
const HOSTS_MAX: u32 = 64;

/// All names of a file, to check references against.
pub(super) struct KnownNames {
    pub(super) routers: BTreeSet<String>,
    pub(super) issuers: BTreeSet<String>,
    pub(super) first_issuer: String,
    pub(super) cells: BTreeSet<String>,
    pub(super) placements: BTreeSet<String>,
    pub(super) tenants: BTreeSet<String>,
    pub(super) clients: BTreeSet<String>,
    /// The hosts of each client that there are several of.
    herds: BTreeMap<String, Vec<String>>,
    pub(super) envoys: BTreeSet<String>,
    pub(super) balancers: BTreeSet<String>,
    /// The hosts of cells' endpoints.
    endpoints: BTreeSet<String>,
    /// Cells that speak HTTP/1.1 only, and the hosts of their endpoints.
    http1: BTreeSet<String>,
    hosts: BTreeSet<String>,
    envelopes: bool,
}

impl KnownNames {
    pub(super) fn new(file: &File, errors: &mut Errors<'_>) -> Self {
        let world = &file.world;
        let routers = count(&world.routers, "world.routers", errors);
        let first_issuer = world.issuer.first().map(|i| i.name.get_ref().clone());
        let routers: BTreeSet<_> = (1..=routers).map(|n| format!("router-{n}")).collect();
        let placements = world.placement.iter().map(|p| &p.id);
        let mut known = Self {
            first_issuer: first_issuer.unwrap_or_default(),
            issuers: named(
                world.issuer.iter().map(|i| &i.name),
                "world.issuer.name",
                errors,
            ),
            cells: named(world.cell.iter().map(|c| &c.id), "world.cell.id", errors),
            placements: unique(placements, "world.placement.id", errors),
            tenants: unique(
                world.tenant.iter().map(|t| &t.id),
                "world.tenant.id",
                errors,
            ),
            clients: named(
                file.workload.client.iter().map(|c| &c.name),
                "workload.client.name",
                errors,
            ),
            herds: BTreeMap::new(),
            envoys: named(
                world.envoy.iter().map(|e| &e.name),
                "world.envoy.name",
                errors,
            ),
            balancers: named(
                world.balancer.iter().map(|b| &b.name),
                "world.balancer.name",
                errors,
            ),
            endpoints: BTreeSet::new(),
            http1: BTreeSet::new(),
            hosts: routers
                .iter()
                .cloned()
                .chain([CONTROL_PLANE.to_owned()])
                .collect(),
            routers,
            envelopes: file.router.contains_key("envelope"),
        };
        known.add_hosts(file, errors);
        // Later registries may have further tenants.
        let later = file
            .fault
            .iter()
            .filter_map(|fault| fault.registry.as_ref());
        let tenants = later.flat_map(|registry| &registry.get_ref().tenant);
        known
            .tenants
            .extend(tenants.map(|tenant| tenant.id.get_ref().clone()));
        known
    }

    /// Adds all hosts. Host names are unique, and no cell has a host's name.
    fn add_hosts(&mut self, file: &File, errors: &mut Errors<'_>) {
        for issuer in &file.world.issuer {
            let host = format!("idp-{}", issuer.name.get_ref());
            self.add_host(host, &issuer.name, "world.issuer.name", errors);
        }
        for cell in &file.world.cell {
            let endpoints = count(&cell.endpoints, "world.cell.endpoints", errors);
            if let Some(listed) = &cell.listed
                && !(0..=endpoints).contains(listed.get_ref())
            {
                let problem = format!("must be 0 to {endpoints}, its number of endpoints");
                errors.add(listed.span(), "world.cell.listed", problem);
            }
            let http1 = cell.protocol == CellProtocol::Http;
            if http1 {
                self.http1.insert(cell.id.get_ref().clone());
            }
            for host in (1..=endpoints).map(|n| format!("{}-{n}", cell.id.get_ref())) {
                self.endpoints.insert(host.clone());
                if http1 {
                    self.http1.insert(host.clone());
                }
                self.add_host(host, &cell.id, "world.cell.id", errors);
            }
        }
        for envoy in &file.world.envoy {
            let host = envoy.name.get_ref().clone();
            self.add_host(host, &envoy.name, "world.envoy.name", errors);
        }
        for balancer in &file.world.balancer {
            let host = balancer.name.get_ref().clone();
            self.add_host(host, &balancer.name, "world.balancer.name", errors);
        }
        self.add_clients(file, errors);
        for cell in &file.world.cell {
            if self.hosts.contains(cell.id.get_ref()) {
                let problem =
                    "must differ from every host's name, because a fault could mean either";
                errors.add(cell.id.span(), "world.cell.id", problem);
            }
        }
    }

    /// Adds the hosts of clients. If there are several of one, its name stands for all of them in faults.
    fn add_clients(&mut self, file: &File, errors: &mut Errors<'_>) {
        let mut all = 0;
        for client in &file.workload.client {
            let several = count(&client.count, "workload.client.count", errors);
            all += several;
            if all > HOSTS_MAX && several > 1 {
                let problem = format!("there may be at most {HOSTS_MAX} clients in all");
                errors.add(client.count.span(), "workload.client.count", problem);
            }
            let name = client.name.get_ref();
            self.add_host(name.clone(), &client.name, "workload.client.name", errors);
            if several > 1 {
                let hosts: Vec<_> = (1..=several).map(|n| format!("{name}-{n}")).collect();
                for host in &hosts {
                    self.add_host(host.clone(), &client.name, "workload.client.name", errors);
                }
                self.herds.insert(name.clone(), hosts);
            }
        }
    }

    /// The hosts of a client.
    pub(super) fn hosts_of_client(&self, name: &str) -> Vec<String> {
        let herd = self.herds.get(name).cloned();
        herd.unwrap_or_else(|| vec![name.to_owned()])
    }

    /// Adds a host. If two have the same name, the first one is used.
    fn add_host(&mut self, host: String, name: &Name, field: &str, errors: &mut Errors<'_>) {
        // A repeated name has already been reported.
        if !self.hosts.insert(host.clone()) {
            let problem = format!("another host has the name `{host}`");
            errors.add(name.span(), field, problem);
        }
    }
}

impl Names for KnownNames {
    fn is_host(&self, name: &str) -> bool {
        self.hosts.contains(name)
    }
    fn is_router(&self, name: &str) -> bool {
        self.routers.contains(name)
    }
    fn is_cell(&self, name: &str) -> bool {
        self.cells.contains(name)
    }
    fn is_endpoint(&self, name: &str) -> bool {
        self.endpoints.contains(name)
    }
    fn speaks_http1(&self, name: &str) -> bool {
        self.http1.contains(name)
    }
    fn is_identity_provider(&self, name: &str) -> bool {
        name.strip_prefix("idp-")
            .is_some_and(|name| self.issuers.contains(name))
    }
    fn is_tenant(&self, name: &str) -> bool {
        self.tenants.contains(name)
    }
    fn is_client(&self, name: &str) -> bool {
        self.clients.contains(name) && !self.herds.contains_key(name)
            || (self.herds.values().flatten()).any(|host| host == name)
    }
    fn has_envelopes(&self) -> bool {
        self.envelopes
    }
}

fn count(number: &Spanned<u32>, field: &str, errors: &mut Errors<'_>) -> u32 {
    let value = *number.get_ref();
    if !(1..=HOSTS_MAX).contains(&value) {
        errors.add(number.span(), field, format!("must be 1 to {HOSTS_MAX}"));
    }
    value.clamp(1, HOSTS_MAX)
}

/// Names of hosts: unique, and not too many.
fn named<'a>(
    names: impl Iterator<Item = &'a Name>,
    field: &str,
    errors: &mut Errors<'_>,
) -> BTreeSet<String> {
    let names: Vec<_> = names.collect();
    if let Some(beyond) = names.get(HOSTS_MAX as usize) {
        errors.add(
            beyond.span(),
            field,
            format!("there may be at most {HOSTS_MAX}"),
        );
    }
    unique(names.into_iter(), field, errors)
}

pub(super) fn unique<'a>(
    names: impl Iterator<Item = &'a Name>,
    field: &str,
    errors: &mut Errors<'_>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for name in names {
        spelled(name, field, errors);
        if !seen.insert(name.get_ref().clone()) {
            let problem = format!("`{}` is used twice", name.get_ref());
            errors.add(name.span(), field, problem);
        }
    }
    seen
}

/// Checks a name, which becomes a host name, a header value and a part of a SAN.
pub(super) fn spelled(name: &Name, field: &str, errors: &mut Errors<'_>) {
    let text = name.get_ref();
    let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    if text.is_empty() || text.len() > 40 || !text.chars().all(letters) {
        let problem = "must be 1 to 40 lower-case letters, digits and hyphens";
        errors.add(name.span(), field, problem);
    }
}

/// The name, which must be one of `to`.
pub(super) fn refer(
    name: &Name,
    to: &BTreeSet<String>,
    field: &str,
    what: &str,
    errors: &mut Errors<'_>,
) -> String {
    if !to.contains(name.get_ref()) {
        let known: Vec<_> = to.iter().map(String::as_str).collect();
        let known = match known.is_empty() {
            true => ": there is none".to_owned(),
            false => format!("; known: {}", known.join(", ")),
        };
        let problem = format!("no {what} is called `{}`{known}", name.get_ref());
        errors.add(name.span(), field, problem);
    }
    name.get_ref().clone()
}
