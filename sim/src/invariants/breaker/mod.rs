//! A circuit breaker lets nothing pass while it is open, and one request while it is half-open.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::on_the_way::OnTheWay;
use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Arrived, CircuitChange, Fact};

/// No two requests pass through a half-open breaker of a router at the same time, as the router
/// reports it. And as the cells report it: while the breaker is open or half-open, no request arrives
/// that was sent to the router after it opened, except those that probe. No request probes before the
/// breaker has been open for `open_ms`, unless another that probed has ended without an outcome.
#[derive(Debug)]
pub struct OneProbe {
    request_id: String,
    settings: SettingsInForce,
    on_the_way: OnTheWay,
    /// The breakers that aren't closed, by router and endpoint.
    breakers: BTreeMap<(String, String), Breaker>,
}

/// A router counts in whole milliseconds.
const STEP: Duration = Duration::from_millis(2);

#[derive(Debug)]
struct Breaker {
    opened: Duration,
    /// Whether a request that probed has ended without an outcome since.
    freed: bool,
    /// The request that probes now.
    probing: Option<String>,
    /// All requests that have probed since it opened.
    probed: BTreeSet<String>,
}

impl OneProbe {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            request_id: format!("{}request-id", bounds.header_prefix),
            settings: bounds.settings.clone(),
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
                    freed: false,
                    probing: None,
                    probed: BTreeSet::new(),
                });
                (breaker.opened, breaker.freed) = (at, false);
                breaker.probing = None;
            }
            CircuitChange::Probing => {
                let (router, host) = &key;
                let Some(breaker) = self.breakers.get_mut(&key) else {
                    return Err(format!(
                        "{router} probes {host} with {request_id}, whose breaker is closed"
                    ));
                };
                let open = self
                    .settings
                    .least(router, [breaker.opened, at], |it| it.breaker.open);
                if !breaker.freed && at + STEP < breaker.opened + open {
                    return Err(format!(
                        "{router} probes {host} with {request_id}, whose breaker opened at {:?} for {open:?}",
                        breaker.opened
                    ));
                }
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
                    breaker.freed = true;
                    breaker.probing = None;
                }
            }
            CircuitChange::Closed => {
                self.breakers.remove(&key);
            }
        }
        Ok(())
    }

    fn received(&self, arrived: &Arrived, tag: &str) -> Result<(), String> {
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
                    return self.received(arrived, tag);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
