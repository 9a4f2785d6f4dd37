//! Only failures in a row open a breaker or eject an endpoint.

mod request;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::time::Duration;

use cellway_testbed::Unserved;

use self::request::{Arrival, Kind, Place, Request};
use super::{Bounds, Endpoints, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Arrived, CircuitChange, Fact};

/// A breaker opens, and an endpoint is ejected, only if as many requests may have failed *there* as the
/// settings say, since the last one that was served well. Failures of connections and failing answers count
/// apart, and a breaker counts only the first. An endpoint that is on probation is ejected for one failure.
/// Probation ends with the first request that is served well there, and after `ejection_secs`.
///
/// A request may have failed at an endpoint if it arrived there while a fault may make it fail, and its
/// client got no other answer from there, or if it is one of the cell's and a fault may have kept it from
/// arriving. An answer with a status that the settings don't list is as good as one that serves the request,
/// except 429 and gRPC's 8, which say neither. A gRPC status after a message is as good, too. A request that
/// an endpoint hands back unprocessed fails there each time that it comes. What clients were answered
/// decides, so a change is judged once they must know.
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
    /// What has happened to the endpoints of each router.
    records: BTreeMap<(String, String), Record>,
    started: BTreeMap<String, Vec<Duration>>,
    /// The changes that aren't judged yet.
    changes: Vec<Change>,
}

/// What has happened to an endpoint of a router.
#[derive(Clone, Default, Debug)]
struct Record {
    /// When its breaker opened and closed. An answer that comes meanwhile ends no row of the outlier
    /// detection.
    open: Vec<(Duration, Option<Duration>)>,
    /// When it was ejected last.
    ejected: Option<Duration>,
    /// When it returned last.
    returned: Option<Duration>,
}

impl Record {
    /// Whether its breaker isn't closed.
    fn is_open(&self) -> bool {
        self.open.last().is_some_and(|(_, closed)| closed.is_none())
    }

    /// Whether its breaker was open at some moment of this time.
    fn was_open(&self, [from, until]: [Duration; 2]) -> bool {
        let mut open = self.open.iter();
        open.any(|(at, closed)| *at <= until && closed.is_none_or(|closed| from <= closed))
    }
}

#[derive(Debug)]
struct Change {
    at: Duration,
    router: String,
    host: String,
    what: What,
    /// What had happened before.
    record: Record,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum What {
    BreakerOpened,
    Ejected,
}

/// Failures of one kind in a row.
#[derive(Debug)]
struct Row {
    kind: Kind,
    /// When the last request that ended a row arrived.
    since: Duration,
    /// How many may have failed since.
    failed: usize,
    /// How many it takes.
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
            records: BTreeMap::new(),
            started: BTreeMap::new(),
            changes: Vec::new(),
        }
    }

    fn starts(&mut self, at: Duration, router: &str) {
        self.started.entry(router.to_owned()).or_default().push(at);
        self.records.retain(|(of, _), _| of != router);
    }

    /// When a router that runs at this time started.
    fn started(&self, router: &str, at: Duration) -> Option<Duration> {
        let starts = self.started.get(router)?.iter();
        starts.copied().filter(|start| *start <= at).max()
    }

    fn received(&mut self, at: Duration, arrived: &Arrived, tag: &str) {
        let Some(request) = self.requests.get_mut(tag) else {
            return;
        };
        let id = arrived.header(&self.request_id).unwrap_or_default();
        request.failed_over |= self.failed_over.contains(id);
        request.arrived.push(Arrival {
            host: arrived.host.clone(),
            at,
            reset: false,
            closed: false,
        });
    }

    fn unserved(&mut self, at: Duration, host: &str, tag: &str, how: Unserved) {
        let Some(request) = self.requests.get_mut(tag) else {
            return;
        };
        if how.is_unprocessed() {
            request.handed_back.push((host.to_owned(), at));
        } else if let Some(last) = request.arrived.iter_mut().rfind(|it| it.host == host) {
            last.reset = how == Unserved::StreamReset;
            last.closed = how == Unserved::ConnectionClosed;
        }
    }

    /// How many failures in a row it takes at least, by this setting. 0 in a setting means never.
    fn least(&self, at: Duration, router: &str, setting: fn(&RouterSettings) -> u32) -> usize {
        let started = self.started(router, at).unwrap_or_default();
        let of = |it: &RouterSettings| match setting(it) {
            0 => u32::MAX,
            least => least,
        };
        self.settings.least(router, [started, at], of) as usize
    }

    fn circuit(&mut self, at: Duration, of: (String, String), change: CircuitChange) {
        let record = self.records.entry(of.clone()).or_default();
        match change {
            CircuitChange::Opened if !record.is_open() => {
                let before = record.clone();
                record.open.push((at, None));
                self.changes(at, of, What::BreakerOpened, before);
            }
            CircuitChange::Closed => {
                if let Some((_, closed)) = record.open.last_mut() {
                    *closed = Some(at);
                }
            }
            CircuitChange::Opened | CircuitChange::Probing | CircuitChange::Freed => {}
        }
    }

    fn ejected(&mut self, at: Duration, of: (String, String), ejected: bool) {
        let record = self.records.entry(of.clone()).or_default();
        if !ejected {
            record.returned = Some(at);
            return;
        }
        let before = record.clone();
        record.ejected = Some(at);
        self.changes(at, of, What::Ejected, before);
    }

    fn changes(&mut self, at: Duration, of: (String, String), what: What, record: Record) {
        let (router, host) = of;
        self.changes.push(Change {
            at,
            router,
            host,
            what,
            record,
        });
    }

    /// How many failures of each kind such a change takes.
    fn takes(&self, change: &Change) -> Vec<(Kind, usize)> {
        let Change { at, router, .. } = change;
        let least = |setting| self.least(*at, router, setting);
        match change.what {
            What::BreakerOpened => vec![(Kind::Connection, least(|it| it.breaker.failures))],
            What::Ejected if self.on_probation(change) => {
                vec![(Kind::Connection, 1), (Kind::Answer, 1)]
            }
            What::Ejected => vec![
                (Kind::Connection, least(|it| it.outlier.connection_failures)),
                (Kind::Answer, least(|it| it.outlier.answer_failures)),
            ],
        }
    }

    /// Whether the endpoint may have been on probation until this ejection. A router looks only at the first
    /// success after a failure, so it may overlook those that follow one that came while it was ejected.
    fn on_probation(&self, change: &Change) -> bool {
        let Change { at, router, .. } = change;
        let Record {
            ejected: Some(ejected),
            returned: Some(returned),
            ..
        } = change.record
        else {
            return false;
        };
        let lasts =
            (self.settings).most(router, [Duration::ZERO, *at], |it| it.outlier.ejection[0]);
        let of_router = self.requests.values().filter(|it| it.router == *router);
        let place = self.place(change);
        let served = of_router.filter_map(|it| it.ends_row(Kind::Answer, place));
        let served: Vec<_> = served
            .filter(|[_, answered]| *answered >= ejected)
            .filter(|time| !change.record.was_open(*time))
            .collect();
        let seen = !served.is_empty() && served.iter().all(|[arrived, _]| *arrived > returned);
        *at <= returned + lasts && !seen
    }

    /// Judges the changes that clients must know all about.
    fn judge(&mut self, before: Duration) -> Result<(), String> {
        let (due, later): (Vec<_>, _) = std::mem::take(&mut self.changes)
            .into_iter()
            .partition(|change| change.at <= before);
        self.changes = later;
        due.iter().try_for_each(|change| self.judge_one(change))
    }

    fn judge_one(&self, change: &Change) -> Result<(), String> {
        let rows = self.takes(change).into_iter();
        let rows: Vec<_> = rows
            .map(|(kind, least)| self.row(kind, least, change))
            .collect();
        if rows.iter().any(|row| row.failed >= row.least) {
            return Ok(());
        }
        let Change {
            at, router, host, ..
        } = change;
        let what = match change.what {
            What::BreakerOpened => "opens the breaker of",
            What::Ejected => "ejects",
        };
        let mut why = format!("{router} {what} {host} at {at:?}, but");
        for Row {
            kind,
            since,
            failed,
            least,
        } in rows
        {
            let what = match kind {
                Kind::Connection => "failures of connections",
                Kind::Answer => "failing answers",
            };
            // Writing to a string can't fail.
            let _ = write!(
                why,
                " since {since:?} there can have been {failed} {what} at most, and it takes {least};"
            );
        }
        Err(why.trim_end_matches(';').to_owned())
    }

    fn place<'a>(&'a self, change: &'a Change) -> Place<'a> {
        Place {
            router: &change.router,
            host: &change.host,
            until: change.at,
            endpoints: &self.endpoints,
            settings: &self.settings,
            delivery_max: self.delivery_max,
        }
    }

    /// The failures of this kind at the endpoint when it changed.
    fn row(&self, kind: Kind, least: usize, change: &Change) -> Row {
        let place = self.place(change);
        let of_router = || {
            self.requests
                .values()
                .filter(|it| it.router == change.router)
        };
        // While a breaker is open, an answer to a request from before says nothing.
        let counts = |time: &[Duration; 2]| {
            change.what == What::BreakerOpened || !change.record.was_open(*time)
        };
        let ends = of_router().filter_map(|it| it.ends_row(kind, place));
        let ends = ends.filter(counts).map(|[arrived, _]| arrived);
        let started = self.started(&change.router, change.at);
        // An ejection begins a new row of the outlier detection, but not of a breaker.
        let ejected = match change.what {
            What::Ejected => change.record.ejected,
            What::BreakerOpened => None,
        };
        let since = ends.chain(started).chain(ejected).max();
        let since = since.unwrap_or_default();
        let failures = of_router().map(|it| it.failures(kind, since, place));
        Row {
            kind,
            since,
            failed: failures.sum(),
            least,
        }
    }
}

impl Invariant for InARow {
    fn name(&self) -> &'static str {
        "in_a_row"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Started(life) => self.starts(at, &life.router),
            Fact::Sent(sent) if sent.via.is_none() => {
                self.requests
                    .insert(sent.tag.clone(), Request::new(at, sent));
            }
            Fact::FailedOver(failed_over) => {
                self.failed_over.insert(failed_over.request_id.clone());
            }
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    self.received(at, arrived, tag);
                }
            }
            Fact::Unserved {
                host,
                tag: Some(tag),
                how,
                ..
            } => self.unserved(at, host, tag, *how),
            Fact::CallEnded {
                tag: Some(tag),
                has_message,
                ..
            } => {
                if let Some(request) = self.requests.get_mut(tag) {
                    request.has_message = *has_message;
                }
            }
            Fact::Answered { tag, answer } => {
                if let Some(request) = self.requests.get_mut(tag) {
                    request.is_answered(at, answer, &self.settings);
                }
            }
            Fact::Circuit {
                life, host, change, ..
            } => self.circuit(at, (life.router.clone(), host.clone()), *change),
            Fact::Ejected {
                life,
                host,
                ejected,
            } => self.ejected(at, (life.router.clone(), host.clone()), *ejected),
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
