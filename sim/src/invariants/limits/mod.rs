//! Limits on requests in flight, of tenants and of cells.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Arrived, Fact};

/// No more requests of a tenant are at cells at once than the registry allows it, and no more are at a
/// cell than `requests_max` allows. This uses only what cells and clients report.
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
    /// How many routers run. Each counts its own requests.
    routers: usize,
    /// Requests that haven't arrived yet, by tag.
    sent: BTreeSet<String>,
    /// Those that have arrived and aren't answered.
    open: BTreeMap<String, Open>,
    ended: BTreeMap<Whose, Vec<[Duration; 2]>>,
}

/// A request at a cell.
#[derive(Debug)]
struct Open {
    since: Duration,
    whose: [Option<Whose>; 2],
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Whose {
    Tenant(String),
    Cell(String),
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
            routers: 0,
            sent: BTreeSet::new(),
            open: BTreeMap::new(),
            ended: BTreeMap::new(),
        }
    }

    /// How many requests all routers together may have at cells during this time.
    fn most(&self, whose: &Whose, time: [Duration; 2]) -> Option<usize> {
        let most = match whose {
            Whose::Cell(_) => self.settings.most("", time, |it| it.requests_max),
            Whose::Tenant(tenant) => {
                let limit = *self.own.get(tenant)?;
                let part = |it: &RouterSettings| (limit / it.rates_shared_by.max(1)).max(1);
                self.settings.most("", time, part) as usize
            }
        };
        Some(most.saturating_mul(self.routers))
    }

    fn arrives(&mut self, at: Duration, arrived: &Arrived) {
        let Some(tag) = arrived.tag.as_ref().filter(|tag| self.sent.remove(*tag)) else {
            return;
        };
        let tenant = arrived.header(&format!("{}tenant", self.prefix));
        let limited = tenant.filter(|tenant| self.own.contains_key(*tenant));
        let open = Open {
            since: at,
            whose: [
                limited.map(|tenant| Whose::Tenant(tenant.to_owned())),
                Some(Whose::Cell(arrived.cell.clone())),
            ],
        };
        self.open.insert(tag.clone(), open);
    }

    fn ends(&mut self, whose: &Whose, time: [Duration; 2]) -> Result<(), String> {
        let Some(most) = self.most(whose, time) else {
            return Ok(());
        };
        // No request that ends later began before this.
        let first = self.open.values().map(|open| open.since).min();
        let first = first.map_or(time[0], |first| first.min(time[0]));
        let ended = self.ended.entry(whose.clone()).or_default();
        ended.retain(|[_, until]| *until > first);
        ended.push(time);
        if ended.len() <= most {
            return Ok(());
        }
        let begins = ended.iter().map(|[from, _]| *from);
        let [from, until] = time;
        for moment in begins.filter(|begin| (from..until).contains(begin)) {
            let at_once = ended.iter().filter(|[a, b]| (*a..*b).contains(&moment));
            let count = at_once.count();
            if count > most {
                let (kind, name) = match whose {
                    Whose::Tenant(name) => ("of tenant", name),
                    Whose::Cell(name) => ("at cell", name),
                };
                return Err(format!(
                    "{count} requests {kind} {name} were at cells at {moment:?}; the limit is {most}"
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
            Fact::Started(_) => self.routers += 1,
            // The next router doesn't know of the requests of this one.
            Fact::Crashed(_) => {
                self.routers = self.routers.saturating_sub(1);
                self.open.clear();
                self.ended.clear();
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
                    return whose.try_for_each(|it| self.ends(it, [open.since, until]));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
