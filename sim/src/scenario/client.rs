//! From the tables of clients to [`Client`]s.

use std::ops::RangeInclusive;
use std::time::Duration;

use cellway_core::envelope::is_kid;
use toml::Spanned;

use super::error::Errors;
use super::file;
use super::names::{KnownNames, refer, spelled};
use super::units::Span;
use super::{CellBound, Client, ClientProtocol, DURATION_MAX};

/// The longest stream that a cell sends.
const STREAM_MAX: Duration = Duration::from_secs(3600);

/// All clients that this one stands for.
pub(super) fn all(spec: &file::Client, names: &KnownNames, errors: &mut Errors<'_>) -> Vec<Client> {
    let client = client(spec, names, errors);
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
    names_and_needs(spec, errors);
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

/// Checks the names of a client that stand for nothing in the file, and what its settings need.
fn names_and_needs(spec: &file::Client, errors: &mut Errors<'_>) {
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
