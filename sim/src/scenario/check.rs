//! From the tables of a file to a [`Scenario`] in which every name refers to something.

use std::ops::RangeInclusive;
use std::time::Duration;

use cellway_core::envelope::is_kid;
use toml::Spanned;

use super::error::{Errors, ScenarioErrors};
use super::file::{self, File};
use super::names::{KnownNames, refer, spelled};
use super::units::Span;
use super::{
    Balancer, Cell, CellBound, CellProtocol, Client, ClientProtocol, Envoy, Fault, Home, Issuer,
    Placement, Scenario, Tenant,
};
use super::{expectations, fault, order};

/// The longest that a world may run.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// The longest stream that a cell sends.
const STREAM_MAX: Duration = Duration::from_secs(3600);

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
    let scenario = resolve(path, &file, &mut errors);
    recovery_fits(&scenario, &file, &mut errors);
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
        replay: None,
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
            .flat_map(|spec| herd(client(spec, &names, errors), &names))
            .collect(),
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

fn through(spec: &file::Client, names: &KnownNames, errors: &mut Errors<'_>) -> Option<String> {
    const FIELD: &str = "workload.client.through";
    let through = spec.through.as_ref()?;
    if spec.via.is_some() || spec.router.is_some() {
        let problem = "can't be combined with `router` or `via`: a balancer has its own router";
        errors.add(through.span(), FIELD, problem);
    }
    Some(refer(through, &names.balancers, FIELD, "balancer", errors))
}

fn via(spec: &file::Client, names: &KnownNames, errors: &mut Errors<'_>) -> Option<String> {
    const FIELD: &str = "workload.client.via";
    let via = spec.via.as_ref()?;
    if spec.credential.is_certified() || spec.router.is_some() {
        let problem = "can't be combined with `router` or a certificate: an Envoy has its own router and asks \
             for no client certificate";
        errors.add(via.span(), FIELD, problem);
    }
    Some(refer(via, &names.envoys, FIELD, "Envoy", errors))
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

/// All clients that this one stands for.
fn herd(client: Client, names: &KnownNames) -> Vec<Client> {
    let hosts = names.hosts_of_client(&client.name).into_iter();
    let named = |name| Client {
        name,
        ..client.clone()
    };
    hosts.map(named).collect()
}

fn client(spec: &file::Client, names: &KnownNames, errors: &mut Errors<'_>) -> Client {
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
    // A client may have a tenant that the world doesn't list: it must be refused.
    spelled(&spec.tenant, "workload.client.tenant", errors);
    if !is_kid(spec.signer.get_ref()) {
        let problem = "must be 1 to 64 letters, digits, `-`, `_` or `.`";
        errors.add(spec.signer.span(), "workload.client.signer", problem);
    }
    if spec.websocket && spec.stream.is_none() {
        let problem = "needs `stream`, which says how long it lasts";
        errors.add(spec.name.span(), "workload.client.websocket", problem);
    }
    if spec.states_length && !(spec.websocket && spec.protocol == ClientProtocol::Http2) {
        let problem = "needs `websocket` and `protocol = \"http2\"`";
        errors.add(spec.name.span(), "workload.client.states_length", problem);
    }
    one_kind(spec, errors);
    calls(spec, errors);
    client_times(spec, errors);
    Client {
        name: spec.name.get_ref().clone(),
        entry: spec.name.get_ref().clone(),
        tenant: spec.tenant.get_ref().clone(),
        interval: spec.rate.interval,
        credential: spec.credential,
        issuer,
        signer: spec.signer.get_ref().clone(),
        token_lifetime: spec.token_lifetime.get_ref().0,
        certificate_lifetime: time(&spec.certificate_lifetime),
        renews: spec.renews,
        protocol: spec.protocol,
        claims: spec.claims.clone(),
        selects: spec.selects,
        flaw: spec.flaw,
        path: path(spec, errors),
        cell_bound,
        router,
        via: via(spec, names, errors),
        through: through(spec, names, errors),
        spoofs: spec.spoofs,
        stream: time(&spec.stream),
        websocket: spec.websocket,
        grpc: spec.grpc,
        deadline: time(&spec.deadline),
        states_length: spec.states_length,
        unfinished: spec.unfinished,
        breaks_off: spec.breaks_off,
        upload: upload(spec, errors),
        stops_reading: spec.stops_reading,
        timeout: spec.timeout.get_ref().0,
    }
}

/// All requests of a client are of the same kind.
fn one_kind(spec: &file::Client, errors: &mut Errors<'_>) {
    let kinds = [
        ("grpc", spec.grpc),
        ("stream", spec.stream.is_some()),
        ("stops_reading", spec.stops_reading),
        ("unfinished", spec.unfinished),
        ("breaks_off", spec.breaks_off),
        ("upload", spec.upload.is_some()),
    ];
    let mut given = kinds.into_iter().filter(|(_, given)| *given);
    if let (Some((one, _)), Some((other, _))) = (given.next(), given.next()) {
        let problem = format!("can't be combined with `{one}`");
        errors.add(
            spec.name.span(),
            &format!("workload.client.{other}"),
            problem,
        );
    }
}

/// gRPC needs HTTP/2. The simulator's Envoys forward no trailers.
fn calls(spec: &file::Client, errors: &mut Errors<'_>) {
    let mut needs = |field: &str, problem: &str| {
        let field = format!("workload.client.{field}");
        errors.add(spec.name.span(), &field, problem);
    };
    if spec.grpc && (spec.protocol != ClientProtocol::Http2 || spec.via.is_some()) {
        needs(
            "grpc",
            "needs `protocol = \"http2\"`, and can't be combined with `via`",
        );
    }
    if spec.deadline.is_some() && !spec.grpc {
        needs("deadline", "needs `grpc`");
    }
}

/// The most bytes of an upload.
const UPLOAD_MAX: u32 = 4 << 20;

fn upload(spec: &file::Client, errors: &mut Errors<'_>) -> Option<u32> {
    let upload = spec.upload.as_ref()?;
    if !(1..=UPLOAD_MAX).contains(upload.get_ref()) {
        let problem = format!("must be a number of bytes from 1 to {UPLOAD_MAX}");
        errors.add(upload.span(), "workload.client.upload", problem);
    }
    Some(*upload.get_ref())
}

/// The default path of clients' requests.
const PATH: &str = "/orders?page=2";
/// The default path of gRPC calls.
const METHOD: &str = "/orders.v1.Orders/List";

fn path(spec: &file::Client, errors: &mut Errors<'_>) -> String {
    const FIELD: &str = "workload.client.path";
    let Some(path) = &spec.path else {
        return if spec.grpc { METHOD } else { PATH }.to_owned();
    };
    let text = path.get_ref();
    let plain = |c: char| c.is_ascii_alphanumeric() || "/-_.~?=&%".contains(c);
    if !text.starts_with('/') || text.len() > 200 || !text.chars().all(plain) {
        errors.add(
            path.span(),
            FIELD,
            "must be a path of plain characters, such as `/orders/7`",
        );
    }
    if spec.stream.is_some() {
        errors.add(
            path.span(),
            FIELD,
            "can't be combined with `stream`, which has its own path",
        );
    }
    text.clone()
}

fn time(span: &Option<Spanned<Span>>) -> Option<Duration> {
    Some(span.as_ref()?.get_ref().0)
}

/// Times of tokens, certificates and streams have a resolution of one second.
fn client_times(spec: &file::Client, errors: &mut Errors<'_>) {
    let second = Duration::from_secs(1);
    let millisecond = Duration::from_millis(1);
    let mut within = |span: &Spanned<Span>, field: &str, range: RangeInclusive<Duration>| {
        if !range.contains(&span.get_ref().0) {
            let problem = format!("must be {:?} to {:?}", range.start(), range.end());
            errors.add(span.span(), &format!("workload.client.{field}"), problem);
        }
    };
    within(&spec.token_lifetime, "token_lifetime", second..=Span::MAX);
    within(&spec.timeout, "timeout", millisecond..=DURATION_MAX);
    if let Some(deadline) = &spec.deadline {
        // Beyond its timeout the client wouldn't see what happens.
        within(deadline, "deadline", millisecond..=spec.timeout.get_ref().0);
    }
    if let Some(lifetime) = &spec.certificate_lifetime {
        within(lifetime, "certificate_lifetime", second..=Span::MAX);
    }
    if let Some(stream) = &spec.stream {
        within(stream, "stream", second..=STREAM_MAX);
        if stream.get_ref().0.subsec_nanos() != 0 {
            let problem = "must be whole seconds";
            errors.add(stream.span(), "workload.client.stream", problem);
        }
    }
}
