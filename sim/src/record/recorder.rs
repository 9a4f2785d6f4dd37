//! Makes the record of a run from its facts.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "a record has what people look at, not every fact"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use cellway_testbed::{CheckOutcome, Unserved};

use super::news::news;
use super::{Change, Changed, Happened, Request, Step, Trouble};
use crate::engine::EPOCH;
use crate::fact::{Answer, Arrived, CircuitChange, Decided, Fact, Published};

/// How much of a run is recorded.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Detail {
    /// Requests with their steps, and changes.
    All,
    /// What came of each request.
    Outcomes,
}

/// Collects requests and changes.
#[derive(Debug)]
pub(crate) struct Recorder {
    detail: Detail,
    /// The name of the header with the router's request id.
    request_id: String,
    /// In the order of sending.
    pub(crate) requests: Vec<Request>,
    by_tag: BTreeMap<String, usize>,
    /// By the router's request id, once a cell or the answer has named it.
    by_id: BTreeMap<String, usize>,
    /// Steps of requests that only their router can name so far.
    pub(crate) nameless: BTreeMap<String, Vec<Step>>,
    pub(crate) changes: Vec<Change>,
    /// The good registries, and when each was published.
    pub(crate) published: Vec<(Duration, Arc<Published>)>,
}

impl Recorder {
    /// `prefix` is how the router's own headers begin.
    pub(crate) fn new(prefix: &str, detail: Detail) -> Self {
        Self {
            detail,
            request_id: format!("{prefix}request-id"),
            requests: Vec::new(),
            by_tag: BTreeMap::new(),
            by_id: BTreeMap::new(),
            nameless: BTreeMap::new(),
            changes: Vec::new(),
            published: Vec::new(),
        }
    }

    /// Takes a fact that `host` reports at `at`, since the start.
    pub(crate) fn observe(&mut self, at: Duration, host: &str, fact: &Fact) {
        // What hosts report while the world is taken down has no time, and nobody did it.
        if at.is_zero() && !self.requests.is_empty() {
            return;
        }
        match fact {
            Fact::Sent(sent) => {
                self.by_tag.insert(sent.tag.clone(), self.requests.len());
                self.requests.push(Request::new(at, sent));
            }
            Fact::Traced { tag, request_id } => self.name(tag, request_id),
            Fact::Arrived(arrived) => self.arrived(at, arrived),
            Fact::Answered { tag, answer } => self.answered(at, tag, answer),
            _ if self.detail == Detail::Outcomes => return,
            Fact::Decided(decided) => {
                self.by_router(at, host, &decided.request_id, decision(decided));
            }
            _ => {
                if let Some((tag, what)) = reported(fact) {
                    self.by_client(at, host, tag, what);
                } else if let Some((id, what)) = routed(fact) {
                    self.by_router(at, host, id, what);
                }
            }
        }
        if self.detail == Detail::Outcomes {
            return;
        }
        if let Some(what) = self.changed(at, fact) {
            let host = match fact {
                Fact::Published(_) => crate::scenario::CONTROL_PLANE,
                Fact::CellCertificate { host, .. } => host,
                Fact::RouterCertificate { router, .. } => router,
                _ => host_of(fact, host),
            };
            let host = host.to_owned();
            self.changes.push(Change { at, host, what });
        }
    }

    /// The request of this tag.
    pub(crate) fn tagged(&self, tag: &str) -> Option<usize> {
        self.by_tag.get(tag).copied()
    }

    /// The request with this id of its router.
    pub(crate) fn identified(&self, id: &str) -> Option<usize> {
        self.by_id.get(id).copied()
    }

    /// The request is the one that its router calls `id`.
    fn name(&mut self, tag: &str, id: &str) {
        let Some(index) = self.tagged(tag) else {
            return;
        };
        self.by_id.insert(id.to_owned(), index);
        let earlier = self.nameless.remove(id);
        if let (Some(earlier), Some(request)) = (earlier, self.requests.get_mut(index)) {
            request.steps.extend(earlier);
            // Stable: steps of one moment keep the order in which they were reported.
            request.steps.sort_by_key(|step| step.at);
        }
    }

    fn by_client(&mut self, at: Duration, host: &str, tag: &str, what: Happened) {
        if self.detail == Detail::Outcomes {
            return;
        }
        let request = self.tagged(tag).and_then(|i| self.requests.get_mut(i));
        if let Some(request) = request {
            let host = host.to_owned();
            request.steps.push(Step { at, host, what });
        }
    }

    fn by_router(&mut self, at: Duration, host: &str, id: &str, what: Happened) {
        let host = host.to_owned();
        let step = Step { at, host, what };
        match self.identified(id).and_then(|i| self.requests.get_mut(i)) {
            Some(request) => request.steps.push(step),
            None => self.nameless.entry(id.to_owned()).or_default().push(step),
        }
    }

    fn arrived(&mut self, at: Duration, arrived: &Arrived) {
        let Some(tag) = &arrived.tag else {
            return;
        };
        if let Some(id) = arrived.header(&self.request_id) {
            self.name(tag, id);
        }
        let cell = arrived.cell.clone();
        if let Some(request) = self.tagged(tag).and_then(|i| self.requests.get_mut(i)) {
            request.cell = Some(cell.clone());
        }
        self.by_client(at, &arrived.host, tag, Happened::Arrived { cell });
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) {
        if let Some(request) = self.tagged(tag).and_then(|i| self.requests.get_mut(i)) {
            request.answer = Some(answer.clone());
            request.answered = Some(at);
        }
    }

    fn changed(&mut self, at: Duration, fact: &Fact) -> Option<Changed> {
        let endpoint = |endpoint: &String, trouble, begins| {
            let endpoint = endpoint.clone();
            Some(Changed::Endpoint {
                endpoint,
                trouble,
                begins,
            })
        };
        match fact {
            Fact::Published(said) => {
                let news = news(self.published.last().map(|(_, last)| &**last), said);
                self.published.push((at, said.clone()));
                let version = said.version;
                Some(Changed::Published { version, news })
            }
            Fact::RegistryApplied { version, .. } => Some(Changed::Applied { version: *version }),
            Fact::Noted(_, note) => Some(match &note.keys {
                Some(set) => Changed::Keys {
                    issuer: set.issuer.clone(),
                    keys: set.keys,
                    restored: set.restored,
                },
                None => Changed::Noted {
                    kind: note.kind.clone(),
                    text: note.text.clone(),
                },
            }),
            Fact::Error { event, text, .. } => Some(Changed::Error {
                kind: event.clone(),
                text: text.clone(),
            }),
            Fact::Ejected { host, ejected, .. } => endpoint(host, Trouble::Ejected, *ejected),
            Fact::Probed { host, healthy, .. } => endpoint(host, Trouble::Unhealthy, !*healthy),
            Fact::Circuit { host, change, .. } => match change {
                CircuitChange::Opened => endpoint(host, Trouble::Breaker, true),
                CircuitChange::Closed => endpoint(host, Trouble::Breaker, false),
                CircuitChange::Probing | CircuitChange::Freed => None,
            },
            Fact::Own { name, value } => Some(Changed::Noted {
                kind: name.clone(),
                text: value.to_string(),
            }),
            Fact::Started(life) => Some(Changed::Started {
                again: life.incarnation > 0,
            }),
            Fact::Crashed(_) => Some(Changed::Crashed),
            _ => trust(fact).map(|text| Changed::Trust { text }),
        }
    }
}

/// The host that a fact of the world is about.
fn host_of<'a>(fact: &'a Fact, host: &'a str) -> &'a str {
    match fact {
        Fact::Started(life) | Fact::Crashed(life) => &life.router,
        _ => host,
    }
}

fn decision(decided: &Decided) -> Happened {
    Happened::Decided {
        cell: decided.cell.clone(),
        reason: decided.reason.to_string(),
        tenant: decided.tenant.clone(),
        version: decided.registry_version,
    }
}

/// A step of a request that is named by its tag.
fn reported(fact: &Fact) -> Option<(&str, Happened)> {
    let (tag, what) = match fact {
        Fact::Presented {
            tag,
            certificate_expires,
            authority,
        } => (
            Some(tag),
            Happened::Presented {
                authority: *authority,
                expires: certificate_expires.map(|at| at.saturating_sub(EPOCH)),
            },
        ),
        Fact::Checked { tag, outcome } => (tag.as_ref(), checked(outcome)),
        Fact::CallEnded { tag, status, .. } => {
            (tag.as_ref(), Happened::CallEnded { status: *status })
        }
        Fact::Unserved { tag, how, .. } => (
            tag.as_ref(),
            Happened::Unserved {
                how: unserved(*how).to_owned(),
            },
        ),
        Fact::Left { tag, .. } => (tag.as_ref(), Happened::Left),
        Fact::BodyEnded(ended) => (
            ended.tag.as_ref(),
            Happened::BodyEnded {
                bytes: ended.bytes,
                complete: ended.complete,
            },
        ),
        Fact::StoppedReading { tag } => (Some(tag), Happened::StoppedReading),
        Fact::AnswerForged { tag, header } => (
            Some(tag),
            Happened::Forged {
                header: header.clone(),
            },
        ),
        Fact::AnswerMixed { tag, found } => (
            Some(tag),
            Happened::Mixed {
                found: found.clone(),
            },
        ),
        _ => return None,
    };
    tag.map(|tag| (tag.as_str(), what))
}

/// A step of a request that is named by its router's id.
fn routed(fact: &Fact) -> Option<(&str, Happened)> {
    match fact {
        Fact::FailedOver(over) => Some((
            &over.request_id,
            Happened::FailedOver {
                from: over.from.clone(),
                cell: over.cell.clone(),
                reason: over.reason.to_string(),
            },
        )),
        Fact::Responded(responded) => Some((
            &responded.request_id,
            Happened::Responded {
                status: responded.status,
                reason: responded.reason.map(|reason| reason.to_string()),
            },
        )),
        Fact::Circuit {
            host,
            request_id,
            change,
            ..
        } => Some((
            request_id,
            Happened::Breaker {
                endpoint: host.clone(),
                change: circuit(*change).to_owned(),
            },
        )),
        Fact::EnvelopeChecked(checked) => {
            let why = checked.found.as_ref().err()?;
            // Cells say so of each request if routers seal no envelopes.
            let is_news = why != "envelope_missing";
            let id = checked.request_id.as_deref().filter(|_| is_news)?;
            Some((id, Happened::EnvelopeRefused { why: why.clone() }))
        }
        _ => None,
    }
}

fn circuit(change: CircuitChange) -> &'static str {
    match change {
        CircuitChange::Opened => "opens the breaker",
        CircuitChange::Probing => "lets it try the open breaker",
        CircuitChange::Closed => "closes the breaker",
        CircuitChange::Freed => "learns nothing about the breaker",
    }
}

fn checked(outcome: &CheckOutcome) -> Happened {
    let outcome = match outcome {
        CheckOutcome::Allowed { cell, .. } => {
            format!("asks its router, which allows it to {cell}")
        }
        CheckOutcome::Denied => "asks its router, which denies it".to_owned(),
        CheckOutcome::Error => "asks its router and gets no valid answer".to_owned(),
    };
    Happened::Checked { outcome }
}

fn unserved(how: Unserved) -> &'static str {
    match how {
        Unserved::StreamRefused => "refuses its stream and says that it did nothing",
        Unserved::TooManyStreams(_) => "refuses its stream, because there are too many",
        Unserved::AfterGoaway => "disclaims it, because the connection was going away",
        Unserved::StreamReset => "resets its stream in the middle",
        Unserved::ConnectionClosed => "closes its connection in the middle",
    }
}

/// What is trusted from now on, or shown to prove who a host is.
fn trust(fact: &Fact) -> Option<String> {
    match fact {
        Fact::RouterCertificate { .. } => {
            Some("has another serving certificate on its disk".to_owned())
        }
        Fact::CellTrustChanged => {
            Some("changes the authority between routers and cells".to_owned())
        }
        Fact::ClientTrustChanged(0) => None,
        Fact::ClientTrustChanged(first) => Some(format!(
            "lets routers trust no authority of clients before number {first}"
        )),
        Fact::CellCertificate {
            impersonates,
            expires,
            ..
        } => {
            let whose = impersonates.as_ref().map(|cell| format!(" of {cell}"));
            let expires =
                expires.map(|at| format!(" until {}", super::seconds(at.saturating_sub(EPOCH))));
            if whose.is_none() && expires.is_none() {
                return None;
            }
            let [whose, expires] = [whose, expires].map(Option::unwrap_or_default);
            Some(format!("serves with a certificate{whose}{expires}"))
        }
        _ => None,
    }
}
