//! From the tables of a file to a [`Scenario`] in which every name refers to something.

use std::time::Duration;

use super::error::{Errors, ScenarioErrors};
use super::file::{self, File};
use super::names::{KnownNames, refer};
use super::{
    Balancer, Cell, CellProtocol, DURATION_MAX, Envoy, Fault, FaultKind, Home, Issuer, Placement,
    Scenario, Tenant,
};
use super::{client, expectations, fault, order};
use crate::engine::Kind;

/// Reads a scenario's text, and finds the mistakes that need no router. If there are mistakes, use the
/// scenario only to find more.
///
/// # Errors
/// The text can't be read as a scenario at all.
pub(crate) fn read<'t>(
    path: &str,
    text: &'t str,
) -> Result<(Scenario, Errors<'t>), ScenarioErrors> {
    let mut errors = Errors::new(text);
    let file = match toml::from_str::<File>(text) {
        Ok(file) => file,
        Err(error) => {
            errors.toml(&error);
            return Err(errors.finish(path).expect_err("one was just added"));
        }
    };
    let scenario = Scenario {
        text: text.to_owned(),
        ..resolve(path, &file, &mut errors)
    };
    recovery_fits(&scenario, &file, &mut errors);
    engine_can(&scenario, &mut errors);
    order::check(&scenario, &mut errors);
    Ok((scenario, errors))
}

/// Resolves every name. If there are mistakes, use the result only to find more.
fn resolve(path: &str, file: &File, errors: &mut Errors<'_>) -> Scenario {
    let names = KnownNames::new(file, errors);
    times(file, errors);
    not_empty(file, errors);
    let world = &file.world;
    let duration = file.duration.get_ref().0;
    calls_reach_http2(file, errors);
    let placements = world.placement.iter();
    let clients = file.workload.client.iter();
    Scenario {
        name: stem(path),
        path: path.to_owned(),
        text: String::new(),
        replay: None,
        about: file.about.clone(),
        duration,
        tick: file.tick.get_ref().0,
        engine: file.engine,
        cuts_segments: *world.cut_segments.get_ref(),
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
        balancers: (world.balancer.iter())
            .map(|b| balancer(b, &names, errors))
            .collect(),
        placements: placements.map(|p| placement(p, &names, errors)).collect(),
        tenants: world
            .tenant
            .iter()
            .map(|t| tenant(t, &names, errors))
            .collect(),
        clients: clients
            .flat_map(|spec| client::all(spec, &names, errors))
            .collect(),
        more_tenants: more_tenants(file, errors),
        unknown_tenant: world.unknown_tenant,
        faults: faults(file, &names, errors),
        expect: expectations::read(&file.expect, duration, &names, errors),
        router_settings: file.router.clone(),
    }
}

fn faults(file: &File, names: &KnownNames, errors: &mut Errors<'_>) -> Vec<Fault> {
    let duration = file.duration.get_ref().0;
    let specs = file.fault.iter();
    let mut faults: Vec<_> = specs
        .filter_map(|spec| fault::read(spec, names, duration, errors))
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
        errors.add(file.duration.span(), "duration", "must be at most 24h");
    }
    let [min, max] = file.world.latency.get_ref();
    if min > max {
        let problem = "must have the shortest time first, then the longest";
        errors.add(file.world.latency.span(), "world.latency", problem);
    }
    if *file.world.cut_segments.get_ref() && file.engine != Kind::Events {
        let problem = "needs `engine = \"events\"` at the top of the file";
        errors.add(
            file.world.cut_segments.span(),
            "world.cut_segments",
            problem,
        );
    }
}

/// The most tenants without clients: a document may have 16 MiB.
const MORE_TENANTS_MAX: u32 = 100_000;

fn more_tenants(file: &File, errors: &mut Errors<'_>) -> u32 {
    let more = &file.world.more_tenants;
    if *more.get_ref() > MORE_TENANTS_MAX {
        let problem = format!("must be at most {MORE_TENANTS_MAX}");
        errors.add(more.span(), "world.more_tenants", problem);
    }
    *more.get_ref()
}

/// turmoil's links have no directions and no stalls.
fn engine_can(scenario: &Scenario, errors: &mut Errors<'_>) {
    if scenario.engine == Kind::Events {
        return;
    }
    for fault in &scenario.faults {
        if let FaultKind::OneWayPartition(_) | FaultKind::Stalls(..) = fault.kind {
            let problem = "needs `engine = \"events\"` at the top of the file";
            errors.at_line(fault.line, "fault.kind", problem);
        }
    }
}

/// A world needs at least one identity provider, cell, tenant and client.
fn not_empty(file: &File, errors: &mut Errors<'_>) {
    for (empty, field) in [
        (file.world.issuer.is_empty(), "world.issuer"),
        (file.world.cell.is_empty(), "world.cell"),
        (file.world.tenant.is_empty(), "world.tenant"),
        (file.workload.client.is_empty(), "workload.client"),
    ] {
        if empty {
            errors.at_line(0, field, "there must be at least one");
        }
    }
}

/// After the last fault there must be time to recover, and time to see that it did.
fn recovery_fits(scenario: &Scenario, file: &File, errors: &mut Errors<'_>) {
    let calm = scenario.calm_from() + scenario.expect.recovery;
    if calm >= scenario.duration {
        let problem = format!(
            "must be longer than {calm:?}: the end of the last fault and `expect.recovery`"
        );
        errors.add(file.duration.span(), "duration", problem);
    }
}

fn issuer(spec: &file::Issuer, names: &KnownNames, errors: &mut Errors<'_>) -> Issuer {
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
        drains: (spec.drains.as_ref()).map(|[from, until]| [from.0, until.0]),
        endpoints: *spec.endpoints.get_ref(),
        listed: *spec.listed.as_ref().unwrap_or(&spec.endpoints).get_ref(),
        protocol: spec.protocol,
        publishes_key: spec.publishes_key,
    }
}

/// The simulator's Envoys connect to cells without TLS.
fn envoy(spec: &file::Envoy, file: &File, names: &KnownNames, errors: &mut Errors<'_>) -> Envoy {
    for cell in &file.world.cell {
        if cell.protocol == CellProtocol::Https {
            let problem = "must be http or h2c in a world with an Envoy";
            errors.add(cell.id.span(), "world.cell.protocol", problem);
        }
    }
    let field = "world.envoy.router";
    Envoy {
        name: spec.name.get_ref().clone(),
        router: refer(&spec.router, &names.routers, field, "router", errors),
    }
}

/// Cells answer gRPC calls over HTTP/2 only.
fn calls_reach_http2(file: &File, errors: &mut Errors<'_>) {
    if !file.workload.client.iter().any(|client| client.grpc) {
        return;
    }
    for cell in &file.world.cell {
        if cell.protocol == CellProtocol::Http {
            let problem = "must be https or h2c in a world with gRPC clients";
            errors.add(cell.id.span(), "world.cell.protocol", problem);
        }
    }
}

fn balancer(spec: &file::Balancer, names: &KnownNames, errors: &mut Errors<'_>) -> Balancer {
    let field = "world.balancer.router";
    Balancer {
        name: spec.name.get_ref().clone(),
        router: refer(&spec.router, &names.routers, field, "router", errors),
        listed: spec.listed,
        version: spec.version,
    }
}

fn placement(spec: &file::Placement, names: &KnownNames, errors: &mut Errors<'_>) -> Placement {
    let mut cell = |name| refer(name, &names.cells, "world.placement.cells", "cell", errors);
    let cells = spec.cells.iter().map(&mut cell).collect();
    let mut placement = |name| {
        let (to, field) = (&names.placements, "world.placement.fallback");
        refer(name, to, field, "placement", errors)
    };
    Placement {
        id: spec.id.get_ref().clone(),
        tier: spec.tier.clone(),
        cells,
        stateless: spec.stateless,
        fallback: spec.fallback.as_ref().map(&mut placement),
        failover: spec.failover,
        rate: spec.rate_limit,
        requests_max: spec.requests_max,
    }
}

fn tenant(spec: &file::Tenant, names: &KnownNames, errors: &mut Errors<'_>) -> Tenant {
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
                "needs either a `cell` or a `placement`",
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
        allowed_roles: spec.allowed_roles.clone(),
        default_role: spec.default_role.clone(),
        rate: spec.rate_limit,
        requests_max: spec.requests_max,
    }
}
