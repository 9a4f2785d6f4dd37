//! Requests that wait for a place at a cell get it in their turn.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;

use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Answer, Decided, Fact, Responded, Sent};

/// How many places in a row may go to requests of high priority while others wait.
const HIGH_IN_A_ROW: usize = 3;

/// While the first request of a tenant waits for a place at a cell, other tenants get no more places
/// than their turns: one for each tenant, and three more before each of these if there are requests of
/// high priority. If the request has high priority itself, at most one place in four goes to a request
/// that came later and has no high priority. Of either priority, the router doesn't refuse such a request
/// at once while fewer are open than may wait.
///
/// With its place, a request may still try to connect to an endpoint that fails. While an endpoint of
/// the cell may be out of reach, only the time before that counts. Nothing is checked if the
/// registry limits the requests of tenants or placements in flight, because requests wait for that too.
///
/// The places are counted where requests arrive. Whether a request waited in vain is what its client
/// was answered.
#[derive(Debug)]
pub struct FairQueue {
    request_id: String,
    settings: SettingsInForce,
    endpoints: Endpoints,
    /// Whether requests wait for cells only, and not for limits of the registry.
    holds: bool,
    transit: Duration,
    /// Requests that aren't answered yet, by tag.
    open: BTreeMap<String, Open>,
    /// All tenants that have sent a request.
    tenants: BTreeSet<String>,
    /// By the router's id: when it was decided.
    decided: BTreeMap<String, (Duration, Arc<Decided>)>,
    /// The ids in clients' answers, by tag.
    traced: BTreeMap<String, String>,
    /// When a router answered `overloaded`, by its id of the request.
    refused: BTreeMap<String, Duration>,
    /// By router and cell, in the order of arrival.
    places: BTreeMap<(String, String), Vec<Place>>,
}

/// A request that isn't answered yet.
#[derive(Debug)]
struct Open {
    client: String,
    tenant: String,
    /// The router.
    to: String,
    sent: Duration,
    /// Whether its tenant had no other request open when it was sent, and none of another priority
    /// since.
    alone: bool,
    /// Whether it has come to a cell.
    arrived: bool,
    high: bool,
}

/// A place that a request got.
#[derive(Clone, Copy, Debug)]
struct Place {
    decided: Duration,
    arrived: Duration,
    high: bool,
}

impl FairQueue {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            request_id: format!("{}request-id", bounds.header_prefix),
            settings: bounds.settings.clone(),
            endpoints: bounds.endpoints.clone(),
            holds: !bounds.limits_in_flight(),
            transit: bounds.transit_max,
            open: BTreeMap::new(),
            tenants: BTreeSet::new(),
            decided: BTreeMap::new(),
            traced: BTreeMap::new(),
            refused: BTreeMap::new(),
            places: BTreeMap::new(),
        }
    }

    fn sent(&mut self, at: Duration, sent: &Sent) {
        let (client, tenant, to) = (&sent.client, &sent.tenant, &sent.to);
        self.tenants.insert(tenant.clone());
        let mut settings = self.settings.during(to, [at; 2]);
        let high = settings.any(|it| it.queue.high_priority.contains(client));
        let mut alone = true;
        for open in self.open.values_mut().filter(|it| it.tenant == *tenant) {
            alone = false;
            // Of one priority, the later request waits behind this one.
            open.alone &= open.high == high;
        }
        let open = Open {
            client: client.clone(),
            tenant: tenant.clone(),
            to: to.clone(),
            sent: at,
            alone,
            arrived: false,
            high,
        };
        self.open.insert(sent.tag.clone(), open);
    }

    fn received(&mut self, at: Duration, tag: &str, id: &str, cell: &str) -> Result<(), String> {
        let Some((decided_at, decided)) = self.decided.get(id) else {
            return Ok(());
        };
        let (decided_at, router) = (*decided_at, decided.life.router.clone());
        let Some(open) = self.open.get_mut(tag).filter(|it| !it.arrived) else {
            return Ok(());
        };
        open.arrived = true;
        let high = open.high;
        // It may have got its place as long before as its way takes.
        let until = at.saturating_sub(self.transit);
        let waited = Waited {
            tag,
            since: decided_at,
            until,
        };
        let checked = match decided.cell.as_deref() == Some(cell) {
            true => self.check(&waited, (router.clone(), cell.to_owned())),
            false => Ok(()),
        };
        let place = Place {
            decided: decided_at,
            arrived: at,
            high,
        };
        let places = self.places.entry((router, cell.to_owned())).or_default();
        places.push(place);
        checked
    }

    /// A request was answered that no place was free for it.
    fn overloaded(&self, tag: &str) -> Result<(), String> {
        let Some(id) = self.traced.get(tag) else {
            return Ok(());
        };
        let (Some((since, decided)), Some(until)) = (self.decided.get(id), self.refused.get(id))
        else {
            return Ok(());
        };
        let Some(cell) = &decided.cell else {
            return Ok(());
        };
        let (since, until) = (*since, *until);
        let waited = Waited { tag, since, until };
        self.check_room(&waited)?;
        self.check(&waited, (decided.life.router.clone(), cell.clone()))
    }

    /// A request that was refused has waited, if there was room for it.
    fn check_room(&self, waited: &Waited<'_>) -> Result<(), String> {
        let Some(open) = self.open.get(waited.tag).filter(|it| it.alone) else {
            return Ok(());
        };
        let same = |it: &&Open| it.high == open.high && it.to == open.to && !it.arrived;
        let open_too = self.open.values().filter(same);
        let before = open_too.filter(|it| it.sent <= waited.until).count();
        let time = [waited.since, waited.until];
        let room = |it: &super::RouterSettings| match open.high {
            true => it.queue.high_room,
            false => it.queue.room,
        };
        let room = self.settings.least(&open.to, time, room);
        let wait = self.settings.least(&open.to, time, |it| it.queue.wait);
        if before <= room && waited.until < waited.since + wait {
            return Err(format!(
                "{} of {} was answered overloaded after {:?}, although there was room for it in the queue, \
                 where it may wait for {wait:?}",
                waited.tag,
                open.client,
                waited.until.saturating_sub(waited.since)
            ));
        }
        Ok(())
    }

    /// Until when a request has certainly waited for its place. With the place it may try to connect to an
    /// endpoint that fails, while others arrive at another one.
    fn waited_until(&self, waited: &Waited<'_>, open: &Open, cell: &str) -> Duration {
        let time = [waited.since, waited.until];
        if self.endpoints.may_lose_some(cell, time[0], time[1]) {
            let connects = self
                .settings
                .most(&open.to, time, |it| it.timeouts.connects);
            return waited.until.saturating_sub(connects);
        }
        waited.until
    }

    /// Checks who got places of `cell` while a request waited.
    fn check(&self, waited: &Waited<'_>, cell: (String, String)) -> Result<(), String> {
        let Some(open) = self.open.get(waited.tag).filter(|it| it.alone) else {
            return Ok(());
        };
        let until = self.waited_until(waited, open, &cell.1);
        let places = self.places.get(&cell);
        let given = || {
            let places = places.into_iter().flatten();
            places.filter(|it| waited.since < it.arrived && it.arrived < until)
        };
        if open.high {
            let later = given().filter(|it| !it.high && it.decided > waited.since);
            let (later, high) = (later.count(), given().filter(|it| it.high).count());
            if later > 1 + high / HIGH_IN_A_ROW {
                return Err(format!(
                    "{} of {} has high priority, but {later} requests that came later got places at {} \
                     before it",
                    waited.tag, open.client, cell.1
                ));
            }
            return Ok(());
        }
        // What arrives first has got its place before.
        let from = waited.since + self.transit;
        let given: Vec<_> = given().filter(|it| it.arrived > from).collect();
        let by_turn = match given.iter().any(|it| it.high) {
            true => 1 + HIGH_IN_A_ROW,
            false => 1,
        };
        let turns = (self.tenants.len() + 1) * by_turn;
        if given.len() > turns {
            return Err(format!(
                "{} is the first request of {}, but {} others got places at {} before it; at most {turns} \
                 have a turn",
                waited.tag,
                open.tenant,
                given.len(),
                cell.1
            ));
        }
        Ok(())
    }
}

/// A request that waited.
struct Waited<'a> {
    tag: &'a str,
    since: Duration,
    /// When it got a place, or was refused.
    until: Duration,
}

impl Invariant for FairQueue {
    fn name(&self) -> &'static str {
        "fair_queue"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if !self.holds {
            return Ok(());
        }
        match fact {
            Fact::Sent(sent) if sent.via.is_none() => self.sent(at, sent),
            Fact::Decided(decided) => {
                let id = decided.request_id.clone();
                self.decided.insert(id, (at, decided.clone()));
            }
            Fact::Responded(Responded {
                request_id,
                reason: Some(Reason::Overloaded),
                ..
            }) => {
                self.refused.insert(request_id.clone(), at);
            }
            Fact::Traced { tag, request_id } => {
                self.traced.insert(tag.clone(), request_id.clone());
            }
            Fact::Arrived(arrived) => {
                if let (Some(tag), Some(id)) = (&arrived.tag, arrived.header(&self.request_id)) {
                    return self.received(at, tag, id, &arrived.cell);
                }
            }
            Fact::Answered { tag, answer } => {
                let refused = matches!(answer, Answer::Router(reason) if reason == "overloaded");
                let checked = match refused {
                    true => self.overloaded(tag),
                    false => Ok(()),
                };
                self.traced.remove(tag);
                self.open.remove(tag);
                return checked;
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
