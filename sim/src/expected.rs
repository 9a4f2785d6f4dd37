//! Checks a run against a scenario's `[expect]`.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::fact::Answer;
use crate::failure::Violation;
use crate::record::{Request, seconds};
use crate::report::Report;
use crate::scenario::{Answers, Events, Scenario};

/// The expectations that the run doesn't meet.
pub(crate) fn missing(report: &Report, scenario: &Scenario) -> Vec<Violation> {
    let mut found = Vec::new();
    for (n, expected) in scenario.expect.answers.iter().enumerate() {
        for client in &expected.clients {
            let Err(ExpectationError { why, request }) = answers(report, client, expected) else {
                continue;
            };
            let at = request.and_then(|request| request.answered);
            let at = at.unwrap_or(expected.until.min(report.simulated));
            let mut violation = Violation::new(at, &format!("expect.answers[{n}]"), &why);
            violation.line = Some(expected.line);
            violation.request = request.cloned();
            violation.blame(&scenario.faults);
            found.push(violation);
        }
    }
    for (kind, Events { least, line }) in &scenario.expect.events {
        let seen = report.events.get(kind).copied().unwrap_or(0);
        if seen < u64::from(*least) {
            let why = format!(
                "the event was seen {seen} times, expected at least {least}; the run had {}",
                kinds(report)
            );
            let name = format!("expect.events.{kind}");
            let mut violation = Violation::new(report.simulated, &name, &why);
            violation.line = Some(*line);
            violation.blame(&scenario.faults);
            found.push(violation);
        }
    }
    found
}

fn kinds(report: &Report) -> String {
    let kinds = report.events.iter();
    let kinds: Vec<_> = kinds
        .map(|(kind, times)| format!("{kind} {times}"))
        .collect();
    kinds.join(", ")
}

/// An expectation that isn't met, and the request that shows it.
struct ExpectationError<'a> {
    why: String,
    request: Option<&'a Request>,
}

impl From<String> for ExpectationError<'_> {
    fn from(why: String) -> Self {
        let request = None;
        Self { why, request }
    }
}

/// A request and its answer.
type Answered<'a> = (&'a Request, &'a Answer);

fn answers<'a>(
    report: &'a Report,
    client: &str,
    expected: &Answers,
) -> Result<(), ExpectationError<'a>> {
    let window = expected.from..expected.until;
    let requests = report.requests.iter();
    let sent: Vec<&Request> = requests
        .filter(|request| request.client == client && window.contains(&request.sent))
        .collect();
    let answered = sent.iter().filter_map(|request| {
        let answer = request.answer.as_ref()?;
        Some((*request, answer))
    });
    let answered: Vec<Answered<'_>> = answered.collect();
    if answered.is_empty() {
        let (count, window) = (sent.len(), span(&window));
        let why = format!("none of the {count} requests that {client} sent {window} was answered");
        return Err(why.into());
    }
    only(client, expected, &answered)?;
    some(client, expected, &answered)?;
    cells(client, expected, &answered)
}

fn only<'a>(
    client: &str,
    expected: &Answers,
    answered: &[Answered<'a>],
) -> Result<(), ExpectationError<'a>> {
    let allowed =
        |answer: &Answer| expected.only.is_empty() || expected.only.contains(&answer.to_string());
    match answered.iter().find(|(_, answer)| !allowed(answer)) {
        Some((request, answer)) => Err(ExpectationError {
            why: format!(
                "{client} was answered {answer}, expected only {}",
                expected.only.join(", ")
            ),
            request: Some(request),
        }),
        None => Ok(()),
    }
}

fn some<'a>(
    client: &str,
    expected: &Answers,
    answered: &[Answered<'a>],
) -> Result<(), ExpectationError<'a>> {
    let seen = |some: &&String| {
        answered
            .iter()
            .any(|(_, answer)| answer.to_string() == **some)
    };
    match expected.some.iter().find(|some| !seen(some)) {
        Some(never) => {
            let window = span(&(expected.from..expected.until));
            let why = format!(
                "{client} never got the answer {never} to its requests {window}; it got {}",
                counted(answered)
            );
            Err(why.into())
        }
        None => Ok(()),
    }
}

/// How often each answer came.
fn counted(answered: &[Answered<'_>]) -> String {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    for (_, answer) in answered {
        *counts.entry(answer.to_string()).or_default() += 1;
    }
    let counts: Vec<_> = counts
        .iter()
        .map(|(answer, n)| format!("{answer} {n} times"))
        .collect();
    counts.join(", ")
}

fn cells<'a>(
    client: &str,
    expected: &Answers,
    answered: &[Answered<'a>],
) -> Result<(), ExpectationError<'a>> {
    if expected.cells.is_empty() {
        return Ok(());
    }
    let by_cells = answered.iter().filter(|(_, answer)| match answer {
        Answer::Ok | Answer::Cell(_) | Answer::CellGrpc(_) => true,
        Answer::Router(_) | Answer::Refused | Answer::Closed(_) | Answer::None => false,
    });
    let by_cells: Vec<&'a Request> = by_cells.map(|(request, _)| *request).collect();
    let names = expected.cells.join(", ");
    if by_cells.is_empty() {
        let window = span(&(expected.from..expected.until));
        let why =
            format!("no cell answered a request that {client} sent {window}, expected {names}");
        return Err(why.into());
    }
    let elsewhere = |request: &&&Request| {
        let cell = request.cell.as_ref();
        !cell.is_some_and(|cell| expected.cells.contains(cell))
    };
    match by_cells.iter().find(elsewhere) {
        Some(request) => {
            let cell = request.cell.as_deref().unwrap_or("no cell of this world");
            Err(ExpectationError {
                why: format!("{client} was answered by {cell}, expected {names}"),
                request: Some(request),
            })
        }
        None => Ok(()),
    }
}

fn span(window: &std::ops::Range<Duration>) -> String {
    format!(
        "between {} and {}",
        seconds(window.start),
        seconds(window.end)
    )
}
