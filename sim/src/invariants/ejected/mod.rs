//! An ejected endpoint gets no request while another endpoint of its cell is usable.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::on_the_way::{OnTheWay, ToRouter};
use super::{Bounds, Endpoints, Invariant};
use crate::fact::{Arrived, CircuitChange, Fact};

/// A request that was sent to a router after it had ejected an endpoint doesn't arrive at that
/// endpoint, if another endpoint of the cell had no fault all the time, and the router neither
/// ejected it nor opened its breaker.
#[derive(Debug)]
pub struct EjectedRest {
    endpoints: Endpoints,
    on_the_way: OnTheWay,
    /// Ejected endpoints, by router and host, and since when.
    ejected: BTreeMap<(String, String), Duration>,
    /// Endpoints with an open breaker, by router and host.
    open: BTreeSet<(String, String)>,
}

impl EjectedRest {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            on_the_way: OnTheWay::default(),
            ejected: BTreeMap::new(),
            open: BTreeSet::new(),
        }
    }

    fn arrived(&self, at: Duration, arrived: &Arrived, tag: &str) -> Result<(), String> {
        let Some(ToRouter { sent, router }) = self.on_the_way.get(tag) else {
            return Ok(());
        };
        let key = |host: &str| (router.clone(), host.to_owned());
        let since = self.ejected.get(&key(&arrived.host));
        if since.is_none_or(|since| sent <= since) {
            return Ok(());
        }
        let usable = |host: &str| {
            let key = key(host);
            !self.ejected.contains_key(&key) && !self.open.contains(&key)
        };
        let cell = &arrived.cell;
        match self
            .endpoints
            .healthy(cell, *sent, at)
            .find(|host| usable(host))
        {
            Some(other) => Err(format!(
                "{tag} arrived at {}, which {router} had ejected before, although {other} was usable",
                arrived.host
            )),
            None => Ok(()),
        }
    }
}

impl Invariant for EjectedRest {
    fn name(&self) -> &'static str {
        "ejected_rest"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.on_the_way.observe(at, fact);
        match fact {
            Fact::Started(life) => {
                self.ejected.retain(|(router, _), _| *router != life.router);
                self.open.retain(|(router, _)| *router != life.router);
            }
            Fact::Ejected {
                life,
                host,
                ejected,
            } => {
                let key = (life.router.clone(), host.clone());
                match ejected {
                    true => self.ejected.insert(key, at),
                    false => self.ejected.remove(&key),
                };
            }
            Fact::Circuit {
                life, host, change, ..
            } => {
                let key = (life.router.clone(), host.clone());
                match change {
                    CircuitChange::Opened => self.open.insert(key),
                    CircuitChange::Closed => self.open.remove(&key),
                    CircuitChange::Probing | CircuitChange::Freed => false,
                };
            }
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    return self.arrived(at, arrived, tag);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
