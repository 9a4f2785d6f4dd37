//! Failures in a row have the effect that the settings say.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_router::BREAKER_HEARD;
use cellway_testbed::Unserved;

use super::holders::holder;
use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Answer, Arrived, Fact};

/// How soon a router ejects an endpoint after its last failure.
const EJECTED_WITHIN: Duration = Duration::from_secs(1);

/// A router notes in whole seconds when it was answered.
const ROUNDING: Duration = Duration::from_secs(1);

/// Once as many requests to an endpoint have failed in a row as open its breaker, no further request
/// arrives there, unless the breaker opened meanwhile. Once as many have failed as eject an endpoint,
/// the router ejects it, if the cell may lose another one.
///
/// A request has failed if its client was answered so: by the router, because the connection broke or
/// the cell took too long, or by the cell, 503 or a gRPC status that the settings list. Of the requests on a
/// connection that breaks only the first counts, but each that takes too long does. A cell that resets a
/// stream has answered, as with a 503.
///
/// A breaker may stay closed while all these failures may be of one tenant, and the endpoint may lately have
/// answered another one. Requests without credentials count for their client.
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
    /// When each holder may have been answered last, by router and endpoint.
    heard: BTreeMap<(String, String), BTreeMap<String, Duration>>,
    ejected: BTreeSet<(String, String)>,
}

#[derive(Debug)]
struct Open {
    sent: Duration,
    to: String,
    host: Option<(String, u64)>,
    /// When it arrived there.
    arrived: Duration,
    holder: String,
    /// What the cell reported there, if it gave no answer.
    unserved: Option<Unserved>,
    /// The cell reported there that it ends a gRPC call with this status and no message.
    failed_call: Option<u8>,
}

/// The failures in a row of an endpoint.
#[derive(Debug, Default)]
struct Row {
    /// When a request was served last.
    served: Option<Duration>,
    /// Requests whose connection broke, or that took too long.
    connection: Vec<Failure>,
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

    fn fails(&mut self, at: Duration, broken: Option<u64>, holder: String) {
        let mut known = self.connection.iter_mut();
        let known = known.find(|it| broken.is_some() && it.broken == broken);
        match known {
            Some(failure) => {
                failure.holders.insert(holder);
            }
            None => self.connection.push(Failure {
                at,
                broken,
                holders: [holder].into(),
            }),
        }
    }
}

/// A connection broke, or a request took too long.
#[derive(Debug)]
struct Failure {
    at: Duration,
    /// The connection, if it broke.
    broken: Option<u64>,
    /// Whose failure the router may have noted. If several have requests on a connection that breaks, it
    /// notes one of them.
    holders: BTreeSet<String>,
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
            heard: BTreeMap::new(),
            ejected: BTreeSet::new(),
        }
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) {
        let Some(Open {
            to,
            host: Some((host, connection)),
            arrived,
            unserved,
            failed_call,
            holder,
            sent,
        }) = self.open.remove(tag)
        else {
            return;
        };
        if may_be_answered(answer) {
            let heard = self.heard.entry((to.clone(), host.clone())).or_default();
            heard.insert(holder.clone(), at);
        }
        let lists = |status| {
            let mut settings = self.settings.during(&to, [sent, at]);
            settings.all(|it| it.outlier.grpc_statuses.contains(&status))
        };
        let said = match answer {
            Answer::CellGrpc(_) if failed_call.is_some_and(lists) => Said::AnswerFailed,
            _ => said(answer, unserved),
        };
        let row = self.rows.entry((to, host)).or_default();
        // Only a request that arrived after that success was known has certainly failed after it.
        let unordered = |served: Duration| arrived < served;
        match said {
            Said::Served => *row = Row::served(at),
            _ if row.served.is_some_and(unordered) => {}
            Said::ConnectionBroke => row.fails(at, Some(connection), holder),
            Said::TookTooLong => row.fails(at, None, holder),
            Said::AnswerFailed => {
                row.connection.clear();
                row.answers.push(at);
            }
        }
    }

    /// Notes that a part of the answer has come.
    fn streams(&mut self, at: Duration, tag: &str) {
        if let Some(open) = self.open.get(tag)
            && let Some((host, _)) = &open.host
        {
            let heard = self.heard.entry((open.to.clone(), host.clone()));
            heard.or_default().insert(open.holder.clone(), at);
        }
    }

    fn received(&mut self, at: Duration, arrived: &Arrived, tag: &str) -> Result<(), String> {
        let Some(open) = self.open.get_mut(tag) else {
            return Ok(());
        };
        let host = &arrived.host;
        (open.unserved, open.failed_call) = (None, None);
        let before = open.host.replace((host.clone(), arrived.connection));
        open.arrived = at;
        let (router, sent) = (open.to.clone(), open.sent);
        let holder = open.holder.clone();
        let mut may_have_answered = |host: &str| {
            let key = (router.clone(), host.to_owned());
            self.heard
                .entry(key)
                .or_default()
                .insert(holder.clone(), at);
        };
        if let Some((before, _)) = before {
            may_have_answered(&before);
            self.rows.insert((router.clone(), before), Row::served(at));
            if (self.settings).most(&router, [sent, at], |it| it.retries.hedges) {
                // Both may answer, and the client doesn't learn which one has.
                open.host = None;
                may_have_answered(host);
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
        let opens = most(|it| it.breaker.failures);
        if opens > 0 && self.must_be_open(row, &key, opens, [sent, at]) {
            return Err(format!(
                "{tag} arrived at {host} after {opens} requests in a row had failed there, but the \
                 breaker of {router} has not opened"
            ));
        }
        let late = |row: &[Duration], least: usize| {
            let last = least.checked_sub(1).and_then(|last| row.get(last));
            last.is_some_and(|last| *last + EJECTED_WITHIN < sent)
        };
        let connection: Vec<_> = row.connection.iter().map(|it| it.at).collect();
        let overdue = late(&connection, most(|it| it.outlier.connection_failures))
            || late(&row.answers, most(|it| it.outlier.answer_failures));
        if overdue && !self.ejected.contains(&key) && self.may_eject(&router, host, at) {
            return Err(format!(
                "{tag} arrived at {host}, which {router} has not ejected although enough requests in a \
                 row had failed there"
            ));
        }
        Ok(())
    }

    /// Whether the breaker must have opened before a request was sent that has arrived now.
    fn must_be_open(
        &self,
        row: &Row,
        key: &(String, String),
        opens: usize,
        [sent, now]: [Duration; 2],
    ) -> bool {
        let failures = row.connection.iter().enumerate();
        let mut enough = failures.skip(opens - 1).take_while(|(_, it)| it.at < sent);
        enough.any(|(last, failure)| {
            let alone = alone(&row.connection[..=last]);
            !self.answers_others(key, &alone, failure.at, now)
        })
    }

    /// Whether the endpoint may have answered another than one of these holders, shortly before this failure
    /// was known.
    fn answers_others(
        &self,
        key: &(String, String),
        holders: &BTreeSet<String>,
        failed: Duration,
        now: Duration,
    ) -> bool {
        let lately = BREAKER_HEARD + ROUNDING + self.delivery_max;
        let heard = self.heard.get(key).into_iter().flatten();
        let heard: Vec<_> = heard.filter(|(_, at)| **at + lately >= failed).collect();
        // The news of an answer may still be on its way to its client.
        let unknown = now <= failed + self.delivery_max;
        let other = |holder: &String| unknown || heard.iter().any(|(it, _)| *it != holder);
        holders.iter().any(other)
    }

    /// Whether the cell may lose another endpoint.
    fn may_eject(&self, router: &str, host: &str, at: Duration) -> bool {
        let mut cells = self.endpoints.hosts.values();
        let Some(hosts) = cells.find(|it| it.contains(host)) else {
            return false;
        };
        let ejected = self.ejected.iter();
        let ejected = ejected.filter(|(of, it)| of == router && hosts.contains(it));
        let percent = (self.settings).least(router, [Duration::ZERO, at], |it| {
            it.outlier.ejected_percent_max
        });
        ejected.count() < hosts.len() * percent / 100
    }
}

/// The holders that all of these may be failures of.
fn alone(failures: &[Failure]) -> BTreeSet<String> {
    let mut holders = failures.iter().map(|it| it.holders.clone());
    let first = holders.next().unwrap_or_default();
    holders.fold(first, |all, it| &all & &it)
}

/// Whether the endpoint may have begun an answer, although the client may not have got all of it.
fn may_be_answered(answer: &Answer) -> bool {
    match answer {
        Answer::Router(reason) => reason == "cell_reset",
        Answer::Refused => false,
        Answer::Ok | Answer::Cell(_) | Answer::CellGrpc(_) | Answer::Closed(_) | Answer::None => {
            true
        }
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
        | Answer::CellGrpc(_)
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
                self.heard.retain(|(of, _), _| *of != life.router);
                self.ejected.retain(|(of, _)| *of != life.router);
            }
            Fact::Sent(sent) if sent.via.is_none() => {
                let open = Open {
                    sent: at,
                    to: sent.to.clone(),
                    host: None,
                    arrived: at,
                    holder: holder(sent),
                    unserved: None,
                    failed_call: None,
                };
                self.open.insert(sent.tag.clone(), open);
            }
            Fact::Circuit { life, host, .. } => {
                let key = (life.router.clone(), host.clone());
                if let Some(row) = self.rows.get_mut(&key) {
                    row.connection.clear();
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
                    return self.received(at, arrived, tag);
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
            Fact::CallEnded {
                tag: Some(tag),
                status,
                has_message: false,
                ..
            } => {
                if let Some(open) = self.open.get_mut(tag) {
                    open.failed_call = Some(*status);
                }
            }
            Fact::Streamed { tag } => self.streams(at, tag),
            Fact::Answered { tag, answer } => self.answered(at, tag, answer),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
