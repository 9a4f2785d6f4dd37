//! If too few endpoints of a cell are usable, all of them are used.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::on_the_way::{OnTheWay, ToRouter};
use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Arrived, CircuitChange, Fact, Life};

/// How long a router may avoid an endpoint after a failure, if others work. It tries it after half of that.
const AVOIDED_MAX: Duration = Duration::from_secs(10);

/// So many requests for each endpoint of the cell can't miss one of them by chance.
const SPREAD: usize = 20;

/// While fewer endpoints of a cell are usable than `panic_threshold_percent` says, or none is, each of them
/// gets requests, also those that are ejected or whose checks fail. Those with an open breaker don't count,
/// and neither does the time in which an endpoint has a fault, because requests may not arrive there then.
/// This isn't checked with `when_all_ejected = "fail"`.
#[derive(Debug)]
pub struct AllInPanic {
    endpoints: Endpoints,
    settings: SettingsInForce,
    on_the_way: OnTheWay,
    /// The endpoints that the registry lists, by cell.
    listed: BTreeMap<String, BTreeSet<String>>,
    /// Endpoints that are ejected, by router and host.
    ejected: BTreeSet<(String, String)>,
    /// Endpoints whose checks fail.
    unhealthy: BTreeSet<(String, String)>,
    /// Endpoints with an open breaker.
    open: BTreeSet<(String, String)>,
    /// Endpoints that aren't usable, but must get requests, and what each has missed.
    missed: BTreeMap<(String, String), Missed>,
}

/// What an endpoint has missed.
#[derive(Clone, Copy, Debug)]
struct Missed {
    since: Duration,
    /// How many requests arrived at others of its cell.
    requests: usize,
}

impl AllInPanic {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            on_the_way: OnTheWay::default(),
            listed: BTreeMap::new(),
            ejected: BTreeSet::new(),
            unhealthy: BTreeSet::new(),
            open: BTreeSet::new(),
            missed: BTreeMap::new(),
        }
    }

    /// Something has changed at a router. What endpoints have missed so far counts on only for those that
    /// must get requests before and after it.
    fn changed(&mut self, at: Duration, router: &str) {
        let cells: Vec<_> = self.listed.values().cloned().collect();
        for hosts in cells {
            let key = |host: &String| (router.to_owned(), host.clone());
            let is_bad = |host: &&String| {
                let key = key(host);
                self.ejected.contains(&key) || self.unhealthy.contains(&key)
            };
            let bad: BTreeSet<_> = hosts.iter().filter(is_bad).cloned().collect();
            let usable = hosts.len() - bad.len();
            let percent = (self.settings).least(router, [at; 2], |it| it.health.panic_percent);
            let panics = usable == 0 || usable * 100 < hosts.len() * percent;
            for host in &hosts {
                let key = key(host);
                match panics && bad.contains(host) && !self.open.contains(&key) {
                    true => {
                        let missed = Missed {
                            since: at,
                            requests: 0,
                        };
                        self.missed.entry(key).or_insert(missed);
                    }
                    false => drop(self.missed.remove(&key)),
                }
            }
        }
    }

    fn received(&mut self, at: Duration, arrived: &Arrived, tag: &str) -> Result<(), String> {
        let Some(ToRouter { sent, router }) = self.on_the_way.get(tag) else {
            return Ok(());
        };
        let (sent, router) = (*sent, router.clone());
        let hosts = self.listed.get(&arrived.cell).cloned().unwrap_or_default();
        for host in &hosts {
            let key = (router.clone(), host.clone());
            let Some(missed) = self.missed.get_mut(&key) else {
                continue;
            };
            let is_well = (self.endpoints.healthy(&arrived.cell, at, at)).any(|well| well == host);
            if *host == arrived.host || !is_well {
                *missed = Missed {
                    since: at,
                    requests: 0,
                };
            } else if sent > missed.since {
                missed.requests += 1;
            }
            let Missed { since, requests } = *missed;
            let time = [since, at];
            let fails = self
                .settings
                .most(&router, time, |it| it.health.fails_without_usable);
            if !fails && at > since + AVOIDED_MAX && requests >= hosts.len() * SPREAD {
                return Err(format!(
                    "{host} got no request from {router} since {since:?}, but {} got {requests}, although so \
                     few endpoints are usable that all must be used",
                    arrived.cell
                ));
            }
        }
        Ok(())
    }

    fn set(&mut self, at: Duration, life: &Life, host: &str, list: List, is_in: bool) {
        let list = match list {
            List::Ejected => &mut self.ejected,
            List::Unhealthy => &mut self.unhealthy,
            List::Open => &mut self.open,
        };
        let key = (life.router.clone(), host.to_owned());
        match is_in {
            true => list.insert(key),
            false => list.remove(&key),
        };
        self.changed(at, &life.router);
    }
}

/// Why an endpoint isn't like the others.
#[derive(Clone, Copy)]
enum List {
    Ejected,
    Unhealthy,
    Open,
}

impl Invariant for AllInPanic {
    fn name(&self) -> &'static str {
        "all_in_panic"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.on_the_way.observe(at, fact);
        match fact {
            Fact::Started(Life { router, .. }) => {
                for list in [&mut self.ejected, &mut self.unhealthy, &mut self.open] {
                    list.retain(|(of, _)| of != router);
                }
                self.missed.retain(|(of, _), _| of != router);
            }
            // Routers read either later, so all begins anew.
            Fact::Published(said) => {
                let cells = said.cells.iter();
                self.listed = cells
                    .map(|(id, it)| (id.clone(), it.endpoints.clone()))
                    .collect();
                self.missed.clear();
            }
            Fact::Configured(said) => self.missed.retain(|(of, _), _| *of != said.router),
            Fact::Ejected {
                life,
                host,
                ejected,
            } => {
                self.set(at, life, host, List::Ejected, *ejected);
            }
            Fact::Probed {
                life,
                host,
                healthy,
            } => {
                self.set(at, life, host, List::Unhealthy, !healthy);
            }
            Fact::Circuit {
                life, host, change, ..
            } => match change {
                CircuitChange::Opened => self.set(at, life, host, List::Open, true),
                CircuitChange::Closed => self.set(at, life, host, List::Open, false),
                CircuitChange::Probing | CircuitChange::Freed => {}
            },
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    return self.received(at, arrived, tag);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
