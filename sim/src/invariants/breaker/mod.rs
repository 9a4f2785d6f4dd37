//! A circuit breaker lets nothing pass while it is open, and one request while it is half-open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Invariant;
use super::on_the_way::OnTheWay;
use crate::fact::{Arrived, CircuitChange, Fact};

/// No two requests pass through a half-open breaker of a router at the same time, as the router
/// reports it. And as the cells report it: while the breaker is open or half-open, no request arrives
/// that was sent to the router after it opened, except those that probe.
#[derive(Debug)]
pub struct OneProbe {
    request_id: String,
    on_the_way: OnTheWay,
    /// The breakers that aren't closed, by router and endpoint.
    breakers: BTreeMap<(String, String), Breaker>,
}

#[derive(Debug)]
struct Breaker {
    opened: Duration,
    /// The request that probes now.
    probing: Option<String>,
    /// All requests that have probed since it opened.
    probed: BTreeSet<String>,
}

impl OneProbe {
    /// `prefix` is what the router's headers begin with.
    pub fn new(prefix: &str) -> Self {
        Self {
            request_id: format!("{prefix}request-id"),
            on_the_way: OnTheWay::default(),
            breakers: BTreeMap::new(),
        }
    }

    fn changed(
        &mut self,
        at: Duration,
        key: (String, String),
        request_id: &str,
        change: CircuitChange,
    ) -> Result<(), String> {
        match change {
            CircuitChange::Opened => {
                let breaker = self.breakers.entry(key).or_insert_with(|| Breaker {
                    opened: at,
                    probing: None,
                    probed: BTreeSet::new(),
                });
                breaker.opened = at;
                breaker.probing = None;
            }
            CircuitChange::Probing => {
                let (router, host) = &key;
                let Some(breaker) = self.breakers.get_mut(&key) else {
                    return Err(format!(
                        "{router} probes {host} with {request_id}, whose breaker is closed"
                    ));
                };
                if let Some(other) = &breaker.probing {
                    return Err(format!(
                        "{router} probes {host} with {request_id}, while {other} probes it"
                    ));
                }
                breaker.probing = Some(request_id.to_owned());
                breaker.probed.insert(request_id.to_owned());
            }
            CircuitChange::Freed => {
                if let Some(breaker) = self.breakers.get_mut(&key) {
                    breaker.probing = None;
                }
            }
            CircuitChange::Closed => {
                self.breakers.remove(&key);
            }
        }
        Ok(())
    }

    fn arrived(&self, arrived: &Arrived, tag: &str) -> Result<(), String> {
        let Some(request) = self.on_the_way.get(tag) else {
            return Ok(());
        };
        let host = &arrived.host;
        let Some(breaker) = self.breakers.get(&(request.router.clone(), host.clone())) else {
            return Ok(());
        };
        let id = arrived.header(&self.request_id).unwrap_or_default();
        if request.sent > breaker.opened && !breaker.probed.contains(id) {
            return Err(format!(
                "{tag} arrived at {host}, although the breaker of {} was open before it was sent",
                request.router
            ));
        }
        Ok(())
    }
}

impl Invariant for OneProbe {
    fn name(&self) -> &'static str {
        "one_probe"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.on_the_way.observe(at, fact);
        match fact {
            Fact::Started(life) => {
                self.breakers
                    .retain(|(router, _), _| *router != life.router);
            }
            Fact::Circuit {
                life,
                host,
                request_id,
                change,
            } => {
                let key = (life.router.clone(), host.clone());
                return self.changed(at, key, request_id, *change);
            }
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag {
                    return self.arrived(arrived, tag);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
