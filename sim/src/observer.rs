//! Collects all facts of a run: checks the invariants and fills the report.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::fact::{Answer, CircuitChange, EnvelopeChecked, Fact, FailedOver};
use crate::failure::Violation;
use crate::invariants::{Invariant, Journal};
use crate::points::{Points, Reached};
use crate::record::{Detail, Recorder};
use crate::report::Line;
use crate::trace::Trace;

/// Takes facts from every host of a world. Clones are the same observer.
#[derive(Clone)]
pub(crate) struct Observer(Arc<Mutex<State>>);

pub(crate) struct State {
    trace: Trace,
    journal: Journal,
    invariants: Vec<Box<dyn Invariant>>,
    points: Points,
    pub(crate) record: Recorder,
    found: Vec<Found>,
    /// When the last fact came.
    latest: Duration,
    pub(crate) checked: u64,
    pub(crate) timeline: Vec<Line>,
    /// Decisions per router and reason.
    pub(crate) decisions: BTreeMap<(String, &'static str), u64>,
    /// The last answer of each client.
    last_answer: BTreeMap<String, Answer>,
    /// The lines that the timeline already has since the last fault began or ended. It shows each once,
    /// not each of a hundred timeouts.
    shown: BTreeSet<(String, String)>,
    /// The keys of the envelopes that each endpoint of a cell has accepted.
    envelope_kids: BTreeSet<(String, String)>,
    /// How often each kind of notable event was seen.
    pub(crate) events: BTreeMap<String, u64>,
}

/// A violation, and which request it is about.
struct Found {
    violation: Violation,
    request: Option<usize>,
}

impl Observer {
    /// `prefix` is how the router's own headers begin.
    pub(crate) fn new(
        trace: Trace,
        detail: Detail,
        prefix: &str,
        invariants: Vec<Box<dyn Invariant>>,
    ) -> Self {
        Self(Arc::new(Mutex::new(State {
            trace,
            journal: Journal::new(prefix),
            invariants,
            points: Points::new(prefix),
            record: Recorder::new(prefix, detail),
            found: Vec::new(),
            latest: Duration::ZERO,
            checked: 0,
            timeline: Vec::new(),
            decisions: BTreeMap::new(),
            last_answer: BTreeMap::new(),
            shown: BTreeSet::new(),
            envelope_kids: BTreeSet::new(),
            events: BTreeMap::new(),
        })))
    }

    /// Takes a fact that `host` reports at `at`, since the start.
    pub(crate) fn tell(&self, at: Duration, host: &str, fact: &Fact) {
        let mut state = self.lock();
        state.latest = at;
        state.record.observe(at, host, fact);
        state.count(at, host, fact);
        state.points.observe(at, fact);
        state.check(at, fact);
    }

    /// The run is over.
    pub(crate) fn finish(&self, at: Duration) {
        self.lock().finish(at);
    }

    /// Adds a failure that no invariant reported.
    pub(crate) fn fail(&self, at: Duration, name: &str, why: impl Display) {
        self.lock().violation(at, name, &why.to_string(), None);
    }

    /// When the last fact came.
    pub(crate) fn latest(&self) -> Duration {
        self.lock().latest
    }

    /// Whether anything has failed.
    pub(crate) fn has_failed(&self) -> bool {
        !self.lock().found.is_empty()
    }

    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    fn check(&mut self, at: Duration, fact: &Fact) {
        self.checked += 1;
        let invariants = self.invariants.iter_mut();
        let wrong = self.journal.tell(at, fact, invariants.map(Box::as_mut));
        for (name, why) in wrong {
            self.violation(at, name, &why, Some(fact));
        }
    }

    fn finish(&mut self, at: Duration) {
        self.checked += 1;
        let mut wrong = Vec::new();
        for invariant in &mut self.invariants {
            if let Err(why) = invariant.finish(at) {
                wrong.push((invariant.name(), why));
            }
        }
        for (name, why) in wrong {
            self.violation(at, name, &why, None);
        }
    }

    fn violation(&mut self, at: Duration, name: &str, why: &str, fact: Option<&Fact>) {
        let line = format_args!("VIOLATION {name}: {why}").to_string();
        self.trace.push(at, "world", &line);
        self.timeline.push(Line::new(at, "world", line.clone()));
        let mut violation = Violation::new(at, name, why);
        violation.router = fact.and_then(router).map(str::to_owned);
        let request = fact.and_then(|fact| self.request(fact));
        self.found.push(Found { violation, request });
    }

    /// The failures, each with all that is known about its request.
    pub(crate) fn violations(&mut self) -> Vec<Violation> {
        let found = std::mem::take(&mut self.found);
        let whole = found.into_iter().map(|found| Violation {
            request: found
                .request
                .and_then(|i| self.record.requests.get(i).cloned()),
            ..found.violation
        });
        whole.collect()
    }

    /// The points that the run has reached.
    pub(crate) fn reached(&mut self) -> Reached {
        std::mem::replace(&mut self.points, Points::new("")).into_reached()
    }

    /// The request that a fact is about.
    fn request(&self, fact: &Fact) -> Option<usize> {
        match subject(fact)? {
            Subject::Tag(tag) => self.record.tagged(tag),
            Subject::Id(id) => self.record.identified(id),
        }
    }

    /// Counts an event, and shows it in the timeline unless it is there already.
    fn notable(&mut self, at: Duration, host: &str, kind: &str, text: impl Display) {
        *self.events.entry(kind.to_owned()).or_default() += 1;
        self.show(at, host, text.to_string());
    }

    fn show(&mut self, at: Duration, host: &str, text: String) {
        if self.shown.insert((host.to_owned(), text.clone())) {
            self.timeline.push(Line::new(at, host, text));
        }
    }

    /// A fault begins or ends. From now on the timeline shows all events again, except answers that a
    /// client already gets.
    fn world_changes(&mut self, at: Duration, kind: &str, text: String) {
        *self.events.entry(kind.to_owned()).or_default() += 1;
        self.timeline.push(Line::new(at, "world", text));
        let answers = self.last_answer.iter();
        self.shown = answers
            .map(|(client, answer)| (client.clone(), is_answered(answer)))
            .collect();
    }

    fn count(&mut self, at: Duration, host: &str, fact: &Fact) {
        match fact {
            Fact::FaultBegins(what) => self.world_changes(at, "fault", what.clone()),
            Fact::FaultEnds(what) => self.world_changes(at, "fault_end", format!("end: {what}")),
            Fact::Started(life) if life.incarnation > 0 => {
                self.notable(at, host, "restarted", "started again");
            }
            Fact::Noted(_, note) => self.notable(at, host, &note.kind, &note.text),
            Fact::RegistryApplied { version, .. } => {
                let text = format!("registry version {version} applied");
                self.notable(at, host, "registry_applied", text);
            }
            Fact::Ejected { .. } | Fact::Probed { .. } | Fact::Circuit { .. } => {
                if let Some((kind, text)) = endpoint_news(fact) {
                    self.notable(at, host, kind, text);
                }
            }
            Fact::FailedOver(FailedOver {
                from, cell, reason, ..
            }) => {
                let from = from.as_deref().unwrap_or("its placement");
                let text = format!("sends a request to {cell} instead of {from}: {reason}");
                self.notable(at, host, "failed_over", text);
            }
            Fact::Own { name, value } => self.own(at, host, name, value),
            Fact::KeysAsked { issuer, forced, .. } => self.keys_asked(at, host, issuer, *forced),
            Fact::Error { event, text, .. } => self.notable(at, host, event, text),
            Fact::Decided(decided) => {
                let key = (decided.life.router.clone(), decided.reason.as_str());
                *self.decisions.entry(key).or_default() += 1;
            }
            Fact::EnvelopeChecked(checked) => self.envelope(at, host, checked),
            Fact::EnvelopeKeys { outcome, .. } => self.envelope_keys(at, host, outcome),
            Fact::Answered { tag, answer } => self.answered(at, tag, answer),
            Fact::Sent(_)
            | Fact::Arrived(_)
            | Fact::Published(_)
            | Fact::Configured(_)
            | Fact::CellCertificate { .. }
            | Fact::Connected { .. }
            | Fact::Presented { .. }
            | Fact::Traced { .. }
            | Fact::Checked { .. }
            | Fact::CallAnswered { .. }
            | Fact::CallEnded { .. }
            | Fact::StateDamaged(_)
            | Fact::Started(_)
            | Fact::Crashed(_)
            | Fact::ClientStopped(_)
            | Fact::Responded(_)
            | Fact::Streamed { .. }
            | Fact::StoppedReading { .. }
            | Fact::BodyEnded(_)
            | Fact::EndpointStopped(_)
            | Fact::StreamsAllowed(_)
            | Fact::RouterCertificate { .. }
            | Fact::CellTrustChanged
            | Fact::ClientTrustChanged(_)
            | Fact::AnswerForged { .. }
            | Fact::AnswerMixed { .. }
            | Fact::Unserved { .. }
            | Fact::Left { .. } => {}
        }
    }

    fn own(&mut self, at: Duration, host: &str, name: &str, value: &serde_json::Value) {
        *self.events.entry(name.to_owned()).or_default() += 1;
        let text = format!("{name} {value}");
        self.trace.push(at, host, &text);
        if self.shown.insert((host.to_owned(), name.to_owned())) {
            self.timeline.push(Line::new(at, host, text));
        }
    }

    fn keys_asked(&mut self, at: Duration, host: &str, issuer: &str, forced: bool) {
        let (kind, why) = match forced {
            true => ("keys_forced", "for an unknown key"),
            false => ("keys_scheduled", "on schedule"),
        };
        let text = format!("fetches the keys of {issuer} {why}");
        self.notable(at, host, kind, text);
    }

    fn envelope_keys(&mut self, at: Duration, host: &str, outcome: &Result<usize, String>) {
        match outcome {
            Ok(keys) => {
                let text = format!("has fetched the envelope keys ({keys})");
                self.notable(at, host, "envelope_keys", text);
            }
            Err(why) => {
                let text = format!("can't fetch the envelope keys: {why}");
                self.notable(at, host, "envelope_keys_failed", text);
            }
        }
    }

    /// Shows the first envelope with each key, and each kind of refusal.
    fn envelope(&mut self, at: Duration, host: &str, checked: &EnvelopeChecked) {
        let kid = checked.kid.clone().unwrap_or_default();
        match &checked.found {
            Err(refused) if refused == "envelope_missing" => {}
            Err(refused) => {
                let text = format!("refuses an envelope with key {kid}: {refused}");
                self.notable(at, host, "envelope_refused", text);
            }
            Ok(_) => {
                if self.envelope_kids.insert((host.to_owned(), kid.clone())) {
                    let text = format!("accepts envelopes with key {kid}");
                    self.notable(at, host, "envelope_kid", text);
                }
            }
        }
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) {
        let index = self.record.tagged(tag);
        let Some(request) = index.and_then(|i| self.record.requests.get(i)) else {
            return;
        };
        let client = request.client.clone();
        self.last_answer.insert(client.clone(), answer.clone());
        self.show(at, &client, is_answered(answer));
    }
}

/// What a router says of an endpoint: the kind of event, and its text.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "few facts are about endpoints"
)]
fn endpoint_news(fact: &Fact) -> Option<(&'static str, String)> {
    Some(match fact {
        Fact::Ejected { host, ejected, .. } => match ejected {
            true => ("endpoint_ejected", format!("ejects {host}")),
            false => ("endpoint_returned", format!("returns {host}")),
        },
        Fact::Probed { host, healthy, .. } => match healthy {
            true => ("endpoint_healthy", format!("checks of {host} succeed")),
            false => ("endpoint_unhealthy", format!("checks of {host} fail")),
        },
        Fact::Circuit { host, change, .. } => match change {
            CircuitChange::Opened => ("circuit_opened", format!("opens the breaker of {host}")),
            CircuitChange::Closed => ("circuit_closed", format!("closes the breaker of {host}")),
            CircuitChange::Probing | CircuitChange::Freed => return None,
        },
        _ => return None,
    })
}

fn is_answered(answer: &Answer) -> String {
    format!("is answered {answer}")
}

/// How a fact names the request that it is about.
enum Subject<'a> {
    /// By its client's tag.
    Tag(&'a str),
    /// By its router's request id.
    Id(&'a str),
}

fn subject(fact: &Fact) -> Option<Subject<'_>> {
    match fact {
        Fact::Sent(sent) => Some(Subject::Tag(&sent.tag)),
        Fact::Presented { tag, .. }
        | Fact::Traced { tag, .. }
        | Fact::CallAnswered { tag, .. }
        | Fact::Answered { tag, .. }
        | Fact::Streamed { tag }
        | Fact::StoppedReading { tag }
        | Fact::AnswerForged { tag, .. }
        | Fact::AnswerMixed { tag, .. } => Some(Subject::Tag(tag)),
        Fact::Checked { tag, .. }
        | Fact::CallEnded { tag, .. }
        | Fact::Unserved { tag, .. }
        | Fact::Left { tag, .. } => tag.as_deref().map(Subject::Tag),
        Fact::BodyEnded(ended) => ended.tag.as_deref().map(Subject::Tag),
        Fact::Arrived(arrived) => arrived.tag.as_deref().map(Subject::Tag),
        Fact::Own { value, .. } => value["tag"].as_str().map(Subject::Tag),
        Fact::Decided(decided) => Some(Subject::Id(&decided.request_id)),
        Fact::FailedOver(failed_over) => Some(Subject::Id(&failed_over.request_id)),
        Fact::Responded(responded) => Some(Subject::Id(&responded.request_id)),
        Fact::EnvelopeChecked(judged) => judged.request_id.as_deref().map(Subject::Id),
        Fact::Published(_)
        | Fact::CellCertificate { .. }
        | Fact::Connected { .. }
        | Fact::FaultBegins(_)
        | Fact::FaultEnds(_)
        | Fact::Configured(_)
        | Fact::StateDamaged(_)
        | Fact::Started(_)
        | Fact::Crashed(_)
        | Fact::ClientStopped(_)
        | Fact::Noted(..)
        | Fact::RegistryApplied { .. }
        | Fact::KeysAsked { .. }
        | Fact::Ejected { .. }
        | Fact::Probed { .. }
        | Fact::Circuit { .. }
        | Fact::Error { .. }
        | Fact::EnvelopeKeys { .. }
        | Fact::RouterCertificate { .. }
        | Fact::CellTrustChanged
        | Fact::ClientTrustChanged(_)
        | Fact::EndpointStopped(_)
        | Fact::StreamsAllowed(_) => None,
    }
}

/// The router that reported a fact.
fn router(fact: &Fact) -> Option<&str> {
    let life = match fact {
        Fact::Started(life) | Fact::Crashed(life) | Fact::Noted(life, _) => life,
        Fact::RegistryApplied { life, .. }
        | Fact::KeysAsked { life, .. }
        | Fact::Ejected { life, .. }
        | Fact::Probed { life, .. }
        | Fact::Circuit { life, .. }
        | Fact::Error { life, .. } => life,
        Fact::Decided(decided) => &decided.life,
        Fact::FailedOver(failed_over) => &failed_over.life,
        Fact::Responded(responded) => &responded.life,
        Fact::Published(_)
        | Fact::FaultBegins(_)
        | Fact::FaultEnds(_)
        | Fact::Configured(_)
        | Fact::StateDamaged(_)
        | Fact::ClientStopped(_)
        | Fact::EndpointStopped(_)
        | Fact::StreamsAllowed(_)
        | Fact::Sent(_)
        | Fact::Connected { .. }
        | Fact::AnswerForged { .. }
        | Fact::AnswerMixed { .. }
        | Fact::RouterCertificate { .. }
        | Fact::CellTrustChanged
        | Fact::ClientTrustChanged(_)
        | Fact::Own { .. }
        | Fact::Presented { .. }
        | Fact::Traced { .. }
        | Fact::Checked { .. }
        | Fact::CallAnswered { .. }
        | Fact::CallEnded { .. }
        | Fact::Answered { .. }
        | Fact::Streamed { .. }
        | Fact::StoppedReading { .. }
        | Fact::CellCertificate { .. }
        | Fact::Arrived(_)
        | Fact::Unserved { .. }
        | Fact::Left { .. }
        | Fact::EnvelopeChecked(_)
        | Fact::EnvelopeKeys { .. }
        | Fact::BodyEnded(_) => return None,
    };
    Some(&life.router)
}
