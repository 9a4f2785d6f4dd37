//! Limits on requests in flight, of tenants, placements and cells, and on connections to cells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Endpoints, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Arrived, Fact};

/// No more requests of a tenant, or of all tenants of a placement, are at cells at once than the registry
/// allows, and no more are at a cell than `requests_max` allows, over no more connections than
/// `connections_max` allows. A request that is sent to two endpoints at once counts twice. This uses only
/// what cells and clients report, and the simulator's own registry, which has the placement of each tenant.
///
/// The only attempt of a request that is answered whole is at its cell from its arrival until shortly before
/// its client has the answer. Any other attempt is there until shortly before the cell begins an answer or
/// sees that its router has gone away, and not longer. The news may be on their way that long. So this may
/// count fewer requests than there are, and never more.
#[derive(Debug)]
pub struct LimitsKept {
    settings: SettingsInForce,
    endpoints: Endpoints,
    /// The limits that the registry sets, for tenants and placements.
    own: BTreeMap<Whose, u32>,
    /// By registry version: the placement of each tenant that has no cell of its own.
    homes: BTreeMap<u64, BTreeMap<String, String>>,
    prefix: String,
    delivery_max: Duration,
    transit_max: Duration,
    /// Clients whose requests end when they have the answer.
    short: BTreeSet<String>,
    /// The routers that run. Each counts its own requests.
    routers: BTreeSet<String>,
    /// Requests that aren't over, by tag.
    open: BTreeMap<String, Open>,
    ended: BTreeMap<Whose, Vec<Ended>>,
}

/// A request, and its attempts.
#[derive(Debug)]
struct Open {
    /// Whether it ends when its client has the answer.
    short: bool,
    /// When its client had the answer.
    answered: Option<Duration>,
    attempts: Vec<Attempt>,
    /// How often it has arrived.
    arrived: usize,
}

/// A request at an endpoint.
#[derive(Clone, Debug)]
struct Attempt {
    since: Duration,
    connection: Connection,
    whose: Vec<Whose>,
    /// Until when it was surely there, as its cell knows.
    left: Option<Duration>,
}

/// A connection to an endpoint.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct Connection {
    host: String,
    number: u64,
}

/// An attempt that is over.
#[derive(Debug)]
struct Ended {
    from: Duration,
    until: Duration,
    connection: Connection,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Whose {
    Tenant(String),
    Placement(String),
    Cell(String),
    /// The connections to a cell.
    Connections(String),
}

impl LimitsKept {
    /// An invariant for routers with these settings and a registry with these limits.
    pub fn new(bounds: &Bounds) -> Self {
        let tenants = bounds.tenant_requests.iter();
        let tenants = tenants.map(|(id, most)| (Whose::Tenant(id.clone()), *most));
        let placements = bounds.placement_requests.iter();
        let placements = placements.map(|(id, most)| (Whose::Placement(id.clone()), *most));
        Self {
            settings: bounds.settings.clone(),
            endpoints: bounds.endpoints.clone(),
            own: tenants.chain(placements).collect(),
            homes: BTreeMap::new(),
            prefix: bounds.header_prefix.clone(),
            delivery_max: bounds.delivery_max,
            transit_max: bounds.transit_max,
            short: bounds.short_requests.clone(),
            routers: BTreeSet::new(),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// How many requests all routers together may have at cells during this time, or how many connections
    /// may carry them.
    fn most(&self, whose: &Whose, time: [Duration; 2]) -> Option<usize> {
        let most = match whose {
            Whose::Cell(_) => self.settings.most("", time, |it| it.limits.requests_max),
            Whose::Connections(_) => (self.settings).most("", time, |it| it.limits.connections_max),
            Whose::Tenant(_) | Whose::Placement(_) => {
                let limit = *self.own.get(whose)?;
                let part = |it: &RouterSettings| (limit / it.rates.shared_by.max(1)).max(1);
                self.settings.most("", time, part) as usize
            }
        };
        Some(most.saturating_mul(self.routers.len()))
    }

    /// Whose limits in the registry count this request.
    fn limited(&self, arrived: &Arrived) -> impl Iterator<Item = Whose> {
        let stamp = |name: &str| arrived.header(&format!("{}{name}", self.prefix));
        let tenant = stamp("tenant").unwrap_or_default();
        let version = stamp("placement-epoch").and_then(|it| it.parse::<u64>().ok());
        let homes = version.and_then(|version| self.homes.get(&version));
        let placement = homes.and_then(|homes| homes.get(tenant));
        let whose = [
            Some(Whose::Tenant(tenant.to_owned())),
            placement.map(|id| Whose::Placement(id.clone())),
        ];
        let limited = whose.into_iter().flatten();
        limited.filter(|whose| self.own.contains_key(whose))
    }

    fn arrives(&mut self, at: Duration, arrived: &Arrived) {
        let of_cell = [
            Whose::Cell(arrived.cell.clone()),
            Whose::Connections(arrived.cell.clone()),
        ];
        let whose = self.limited(arrived).chain(of_cell).collect();
        let tag = arrived.tag.as_deref().unwrap_or_default();
        let open = self.open.get_mut(tag);
        let Some(open) = open.filter(|open| open.answered.is_none()) else {
            return;
        };
        open.arrived += 1;
        open.attempts.push(Attempt {
            since: at,
            connection: Connection {
                host: arrived.host.clone(),
                number: arrived.connection,
            },
            whose,
            left: None,
        });
    }

    /// An endpoint works on a request no longer.
    fn leaves(&mut self, at: Duration, host: &str, tag: &str) -> Result<(), String> {
        let until = at.saturating_sub(self.transit_max);
        if let Some(open) = self.open.get_mut(tag) {
            let mut there = open.attempts.iter_mut();
            let first = there.find(|it| it.connection.host == host && it.left.is_none());
            if let Some(attempt) = first {
                attempt.left = Some(until);
            }
        }
        self.over(tag)
    }

    /// An endpoint has stopped, and works on nothing any more.
    fn stops(&mut self, at: Duration, host: &str) -> Result<(), String> {
        let at_host = |it: &Attempt| it.connection.host == host;
        let there = |open: &Open| open.attempts.iter().any(at_host);
        let there = self.open.iter().filter(|(_, open)| there(open));
        let tags: Vec<_> = there.map(|(tag, _)| tag.clone()).collect();
        tags.iter().try_for_each(|tag| self.leaves(at, host, tag))
    }

    fn answered(&mut self, at: Duration, tag: &str) -> Result<(), String> {
        if let Some(open) = self.open.get_mut(tag) {
            open.answered = Some(at.saturating_sub(self.delivery_max));
        }
        self.over(tag)
    }

    /// Counts the attempts of a request that are over, once its client has the answer.
    fn over(&mut self, tag: &str) -> Result<(), String> {
        let Some(open) = self.open.get_mut(tag) else {
            return Ok(());
        };
        let Some(answered) = open.answered else {
            return Ok(());
        };
        let alone = open.arrived == 1;
        let ends_with_answer = alone && open.short;
        let over = |it: &Attempt| ends_with_answer || it.left.is_some();
        let (over, there): (Vec<_>, _) = open.attempts.drain(..).partition(over);
        open.attempts = there;
        if open.attempts.is_empty() {
            self.open.remove(tag);
        }
        for attempt in over {
            let (since, host) = (attempt.since, &attempt.connection.host);
            let left = attempt.left.filter(|_| !ends_with_answer);
            let until = left.map_or(answered, |left| left.min(answered));
            // It may have failed without the knowledge of its cell, and another attempt goes on.
            let lost = !alone && self.endpoints.may_lose(host, since, until);
            if since < until && !lost {
                let mut whose = attempt.whose.iter();
                whose.try_for_each(|it| self.ends(it, &attempt, until))?;
            }
        }
        Ok(())
    }

    /// The next router doesn't know of the attempts of the last one.
    fn forget(&mut self) {
        self.open.retain(|_, open| open.arrived == 0);
        self.ended.clear();
    }

    fn ends(&mut self, whose: &Whose, attempt: &Attempt, until: Duration) -> Result<(), String> {
        let from = attempt.since;
        let Some(most) = self.most(whose, [from, until]) else {
            return Ok(());
        };
        // None that ends later began before this.
        let attempts = self.open.values().flat_map(|open| &open.attempts);
        let first = attempts.map(|it| it.since).min();
        let first = first.map_or(from, |first| first.min(from));
        let ended = self.ended.entry(whose.clone()).or_default();
        ended.retain(|it| it.until > first);
        ended.push(Ended {
            from,
            until,
            connection: attempt.connection.clone(),
        });
        if ended.len() <= most {
            return Ok(());
        }
        let begins = ended.iter().map(|it| it.from);
        for moment in begins.filter(|begin| (from..until).contains(begin)) {
            let at_once = ended
                .iter()
                .filter(|it| (it.from..it.until).contains(&moment));
            let (count, what) = match whose {
                Whose::Tenant(name) => (at_once.count(), format!("requests of tenant {name}")),
                Whose::Placement(name) => {
                    (at_once.count(), format!("requests of placement {name}"))
                }
                Whose::Cell(name) => (at_once.count(), format!("requests at cell {name}")),
                Whose::Connections(name) => {
                    let connections: BTreeSet<_> = at_once.map(|it| &it.connection).collect();
                    (connections.len(), format!("connections to cell {name}"))
                }
            };
            if count > most {
                return Err(format!(
                    "there were {count} {what} at {moment:?}; the limit is {most}"
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for LimitsKept {
    fn name(&self) -> &'static str {
        "limits_kept"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Started(life) => {
                // One that has drained starts again without a crash.
                let is_new = self.routers.insert(life.router.clone());
                if !is_new {
                    self.forget();
                }
            }
            Fact::Published(said) => {
                self.homes.insert(said.version, said.homes.clone());
            }
            Fact::Crashed(life) => {
                self.routers.remove(&life.router);
                self.forget();
            }
            // What an Envoy sends to a cell, no router counts.
            Fact::Sent(sent) if sent.via.is_none() => {
                let open = Open {
                    short: self.short.contains(&sent.client),
                    answered: None,
                    attempts: Vec::new(),
                    arrived: 0,
                };
                self.open.insert(sent.tag.clone(), open);
            }
            Fact::Arrived(arrived) => self.arrives(at, arrived),
            Fact::Left {
                host,
                tag: Some(tag),
            }
            | Fact::Unserved {
                host,
                tag: Some(tag),
                ..
            } => return self.leaves(at, host, tag),
            Fact::EndpointStopped(host) => return self.stops(at, host),
            Fact::Answered { tag, .. } => return self.answered(at, tag),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
