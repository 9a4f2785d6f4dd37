//! The rows of a story, in the order in which a person asks: what was asked, what happened to it, who knew
//! what, what should have happened, and what the scenario did meanwhile.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a row tells one kind of change"
)]

use std::time::Duration;

use super::{Row, Scene, because, rule};
use crate::failure::Violation;
use crate::record::{Changed, Happened, Request, Step, seconds};
use crate::scenario::Fault;

/// The most steps of a request that a story shows.
const STEPS_MAX: usize = 5;
/// The most changes before a failure without a request.
const CHANGES_MAX: usize = 3;
/// The most faults that a story names.
const FAULTS_MAX: usize = 3;

pub(super) fn rows(scene: &Scene<'_>, violation: &Violation) -> Vec<Row> {
    let mut rows = Vec::new();
    match &violation.request {
        Some(request) => of_request(request, &mut rows),
        None => before(scene, violation, &mut rows),
    }
    if let Some((router, at)) = knower(scene, violation) {
        rows.push(Row::new("knew", knew(scene, violation, &router, at)).host(&router));
        rows.extend(apart(scene, &router, at));
    }
    rows.extend(because::rows(scene, violation));
    rows.extend(rule::of(&violation.name).map(|rule| Row::new("rule", rule)));
    faults(violation, &mut rows);
    if let Some(line) = violation.line {
        rows.push(Row::new("expected", "by the scenario").line(line));
    }
    rows
}

/// What was sent, each step that matters, and what came back.
fn of_request(request: &Request, rows: &mut Vec<Row>) {
    let sentence = format!("{}: {}", request.tag, request.sentence());
    let row = Row::new("request", sentence);
    rows.push(row.at(request.sent).host(&request.client));
    let told = request.steps.iter();
    let told: Vec<&Step> = told.filter(|step| matters(step, request)).collect();
    let more = told.len().saturating_sub(STEPS_MAX);
    rows.extend(told.iter().take(STEPS_MAX).map(|step| row_of(step)));
    if more > 0 {
        rows.push(Row::new("then", format!("{more} more steps")));
    }
    rows.push(match (&request.answer, request.answered) {
        (Some(answer), Some(at)) => {
            let text = format!("{} gets {}", request.client, answer.sentence());
            Row::new("answered", text).at(at).host(&request.client)
        }
        _ => Row::new("answered", "not yet when the run ended"),
    });
}

fn row_of(step: &Step) -> Row {
    let row = Row::new(step.label(), step.sentence());
    row.at(step.at).host(&step.host)
}

/// Whether a story needs this step. What a router reports of the end is news only if its client saw another.
fn matters(step: &Step, request: &Request) -> bool {
    match &step.what {
        Happened::Decided { .. }
        | Happened::FailedOver { .. }
        | Happened::Arrived { .. }
        | Happened::EnvelopeRefused { .. }
        | Happened::Unserved { .. }
        | Happened::Checked { .. }
        | Happened::StoppedReading
        | Happened::Forged { .. }
        | Happened::Mixed { .. } => true,
        Happened::Responded { .. } => because::says_otherwise(step, request),
        Happened::BodyEnded { complete, .. } => !complete,
        Happened::Presented { .. }
        | Happened::Breaker { .. }
        | Happened::CallEnded { .. }
        | Happened::Left => false,
    }
}

/// The last changes until the failure: of its router if it names one, otherwise of all hosts. If a router
/// has just decided a request that nobody else can name yet, this decision too.
fn before(scene: &Scene<'_>, violation: &Violation, rows: &mut Vec<Row>) {
    let concerns = |host: &str| violation.router.as_deref().is_none_or(|it| it == host);
    let changes = scene.changes.iter().rev();
    let changes = changes.filter(|change| change.at <= violation.at && concerns(&change.host));
    let mut last: Vec<_> = changes.take(CHANGES_MAX).collect();
    last.reverse();
    rows.extend(last.iter().map(|change| {
        let row = Row::new("before", change.sentence());
        row.at(change.at).host(&change.host)
    }));
    if violation.router.is_some() {
        let steps = scene.nameless.iter();
        let now = |step: &&Step| step.at == violation.at && concerns(&step.host);
        rows.extend(steps.filter(now).take(1).map(row_of));
    }
}

/// The router whose knowledge matters, and when.
fn knower(scene: &Scene<'_>, violation: &Violation) -> Option<(String, Duration)> {
    let decided = violation.request.as_ref().and_then(Request::decision);
    if let Some((step, _)) = decided {
        return Some((step.host.clone(), step.at));
    }
    let sent_to = violation.request.as_ref().map(|request| &request.to);
    let router = violation.router.as_ref().or(sent_to)?;
    scene
        .is_router(router)
        .then(|| (router.clone(), violation.at))
}

/// What a router knew.
fn knew(scene: &Scene<'_>, violation: &Violation, router: &str, at: Duration) -> String {
    let request = violation.request.as_ref();
    let mut known = vec![match scene.applied(router, at) {
        Some((version, since)) => {
            let places = places(scene, request, version);
            format!(
                "registry version {version}{places} since {}",
                seconds(since)
            )
        }
        None => "no registry".to_owned(),
    }];
    let key = request.and_then(|request| request.key.as_ref());
    let issuers: Vec<&str> = match key {
        Some([issuer, _]) => vec![issuer],
        None => Vec::new(),
    };
    for issuer in issuers {
        known.push(match scene.keys(router, issuer, at) {
            Some(change) => match change.what {
                Changed::Keys { keys, .. } => {
                    format!("the keys of {issuer} ({keys}) since {}", seconds(change.at))
                }
                _ => continue,
            },
            None => format!("no keys of {issuer}"),
        });
    }
    let troubles = scene.troubles(router, at);
    known.extend(troubles.iter().map(|((endpoint, trouble), since)| {
        format!("{endpoint} {} since {}", trouble.state(), seconds(*since))
    }));
    format!("{router} has {}", known.join(", "))
}

/// What a registry says about the tenant of a request, in brackets.
fn places(scene: &Scene<'_>, request: Option<&Request>, version: u64) -> String {
    let said = scene.registry(version).zip(request);
    let Some(((_, said), request)) = said else {
        return String::new();
    };
    let tenant = &request.tenant;
    let cells = said.cells_of(tenant, request.tier.as_deref());
    let cells: Vec<String> = cells.into_iter().flatten().collect();
    let suspended = match said.suspended.contains(tenant) {
        true => ", suspended",
        false => "",
    };
    match cells.is_empty() {
        true => format!(" ({tenant} at no cell{suspended})"),
        false => format!(" ({tenant} at {}{suspended})", cells.join(" or ")),
    }
}

/// What others knew, if a newer registry had been published.
fn apart(scene: &Scene<'_>, router: &str, at: Duration) -> Option<Row> {
    let (published, newest) = scene.newest(at)?;
    let own = scene.applied(router, at).map(|(version, _)| version);
    if own == Some(newest.version) {
        return None;
    }
    let others = scene.scenario.routers.iter().filter(|it| *it != router);
    let others = others.filter_map(|other| {
        let (version, since) = scene.applied(other, at)?;
        (version == newest.version).then(|| format!("; {other} has it since {}", seconds(since)))
    });
    let others: String = others.collect();
    let text = format!(
        "the control plane publishes registry version {}{others}",
        newest.version
    );
    Some(Row::new("knew", text).at(*published))
}

fn faults(violation: &Violation, rows: &mut Vec<Row>) {
    let faults = &violation.faults;
    let text = |fault: &Fault| match fault.until > fault.at {
        true => format!("{}, until {}", fault.kind, seconds(fault.until)),
        false => fault.kind.to_string(),
    };
    match &faults.before {
        None if faults.during.is_empty() => rows.push(Row::new("fault", "none until then")),
        Some(last) => {
            let text = format!("none then; the last was {}", text(last));
            rows.push(Row::new("fault", text).at(last.at).line(last.line));
        }
        None => {}
    }
    let more = faults.during.len().saturating_sub(FAULTS_MAX);
    let latest = faults.during.iter().skip(more);
    rows.extend(latest.map(|fault| {
        let row = Row::new("fault", text(fault));
        row.at(fault.at).line(fault.line)
    }));
    if more > 0 {
        rows.push(Row::new("fault", format!("and {more} earlier ones")));
    }
}
