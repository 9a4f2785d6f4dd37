//! An endpoint that is ejected or whose checks fail gets no request while another endpoint of its cell
//! is usable, and what happens when none is.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::on_the_way::{OnTheWay, ToRouter};
use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Answer, Arrived, CircuitChange, Fact};

/// A request that was sent to a router after it had ejected an endpoint, or after its checks had failed,
/// doesn't arrive at that endpoint, if another endpoint of the cell had no fault all the time, and the router
/// neither ejected it nor opened its breaker, and its checks succeed. If so few endpoints are usable that the
/// router uses all of them, it may arrive. With `when_all_ejected = "fail"` it never arrives. Only then is a
/// request refused because no endpoint is usable.
#[derive(Debug)]
pub struct EjectedRest {
    endpoints: Endpoints,
    settings: SettingsInForce,
    on_the_way: OnTheWay,
    /// Ejected endpoints, by router and host, and since when.
    ejected: BTreeMap<(String, String), Duration>,
    /// Endpoints whose checks fail, by router and host, and since when.
    unhealthy: BTreeMap<(String, String), Duration>,
    /// Endpoints with an open breaker, by router and host.
    open: BTreeSet<(String, String)>,
    /// When an endpoint last became usable in one of these three ways. Until then no request may have gone
    /// to it.
    usable_since: BTreeMap<(String, String), Duration>,
}

impl EjectedRest {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            on_the_way: OnTheWay::default(),
            ejected: BTreeMap::new(),
            unhealthy: BTreeMap::new(),
            open: BTreeSet::new(),
            usable_since: BTreeMap::new(),
        }
    }

    fn received(&self, at: Duration, arrived: &Arrived, tag: &str) -> Result<(), String> {
        let Some(ToRouter { sent, router }) = self.on_the_way.get(tag) else {
            return Ok(());
        };
        let key = |host: &str| (router.clone(), host.to_owned());
        let rests = [&self.ejected, &self.unhealthy];
        let since = rests.map(|rests| rests.get(&key(&arrived.host)));
        if !since.into_iter().flatten().any(|since| sent > since) {
            return Ok(());
        }
        let time = [*sent, at];
        if (self.settings).least(router, time, |it| it.health.fails_without_usable) {
            return Err(format!(
                "{tag} arrived at {}, which {router} had found bad before, although when_all_ejected is fail",
                arrived.host
            ));
        }
        let usable = |host: &str| {
            let key = key(host);
            let known_bad = rests.iter().any(|rests| rests.contains_key(&key));
            let since = self.usable_since.get(&key);
            !known_bad && !self.open.contains(&key) && since.is_none_or(|since| since < sent)
        };
        let cell = &arrived.cell;
        // An endpoint with a fault may be unusable by its checks.
        let healthy = || self.endpoints.healthy(cell, *sent, at);
        let (hosts, left) = (
            self.endpoints.count(cell),
            healthy().filter(|host| usable(host)),
        );
        let panic = self
            .settings
            .most(router, time, |it| it.health.panic_percent);
        if left.count() * 100 < hosts * panic {
            return Ok(());
        }
        match healthy().find(|host| usable(host)) {
            Some(other) => Err(format!(
                "{tag} arrived at {}, which {router} had found bad before, although {other} was usable",
                arrived.host
            )),
            None => Ok(()),
        }
    }

    fn answered(&self, at: Duration, tag: &str, answer: &Answer) -> Result<(), String> {
        let (Some(ToRouter { sent, router }), Answer::Router(reason)) =
            (self.on_the_way.get(tag), answer)
        else {
            return Ok(());
        };
        let time = [*sent, at];
        let fails = (self.settings).most(router, time, |it| it.health.fails_without_usable);
        match reason == "no_endpoint_healthy" && !fails {
            true => Err(format!(
                "{tag} was answered {answer} by {router}, although when_all_ejected is not fail"
            )),
            false => Ok(()),
        }
    }
}

impl Invariant for EjectedRest {
    fn name(&self) -> &'static str {
        "ejected_rest"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if let Fact::Answered { tag, answer } = fact {
            self.answered(at, tag, answer)?;
        }
        self.on_the_way.observe(at, fact);
        match fact {
            Fact::Started(life) => {
                for rests in [&mut self.ejected, &mut self.unhealthy] {
                    rests.retain(|(router, _), _| *router != life.router);
                }
                self.open.retain(|(router, _)| *router != life.router);
                (self.usable_since).retain(|(router, _), _| *router != life.router);
            }
            Fact::Ejected {
                life,
                host,
                ejected,
            } => {
                let key = (life.router.clone(), host.clone());
                match ejected {
                    true => drop(self.ejected.insert(key, at)),
                    false => {
                        self.ejected.remove(&key);
                        self.usable_since.insert(key, at);
                    }
                }
            }
            Fact::Probed {
                life,
                host,
                healthy,
            } => {
                let key = (life.router.clone(), host.clone());
                match healthy {
                    false => drop(self.unhealthy.insert(key, at)),
                    true => {
                        self.unhealthy.remove(&key);
                        self.usable_since.insert(key, at);
                    }
                }
            }
            Fact::Circuit {
                life, host, change, ..
            } => {
                let key = (life.router.clone(), host.clone());
                match change {
                    CircuitChange::Opened => drop(self.open.insert(key)),
                    CircuitChange::Closed => {
                        self.open.remove(&key);
                        self.usable_since.insert(key, at);
                    }
                    CircuitChange::Probing | CircuitChange::Freed => {}
                }
            }
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
