//! Limits on requests in flight, of tenants and of cells, and on connections to cells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Arrived, Fact};

/// No more requests of a tenant are at cells at once than the registry allows it, and no more are at a
/// cell than `requests_max` allows, over no more connections than `connections_max` allows. This uses only
/// what cells and clients report.
///
/// A request is at its cell from its arrival until shortly before its client has the whole answer: the
/// end of the answer may be on its way from the router that long. So this may count fewer requests than
/// there are, and never more.
#[derive(Debug)]
pub struct LimitsKept {
    settings: SettingsInForce,
    /// The limits that the registry sets.
    own: BTreeMap<String, u32>,
    prefix: String,
    delivery_max: Duration,
    /// Clients whose requests end when they have the answer.
    short: BTreeSet<String>,
    /// The routers that run. Each counts its own requests.
    routers: BTreeSet<String>,
    /// Requests that haven't arrived yet, by tag.
    sent: BTreeSet<String>,
    /// Those that have arrived and aren't answered.
    open: BTreeMap<String, Open>,
    ended: BTreeMap<Whose, Vec<Ended>>,
}

/// A request at a cell.
#[derive(Debug)]
struct Open {
    since: Duration,
    connection: Connection,
    whose: [Option<Whose>; 3],
}

/// An endpoint's host, and the number of a connection there.
type Connection = (String, u64);

/// A request that was at a cell.
#[derive(Debug)]
struct Ended {
    from: Duration,
    until: Duration,
    connection: Connection,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Whose {
    Tenant(String),
    Cell(String),
    /// The connections to a cell.
    Connections(String),
}

impl LimitsKept {
    /// An invariant for routers with these settings and a registry with these limits.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            own: bounds.tenant_requests.clone(),
            prefix: bounds.header_prefix.clone(),
            delivery_max: bounds.delivery_max,
            short: bounds.short_requests.clone(),
            routers: BTreeSet::new(),
            sent: BTreeSet::new(),
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
            Whose::Tenant(tenant) => {
                let limit = *self.own.get(tenant)?;
                let part = |it: &RouterSettings| (limit / it.rates.shared_by.max(1)).max(1);
                self.settings.most("", time, part) as usize
            }
        };
        Some(most.saturating_mul(self.routers.len()))
    }

    fn arrives(&mut self, at: Duration, arrived: &Arrived) {
        let Some(tag) = arrived.tag.as_ref().filter(|tag| self.sent.remove(*tag)) else {
            return;
        };
        let tenant = arrived.header(&format!("{}tenant", self.prefix));
        let limited = tenant.filter(|tenant| self.own.contains_key(*tenant));
        let open = Open {
            since: at,
            connection: (arrived.host.clone(), arrived.connection),
            whose: [
                limited.map(|tenant| Whose::Tenant(tenant.to_owned())),
                Some(Whose::Cell(arrived.cell.clone())),
                Some(Whose::Connections(arrived.cell.clone())),
            ],
        };
        self.open.insert(tag.clone(), open);
    }

    /// The next router doesn't know of the requests of the last one.
    fn forget(&mut self) {
        self.open.clear();
        self.ended.clear();
    }

    fn ends(&mut self, whose: &Whose, open: &Open, until: Duration) -> Result<(), String> {
        let from = open.since;
        let Some(most) = self.most(whose, [from, until]) else {
            return Ok(());
        };
        // No request that ends later began before this.
        let first = self.open.values().map(|open| open.since).min();
        let first = first.map_or(from, |first| first.min(from));
        let ended = self.ended.entry(whose.clone()).or_default();
        ended.retain(|it| it.until > first);
        ended.push(Ended {
            from,
            until,
            connection: open.connection.clone(),
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
            Fact::Crashed(life) => {
                self.routers.remove(&life.router);
                self.forget();
            }
            // What an Envoy sends to a cell, no router counts.
            Fact::Sent(sent) if sent.via.is_none() && self.short.contains(&sent.client) => {
                self.sent.insert(sent.tag.clone());
            }
            Fact::Arrived(arrived) => self.arrives(at, arrived),
            Fact::Answered { tag, .. } => {
                self.sent.remove(tag);
                let Some(open) = self.open.remove(tag) else {
                    return Ok(());
                };
                let until = at.saturating_sub(self.delivery_max);
                if open.since < until {
                    let mut whose = open.whose.iter().flatten();
                    return whose.try_for_each(|it| self.ends(it, &open, until));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
