//! The data of a page. Sentences are made here, so that a page says the same as a terminal. A table holds
//! each sentence once: a run with ten thousand requests repeats a few of them.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each column of the page shows a few kinds of steps"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::{Value, json};

use crate::fact::Answer;
use crate::record::{Change, Changed, Happened, Request, Step};
use crate::report::{Band, Recording};

/// The runs of a page, and how they differ.
pub(super) fn of(run: &Recording, against: Option<&Recording>) -> Value {
    let mut texts = Texts::default();
    let runs: Vec<Value> = [Some(run), against]
        .into_iter()
        .flatten()
        .map(|run| of_run(run, &mut texts))
        .collect();
    let difference = against.and_then(|other| {
        let found = run.difference(other)?;
        Some(json!({
            "at": micros(found.at),
            "tag": found.tag,
            "here": found.here,
            "there": found.there,
            "tags": run.different(other),
        }))
    });
    json!({ "runs": runs, "texts": texts.all, "difference": difference })
}

/// Each text once.
#[derive(Default)]
struct Texts {
    all: Vec<String>,
    known: BTreeMap<String, usize>,
}

impl Texts {
    fn add(&mut self, text: &str) -> usize {
        if let Some(known) = self.known.get(text) {
            return *known;
        }
        let index = self.all.len();
        self.all.push(text.to_owned());
        self.known.insert(text.to_owned(), index);
        index
    }

    fn add_some(&mut self, text: Option<&str>) -> Option<usize> {
        text.map(|text| self.add(text))
    }
}

fn of_run(run: &Recording, texts: &mut Texts) -> Value {
    let requests: Vec<Value> = run.requests.iter().map(|it| request(it, texts)).collect();
    let changes: Vec<Value> = run.changes.iter().map(|it| change(it, texts)).collect();
    let nameless = run.nameless.iter();
    let nameless: Vec<Value> = nameless.map(|it| step(it, texts)).collect();
    let faults: Vec<Value> = run.faults.iter().map(fault).collect();
    let stories = run.stories.iter().map(|story| {
        let rows = story
            .rows
            .iter()
            .map(|row| json!([row.label, row.text, row.at.map(micros), row.host, row.line]));
        json!({
            "name": story.name,
            "at": micros(story.at),
            "found": story.found,
            "tag": story.tag,
            "rows": rows.collect::<Vec<_>>(),
        })
    });
    json!({
        "scenario": run.scenario,
        "about": run.about,
        "path": run.path,
        "text": run.text,
        "seed": run.seed,
        "replay": run.replay,
        "simulated": micros(run.simulated),
        "facts": run.facts,
        "hosts": run.hosts,
        "faults": faults,
        "stories": stories.collect::<Vec<_>>(),
        "changes": changes,
        "requests": requests,
        "nameless": nameless,
    })
}

fn request(request: &Request, texts: &mut Texts) -> Value {
    let steps: Vec<Value> = request.steps.iter().map(|it| step(it, texts)).collect();
    let decided = request
        .steps
        .iter()
        .rev()
        .find_map(|step| match &step.what {
            Happened::Decided { reason, .. } => Some((step.host.as_str(), reason.as_str())),
            _ => None,
        });
    json!([
        request.tag,
        texts.add(&request.client),
        texts.add(&request.tenant),
        texts.add(decided.map_or(&request.to, |(router, _)| router)),
        micros(request.sent),
        request.answered.map(micros),
        texts.add(&request.sentence()),
        outcome(request.answer.as_ref()),
        texts.add_some(request.answer.as_ref().map(Answer::to_string).as_deref()),
        texts.add_some(request.answer.as_ref().map(Answer::sentence).as_deref()),
        texts.add_some(decided.map(|(_, reason)| reason)),
        texts.add_some(request.cell.as_deref()),
        texts.add_some(request.key.as_ref().map(|[issuer, _]| issuer.as_str())),
        steps,
    ])
}

/// How a request ended, which decides its mark.
fn outcome(answer: Option<&Answer>) -> &'static str {
    match answer {
        Some(Answer::Ok) => "ok",
        Some(Answer::Router(_)) => "router",
        Some(Answer::Cell(_) | Answer::CellGrpc(_) | Answer::Closed(_)) => "cell",
        Some(Answer::Refused | Answer::None) => "lost",
        None => "open",
    }
}

fn step(step: &Step, texts: &mut Texts) -> Value {
    let kind = match &step.what {
        Happened::Decided { cell: Some(_), .. } => "allowed",
        Happened::Decided { cell: None, .. } => "denied",
        Happened::Arrived { .. } => "arrived",
        Happened::Responded { .. } => "responded",
        _ => "",
    };
    json!([
        micros(step.at),
        texts.add(&step.host),
        texts.add(step.label()),
        texts.add(&step.sentence()),
        kind,
        match &step.what {
            Happened::Decided { reason, .. } => Some(texts.add(reason)),
            _ => None,
        },
    ])
}

/// A change, with what lanes show of it: a registry version, or a key set and its issuer.
fn change(change: &Change, texts: &mut Texts) -> Value {
    let (kind, value, of) = match &change.what {
        Changed::Published { version, .. } => ("published", Some(*version), None),
        Changed::Applied { version } => ("applied", Some(*version), None),
        Changed::Keys { issuer, keys, .. } => ("keys", Some(*keys as u64), Some(texts.add(issuer))),
        Changed::Endpoint {
            endpoint, begins, ..
        } => (
            "endpoint",
            Some(u64::from(*begins)),
            Some(texts.add(endpoint)),
        ),
        Changed::Started { .. } => ("started", None, None),
        Changed::Crashed => ("crashed", None, None),
        Changed::Trust { .. } => ("trust", None, None),
        Changed::Noted { .. } => ("noted", None, None),
        Changed::Error { .. } => ("error", None, None),
    };
    json!([
        micros(change.at),
        texts.add(&change.host),
        texts.add(&change.sentence()),
        kind,
        value,
        of,
    ])
}

fn fault(fault: &Band) -> Value {
    json!([
        micros(fault.at),
        micros(fault.until),
        fault.text,
        fault.line,
        fault.hosts
    ])
}

/// A time in microseconds, which a script can take as a whole number.
fn micros(at: Duration) -> u64 {
    u64::try_from(at.as_micros()).unwrap_or(u64::MAX)
}
