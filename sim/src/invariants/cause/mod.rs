//! No endpoint is ejected without a cause, together with too many others, for too long or too short a time.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Endpoints, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Fact, Life, Published};

/// How much longer than its time an ejection may last: the router looks at its timers, and reports.
const RETURNS_WITHIN: Duration = Duration::from_secs(1);
/// How much earlier than it is reported an endpoint may have been ejected.
const REPORTED_WITHIN: Duration = Duration::from_millis(100);

/// A router ejects an endpoint only if it had a fault lately for which it may, and at most
/// `ejected_percent_max` of a cell's endpoints at once. The first ejection lasts `ejection_secs`, each
/// following one longer by `ejection_factor`, up to `ejection_max_secs`. An endpoint makes up for an ejection
/// by taking requests for as long as that lasted. It returns earlier only if the cell may no longer do
/// without it.
#[derive(Debug)]
pub struct EjectedForCause {
    endpoints: Endpoints,
    settings: SettingsInForce,
    delivery_max: Duration,
    /// The endpoints that are ejected now, and since when.
    ejected: BTreeMap<(Life, String), Duration>,
    records: BTreeMap<(Life, String), Record>,
    /// How many endpoints each cell had at least, in any document.
    listed: BTreeMap<String, usize>,
}

/// The ejections of an endpoint by one router.
#[derive(Clone, Copy, Debug, Default)]
struct Record {
    /// How often it was ejected.
    times: u32,
    /// The same, less what it may have made up for.
    level: u32,
    returned: Duration,
}

impl EjectedForCause {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            ejected: BTreeMap::new(),
            records: BTreeMap::new(),
            listed: BTreeMap::new(),
        }
    }

    fn ejects(&mut self, at: Duration, life: &Life, host: &str) -> Result<(), String> {
        let router = &life.router;
        let key = (life.clone(), host.to_owned());
        self.ejected.insert(key.clone(), at);
        let settings = &self.settings;
        let record = self.records.entry(key).or_default();
        record.ejected(at, |level| {
            settings.least(router, [Duration::ZERO, at], |it| ejection(it, level))
        });
        let Some((cell, hosts)) = (self.endpoints.hosts.iter()).find(|(_, it)| it.contains(host))
        else {
            return Ok(());
        };
        // A request that failed may have waited as long as it may.
        let lately =
            self.settings.most(router, [at; 2], |it| it.timeouts.header) + self.delivery_max;
        let from = at.saturating_sub(lately);
        if !self.endpoints.may_be_ejected(host, from, at) {
            return Err(format!(
                "{router} ejects {host}, which has had no fault since {from:?} for which it may"
            ));
        }
        let of_cell = |(of, it): &&(Life, String)| of == life && hosts.contains(it);
        let ejected = self.ejected.keys().filter(of_cell).count();
        let percent = (self.settings).most(router, [at; 2], |it| it.outlier.ejected_percent_max);
        let most = hosts.len() * percent / 100;
        match ejected > most {
            true => Err(format!(
                "{router} has ejected {ejected} of {} endpoints of {cell}, but at most {most} may be",
                hosts.len()
            )),
            false => Ok(()),
        }
    }

    fn overdue(&self, at: Duration) -> Result<(), String> {
        for ((life, host), since) in &self.ejected {
            let record = self.records.get(&(life.clone(), host.clone()));
            let times = record.map_or(1, |record| record.times);
            let time = [*since, at];
            let lasts = (self.settings).most(&life.router, time, |it| ejection(it, times));
            if at > *since + lasts + RETURNS_WITHIN {
                return Err(format!(
                    "{} has ejected {host} at {since:?}, for longer than {lasts:?}",
                    life.router
                ));
            }
        }
        Ok(())
    }

    fn returns(&mut self, at: Duration, life: &Life, host: &str) -> Result<(), String> {
        let key = (life.clone(), host.to_owned());
        let too_many = self.are_too_many(at, life, host);
        let (Some(since), Some(record)) = (self.ejected.remove(&key), self.records.get_mut(&key))
        else {
            return Ok(());
        };
        record.returned = at;
        let (router, time) = (&life.router, [since, at]);
        let lasts = self
            .settings
            .least(router, time, |it| ejection(it, record.level));
        match at + REPORTED_WITHIN < since + lasts && !too_many {
            true => Err(format!(
                "{router} has ejected {host} at {since:?}, for less than {lasts:?}"
            )),
            false => Ok(()),
        }
    }

    /// Whether more endpoints of the host's cell are ejected than may be, because the cell has fewer or the
    /// setting has changed.
    fn are_too_many(&self, at: Duration, life: &Life, host: &str) -> bool {
        let mut cells = self.endpoints.hosts.iter();
        let Some((cell, hosts)) = cells.find(|(_, it)| it.contains(host)) else {
            return true;
        };
        let of_cell = |(of, it): &&(Life, String)| of == life && hosts.contains(it);
        let ejected = self.ejected.keys().filter(of_cell).count();
        let time = [Duration::ZERO, at];
        let percent =
            (self.settings).least(&life.router, time, |it| it.outlier.ejected_percent_max);
        let listed = self.listed.get(cell).copied().unwrap_or(hosts.len());
        ejected > listed * percent / 100
    }

    /// The endpoints that a registry doesn't list are forgotten.
    fn published(&mut self, said: &Published) {
        let listed = |host: &String| {
            let mut cells = said.cells.values();
            cells.any(|cell| cell.endpoints.contains(host))
        };
        self.ejected.retain(|(_, host), _| listed(host));
        self.records.retain(|(_, host), _| listed(host));
        for (id, cell) in &said.cells {
            let count = cell.endpoints.len();
            let least = self.listed.entry(id.clone()).or_insert(count);
            *least = count.min(*least);
        }
    }
}

impl Record {
    /// `lasts` is how long the ejection of a level lasts at least.
    fn ejected(&mut self, at: Duration, lasts: impl Fn(u32) -> Duration) {
        let mut healthy = at.saturating_sub(self.returned) + REPORTED_WITHIN;
        while self.level > 0 {
            let Some(left) = healthy.checked_sub(lasts(self.level).max(REPORTED_WITHIN)) else {
                break;
            };
            (healthy, self.level) = (left, self.level - 1);
        }
        self.times += 1;
        self.level += 1;
    }
}

/// How long the ejection of this level lasts, counted from 1.
fn ejection(settings: &RouterSettings, level: u32) -> Duration {
    let [first, longest] = settings.outlier.ejection;
    let factor = (settings.outlier.ejection_factor).saturating_pow(level.saturating_sub(1));
    first.saturating_mul(factor).min(longest.max(first))
}

impl Invariant for EjectedForCause {
    fn name(&self) -> &'static str {
        "ejected_for_cause"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if let Some(life) = fact.ended() {
            self.ejected.retain(|(of, _), _| of != life);
        }
        match fact {
            Fact::Ejected {
                life,
                host,
                ejected: true,
            } => return self.ejects(at, life, host),
            Fact::Ejected {
                life,
                host,
                ejected: false,
            } => self.returns(at, life, host)?,
            Fact::Started(life) => {
                let router = &life.router;
                self.ejected
                    .retain(|(of, _), _| of.router != *router || of == life);
            }
            Fact::Published(said) => self.published(said),
            _ => {}
        }
        self.overdue(at)
    }
}

#[cfg(test)]
mod tests;
