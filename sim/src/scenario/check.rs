//! From the tables of a file to a [`Scenario`] in which every name refers to something.

use std::collections::BTreeSet;
use std::time::Duration;

use cellway_core::Reason;

use super::error::{Errors, ScenarioErrors};
use super::fault_reader::{self, Names};
use super::file::{self, File, Name};
use super::settings;
use super::{
    Answers, CONTROL_PLANE, Cell, CellBound, CellProtocol, Client, Envoy, Expect, Fault, Home,
    Issuer, Placement, Scenario, Tenant,
};
use crate::world;

/// The most hosts of one kind: beyond, a run measures the machine's patience.
const HOSTS_MAX: u32 = 64;
/// The longest that a world may run.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);

pub(super) fn check(path: &str, text: &str) -> Result<Scenario, ScenarioErrors> {
    let mut errors = Errors::new(text);
    let file = match toml::from_str::<File>(text) {
        Ok(file) => file,
        Err(error) => {
            errors.toml(&error);
            return Err(errors.finish(path).expect_err("one was just added"));
        }
    };
    let scenario = resolve(path, &file, &mut errors);
    recovery_fits(&scenario, &file, &mut errors);
    settings::check(&scenario, &mut errors);
    // With names that refer to nothing it would only say the same again.
    if errors.is_empty()
        && let Some(problem) = world::registry_refused(&scenario)
    {
        errors.add(0..0, "world", problem);
    }
    errors.finish(path)?;
    Ok(scenario)
}

/// Follows every name to what it means. With mistakes the result is good for further checks only.
fn resolve(path: &str, file: &File, errors: &mut Errors<'_>) -> Scenario {
    let names = Known::new(file, errors);
    times(file, errors);
    let world = &file.world;
    let duration = file.duration.get_ref().0;
    let placements = world.placement.iter();
    let clients = file.workload.client.iter();
    Scenario {
        name: stem(path),
        path: path.to_owned(),
        about: file.about.clone(),
        duration,
        tick: file.tick.get_ref().0,
        latency: world.latency.get_ref().map(|span| span.0),
        routers: names.routers.iter().cloned().collect(),
        issuers: world
            .issuer
            .iter()
            .map(|i| issuer(i, &names, errors))
            .collect(),
        cells: world.cell.iter().map(cell).collect(),
        envoys: (world.envoy.iter())
            .map(|e| envoy(e, file, &names, errors))
            .collect(),
        placements: placements.map(|p| placement(p, &names, errors)).collect(),
        tenants: world
            .tenant
            .iter()
            .map(|t| tenant(t, &names, errors))
            .collect(),
        clients: clients.map(|c| client(c, &names, errors)).collect(),
        faults: faults(file, &names, errors),
        expect: expect(&file.expect, duration, &names, errors),
        router_settings: file.router.clone(),
    }
}

fn faults(file: &File, names: &Known, errors: &mut Errors<'_>) -> Vec<Fault> {
    let duration = file.duration.get_ref().0;
    let specs = file.fault.iter();
    let mut faults: Vec<_> = specs
        .filter_map(|spec| fault_reader::read(spec, names, duration, errors))
        .collect();
    // Stable, so that faults of one moment keep the order of the file.
    faults.sort_by_key(|fault| fault.at);
    faults
}

fn stem(path: &str) -> String {
    let stem = std::path::Path::new(path).file_stem();
    stem.map_or_else(
        || path.to_owned(),
        |stem| stem.to_string_lossy().into_owned(),
    )
}

fn times(file: &File, errors: &mut Errors<'_>) {
    let tick = file.tick.get_ref().0;
    if tick.is_zero() || tick > Duration::from_millis(100) {
        errors.add(file.tick.span(), "tick", "must be 1ms to 100ms");
    }
    if file.duration.get_ref().0 > DURATION_MAX {
        errors.add(file.duration.span(), "duration", "may be 24h at most");
    }
    let [min, max] = file.world.latency.get_ref();
    if min > max {
        let problem = "the shortest comes first, then the longest";
        errors.add(file.world.latency.span(), "world.latency", problem);
    }
}

/// After the last fault there must be time to recover, and time to see that it did.
fn recovery_fits(scenario: &Scenario, file: &File, errors: &mut Errors<'_>) {
    let calm = scenario.calm_from() + scenario.expect.recovery;
    if calm >= scenario.duration {
        let problem = format!("the last fault's end and the recovery reach {calm:?}: run longer");
        errors.add(file.duration.span(), "duration", problem);
    }
}

/// All names of a file, to check references against.
struct Known {
    routers: BTreeSet<String>,
    issuers: BTreeSet<String>,
    first_issuer: String,
    cells: BTreeSet<String>,
    placements: BTreeSet<String>,
    tenants: BTreeSet<String>,
    clients: BTreeSet<String>,
    hosts: BTreeSet<String>,
    envoys: BTreeSet<String>,
    envelopes: bool,
}

impl Known {
    fn new(file: &File, errors: &mut Errors<'_>) -> Self {
        let world = &file.world;
        let routers = count(&world.routers, "world.routers", errors);
        let first_issuer = world.issuer.first().map(|i| i.name.get_ref().clone());
        let mut known = Self {
            first_issuer: first_issuer.unwrap_or_default(),
            routers: (1..=routers).map(|n| format!("router-{n}")).collect(),
            issuers: unique(
                world.issuer.iter().map(|i| &i.name),
                "world.issuer.name",
                errors,
            ),
            cells: unique(world.cell.iter().map(|c| &c.id), "world.cell.id", errors),
            placements: unique(
                world.placement.iter().map(|p| &p.id),
                "world.placement.id",
                errors,
            ),
            tenants: unique(
                world.tenant.iter().map(|t| &t.id),
                "world.tenant.id",
                errors,
            ),
            clients: unique(
                file.workload.client.iter().map(|c| &c.name),
                "workload.client.name",
                errors,
            ),
            hosts: BTreeSet::from([CONTROL_PLANE.to_owned()]),
            envoys: BTreeSet::new(),
            envelopes: file.router.contains_key("envelope"),
        };
        for cell in &world.cell {
            let endpoints = count(&cell.endpoints, "world.cell.endpoints", errors);
            let hosts = (1..=endpoints).map(|n| format!("{}-{n}", cell.id.get_ref()));
            known.hosts.extend(hosts);
        }
        known
            .hosts
            .extend(known.issuers.iter().map(|name| format!("idp-{name}")));
        known.hosts.extend(known.routers.iter().cloned());
        known.envoys = unique(
            world.envoy.iter().map(|envoy| &envoy.name),
            "world.envoy.name",
            errors,
        );
        for envoy in &world.envoy {
            if !known.hosts.insert(envoy.name.get_ref().clone()) {
                let problem = "another host has this name";
                errors.add(envoy.name.span(), "world.envoy.name", problem);
            }
        }
        for client in &file.workload.client {
            if !known.hosts.insert(client.name.get_ref().clone()) {
                let problem = "another host has this name";
                errors.add(client.name.span(), "workload.client.name", problem);
            }
        }
        known
    }
}

impl Names for Known {
    fn is_host(&self, name: &str) -> bool {
        self.hosts.contains(name)
    }
    fn is_router(&self, name: &str) -> bool {
        self.routers.contains(name)
    }
    fn is_cell(&self, name: &str) -> bool {
        let of_cell = |cell: &String| {
            let rest = name.strip_prefix(cell.as_str());
            rest.is_some_and(|rest| rest.is_empty() || self.hosts.contains(name))
        };
        self.cells.iter().any(of_cell)
    }
    fn is_identity_provider(&self, name: &str) -> bool {
        name.strip_prefix("idp-")
            .is_some_and(|name| self.issuers.contains(name))
    }
    fn is_tenant(&self, name: &str) -> bool {
        self.tenants.contains(name)
    }
    fn has_envelopes(&self) -> bool {
        self.envelopes
    }
}

fn count(number: &toml::Spanned<u32>, field: &str, errors: &mut Errors<'_>) -> u32 {
    let value = *number.get_ref();
    if !(1..=HOSTS_MAX).contains(&value) {
        errors.add(number.span(), field, format!("must be 1 to {HOSTS_MAX}"));
    }
    value.clamp(1, HOSTS_MAX)
}

fn unique<'a>(
    names: impl Iterator<Item = &'a Name>,
    field: &str,
    errors: &mut Errors<'_>,
) -> BTreeSet<String> {
    let mut seen = BTreeSet::new();
    for name in names {
        let text = name.get_ref();
        let letters = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
        if text.is_empty() || text.len() > 40 || !text.chars().all(letters) {
            let problem = "must be 1 to 40 lower-case letters, digits and hyphens";
            errors.add(name.span(), field, problem);
        }
        if !seen.insert(text.clone()) {
            errors.add(name.span(), field, format!("`{text}` is there already"));
        }
    }
    seen
}

fn refer(
    name: &Name,
    to: &BTreeSet<String>,
    field: &str,
    what: &str,
    errors: &mut Errors<'_>,
) -> String {
    if !to.contains(name.get_ref()) {
        let known: Vec<_> = to.iter().map(String::as_str).collect();
        let problem = format!(
            "`{}` is no {what}; known: {}",
            name.get_ref(),
            known.join(", ")
        );
        errors.add(name.span(), field, problem);
    }
    name.get_ref().clone()
}

fn issuer(spec: &file::Issuer, names: &Known, errors: &mut Errors<'_>) -> Issuer {
    let mut tenant = |name| {
        refer(
            name,
            &names.tenants,
            "world.issuer.tenants",
            "tenant",
            errors,
        )
    };
    let tenants = spec.tenants.as_ref();
    Issuer {
        name: spec.name.get_ref().clone(),
        tenants: tenants.map(|list| list.iter().map(&mut tenant).collect()),
    }
}

fn cell(spec: &file::Cell) -> Cell {
    Cell {
        id: spec.id.get_ref().clone(),
        tier: spec.tier.clone(),
        region: spec.region.clone(),
        state: spec.state,
        endpoints: *spec.endpoints.get_ref(),
        protocol: spec.protocol,
        publishes_key: spec.publishes_key,
    }
}

/// It knows cells by their addresses alone, so it speaks plainly to them.
fn envoy(spec: &file::Envoy, file: &File, names: &Known, errors: &mut Errors<'_>) -> Envoy {
    for cell in &file.world.cell {
        if cell.protocol == CellProtocol::Https {
            let problem = "where there is an Envoy, cells speak http or h2c";
            errors.add(cell.id.span(), "world.cell.protocol", problem);
        }
    }
    let field = "world.envoy.router";
    Envoy {
        name: spec.name.get_ref().clone(),
        router: refer(&spec.router, &names.routers, field, "router", errors),
    }
}

fn via(spec: &file::Client, names: &Known, errors: &mut Errors<'_>) -> Option<String> {
    const FIELD: &str = "workload.client.via";
    let via = spec.via.as_ref()?;
    if spec.credential.is_certified() || spec.router.is_some() {
        let problem = "an Envoy asks for no client certificates, and has its own router";
        errors.add(via.span(), FIELD, problem);
    }
    Some(refer(via, &names.envoys, FIELD, "Envoy", errors))
}

fn placement(spec: &file::Placement, names: &Known, errors: &mut Errors<'_>) -> Placement {
    let mut cell = |name| refer(name, &names.cells, "world.placement.cells", "cell", errors);
    Placement {
        id: spec.id.get_ref().clone(),
        tier: spec.tier.clone(),
        cells: spec.cells.iter().map(&mut cell).collect(),
        stateless: spec.stateless,
    }
}

fn tenant(spec: &file::Tenant, names: &Known, errors: &mut Errors<'_>) -> Tenant {
    let field = "world.tenant";
    let home = match (&spec.cell, &spec.placement) {
        (Some(cell), None) => Home::Cell(refer(
            cell,
            &names.cells,
            "world.tenant.cell",
            "cell",
            errors,
        )),
        (None, Some(placement)) => {
            let (to, field) = (&names.placements, "world.tenant.placement");
            Home::Placement(refer(placement, to, field, "placement", errors))
        }
        _ => {
            errors.add(
                spec.id.span(),
                field,
                "needs a `cell` or a `placement`, and not both",
            );
            Home::Cell(String::new())
        }
    };
    let issuer = spec.issuer.as_ref();
    Tenant {
        id: spec.id.get_ref().clone(),
        home,
        suspended: spec.suspended,
        issuer: issuer.map(|name| {
            refer(
                name,
                &names.issuers,
                "world.tenant.issuer",
                "issuer",
                errors,
            )
        }),
    }
}

fn client(spec: &file::Client, names: &Known, errors: &mut Errors<'_>) -> Client {
    let issuer = match &spec.issuer {
        Some(name) => refer(
            name,
            &names.issuers,
            "workload.client.issuer",
            "issuer",
            errors,
        ),
        None => names.first_issuer.clone(),
    };
    let router = spec.router.as_ref();
    let router = router.map(|name| {
        refer(
            name,
            &names.routers,
            "workload.client.router",
            "router",
            errors,
        )
    });
    let bound = spec.cell_bound.as_ref();
    let field = "workload.client.cell_bound.source";
    let cell_bound = bound.map(|bound| CellBound {
        source: refer(&bound.source, &names.cells, field, "cell", errors),
        shows: bound.shows,
    });
    // A tenant that the registry doesn't know may call too: it must be refused.
    Client {
        name: spec.name.get_ref().clone(),
        tenant: spec.tenant.get_ref().clone(),
        interval: spec.rate.interval,
        credential: spec.credential,
        issuer,
        signer: spec.signer.clone(),
        token_lifetime: spec.token_lifetime.0,
        certificate_lifetime: spec.certificate_lifetime.map(|span| span.0),
        renews: spec.renews,
        protocol: spec.protocol,
        cell_bound,
        router,
        via: via(spec, names, errors),
        stream: spec.stream.map(|span| span.0),
        timeout: spec.timeout.0,
    }
}

fn expect(
    spec: &file::Expect,
    duration: Duration,
    names: &Known,
    errors: &mut Errors<'_>,
) -> Expect {
    let answers = spec.answers.iter();
    let refused = spec.refused_at_end.iter();
    let field = "expect.refused_at_end";
    Expect {
        refused_at_end: refused
            .map(|name| refer(name, &names.clients, field, "client", errors))
            .collect(),
        recovery: spec.recovery.get_ref().0,
        errors: spec.errors.clone(),
        answers: answers
            .map(|a| answer(a, duration, names, errors))
            .collect(),
        events: spec.events.clone(),
    }
}

fn answer(
    spec: &file::Answers,
    duration: Duration,
    names: &Known,
    errors: &mut Errors<'_>,
) -> Answers {
    let field = "expect.answers.clients";
    let clients = spec.clients.iter();
    let clients = clients.map(|name| refer(name, &names.clients, field, "client", errors));
    Answers {
        clients: clients.collect(),
        from: spec.from.get_ref().0,
        until: spec
            .until
            .as_ref()
            .map_or(duration, |until| until.get_ref().0),
        only: spec
            .only
            .iter()
            .map(|a| outcome(a, "expect.answers.only", errors))
            .collect(),
        some: spec
            .some
            .iter()
            .map(|a| outcome(a, "expect.answers.some", errors))
            .collect(),
    }
}

/// What a client can be answered: `ok`, a reason of the router's, a cell's status, or nothing.
fn outcome(name: &Name, field: &str, errors: &mut Errors<'_>) -> String {
    let text = name.get_ref();
    let is_reason = Reason::ALL.iter().any(|reason| reason.as_str() == text);
    let status = text.strip_prefix("cell_status_");
    let is_status = status.is_some_and(|s| s.len() == 3 && s.parse::<u16>().is_ok());
    if !is_reason && !is_status && !["ok", "no_answer", "refused"].contains(&text.as_str()) {
        let problem = "must be `ok`, a reason such as `expired_token`, `cell_status_503`, \
             `refused` (no connection) or `no_answer`";
        errors.add(name.span(), field, problem);
    }
    text.clone()
}
