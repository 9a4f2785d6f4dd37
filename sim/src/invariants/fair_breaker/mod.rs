//! No tenant takes an endpoint from the others through the circuit breaker.

mod first;

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_router::BREAKER_HEARD;

use self::first::OthersFirst;
use super::holders::holder;
use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Answer, CircuitChange, Fact};

/// A router notes in whole seconds when it was answered.
const ROUNDING: Duration = Duration::from_secs(1);

/// If all requests that may have failed at an endpoint in a row are of one tenant, and each took too long,
/// its breaker doesn't open while the endpoint has lately answered another tenant. Requests without
/// credentials count for their client. What clients were answered decides, so an opening is judged once they
/// must know.
///
/// A tenant whose request tried an open breaker and took too long lets other tenants try first, if a request
/// of theirs was refused meanwhile: until the breaker has been open for twice `open_ms`.
#[derive(Debug)]
pub struct FairBreaker {
    endpoints: Endpoints,
    settings: SettingsInForce,
    delivery_max: Duration,
    /// All requests, by tag.
    requests: BTreeMap<String, Request>,
    /// The openings that aren't judged yet.
    openings: Vec<Opening>,
    first: OthersFirst,
}

#[derive(Debug)]
struct Request {
    sent: Duration,
    router: String,
    holder: String,
    /// Where it arrived, and when.
    arrived: Vec<(String, Duration)>,
    answered: Option<(Duration, Answer)>,
}

impl Request {
    fn is_only_at(&self, host: &str) -> bool {
        matches!(&self.arrived[..], [(only, _)] if only == host)
    }

    /// Whether this endpoint gave it an answer, and nobody else got it.
    fn is_answered_by(&self, host: &str) -> bool {
        let by_cell = |(_, answer): &(_, Answer)| match answer {
            Answer::Ok | Answer::Cell(_) | Answer::CellGrpc(_) => true,
            Answer::Router(_) | Answer::Refused | Answer::Closed(_) | Answer::None => false,
        };
        self.is_only_at(host) && self.answered.as_ref().is_some_and(by_cell)
    }

    /// Whether it took too long at this endpoint, and nobody else got it.
    fn is_late_at(&self, host: &str) -> bool {
        let late = |(_, answer): &(_, Answer)| is_reason(answer, |it| it == "cell_timeout_header");
        self.is_only_at(host) && self.answered.as_ref().is_some_and(late)
    }
}

fn is_reason(answer: &Answer, is: impl Fn(&str) -> bool) -> bool {
    matches!(answer, Answer::Router(reason) if is(reason))
}

/// A breaker has opened, and no request tried it.
#[derive(Debug)]
struct Opening {
    at: Duration,
    router: String,
    host: String,
}

impl FairBreaker {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            requests: BTreeMap::new(),
            openings: Vec::new(),
            first: OthersFirst::new(bounds),
        }
    }

    /// Judges the openings that clients must know all about.
    fn judge(&mut self, before: Duration) -> Result<(), String> {
        let (due, later): (Vec<_>, _) = std::mem::take(&mut self.openings)
            .into_iter()
            .partition(|opening| opening.at <= before);
        self.openings = later;
        due.iter().try_for_each(|opening| self.is_fair(opening))
    }

    fn is_fair(&self, opening: &Opening) -> Result<(), String> {
        let Opening { at, router, host } = opening;
        let mut settings = self.settings.during(router, [Duration::ZERO, *at]);
        if settings.any(|it| it.retries.processed) {
            // A request may fail several times.
            return Ok(());
        }
        let Some(failed) = self.only_one_failed(opening) else {
            return Ok(());
        };
        let since = (*at + ROUNDING).saturating_sub(BREAKER_HEARD);
        let lately = |it: &Request| {
            it.sent >= since && it.answered.as_ref().is_some_and(|(then, _)| then <= at)
        };
        let mut answered = self.of_router(router).filter(|it| it.is_answered_by(host));
        match answered.find(|it| it.holder != failed && lately(it)) {
            Some(other) => Err(format!(
                "{router} opens the breaker of {host} at {at:?}, although only requests of {failed} have failed \
                 there in a row, and {} was answered lately",
                other.holder
            )),
            None => Ok(()),
        }
    }

    /// The holder of all requests that may have failed at the endpoint in a row, if all took too long there.
    fn only_one_failed<'a>(&'a self, opening: &'a Opening) -> Option<&'a str> {
        let Opening { at, router, host } = opening;
        let known = *at + self.delivery_max;
        let before = |it: &&Request| it.sent < *at;
        let answered = self.of_router(router).filter(|it| {
            it.is_answered_by(host) && it.answered.as_ref().is_some_and(|it| it.0 <= *at)
        });
        let since = answered.filter_map(|it| Some(it.arrived.first()?.1)).max();
        let since = since.unwrap_or_default();
        let mut holders = BTreeSet::new();
        for request in self.of_router(router).filter(before) {
            match &request.answered {
                // It is still open, so it hasn't failed, unless it was sent again.
                None if request.arrived.len() < 2 => {}
                Some((then, _)) if *then <= since => {}
                Some((then, _)) if *then > known && request.arrived.len() < 2 => {}
                Some(_) if request.is_late_at(host) => {
                    holders.insert(request.holder.as_str());
                }
                Some((_, answer)) if !self.may_have_failed(request, answer, host) => {}
                None | Some(_) => return None,
            }
        }
        let only = holders.pop_first();
        only.filter(|_| holders.is_empty())
    }

    /// Whether a request with this answer may have failed at the endpoint.
    fn may_have_failed(&self, request: &Request, answer: &Answer, host: &str) -> bool {
        if request.arrived.is_empty() {
            // If the router answers for itself, it has tried no endpoint.
            return !is_reason(answer, |it| !it.starts_with("cell_"));
        }
        let mut cells = self.endpoints.hosts.values();
        let same_cell = cells.find(|it| it.contains(host));
        let here = |host: &String| same_cell.is_none_or(|cell| cell.contains(host));
        let elsewhere = !request.arrived.iter().any(|(it, _)| here(it));
        !elsewhere && !request.is_answered_by(host)
    }

    fn of_router<'a>(&'a self, router: &'a str) -> impl Iterator<Item = &'a Request> {
        self.requests.values().filter(move |it| it.router == router)
    }

    fn takes(&mut self, at: Duration, fact: &Fact) {
        match fact {
            Fact::Sent(sent) if sent.via.is_none() => {
                let request = Request {
                    sent: at,
                    router: sent.to.clone(),
                    holder: holder(sent),
                    arrived: Vec::new(),
                    answered: None,
                };
                self.requests.insert(sent.tag.clone(), request);
            }
            Fact::Arrived(arrived) => {
                let request = (arrived.tag.as_ref()).and_then(|tag| self.requests.get_mut(tag));
                if let Some(request) = request {
                    request.arrived.push((arrived.host.clone(), at));
                }
            }
            Fact::Answered { tag, answer } => {
                if let Some(request) = self.requests.get_mut(tag) {
                    request.answered = Some((at, answer.clone()));
                }
            }
            Fact::Circuit {
                life,
                host,
                change: CircuitChange::Opened,
                ..
            } if !self.first.is_probed(&life.router, host) => {
                let (router, host) = (life.router.clone(), host.clone());
                self.openings.push(Opening { at, router, host });
            }
            _ => {}
        }
    }
}

impl Invariant for FairBreaker {
    fn name(&self) -> &'static str {
        "fair_breaker"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.takes(at, fact);
        self.first.observe(at, fact)?;
        self.judge(at.saturating_sub(self.delivery_max))
    }

    fn finish(&mut self, _: Duration) -> Result<(), String> {
        self.judge(Duration::MAX)
    }
}

#[cfg(test)]
mod tests;
