//! A tenant whose request tried an open breaker in vain lets others try first.

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::Reason;

use super::super::{Bounds, Endpoints, SettingsInForce};
use crate::fact::{CircuitChange, Fact, Responded};

/// A router counts in whole milliseconds.
const STEP: Duration = Duration::from_millis(2);

/// Which tenants were refused while another one's requests tried an open breaker, as routers report it.
#[derive(Debug)]
pub(super) struct OthersFirst {
    endpoints: Endpoints,
    settings: SettingsInForce,
    /// The cell and the tenant of each decided request, by the router's id.
    decided: BTreeMap<String, (String, String)>,
    /// The breakers that aren't closed, by router and endpoint.
    breakers: BTreeMap<(String, String), Breaker>,
}

#[derive(Debug)]
struct Breaker {
    opened: Duration,
    /// The request that tries it now.
    probing: Option<String>,
    /// The last request that tried it in vain.
    tried: Option<Tried>,
    /// The tenants of requests that were refused since the last one began to try.
    refused: BTreeMap<String, String>,
}

#[derive(Debug)]
struct Tried {
    request_id: String,
    tenant: String,
    /// Whether it took too long.
    late: bool,
}

impl OthersFirst {
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            endpoints: bounds.endpoints.clone(),
            settings: bounds.settings.clone(),
            decided: BTreeMap::new(),
            breakers: BTreeMap::new(),
        }
    }

    /// Whether a request tries the breaker of this endpoint.
    pub(super) fn is_probed(&self, router: &str, host: &str) -> bool {
        let key = (router.to_owned(), host.to_owned());
        (self.breakers.get(&key)).is_some_and(|breaker| breaker.probing.is_some())
    }

    /// Takes the next fact.
    ///
    /// # Errors
    /// A tenant tries a breaker again before others.
    pub(super) fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Started(life) => {
                self.breakers
                    .retain(|(router, _), _| *router != life.router);
            }
            Fact::Decided(decided) => {
                if let (Some(cell), Some(tenant)) = (&decided.cell, &decided.tenant) {
                    let of = (cell.clone(), tenant.clone());
                    self.decided.insert(decided.request_id.clone(), of);
                }
            }
            Fact::Responded(responded) => self.responded(responded),
            Fact::Circuit {
                life,
                host,
                request_id,
                change,
            } => {
                let key = (life.router.clone(), host.clone());
                return self.changed(at, key, request_id, *change);
            }
            _ => {}
        }
        Ok(())
    }

    fn changed(
        &mut self,
        at: Duration,
        key: (String, String),
        request_id: &str,
        change: CircuitChange,
    ) -> Result<(), String> {
        let tenant = self
            .decided
            .get(request_id)
            .map(|(_, tenant)| tenant.clone());
        match change {
            CircuitChange::Opened => {
                let before = self.breakers.remove(&key);
                let (probing, refused) =
                    before.map_or_else(Default::default, |it| (it.probing, it.refused));
                let tried = probing.zip(tenant).map(|(request_id, tenant)| Tried {
                    request_id,
                    tenant,
                    late: false,
                });
                let breaker = Breaker {
                    opened: at,
                    probing: None,
                    tried,
                    refused,
                };
                self.breakers.insert(key, breaker);
            }
            CircuitChange::Probing => {
                self.is_first(at, &key, tenant.as_deref())?;
                if let Some(breaker) = self.breakers.get_mut(&key) {
                    breaker.probing = Some(request_id.to_owned());
                    breaker.refused.clear();
                }
            }
            CircuitChange::Freed => {
                if let Some(breaker) = self.breakers.get_mut(&key) {
                    (breaker.probing, breaker.tried) = (None, None);
                }
            }
            CircuitChange::Closed => {
                self.breakers.remove(&key);
            }
        }
        Ok(())
    }

    /// Whether a request of this tenant may try the breaker now.
    fn is_first(
        &self,
        at: Duration,
        key: &(String, String),
        tenant: Option<&str>,
    ) -> Result<(), String> {
        let Some(breaker) = self.breakers.get(key) else {
            return Ok(());
        };
        let Some(tried) = breaker.tried.as_ref().filter(|it| it.late) else {
            return Ok(());
        };
        let (router, host) = key;
        let time = [breaker.opened, at];
        let open = self.settings.least(router, time, |it| it.breaker.open);
        if tenant != Some(tried.tenant.as_str()) || at + STEP >= breaker.opened + open * 2 {
            return Ok(());
        }
        let mut refused = breaker.refused.iter();
        match refused.find(|(_, other)| **other != tried.tenant) {
            Some((request_id, other)) => Err(format!(
                "{} tries the breaker of {host} at {router} again, which opened at {:?} because its request {} \
                 took too long, although {request_id} of {other} was refused meanwhile",
                tried.tenant, breaker.opened, tried.request_id
            )),
            None => Ok(()),
        }
    }

    fn responded(&mut self, responded: &Responded) {
        let Responded {
            life,
            request_id,
            reason: Some(reason),
            ..
        } = responded
        else {
            return;
        };
        let Some((cell, tenant)) = self.decided.get(request_id) else {
            return;
        };
        let hosts = self.endpoints.hosts.get(cell);
        let mut hosts = hosts.into_iter().flatten();
        // Which of several endpoints it would have tried isn't known.
        let (Some(host), None) = (hosts.next(), hosts.next()) else {
            return;
        };
        let key = (life.router.clone(), host.clone());
        let Some(breaker) = self.breakers.get_mut(&key) else {
            return;
        };
        match reason {
            Reason::CircuitOpen => {
                breaker.refused.insert(request_id.clone(), tenant.clone());
            }
            Reason::CellTimeoutHeader => {
                if let Some(tried) = &mut breaker.tried {
                    tried.late |= tried.request_id == *request_id;
                }
            }
            _ => {}
        }
    }
}
