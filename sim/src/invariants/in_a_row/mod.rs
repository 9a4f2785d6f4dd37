//! Only failures in a row open a breaker or eject an endpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Endpoints, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Answer, Arrived, CircuitChange, Fact, Sent};

/// How often a request is sent to cells at most, if a setting lets a router send it again that a cell has
/// processed.
const SENT_MAX: usize = 4;

/// A breaker opens, and an endpoint is ejected for the first time, only if as many requests may have failed
/// there as the settings say since the last one that was served well.
///
/// A request may have failed at an endpoint unless it was served well elsewhere in its only attempt, or is
/// for another cell, or the endpoint answered it with a status that the settings don't list. Such an answer
/// is as good as one that serves the request, except 429 and gRPC's 8, which say neither. A gRPC status after
/// a message is as good, too. A request that an endpoint hands back unprocessed fails there each time that it
/// comes. What clients were answered decides, so a change is judged once they must know.
#[derive(Debug)]
pub struct InARow {
    request_id: String,
    endpoints: Endpoints,
    settings: SettingsInForce,
    delivery_max: Duration,
    /// All requests, by tag.
    requests: BTreeMap<String, Request>,
    /// The requests that went to another cell, by the router's id.
    failed_over: BTreeSet<String>,
    /// The breakers that aren't closed, by router and endpoint.
    open: BTreeSet<(String, String)>,
    /// The endpoints that each router has ejected before. One failure may eject them again.
    ejected: BTreeSet<(String, String)>,
    started: BTreeMap<String, Duration>,
    /// The changes that aren't judged yet.
    changes: Vec<Change>,
}

#[derive(Debug)]
struct Request {
    sent: Duration,
    router: String,
    /// Where it arrived, and when.
    arrived: Vec<(String, Duration)>,
    /// Where it was handed back unprocessed, and when. It may come to the same endpoint again.
    handed_back: Vec<(String, Duration)>,
    failed_over: bool,
    answered: Option<Duration>,
    /// It is a call whose gRPC status comes after a message.
    has_message: bool,
    went: Went,
}

/// What the client's answer says about the endpoint where its request was.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Went {
    Well,
    /// The endpoint works as far as anybody knows.
    Neither,
    /// It may have failed.
    Badly,
}

impl Request {
    /// How often this endpoint has handed it back since then.
    fn handed_back(&self, host: &str, since: Duration) -> usize {
        let there = |(it, at): &&(String, Duration)| it == host && *at > since;
        self.handed_back.iter().filter(there).count()
    }
}

/// A breaker has opened, or an endpoint was ejected.
#[derive(Debug)]
struct Change {
    at: Duration,
    router: String,
    host: String,
    what: &'static str,
    /// How many failures in a row it takes.
    least: usize,
}

impl InARow {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            request_id: format!("{}request-id", bounds.header_prefix),
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            requests: BTreeMap::new(),
            failed_over: BTreeSet::new(),
            open: BTreeSet::new(),
            ejected: BTreeSet::new(),
            started: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    fn starts(&mut self, at: Duration, router: &str) {
        self.started.insert(router.to_owned(), at);
        self.open.retain(|(of, _)| of != router);
        self.ejected.retain(|(of, _)| of != router);
    }

    fn sent(&mut self, at: Duration, sent: &Sent) {
        let request = Request {
            sent: at,
            router: sent.to.clone(),
            arrived: Vec::new(),
            handed_back: Vec::new(),
            failed_over: false,
            answered: None,
            has_message: false,
            went: Went::Badly,
        };
        self.requests.insert(sent.tag.clone(), request);
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) {
        if let Some(request) = self.requests.get_mut(tag) {
            request.went = went(&self.settings, at, request, answer);
            request.answered = Some(at);
        }
    }

    fn arrived(&mut self, at: Duration, arrived: &Arrived, tag: &str) {
        let Some(request) = self.requests.get_mut(tag) else {
            return;
        };
        let id = arrived.header(&self.request_id).unwrap_or_default();
        request.failed_over |= self.failed_over.contains(id);
        request.arrived.push((arrived.host.clone(), at));
    }

    /// How many failures in a row it takes at least, by this setting. 0 in a setting means never.
    fn least(&self, at: Duration, router: &str, setting: fn(&RouterSettings) -> u32) -> usize {
        let started = self.started.get(router).copied().unwrap_or_default();
        let of = |it: &RouterSettings| match setting(it) {
            0 => u32::MAX,
            least => least,
        };
        self.settings.least(router, [started, at], of) as usize
    }

    fn circuit(&mut self, at: Duration, of: (String, String), change: CircuitChange) {
        match change {
            CircuitChange::Opened if self.open.insert(of.clone()) => self.opened(at, of),
            CircuitChange::Closed => {
                self.open.remove(&of);
            }
            CircuitChange::Opened | CircuitChange::Probing | CircuitChange::Freed => {}
        }
    }

    fn opened(&mut self, at: Duration, (router, host): (String, String)) {
        let least = self.least(at, &router, |it| it.breaker.failures);
        self.changes.push(Change {
            at,
            router,
            host,
            what: "opens the breaker of",
            least,
        });
    }

    fn ejected(&mut self, at: Duration, of: (String, String)) {
        if !self.ejected.insert(of.clone()) {
            return;
        }
        let (router, host) = of;
        let connections = self.least(at, &router, |it| it.outlier.connection_failures);
        let answers = self.least(at, &router, |it| it.outlier.answer_failures);
        self.changes.push(Change {
            at,
            router,
            host,
            what: "ejects",
            least: connections.min(answers),
        });
    }

    /// Judges the changes that clients must know all about.
    fn judge(&mut self, before: Duration) -> Result<(), String> {
        let (due, later): (Vec<_>, _) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|change| change.at <= before);
        self.changes = later;
        for change in due {
            let (served, failed) = self.row(&change);
            let Change {
                at,
                router,
                host,
                what,
                least,
            } = change;
            if failed < least {
                return Err(format!(
                    "{router} {what} {host} at {at:?}, but since {served:?}, when one was served, at most \
                     {failed} requests can have failed there, and it takes {least}"
                ));
            }
        }
        Ok(())
    }

    /// When the last request that was served well arrived, and how many may have failed since.
    fn row(&self, change: &Change) -> (Duration, usize) {
        let Change {
            at, router, host, ..
        } = change;
        let (at, time) = (*at, [Duration::ZERO, *at]);
        let of_router = || self.requests.values().filter(|it| it.router == *router);
        let served = of_router().filter(|it| {
            it.went == Went::Well && it.answered.is_some_and(|answered| answered <= at)
        });
        let arrived = served.filter_map(|it| match &it.arrived[..] {
            [(only, arrived)] if only == host => Some(*arrived),
            _ => None,
        });
        let started = self.started.get(router).copied().unwrap_or_default();
        let since = arrived.max().unwrap_or_default().max(started);
        let mut cells = self.endpoints.hosts.values();
        let same_cell = cells.find(|it| it.contains(host));
        let elsewhere = |it: &Request| {
            let hosts = it.arrived.iter();
            let here = |host: &String| same_cell.is_none_or(|cell| cell.contains(host));
            let other = hosts.clone().next().is_some() && !hosts.clone().any(|(it, _)| here(it));
            other && !it.failed_over
        };
        let only_here = |it: &Request| matches!(&it.arrived[..], [(only, _)] if only == host);
        let may_have = of_router().filter(|it| {
            it.sent < at
                && it.answered.is_none_or(|answered| answered > since)
                && !elsewhere(it)
                && !(it.went != Went::Badly && only_here(it))
        });
        let attempts = match self
            .settings
            .during(router, time)
            .any(|it| it.retries.processed)
        {
            true => SENT_MAX,
            false => 1,
        };
        let failures = may_have.map(|it| it.handed_back(host, since).max(attempts));
        (since, failures.sum())
    }
}

fn went(settings: &SettingsInForce, at: Duration, request: &Request, answer: &Answer) -> Went {
    let any = |lists: &dyn Fn(&RouterSettings) -> bool| {
        let mut settings = settings.during(&request.router, [request.sent, at]);
        settings.any(lists)
    };
    let listed = |status: &u16| any(&|it| it.outlier.statuses.contains(status));
    let listed_grpc = |status: &u8| any(&|it| it.outlier.grpc_statuses.contains(status));
    match answer {
        Answer::CellGrpc(_) if request.has_message => Went::Well,
        Answer::CellGrpc(status) if listed_grpc(status) => Went::Badly,
        Answer::CellGrpc(8) => Went::Neither,
        Answer::CellGrpc(_) => Went::Well,
        Answer::Ok => Went::Well,
        Answer::Cell(status) if listed(status) => Went::Badly,
        Answer::Cell(429) => Went::Neither,
        Answer::Cell(_) => Went::Well,
        Answer::Router(_) | Answer::Refused | Answer::Closed(_) | Answer::None => Went::Badly,
    }
}

impl Invariant for InARow {
    fn name(&self) -> &'static str {
        "in_a_row"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Started(life) => self.starts(at, &life.router),
            Fact::Sent(sent) if sent.via.is_none() => self.sent(at, sent),
            Fact::FailedOver(failed_over) => {
                self.failed_over.insert(failed_over.request_id.clone());
            }
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    self.arrived(at, arrived, tag);
                }
            }
            Fact::Unserved {
                host,
                tag: Some(tag),
                how,
                ..
            } if how.is_unprocessed() => {
                if let Some(request) = self.requests.get_mut(tag) {
                    request.handed_back.push((host.clone(), at));
                }
            }
            Fact::CallEnded {
                tag: Some(tag),
                has_message,
                ..
            } => {
                if let Some(request) = self.requests.get_mut(tag) {
                    request.has_message = *has_message;
                }
            }
            Fact::Answered { tag, answer } => self.answered(at, tag, answer),
            Fact::Circuit {
                life, host, change, ..
            } => self.circuit(at, (life.router.clone(), host.clone()), *change),
            Fact::Ejected {
                life,
                host,
                ejected: true,
            } => self.ejected(at, (life.router.clone(), host.clone())),
            _ => {}
        }
        self.judge(at.saturating_sub(self.delivery_max))
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        self.judge(at)
    }
}

#[cfg(test)]
mod tests;
