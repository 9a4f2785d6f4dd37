//! Reads `[expect]`. Every expectation must be able to fail.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::Reason;
use toml::Spanned;

use super::error::Errors;
use super::file::{self, Name};
use super::names::{KnownNames, refer};
use super::{Answers, Events, Expect};

/// Reads `[expect]` of a scenario with this duration.
pub(super) fn read(
    spec: &file::Expect,
    duration: Duration,
    names: &KnownNames,
    errors: &mut Errors<'_>,
) -> Expect {
    let answers = spec.answers.iter();
    let refused = spec.refused_at_end.iter();
    let field = "expect.refused_at_end";
    Expect {
        refused_at_end: refused
            .flat_map(|name| clients(name, names, field, errors))
            .collect(),
        recovery: spec.recovery.get_ref().0,
        errors: spec.errors.clone(),
        answers: answers
            .map(|a| answer(a, duration, names, errors))
            .collect(),
        events: events(&spec.events, errors),
    }
}

fn events(
    spec: &BTreeMap<String, Spanned<u32>>,
    errors: &mut Errors<'_>,
) -> BTreeMap<String, Events> {
    let read = |(kind, least): (&String, &Spanned<u32>)| {
        if *least.get_ref() == 0 {
            let problem = "must be at least 1: every run meets 0";
            errors.add(least.span(), &format!("expect.events.{kind}"), problem);
        }
        let events = Events {
            least: *least.get_ref(),
            line: errors.line(&least.span()),
        };
        (kind.clone(), events)
    };
    spec.iter().map(read).collect()
}

/// The clients that a name stands for.
fn clients(name: &Name, names: &KnownNames, field: &str, errors: &mut Errors<'_>) -> Vec<String> {
    let name = refer(name, &names.clients, field, "client", errors);
    names.hosts_of_client(&name)
}

fn answer(
    spec: &file::Answers,
    duration: Duration,
    names: &KnownNames,
    errors: &mut Errors<'_>,
) -> Answers {
    let named = spec.clients.get_ref().iter();
    let field = "expect.answers.clients";
    let clients = named
        .flat_map(|name| clients(name, names, field, errors))
        .collect();
    let cells = spec.cells.iter();
    let field = "expect.answers.cells";
    let cells = cells.map(|name| refer(name, &names.cells, field, "cell", errors));
    let cells = cells.collect();
    let mut outcomes = |list: &[Name], field| {
        let outcomes = list.iter().map(|name| outcome(name, field, errors));
        outcomes.collect::<Vec<_>>()
    };
    let read = Answers {
        clients,
        from: spec.from.get_ref().0,
        until: spec
            .until
            .as_ref()
            .map_or(duration, |until| until.get_ref().0),
        only: outcomes(&spec.only, "expect.answers.only"),
        some: outcomes(&spec.some, "expect.answers.some"),
        cells,
        line: errors.line(&spec.clients.span()),
    };
    window(spec, &read, duration, errors);
    can_fail(spec, &read, errors);
    read
}

/// Checks that requests can be sent in this window.
fn window(spec: &file::Answers, read: &Answers, duration: Duration, errors: &mut Errors<'_>) {
    if read.until > duration
        && let Some(until) = &spec.until
    {
        let problem = format!("must be at most the scenario's duration, {duration:?}");
        errors.add(until.span(), "expect.answers.until", problem);
    } else if read.from >= read.until {
        let (at, field) = match &spec.until {
            Some(until) => (until.span(), "expect.answers.until"),
            None => (spec.from.span(), "expect.answers.from"),
        };
        let problem = format!(
            "must leave time to send requests; the window is from {:?} to {:?}",
            read.from, read.until
        );
        errors.add(at, field, problem);
    }
}

/// Refuses expectations that every run meets or that no run can meet.
fn can_fail(spec: &file::Answers, read: &Answers, errors: &mut Errors<'_>) {
    let at = || spec.clients.span();
    if read.clients.is_empty() {
        let problem = "must name a client: without one, every run meets it";
        errors.add(at(), "expect.answers.clients", problem);
    }
    if read.only.is_empty() && read.some.is_empty() && read.cells.is_empty() {
        let problem = "needs `only`, `some` or `cells`: without them, every run meets it";
        errors.add(at(), "expect.answers", problem);
    }
    if read.only.is_empty() {
        return;
    }
    for some in &spec.some {
        if !read.only.contains(some.get_ref()) {
            let problem = format!(
                "`{}` must be in `only` too, or no run can meet both",
                some.get_ref()
            );
            errors.add(some.span(), "expect.answers.some", problem);
        }
    }
    let from_a_cell = |answer: &String| {
        let statuses = ["cell_status_", "cell_grpc_status_"];
        answer == "ok" || statuses.iter().any(|it| answer.starts_with(it))
    };
    if let Some(cell) = spec.cells.first()
        && !read.only.iter().any(from_a_cell)
    {
        let problem = "needs an answer from a cell in `only`: `ok` or `cell_status_...`";
        errors.add(cell.span(), "expect.answers.cells", problem);
    }
}

/// A client's answer: `ok`, a reason of the router, a cell's status, or none.
fn outcome(name: &Name, field: &str, errors: &mut Errors<'_>) -> String {
    let text = name.get_ref();
    let is_reason = Reason::ALL.iter().any(|reason| reason.as_str() == text);
    let status = text.strip_prefix("cell_status_");
    let is_status = status.is_some_and(|s| s.len() == 3 && s.parse::<u16>().is_ok());
    let status = text.strip_prefix("cell_grpc_status_");
    let is_grpc = status.is_some_and(|s| s.parse::<u8>().is_ok());
    let code = text.strip_prefix("closed_");
    let is_code = code.is_some_and(|code| code.len() == 4 && code.parse::<u16>().is_ok());
    let is_named = ["ok", "no_answer", "refused"].contains(&text.as_str());
    if !is_reason && !is_status && !is_grpc && !is_code && !is_named {
        let problem = "must be `ok`, a reason such as `expired_token`, `cell_status_503`, \
             `cell_grpc_status_14`, `refused` (no connection), `closed_1001` (a WebSocket) or `no_answer`";
        errors.add(name.span(), field, problem);
    }
    text.clone()
}
