//! At which endpoints a request may have failed, according to the cells and its client.

use std::time::Duration;

use super::super::{Endpoints, RouterSettings, SettingsInForce};
use crate::fact::{Answer, Sent};

/// How often a request is sent to cells at most, if a setting lets a router send it again that a cell has
/// processed.
const SENT_MAX: usize = 4;

/// The kinds of failures, which routers count apart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// There was no connection, or it broke, or the endpoint took too long.
    Connection,
    /// The endpoint said that it fails.
    Answer,
}

/// A request to a router.
#[derive(Debug)]
pub(super) struct Request {
    pub(super) sent: Duration,
    pub(super) router: String,
    /// Where and when it arrived, in order.
    pub(super) arrived: Vec<Arrival>,
    /// Where it was handed back unprocessed, and when. It may come to the same endpoint again.
    pub(super) handed_back: Vec<(String, Duration)>,
    /// It went to another cell.
    pub(super) failed_over: bool,
    answered: Option<Duration>,
    /// It is a call whose gRPC status comes after a message.
    pub(super) has_message: bool,
    went: Went,
}

/// A request has arrived at an endpoint.
#[derive(Debug)]
pub(super) struct Arrival {
    pub(super) host: String,
    pub(super) at: Duration,
    /// The endpoint has reset its stream.
    pub(super) reset: bool,
    /// The endpoint has closed its connection before it answered.
    pub(super) closed: bool,
}

/// What the client's answer says about the endpoint where its request arrived last.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Went {
    Well,
    /// The endpoint works as far as anybody knows.
    Neither,
    /// It answered with a status that counts as a failure.
    Listed,
    /// The router says that the exchange broke off.
    BrokeOff,
    /// The router says that it took too long.
    TookTooLong,
    /// It may have failed.
    Badly,
}

/// An endpoint of a router, and a time.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place<'a> {
    pub(super) router: &'a str,
    pub(super) host: &'a str,
    /// Later facts don't matter.
    pub(super) until: Duration,
    pub(super) endpoints: &'a Endpoints,
    pub(super) settings: &'a SettingsInForce,
    pub(super) delivery_max: Duration,
}

impl Request {
    pub(super) fn new(at: Duration, sent: &Sent) -> Self {
        Self {
            sent: at,
            router: sent.to.clone(),
            arrived: Vec::new(),
            handed_back: Vec::new(),
            failed_over: false,
            answered: None,
            has_message: false,
            went: Went::Badly,
        }
    }

    pub(super) fn is_answered(
        &mut self,
        at: Duration,
        answer: &Answer,
        settings: &SettingsInForce,
    ) {
        let any = |lists: &dyn Fn(&RouterSettings) -> bool| {
            let mut settings = settings.during(&self.router, [self.sent, at]);
            settings.any(lists)
        };
        let listed = |status: &u16| any(&|it| it.outlier.statuses.contains(status));
        let listed_grpc = |status: &u8| any(&|it| it.outlier.grpc_statuses.contains(status));
        self.went = match answer {
            Answer::CellGrpc(_) if self.has_message => Went::Well,
            Answer::CellGrpc(status) if listed_grpc(status) => Went::Listed,
            Answer::CellGrpc(8) => Went::Neither,
            Answer::CellGrpc(_) => Went::Well,
            Answer::Ok => Went::Well,
            Answer::Cell(status) if listed(status) => Went::Listed,
            Answer::Cell(429) => Went::Neither,
            Answer::Cell(_) => Went::Well,
            // It is the client that was too slow.
            Answer::Router(reason) if reason == "client_timeout" || reason == "client_stalled" => {
                Went::Neither
            }
            Answer::Router(reason) if reason == "cell_reset" => Went::BrokeOff,
            Answer::Router(reason) if reason == "cell_timeout_header" => Went::TookTooLong,
            Answer::Router(_) | Answer::Refused | Answer::Closed(_) | Answer::None => Went::Badly,
        };
        self.answered = Some(at);
    }

    /// When it arrived at this endpoint and was answered, if that ends a row of failures of this kind there.
    pub(super) fn ends_row(&self, kind: Kind, place: Place<'_>) -> Option<[Duration; 2]> {
        let answered = self.answered.filter(|at| *at <= place.until)?;
        let arrival = self.answered_at(place).filter(|it| it.host == place.host)?;
        let ends = match self.went {
            Went::Well => true,
            Went::Listed => kind == Kind::Connection,
            Went::BrokeOff => kind == Kind::Connection && arrival.reset,
            Went::TookTooLong | Went::Neither | Went::Badly => false,
        };
        ends.then_some([arrival.at, answered])
    }

    /// The arrival that the client's answer is about. With hedges it isn't known if there are several.
    fn answered_at(&self, place: Place<'_>) -> Option<&Arrival> {
        match &self.arrived[..] {
            [.., _, _] if place.may(self.sent, |it| it.retries.hedges) => None,
            arrived => arrived.last(),
        }
    }

    /// How many failures of this kind its router may have counted at this endpoint since then.
    pub(super) fn failures(&self, kind: Kind, since: Duration, place: Place<'_>) -> usize {
        if self.sent >= place.until || self.answered.is_some_and(|it| it <= since) {
            return 0;
        }
        let ended = self.answered.map_or(place.until, |it| it.min(place.until));
        let here = (self.arrived.iter()).filter(|it| it.host == place.host && it.at <= place.until);
        let failed = match (place.endpoints).may_be_ejected(place.host, self.sent, ended) {
            true => here.filter(|it| self.may_fail(kind, it, place)).count(),
            false => 0,
        };
        failed
            + match kind {
                Kind::Connection => self.lost(ended, place),
                Kind::Answer => {
                    let handed_back = self.handed_back.iter();
                    let time = since..=place.until;
                    let here =
                        |(it, at): &&(String, Duration)| it == place.host && time.contains(at);
                    handed_back.filter(here).count()
                }
            }
    }

    /// Whether the request may have failed where it arrived.
    fn may_fail(&self, kind: Kind, arrival: &Arrival, place: Place<'_>) -> bool {
        let last = (self.answered_at(place)).is_some_and(|it| std::ptr::eq(it, arrival));
        match self.went {
            Went::Well | Went::Neither if last => false,
            Went::Listed if last => kind == Kind::Answer,
            Went::BrokeOff if last && arrival.reset => kind == Kind::Answer,
            Went::BrokeOff if last && arrival.closed => kind == Kind::Connection,
            // No other attempt can have taken too long.
            Went::TookTooLong if last && !place.may(self.sent, |it| it.retries.processed) => {
                kind == Kind::Connection
            }
            Went::Well
            | Went::Neither
            | Went::Listed
            | Went::BrokeOff
            | Went::TookTooLong
            | Went::Badly => true,
        }
    }

    /// How often it may have failed at this endpoint without arriving there: because there was no connection,
    /// or it broke on the way.
    fn lost(&self, ended: Duration, place: Place<'_>) -> usize {
        let mut cells = place.endpoints.hosts.values();
        let same_cell = cells.find(|it| it.contains(place.host));
        let of_cell = |it: &Arrival| same_cell.is_none_or(|cell| cell.contains(&it.host));
        let elsewhere = !self.arrived.is_empty() && !self.arrived.iter().any(of_cell);
        let time = [self.sent, ended];
        // A connection that was made in a fault may stay useless when the fault is over.
        let useless = (place.settings).most(place.router, time, |it| {
            it.timeouts.connects + it.timeouts.header
        });
        let from = self.sent.saturating_sub(useless + place.delivery_max);
        if elsewhere && !self.failed_over || !place.endpoints.may_lose(place.host, from, ended) {
            return 0;
        }
        match place.may(self.sent, |it| it.retries.processed || it.retries.hedges) {
            true => SENT_MAX,
            false => 1,
        }
    }
}

impl Place<'_> {
    /// Whether the router may have this setting.
    fn may(self, since: Duration, setting: fn(&RouterSettings) -> bool) -> bool {
        let mut settings = self.settings.during(self.router, [since, self.until]);
        settings.any(setting)
    }
}
