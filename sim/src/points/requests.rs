//! Points about single requests, on their way from the client to cells and back.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;
use cellway_testbed::CheckOutcome;

use super::{Point, Reached};
use crate::fact::{Answer, Arrived, Fact, FailedOver, Responded, Sent};

/// What is known of each request.
#[derive(Debug)]
pub(super) struct Requests {
    request_id: String,
    by_tag: BTreeMap<String, Request>,
    /// The tag of each request, by its router's id.
    tags: BTreeMap<String, String>,
    /// How often each went to another cell, by its router's id.
    failed_over: BTreeMap<String, u32>,
    /// The keys of each issuer with which tokens were accepted.
    keys: BTreeMap<String, BTreeSet<String>>,
    /// The status that a router sent, by its id of the request.
    statuses: BTreeMap<String, Option<u16>>,
}

#[derive(Debug)]
struct Request {
    sent: Arc<Sent>,
    /// The endpoints where it arrived, in order.
    hosts: Vec<String>,
    /// Those that still work on it.
    working: BTreeSet<String>,
    id: Option<String>,
    body_ended: bool,
    answered: bool,
}

impl Requests {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            request_id: format!("{prefix}request-id"),
            by_tag: BTreeMap::new(),
            tags: BTreeMap::new(),
            failed_over: BTreeMap::new(),
            keys: BTreeMap::new(),
            statuses: BTreeMap::new(),
        }
    }

    pub(super) fn observe(&mut self, _: Duration, fact: &Fact, reached: &mut Reached) {
        match fact {
            Fact::Sent(sent) => self.sent(sent),
            Fact::Arrived(arrived) => self.arrived(arrived, reached),
            Fact::Left { host, tag } | Fact::Unserved { host, tag, .. } => {
                if let Some(request) = self.of(tag.as_deref()) {
                    request.working.remove(host);
                }
            }
            Fact::BodyEnded(ended) => {
                reached.reach_if(!ended.complete, Point::UploadCut);
                if let Some(request) = self.of(ended.tag.as_deref()) {
                    request.body_ended = true;
                }
            }
            Fact::FailedOver(failed_over) => self.failed_over(failed_over, reached),
            Fact::Responded(responded) => self.responded(responded, reached),
            Fact::Answered { tag, answer } => self.answered(tag, answer, reached),
            Fact::CallAnswered { status, .. } => match status {
                Some(4) => reached.reach(Point::CallDeadline),
                Some(8) => reached.reach(Point::CallExhausted),
                Some(14) => reached.reach(Point::CallUnavailable),
                Some(_) | None => {}
            },
            Fact::Checked { outcome, .. } => match outcome {
                CheckOutcome::Allowed { .. } => reached.reach(Point::EnvoyAllowed),
                _ => reached.reach(Point::EnvoyDenied),
            },
            _ => {}
        }
    }

    fn of(&mut self, tag: Option<&str>) -> Option<&mut Request> {
        self.by_tag.get_mut(tag?)
    }

    fn sent(&mut self, sent: &Arc<Sent>) {
        let request = Request {
            sent: sent.clone(),
            hosts: Vec::new(),
            working: BTreeSet::new(),
            id: None,
            body_ended: sent.body == Some(0),
            answered: false,
        };
        self.by_tag.insert(sent.tag.clone(), request);
    }

    fn arrived(&mut self, arrived: &Arrived, reached: &mut Reached) {
        let id = arrived.header(&self.request_id).map(str::to_owned);
        let Some(request) = arrived
            .tag
            .as_ref()
            .and_then(|tag| self.by_tag.get_mut(tag))
        else {
            return;
        };
        let host = &arrived.host;
        let again = !request.hosts.is_empty();
        let there = request.hosts.contains(host);
        reached.reach_if(again && !there, Point::RetriedElsewhere);
        reached.reach_if(there, Point::RetriedThere);
        reached.reach_if(request.hosts.len() == 2, Point::TriedThreeTimes);
        let has_body = request.sent.body.is_some_and(|bytes| bytes > 0);
        reached.reach_if(again && has_body, Point::UploadRetried);
        reached.reach_if(!request.working.is_empty(), Point::TriedAtOnce);
        reached.reach_if(request.answered, Point::ArrivedLate);
        reached.reach_if(arrived.streams_known.is_some(), Point::FewStreams);
        let is_call = request.sent.cell_bound.is_some();
        reached.reach_if(is_call, Point::CallBetweenCells);
        if let Some(token) = &request.sent.token {
            let keys = self.keys.entry(token.issuer.clone()).or_default();
            let is_new = keys.insert(token.key.clone());
            reached.reach_if(is_new && keys.len() > 1, Point::SecondKeyAccepted);
        }
        request.hosts.push(host.clone());
        request.working.insert(host.clone());
        if let Some(id) = id {
            self.tags.insert(id.clone(), request.sent.tag.clone());
            request.id = Some(id);
        }
    }

    fn failed_over(&mut self, failed_over: &FailedOver, reached: &mut Reached) {
        let times = self
            .failed_over
            .entry(failed_over.request_id.clone())
            .or_default();
        *times += 1;
        reached.reach_if(*times == 2, Point::FailedOverTwice);
        if failed_over.from.is_none() {
            reached.reach(Point::FailedOverInactive);
            return;
        }
        match failed_over.reason {
            Reason::CircuitOpen => reached.reach(Point::FailedOverCircuit),
            Reason::NoEndpointHealthy => reached.reach(Point::FailedOverUnhealthy),
            _ => reached.reach(Point::FailedOverUnreachable),
        }
    }

    fn responded(&mut self, responded: &Responded, reached: &mut Reached) {
        reached.reach_if(responded.status.is_none(), Point::ClientGone);
        self.statuses
            .insert(responded.request_id.clone(), responded.status);
    }

    fn answered(&mut self, tag: &str, answer: &Answer, reached: &mut Reached) {
        match answer {
            Answer::Refused => reached.reach(Point::RefusedConnection),
            Answer::Closed(1001) => reached.reach(Point::TunnelClosed1001),
            Answer::Closed(1008) => reached.reach(Point::TunnelClosed1008),
            Answer::Ok
            | Answer::Router(_)
            | Answer::Cell(_)
            | Answer::CellGrpc(_)
            | Answer::Closed(_)
            | Answer::None => {}
        }
        let Some(request) = self.by_tag.get_mut(tag) else {
            return;
        };
        request.answered = true;
        let id = request.id.as_deref().unwrap_or_default();
        match answer {
            Answer::Ok => {
                reached.reach_if(request.hosts.len() > 1, Point::RetryServed);
                reached.reach_if(self.failed_over.contains_key(id), Point::FailoverServed);
                reached.reach_if(!request.body_ended, Point::AnsweredBeforeBody);
            }
            Answer::None => {
                let status = self.statuses.get(id).copied().flatten();
                reached.reach_if(status == Some(200), Point::AnswerCut);
            }
            Answer::Router(_)
            | Answer::Cell(_)
            | Answer::CellGrpc(_)
            | Answer::Closed(_)
            | Answer::Refused => {}
        }
    }
}
