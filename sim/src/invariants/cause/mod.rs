//! No endpoint is ejected without a cause, together with too many others, or for too long.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Endpoints, Invariant, SettingsInForce};
use crate::fact::{Fact, Life};

/// How much longer than its time an ejection may last: the router looks at its timers, and reports.
const RETURNS_WITHIN: Duration = Duration::from_secs(1);

/// A router ejects an endpoint only if it had a fault lately, and at most `ejected_percent_max` of a
/// cell's endpoints at once. The first ejection lasts `ejection_secs`, each following one longer by
/// `ejection_factor`, up to `ejection_max_secs`.
#[derive(Debug)]
pub struct EjectedForCause {
    endpoints: Endpoints,
    settings: SettingsInForce,
    delivery_max: Duration,
    /// The endpoints that are ejected now, and since when.
    ejected: BTreeMap<(Life, String), Duration>,
    /// How often each was ejected.
    times: BTreeMap<(Life, String), u32>,
}

impl EjectedForCause {
    /// With the endpoints in `bounds`.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            ejected: BTreeMap::new(),
            times: BTreeMap::new(),
        }
    }

    fn ejects(&mut self, at: Duration, life: &Life, host: &str) -> Result<(), String> {
        let router = &life.router;
        let key = (life.clone(), host.to_owned());
        self.ejected.insert(key.clone(), at);
        *self.times.entry(key).or_default() += 1;
        let Some((cell, hosts)) = (self.endpoints.hosts.iter()).find(|(_, it)| it.contains(host))
        else {
            return Ok(());
        };
        // A request that failed may have waited as long as it may.
        let lately =
            self.settings.most(router, [at; 2], |it| it.header_timeout) + self.delivery_max;
        let from = at.saturating_sub(lately);
        if self.endpoints.healthy(cell, from, at).any(|it| it == host) {
            return Err(format!(
                "{router} ejects {host}, which has had no fault since {from:?}"
            ));
        }
        let of_cell = |(of, it): &&(Life, String)| of == life && hosts.contains(it);
        let ejected = self.ejected.keys().filter(of_cell).count();
        let percent = (self.settings).most(router, [at; 2], |it| it.ejected_percent_max);
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
            let key = (life.clone(), host.clone());
            let before = self.times.get(&key).copied().unwrap_or(1).saturating_sub(1);
            let lasts = self.settings.most(&life.router, [*since, at], |it| {
                let [first, longest] = it.ejection;
                let factor = it.ejection_factor.saturating_pow(before);
                first.saturating_mul(factor).min(longest.max(first))
            });
            if at > *since + lasts + RETURNS_WITHIN {
                return Err(format!(
                    "{} has ejected {host} at {since:?}, for longer than {lasts:?}",
                    life.router
                ));
            }
        }
        Ok(())
    }
}

impl Invariant for EjectedForCause {
    fn name(&self) -> &'static str {
        "ejected_for_cause"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
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
            } => {
                self.ejected.remove(&(life.clone(), host.clone()));
            }
            Fact::Crashed(life) => self.ejected.retain(|(of, _), _| of != life),
            // The endpoints that a registry doesn't list are forgotten.
            Fact::Published(said) => {
                let listed = |host: &String| {
                    let mut cells = said.cells.values();
                    cells.any(|cell| cell.endpoints.contains(host))
                };
                self.ejected.retain(|(_, host), _| listed(host));
            }
            _ => {}
        }
        self.overdue(at)
    }
}

#[cfg(test)]
mod tests;
