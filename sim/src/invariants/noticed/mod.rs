//! Failures in a row have the effect that the settings say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_testbed::Unserved;

use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Answer, Arrived, Fact};

/// How soon a router ejects an endpoint after its last failure.
const EJECTED_WITHIN: Duration = Duration::from_secs(1);

/// Once as many requests to an endpoint have failed in a row as open its breaker, no further request
/// arrives there, unless the breaker opened meanwhile. Once as many have failed as eject an endpoint,
/// the router ejects it, if the cell may lose another one.
///
/// A request has failed if its client was answered so: by the router, because the connection broke or
/// the cell took too long, or by the cell, 503. Of the requests on a connection that breaks only the first
/// counts, but each that takes too long does. A cell that resets a stream has answered, as with a 503.
///
/// A row ends with an answer of any other kind. It also ends with a request that is sent again elsewhere,
/// because its client doesn't learn why. If that may be a hedge, the row of the second endpoint ends too,
/// because its client doesn't learn which of the two has answered.
#[derive(Debug)]
pub struct FailuresNoticed {
    endpoints: Endpoints,
    settings: SettingsInForce,
    delivery_max: Duration,
    /// Open requests, by tag: when each was sent, to which router, and where it has arrived last, on which
    /// connection.
    open: BTreeMap<String, Open>,
    /// By router and endpoint.
    rows: BTreeMap<(String, String), Row>,
    ejected: BTreeSet<(String, String)>,
}

#[derive(Debug)]
struct Open {
    sent: Duration,
    to: String,
    host: Option<(String, u64)>,
    /// What the cell reported there, if it gave no answer.
    unserved: Option<Unserved>,
}

/// The failures in a row of an endpoint.
#[derive(Debug, Default)]
struct Row {
    /// When a request was served last.
    served: Option<Duration>,
    /// When requests failed whose connection broke, or that took too long.
    connection: Vec<Duration>,
    /// The connections that broke.
    broken: BTreeSet<u64>,
    /// When requests were answered 503, or their streams were reset.
    answers: Vec<Duration>,
}

impl Row {
    /// Without failures, after this success.
    fn served(at: Duration) -> Self {
        Self {
            served: Some(at),
            ..Self::default()
        }
    }
}

/// What an answer says about the endpoint where the request was.
enum Said {
    ConnectionBroke,
    TookTooLong,
    AnswerFailed,
    /// It worked, or may have.
    Served,
}

impl FailuresNoticed {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            open: BTreeMap::new(),
            rows: BTreeMap::new(),
            ejected: BTreeSet::new(),
        }
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) {
        let Some(Open {
            to,
            host: Some((host, connection)),
            unserved,
            ..
        }) = self.open.remove(tag)
        else {
            return;
        };
        let delivery_max = self.delivery_max;
        let row = self.rows.entry((to, host)).or_default();
        // The router may have seen this failure before that success.
        let unordered = |served: Duration| at < served + delivery_max;
        match said(answer, unserved) {
            Said::Served => *row = Row::served(at),
            _ if row.served.is_some_and(unordered) => {}
            Said::ConnectionBroke if row.broken.insert(connection) => row.connection.push(at),
            Said::ConnectionBroke => {}
            Said::TookTooLong => row.connection.push(at),
            Said::AnswerFailed => {
                row.connection.clear();
                row.broken.clear();
                row.answers.push(at);
            }
        }
    }

    fn arrived(&mut self, at: Duration, arrived: &Arrived, tag: &str) -> Result<(), String> {
        let Some(open) = self.open.get_mut(tag) else {
            return Ok(());
        };
        let host = &arrived.host;
        open.unserved = None;
        let before = open.host.replace((host.clone(), arrived.connection));
        let (router, sent) = (open.to.clone(), open.sent);
        if let Some((before, _)) = before {
            self.rows.insert((router.clone(), before), Row::served(at));
            if (self.settings).most(&router, [sent, at], |it| it.hedges) {
                // Both may answer, and the client doesn't learn which one has.
                open.host = None;
                let here = (router.clone(), host.clone());
                self.rows.insert(here, Row::served(at));
            }
        }
        let key = (router.clone(), host.clone());
        let Some(row) = self.rows.get(&key) else {
            return Ok(());
        };
        let most = |setting: fn(&super::RouterSettings) -> u32| {
            self.settings.most(&router, [Duration::ZERO, at], setting) as usize
        };
        let enough = |row: &[Duration], least: usize| {
            let last = least.checked_sub(1).and_then(|last| row.get(last));
            last.is_some_and(|last| *last < sent)
        };
        let opens = most(|it| it.breaker_failures);
        if enough(&row.connection, opens) {
            return Err(format!(
                "{tag} arrived at {host} after {opens} requests in a row had failed there, but the \
                 breaker of {router} has not opened"
            ));
        }
        let late = |row: &[Duration], least: usize| {
            let last = least.checked_sub(1).and_then(|last| row.get(last));
            last.is_some_and(|last| *last + EJECTED_WITHIN < sent)
        };
        let overdue = late(&row.connection, most(|it| it.connection_failures))
            || late(&row.answers, most(|it| it.answer_failures));
        if overdue && !self.ejected.contains(&key) && self.may_eject(&router, host, at) {
            return Err(format!(
                "{tag} arrived at {host}, which {router} has not ejected although enough requests in a \
                 row had failed there"
            ));
        }
        Ok(())
    }

    /// Whether the cell may lose another endpoint.
    fn may_eject(&self, router: &str, host: &str, at: Duration) -> bool {
        let mut cells = self.endpoints.hosts.values();
        let Some(hosts) = cells.find(|it| it.contains(host)) else {
            return false;
        };
        let ejected = self.ejected.iter();
        let ejected = ejected.filter(|(of, it)| of == router && hosts.contains(it));
        let percent =
            (self.settings).least(router, [Duration::ZERO, at], |it| it.ejected_percent_max);
        ejected.count() < hosts.len() * percent / 100
    }
}

fn said(answer: &Answer, unserved: Option<Unserved>) -> Said {
    match answer {
        Answer::Router(reason) if reason == "cell_timeout_header" => Said::TookTooLong,
        Answer::Router(reason) if reason == "cell_reset" => match unserved {
            Some(Unserved::StreamReset) => Said::AnswerFailed,
            // A host that stops reports nothing.
            Some(Unserved::ConnectionClosed) | None => Said::ConnectionBroke,
            Some(Unserved::StreamRefused | Unserved::TooManyStreams(_) | Unserved::AfterGoaway) => {
                Said::Served
            }
        },
        Answer::Cell(503) => Said::AnswerFailed,
        Answer::Ok
        | Answer::Cell(_)
        | Answer::Router(_)
        | Answer::Refused
        | Answer::Closed(_)
        | Answer::None => Said::Served,
    }
}

impl Invariant for FailuresNoticed {
    fn name(&self) -> &'static str {
        "failures_noticed"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Started(life) => {
                self.rows.retain(|(of, _), _| *of != life.router);
                self.ejected.retain(|(of, _)| *of != life.router);
            }
            Fact::Sent(sent) if sent.via.is_none() => {
                let open = Open {
                    sent: at,
                    to: sent.to.clone(),
                    host: None,
                    unserved: None,
                };
                self.open.insert(sent.tag.clone(), open);
            }
            Fact::Circuit { life, host, .. } => {
                let key = (life.router.clone(), host.clone());
                if let Some(row) = self.rows.get_mut(&key) {
                    row.connection.clear();
                    row.broken.clear();
                }
            }
            Fact::Ejected {
                life,
                host,
                ejected,
            } => {
                let key = (life.router.clone(), host.clone());
                self.rows.remove(&key);
                match ejected {
                    true => self.ejected.insert(key),
                    false => self.ejected.remove(&key),
                };
            }
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    return self.arrived(at, arrived, tag);
                }
            }
            Fact::Unserved {
                tag: Some(tag),
                how,
                ..
            } => {
                if let Some(open) = self.open.get_mut(tag) {
                    open.unserved = Some(*how);
                }
            }
            Fact::Answered { tag, answer } => self.answered(at, tag, answer),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
