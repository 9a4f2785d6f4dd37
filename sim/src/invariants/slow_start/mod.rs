//! An endpoint that comes back gets few requests at first.

use std::collections::BTreeMap;
use std::time::Duration;

use super::on_the_way::{OnTheWay, ToRouter};
use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Arrived, CircuitChange, Fact};

/// How long a router may prefer others to an endpoint whose last exchange failed.
const SUSPECT_MAX: Duration = Duration::from_secs(10);
/// How many requests each other endpoint must have had, so that chance says little.
const COMPARED_MIN: usize = 20;

/// In the first quarter of its slow start, an endpoint that has come back gets at most half as many requests
/// as the others of its cell. Its share is a quarter of theirs by then.
///
/// This is checked if the others had no fault and did not change at this router for a while, and if each of
/// them had at least 20 requests on average.
#[derive(Debug)]
pub struct SlowStart {
    endpoints: Endpoints,
    settings: SettingsInForce,
    on_the_way: OnTheWay,
    /// When an endpoint changed last, by router and host.
    changed: BTreeMap<(String, String), Duration>,
    /// The endpoints in the first quarter of their slow start, by router and host.
    starts: BTreeMap<(String, String), Start>,
}

/// The first quarter of a slow start.
#[derive(Debug)]
struct Start {
    from: Duration,
    until: Duration,
    /// The requests that were sent and arrived since, by host.
    arrivals: BTreeMap<String, usize>,
}

impl SlowStart {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            on_the_way: OnTheWay::default(),
            changed: BTreeMap::new(),
            starts: BTreeMap::new(),
        }
    }

    /// The endpoint has changed at this router, and takes requests again or not.
    fn changes(&mut self, at: Duration, router: &str, host: &str, back: bool) {
        let Some(hosts) = (self.endpoints.hosts.values()).find(|it| it.contains(host)) else {
            return;
        };
        let slow_start = self
            .settings
            .least(router, [at; 2], |it| it.health.slow_start);
        // The shares of the others are no longer what they were.
        (self.starts).retain(|(of, it), _| of != router || !hosts.contains(it));
        let since = at.saturating_sub(self.settings.longest(|it| it.health.slow_start));
        let steady = |other: &String| {
            let changed = self.changed.get(&(router.to_owned(), other.clone()));
            other == host || changed.is_none_or(|changed| *changed < since)
        };
        let key = (router.to_owned(), host.to_owned());
        if back && !slow_start.is_zero() && hosts.len() > 1 && hosts.iter().all(steady) {
            let start = Start {
                from: at,
                until: at + slow_start / 4,
                arrivals: BTreeMap::new(),
            };
            self.starts.insert(key.clone(), start);
        }
        self.changed.insert(key, at);
    }

    fn received(&mut self, arrived: &Arrived, tag: &str) {
        let Some(ToRouter { sent, router }) = self.on_the_way.get(tag) else {
            return;
        };
        for ((of, _), start) in &mut self.starts {
            if of == router && *sent > start.from {
                *start.arrivals.entry(arrived.host.clone()).or_default() += 1;
            }
        }
    }

    /// Judges the quarters that are over.
    fn judge(&mut self, at: Duration) -> Result<(), String> {
        let over = |start: &Start| start.until <= at;
        if !self.starts.values().any(over) {
            return Ok(());
        }
        let (due, rest) = std::mem::take(&mut self.starts)
            .into_iter()
            .partition(|(_, start)| over(start));
        self.starts = rest;
        let due: BTreeMap<_, _> = due;
        for ((router, host), start) in due {
            self.compare(&router, &host, &start)?;
        }
        Ok(())
    }

    fn compare(&self, router: &str, host: &str, start: &Start) -> Result<(), String> {
        let mut cells = self.endpoints.hosts.iter();
        let Some((cell, hosts)) = cells.find(|(_, hosts)| hosts.contains(host)) else {
            return Ok(());
        };
        let from = start.from.saturating_sub(SUSPECT_MAX);
        let healthy = self.endpoints.healthy(cell, from, start.until);
        let others: Vec<_> = healthy.filter(|it| *it != host).collect();
        let count = |host: &str| start.arrivals.get(host).copied().unwrap_or_default();
        let theirs: usize = others.iter().map(|it| count(it)).sum();
        let complete = !others.is_empty() && others.len() + 1 == hosts.len();
        if !complete || theirs < COMPARED_MIN * others.len() {
            return Ok(());
        }
        match count(host) * 2 * others.len() > theirs {
            true => Err(format!(
                "{router} has sent {} requests to {host} in the first quarter of its slow start, from {:?} to \
                 {:?}, and {theirs} to the {} others of its cell",
                count(host),
                start.from,
                start.until,
                others.len()
            )),
            false => Ok(()),
        }
    }
}

impl Invariant for SlowStart {
    fn name(&self) -> &'static str {
        "slow_start"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.judge(at)?;
        self.on_the_way.observe(at, fact);
        match fact {
            Fact::Started(life) => {
                let router = &life.router;
                self.starts.retain(|(of, _), _| of != router);
                self.changed.retain(|(of, _), _| of != router);
            }
            Fact::Ejected {
                life,
                host,
                ejected,
            } => self.changes(at, &life.router, host, !ejected),
            Fact::Probed {
                life,
                host,
                healthy,
            } => self.changes(at, &life.router, host, *healthy),
            Fact::Circuit {
                life, host, change, ..
            } => match change {
                CircuitChange::Opened => self.changes(at, &life.router, host, false),
                CircuitChange::Closed => self.changes(at, &life.router, host, true),
                CircuitChange::Probing | CircuitChange::Freed => {}
            },
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    self.received(arrived, tag);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
