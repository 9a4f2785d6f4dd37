//! Which fact should have led to which: for the rules where that matters, the fact in the record from which
//! the opposite of what was found follows.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each rule looks at the few facts that it follows from"
)]

use std::time::Duration;

use super::{Row, Scene};
use crate::fact::Answer;
use crate::failure::Violation;
use crate::record::{Changed, Happened, Request, Step, seconds};
use crate::scenario::{CONTROL_PLANE, FaultKind, Issuer};

/// Looks in the record for a fact, and says what should have followed from it.
type Look = fn(&Scene<'_>, &Violation, &Request) -> Option<Because>;

/// A fact, and what should have followed.
struct Because {
    at: Duration,
    host: String,
    fact: String,
    should: String,
    line: Option<usize>,
}

impl Because {
    fn new(at: Duration, host: &str, fact: String, should: impl Into<String>) -> Self {
        Self {
            at,
            host: host.to_owned(),
            fact,
            should: should.into(),
            line: None,
        }
    }

    fn row(self) -> Row {
        let Self {
            at,
            host,
            fact,
            should,
            line,
        } = self;
        let row = Row::new("should", format!("{fact} → {should}"));
        let row = row.at(at).host(&host);
        match line {
            Some(line) => row.line(line),
            None => row,
        }
    }
}

/// By the names of invariants. Expectations of scenarios ask all of them.
const LOOKS: &[(&[&str], Look)] = &[
    (
        &["assigned_cell", "steady_placement", "stamps_true"],
        placed,
    ),
    (
        &["assigned_cell", "envoy_obeys", "failover_allowed"],
        decided,
    ),
    (&["suspended"], suspended),
    (
        &["registry_followed", "suspended", "revoked", "assigned_cell"],
        newer,
    ),
    (&["withdrawn_keys"], withdrawn),
    (&["keys_taken"], added),
    (&["only_verified"], expired),
    (&["certificate_life"], certificate),
    (
        &["client_trust", "fresh_connections", "cell_certificates"],
        trust,
    ),
    (
        &[
            "ejected_rest",
            "one_probe",
            "all_in_panic",
            "every_endpoint",
        ],
        endpoint,
    ),
    (&["retried"], disclaimed),
    (&["one_answer", "retries_bounded"], twice),
    (
        &["reported_truly", "true_exchange", "grpc_status"],
        reported,
    ),
];

/// At most so many; the most specific come first.
const ROWS_MAX: usize = 2;

pub(super) fn rows(scene: &Scene<'_>, violation: &Violation) -> Vec<Row> {
    let Some(request) = &violation.request else {
        return without_request(scene, violation).into_iter().collect();
    };
    let expects = violation.name.starts_with("expect.");
    let looks = LOOKS.iter().filter(|(names, _)| {
        let name = violation.name.as_str();
        expects || names.contains(&name)
    });
    let found = looks.filter_map(|(_, look)| look(scene, violation, request));
    found.take(ROWS_MAX).map(Because::row).collect()
}

/// A router that should decide on a registry that it has applied, or apply a newer one.
fn without_request(scene: &Scene<'_>, violation: &Violation) -> Option<Row> {
    let router = violation.router.as_deref()?;
    let concerns = ["registry_followed", "monotonic_registry"];
    if !concerns.contains(&violation.name.as_str()) {
        return None;
    }
    let (published, newest) = scene.newest(violation.at)?;
    if let Some((version, since)) = scene.applied(router, violation.at)
        && version == newest.version
    {
        let fact = format!("{router} applied registry version {version}");
        let should = "it decides on this version from then on";
        return Some(Because::new(since, router, fact, should).row());
    }
    let fact = format!("registry version {} was published", newest.version);
    let should = format!("{router} applies it as soon as it has fetched it");
    Some(Because::new(*published, CONTROL_PLANE, fact, should).row())
}

/// The registry of the decision puts the tenant at other cells.
fn placed(scene: &Scene<'_>, _: &Violation, request: &Request) -> Option<Because> {
    let (step, version) = request.decision()?;
    let (published, said) = scene.registry(version?)?;
    let cells = said.cells_of(&request.tenant, request.tier.as_deref())?;
    let reached = request.cell.as_deref()?;
    if cells.contains(reached) {
        return None;
    }
    let since = scene.applied(&step.host, step.at).map(|(_, since)| since);
    let cells: Vec<_> = cells.iter().map(String::as_str).collect();
    let cells = match cells.is_empty() {
        true => "no cell".to_owned(),
        false => cells.join(" or "),
    };
    let fact = format!(
        "{} decided on registry version {}, which puts {} at {cells}",
        step.host, said.version, request.tenant
    );
    let should = format!("the request reaches {cells}, not {reached}");
    let at = since.unwrap_or(*published);
    Some(Because::new(at, &step.host, fact, should))
}

/// The router decided for a cell, and the request came to another one.
fn decided(_: &Scene<'_>, _: &Violation, request: &Request) -> Option<Because> {
    let (step, _) = request.decision()?;
    let Happened::Decided { cell, .. } = &step.what else {
        return None;
    };
    let is_over = |what: &Happened| matches!(what, Happened::FailedOver { .. });
    if request.steps.iter().any(|step| is_over(&step.what)) {
        return None;
    }
    let (reached, _) = request
        .arrivals()
        .find(|(it, _)| Some(*it) != cell.as_deref())?;
    let (fact, should) = match cell {
        Some(cell) => (
            format!("{} chose {cell}", step.host),
            format!("the request reaches {cell}, not {reached}"),
        ),
        None => (
            format!("{} denied it", step.host),
            format!("the request reaches no cell, not {reached}"),
        ),
    };
    Some(Because::new(step.at, &step.host, fact, should))
}

/// The registry of the decision suspends the tenant.
fn suspended(scene: &Scene<'_>, violation: &Violation, request: &Request) -> Option<Because> {
    let (router, at) = match request.decision() {
        Some((step, _)) => (step.host.as_str(), step.at),
        None => (request.to.as_str(), violation.at),
    };
    let (version, since) = scene.applied(router, at)?;
    let (_, said) = scene.registry(version)?;
    let tenant = &request.tenant;
    let fact = format!("{router} applied registry version {version}, which suspends {tenant}");
    let should = format!("it refuses requests of {tenant} from then on");
    let is_suspended = said.suspended.contains(tenant);
    is_suspended.then(|| Because::new(since, router, fact, should))
}

/// A newer registry than that of the decision was published before the failure.
fn newer(scene: &Scene<'_>, violation: &Violation, request: &Request) -> Option<Because> {
    let (step, version) = request.decision()?;
    let (at, newest) = scene.newest(violation.at)?;
    if Some(newest.version) <= version {
        return None;
    }
    let later = scene.changes.iter().find(|change| {
        change.host == step.host
            && change.what
                == Changed::Applied {
                    version: newest.version,
                }
    });
    let when = match later {
        Some(change) => format!("which it did at {}", seconds(change.at)),
        None => "which it hadn't when the run ended".to_owned(),
    };
    let fact = format!("registry version {} was published", newest.version);
    let should = format!("{} applies it, {when}", step.host);
    Some(Because::new(*at, CONTROL_PLANE, fact, should))
}

/// The provider has withdrawn the key of the token.
fn withdrawn(scene: &Scene<'_>, violation: &Violation, request: &Request) -> Option<Because> {
    let should = "routers fetch the keys and refuse tokens of this one";
    key_fault(
        scene,
        violation,
        request,
        should,
        |kind, provider, key| match kind {
            FaultKind::WithdrawKey(host, kid) => host == provider && kid == key,
            FaultKind::ReplaceKeys(host, kid) => host == provider && kid != key,
            _ => false,
        },
    )
}

/// The provider has published the key of the token.
fn added(scene: &Scene<'_>, violation: &Violation, request: &Request) -> Option<Because> {
    let should = "routers fetch the keys and accept tokens of this one";
    key_fault(
        scene,
        violation,
        request,
        should,
        |kind, provider, key| match kind {
            FaultKind::PublishKey(host, kid) | FaultKind::ReplaceKeys(host, kid) => {
                host == provider && kid == key
            }
            _ => false,
        },
    )
}

/// The last fault that does something to the key of the token, given its provider and its name.
fn key_fault(
    scene: &Scene<'_>,
    violation: &Violation,
    request: &Request,
    should: &str,
    touches: impl Fn(&FaultKind, &str, &str) -> bool,
) -> Option<Because> {
    let [issuer, key] = request.key.as_ref()?;
    let issuers = scene.scenario.issuers.iter();
    let provider = issuers
        .filter(|it| it.name == *issuer)
        .map(Issuer::host)
        .next()?;
    let mut faults = scene.scenario.faults.iter();
    let fault =
        faults.rfind(|fault| fault.at <= violation.at && touches(&fault.kind, &provider, key))?;
    let because = Because::new(fault.at, &provider, fault.kind.to_string(), should);
    let line = Some(fault.line);
    Some(Because { line, ..because })
}

/// The token had expired when it was decided.
fn expired(_: &Scene<'_>, violation: &Violation, request: &Request) -> Option<Because> {
    let expires = request.expires?;
    let at = request.decision().map_or(violation.at, |(step, _)| step.at);
    let fact = "the token expired".to_owned();
    let should = format!("{} refuses it from then on", request.to);
    (expires < at).then(|| Because::new(expires, &request.client, fact, should))
}

/// The client's certificate had expired when the request was decided.
fn certificate(_: &Scene<'_>, _: &Violation, request: &Request) -> Option<Because> {
    let shown = request.steps.iter().find_map(|step| match &step.what {
        Happened::Presented { expires, .. } => *expires,
        _ => None,
    });
    let expires = shown?;
    let fact = "the client's certificate expired".to_owned();
    let should = format!("{} takes no request with it from then on", request.to);
    Some(Because::new(expires, &request.client, fact, should))
}

/// Something isn't trusted any more.
fn trust(scene: &Scene<'_>, violation: &Violation, request: &Request) -> Option<Because> {
    let endpoint = request.arrivals().last().map(|(_, step)| &step.host);
    let change = scene.last(violation.at, |change| {
        let concerns = change.host == "world" || Some(&change.host) == endpoint;
        concerns && matches!(change.what, Changed::Trust { .. })
    })?;
    let should = "no request uses a connection that was made on other terms";
    Some(Because::new(
        change.at,
        &change.host,
        change.sentence(),
        should,
    ))
}

/// The router had found trouble with the endpoint where the request arrived.
fn endpoint(scene: &Scene<'_>, violation: &Violation, request: &Request) -> Option<Because> {
    let router = request
        .decision()
        .map_or(request.to.as_str(), |(step, _)| &step.host);
    let arrived = request
        .arrivals()
        .last()
        .map(|(_, step)| step.host.as_str());
    let troubles = scene.troubles(router, violation.at);
    let mut of_it = troubles
        .iter()
        .filter(|((endpoint, _), _)| Some(*endpoint) == arrived);
    let ((endpoint, trouble), since) = of_it.next()?;
    let fact = format!("{router} has {endpoint} {}", trouble.state());
    let should = "requests go to the other endpoints of the cell while it has usable ones";
    Some(Because::new(*since, router, fact, should))
}

/// The cell said that it did nothing.
fn disclaimed(_: &Scene<'_>, _: &Violation, request: &Request) -> Option<Because> {
    let unserved = |what: &Happened| matches!(what, Happened::Unserved { .. });
    let step = request.steps.iter().rfind(|step| unserved(&step.what))?;
    let should = "the router sends the request again".to_owned();
    Some(Because::new(step.at, &step.host, step.sentence(), should))
}

/// The request had arrived before.
fn twice(_: &Scene<'_>, _: &Violation, request: &Request) -> Option<Because> {
    let mut arrivals = request.arrivals();
    let (_, first) = arrivals.next()?;
    let (_, second) = arrivals.next()?;
    let fact = format!("{} had received this {}", first.host, request.method);
    let should = match request.once {
        true => format!("it isn't sent again, and {} doesn't get it", second.host),
        false => "it is sent again only within the budget of retries".to_owned(),
    };
    Some(Because::new(first.at, &first.host, fact, should))
}

/// The router reported another end than the client saw.
fn reported(_: &Scene<'_>, _: &Violation, request: &Request) -> Option<Because> {
    let step = request
        .steps
        .iter()
        .rfind(|step| says_otherwise(step, request))?;
    let got = request.answer.as_ref()?;
    let should = format!("{} gets the same, not {got}", request.client);
    Some(Because::new(step.at, &step.host, step.sentence(), should))
}

/// Whether a step is a router's report of another end than its client saw.
pub(super) fn says_otherwise(step: &Step, request: &Request) -> bool {
    let Happened::Responded { status, reason } = &step.what else {
        return false;
    };
    let same = match &request.answer {
        Some(Answer::Ok) => reason.is_none() && status.is_some_and(|status| status < 400),
        Some(Answer::Router(answer)) => reason.as_ref() == Some(answer),
        Some(Answer::Cell(answer)) => reason.is_none() && *status == Some(*answer),
        // The status of HTTP says nothing about these.
        Some(Answer::CellGrpc(_) | Answer::Closed(_)) => reason.is_none(),
        Some(Answer::Refused | Answer::None) | None => false,
    };
    !same
}
