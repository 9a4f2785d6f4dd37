//! What a router finds when it checks an endpoint is true.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::health::CheckSettings;

use super::{Bounds, Endpoints, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Fact, Published};
use crate::scenario::CellState;

/// How much later than its checks say a router may report it.
const REPORTED_WITHIN: Duration = Duration::from_secs(1);

/// A time in which checks of an endpoint must fail.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckTrouble {
    /// Its host.
    pub host: String,
    /// The start, since the start of the run.
    pub from: Duration,
    /// The end, since the start of the run.
    pub until: Duration,
    /// The kinds of checks that fail, as in the configuration.
    pub kinds: &'static [&'static str],
}

/// A router finds that the checks of an endpoint fail once it had a fault for which they must, for as long
/// as `unhealthy_threshold` checks may take, and only if a fault may be why so many of them failed. It finds
/// that they succeed again once the endpoint has had no fault for as long as `healthy_threshold` checks may
/// take, and not while one of so many had to fail.
///
/// This holds for endpoints that its registry lists, in cells that take traffic or may soon. After a reload
/// that changes the check of an endpoint, the router begins anew and doesn't say so.
#[derive(Debug)]
pub struct ChecksTrue {
    settings: SettingsInForce,
    endpoints: Endpoints,
    troubles: Vec<CheckTrouble>,
    /// By registry version: the endpoints that are checked, and their cells.
    published: BTreeMap<u64, BTreeMap<String, String>>,
    /// The routers that run and have a registry.
    routers: BTreeMap<String, Checked>,
}

/// The endpoints of a router.
#[derive(Debug, Default)]
struct Checked {
    /// By host.
    hosts: BTreeMap<String, Host>,
    /// The hosts whose checks fail, as the router reports.
    failing: BTreeSet<String>,
    /// The hosts of which a reload may have made it forget that.
    forgotten: BTreeSet<String>,
}

#[derive(Debug)]
struct Host {
    cell: String,
    /// When the router began to check it.
    since: Duration,
}

impl ChecksTrue {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            endpoints: bounds.endpoints.clone(),
            troubles: bounds.check_troubles.clone(),
            published: BTreeMap::new(),
            routers: BTreeMap::new(),
        }
    }

    fn applied(&mut self, at: Duration, router: &str, version: u64) {
        let Some(listed) = self.published.get(&version) else {
            return;
        };
        let checked = self.routers.entry(router.to_owned()).or_default();
        checked
            .hosts
            .retain(|host, it| listed.get(host) == Some(&it.cell));
        for (host, cell) in listed {
            let host = checked.hosts.entry(host.clone());
            host.or_insert_with(|| Host {
                cell: cell.clone(),
                since: at,
            });
        }
        let is_listed = |host: &String| checked.hosts.contains_key(host);
        checked.failing.retain(is_listed);
        checked.forgotten.retain(is_listed);
    }

    /// The check of a cell that is in force at a router for all of this time. `None` if there is none, or
    /// more than one may be.
    fn check<'a>(
        &'a self,
        router: &'a str,
        cell: &str,
        time: [Duration; 2],
    ) -> Option<&'a Arc<CheckSettings>> {
        let mut checks = self
            .settings
            .during(router, time)
            .map(|it| check_of(it, cell));
        let first = checks.next()??;
        checks.all(|it| it == Some(first)).then_some(first)
    }

    /// A reload may have changed the checks of some cells. What is known of their endpoints is forgotten.
    fn reloaded(&mut self, at: Duration, router: &str) {
        let Some(mut checked) = self.routers.remove(router) else {
            return;
        };
        for (host, Host { cell, .. }) in &checked.hosts {
            if self.check(router, cell, [at; 2]).is_none() && checked.failing.remove(host) {
                checked.forgotten.insert(host.clone());
            }
        }
        self.routers.insert(router.to_owned(), checked);
    }

    fn probed(
        &mut self,
        at: Duration,
        router: &str,
        host: &str,
        healthy: bool,
    ) -> Result<(), String> {
        let Some(checked) = self.routers.get_mut(router) else {
            return Ok(());
        };
        checked.forgotten.remove(host);
        match healthy {
            true => checked.failing.remove(host),
            false => checked.failing.insert(host.to_owned()),
        };
        let Some(cell) = checked.hosts.get(host).map(|it| it.cell.clone()) else {
            return Err(format!(
                "{router} checks {host}, which its registry doesn't list"
            ));
        };
        let settings = self.settings.during(router, [at; 2]);
        let checks: Vec<_> = settings.filter_map(|it| check_of(it, &cell)).collect();
        if checks.is_empty() {
            return Err(format!(
                "{router} checks {host}, but has no check for {cell}"
            ));
        }
        let wrong = match healthy {
            false if !checks.iter().any(|it| self.may_fail(at, host, it)) => {
                "fail, which has had no fault for as long as that takes"
            }
            true if !checks.iter().any(|it| self.may_succeed(at, host, it)) => {
                "succeed, which had to fail lately"
            }
            true | false => return Ok(()),
        };
        Err(format!("{router} finds that checks of {host} {wrong}"))
    }

    /// Whether a fault may be why the first of the checks failed that make the endpoint unhealthy by now.
    fn may_fail(&self, at: Duration, host: &str, check: &CheckSettings) -> bool {
        let [from, until] = first(at, check, check.unhealthy_threshold);
        self.endpoints.has_fault(host, from, until)
    }

    /// Whether the first of the good checks that make the endpoint healthy by now may have succeeded.
    fn may_succeed(&self, at: Duration, host: &str, check: &CheckSettings) -> bool {
        let time = first(at, check, check.healthy_threshold);
        !self.must_fail(host, check.kind.as_str(), time)
    }

    /// Whether checks of this kind must fail for all of this time.
    fn must_fail(&self, host: &str, kind: &str, [from, until]: [Duration; 2]) -> bool {
        let mut troubles = self.troubles.iter().filter(|it| it.host == host);
        troubles.any(|it| it.kinds.contains(&kind) && it.from <= from && until <= it.until)
    }

    /// No router takes longer than it may to find out.
    fn overdue(&self, at: Duration) -> Result<(), String> {
        for (router, checked) in &self.routers {
            for (host, Host { cell, since }) in &checked.hosts {
                if checked.forgotten.contains(host) {
                    continue;
                }
                let Some(check) = self.check(router, cell, [at; 2]) else {
                    continue;
                };
                let fails = checked.failing.contains(host);
                let lasts = match fails {
                    true => row(check, check.healthy_threshold),
                    false => row(check, check.unhealthy_threshold),
                };
                let Some(from) = at.checked_sub(lasts).filter(|from| since <= from) else {
                    continue;
                };
                if self.check(router, cell, [from, at]).is_none() {
                    continue;
                }
                if fails && !self.endpoints.has_fault(host, from, at) {
                    return Err(format!(
                        "{router} still finds that checks of {host} fail, which has had no fault since {from:?}"
                    ));
                }
                if !fails && self.must_fail(host, check.kind.as_str(), [from, at]) {
                    return Err(format!(
                        "{router} hasn't found that checks of {host} fail, which they must since {from:?}"
                    ));
                }
            }
        }
        Ok(())
    }
}

/// The check of a cell's endpoints.
fn check_of<'a>(settings: &'a RouterSettings, cell: &str) -> Option<&'a Arc<CheckSettings>> {
    let mut checks = settings.health.checks.iter();
    checks.find(|it| it.cells.is_empty() || it.cells.iter().any(|of| of.as_str() == cell))
}

/// How long so many checks in a row may take, after one that has just begun, until the router reports them.
fn row(check: &CheckSettings, threshold: u32) -> Duration {
    let most = check.interval * (100 + u32::from(check.jitter_percent)) / 100;
    check.timeout + (most + check.timeout) * threshold + REPORTED_WITHIN
}

/// From when to when the first of so many checks in a row was made, if the router has just reported them.
fn first(at: Duration, check: &CheckSettings, threshold: u32) -> [Duration; 2] {
    let least = check.interval * 100_u32.saturating_sub(check.jitter_percent.into()) / 100;
    let least = least * threshold.saturating_sub(1);
    [
        at.saturating_sub(row(check, threshold)),
        at.saturating_sub(least),
    ]
}

/// The endpoints that are checked, and their cells.
fn checked(said: &Published) -> BTreeMap<String, String> {
    let takes_traffic = |state| match state {
        CellState::Active | CellState::Draining | CellState::Quarantined => true,
        CellState::Provisioning => false,
    };
    let cells = said
        .cells
        .iter()
        .filter(|(_, cell)| takes_traffic(cell.state));
    let hosts = cells.flat_map(|(id, cell)| {
        let hosts = cell.endpoints.iter();
        hosts.map(|host| (host.clone(), id.clone()))
    });
    hosts.collect()
}

impl Invariant for ChecksTrue {
    fn name(&self) -> &'static str {
        "checks_true"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if self.settings.all().all(|it| it.health.checks.is_empty()) {
            return Ok(());
        }
        match fact {
            Fact::Published(said) => {
                self.published.insert(said.version, checked(said));
            }
            Fact::Started(life) | Fact::Crashed(life) => {
                self.routers.remove(&life.router);
            }
            // It may stop at any time from now on.
            Fact::Noted(life, note) if note.kind == "draining" => {
                self.routers.remove(&life.router);
            }
            Fact::Noted(life, note) if note.kind == "reloaded" => self.reloaded(at, &life.router),
            Fact::RegistryApplied { life, version } => self.applied(at, &life.router, *version),
            Fact::Probed {
                life,
                host,
                healthy,
            } => self.probed(at, &life.router, host, *healthy)?,
            _ => {}
        }
        self.overdue(at)
    }
}

#[cfg(test)]
mod tests;
