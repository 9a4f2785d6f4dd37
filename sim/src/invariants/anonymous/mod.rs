//! Requests without credentials are served as anonymous, and only where and while the configuration
//! allows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::in_force::{self, InForce};
use super::{Bounds, Invariant, Passed, SettingsInForce, shown};
use crate::fact::{Answer, Assignment, Fact};

/// A request without credentials arrives only while its router's configuration allows it, only at a
/// cell of the placement that the configuration names, marked `anonymous`, and without a tenant.
///
/// While the configuration allows it and has no rules, no request is refused because it has no
/// credentials.
///
/// The configuration is what the world wrote to the router's disk. A change counts once the router
/// has reloaded it, and at the latest when the router must have reloaded it.
#[derive(Debug)]
pub struct AnonymousApart {
    prefix: String,
    settings: SettingsInForce,
    routers: BTreeMap<String, InForce<Option<String>>>,
    placements: BTreeMap<u64, Assignment>,
    /// Routers whose configuration has ever had rules.
    ruled: BTreeSet<String>,
    /// Requests without credentials that aren't answered yet, by tag: when and where to they were sent.
    open: BTreeMap<String, (Duration, String)>,
}

impl AnonymousApart {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            prefix: bounds.header_prefix.clone(),
            settings: bounds.settings.clone(),
            routers: BTreeMap::new(),
            placements: BTreeMap::new(),
            ruled: BTreeSet::new(),
            open: BTreeMap::new(),
        }
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) -> Result<(), String> {
        let Some((sent, router)) = self.open.remove(tag) else {
            return Ok(());
        };
        let Answer::Router(reason) = answer else {
            return Ok(());
        };
        let modes = self.routers.get(&router);
        let modes = modes
            .into_iter()
            .flat_map(|modes| modes.at(sent).chain(modes.at(at)));
        let mut modes = modes.peekable();
        let permissive = modes.peek().is_some() && modes.all(Option::is_some);
        match reason.starts_with("missing_") && permissive && !self.ruled.contains(&router) {
            true => Err(format!(
                "{tag} has no credentials and was answered {answer}, but the configuration of {router} \
                 allows anonymous requests"
            )),
            false => Ok(()),
        }
    }
}

impl Invariant for AnonymousApart {
    fn name(&self) -> &'static str {
        "anonymous_apart"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Configured(said) => {
                if said.rules.is_some() {
                    self.ruled.insert(said.router.clone());
                }
                let until = self.settings.read_by(&said.router, at);
                let anonymous = said.anonymous.clone();
                in_force::configured(&mut self.routers, &said.router, anonymous, until);
            }
            Fact::Sent(sent) if sent.anonymous && sent.via.is_none() => {
                self.open.insert(sent.tag.clone(), (at, sent.to.clone()));
            }
            Fact::Answered { tag, answer } => self.answered(at, tag, answer)?,
            Fact::Published(said) => {
                self.placements
                    .insert(said.version, said.placements.clone());
            }
            _ => in_force::reloaded(&mut self.routers, at, fact),
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        match passed.sent.anonymous {
            true => check(&self.prefix, &self.routers, &self.placements, passed),
            false => Ok(()),
        }
    }
}

fn check(
    prefix: &str,
    routers: &BTreeMap<String, InForce<Option<String>>>,
    placements: &BTreeMap<u64, Assignment>,
    passed: &Passed<'_>,
) -> Result<(), String> {
    let (tag, router) = (&passed.sent.tag, &passed.decided.life.router);
    let own = |name: &str| passed.arrived.header(&format!("{prefix}{name}"));
    if own("auth") != Some("anonymous") || own("tenant") != Some("") {
        return Err(format!(
            "{tag} has no credentials, but arrived with auth {} and tenant {}; expected \
             anonymous and none",
            shown(own("auth")),
            shown(own("tenant").filter(|tenant| !tenant.is_empty()))
        ));
    }
    let modes = routers.get(router);
    let modes = modes
        .into_iter()
        .flat_map(|mode| mode.at(passed.decided_at));
    let allowed: Vec<_> = modes.flatten().collect();
    if allowed.is_empty() {
        return Err(format!(
            "{router} forwarded {tag}, which has no credentials, but its configuration allows no \
             anonymous requests"
        ));
    }
    let version = passed.decided.registry_version.unwrap_or_default();
    let there = |placement: &&String| {
        let cells = placements.get(&version).and_then(|all| all.get(*placement));
        cells.is_some_and(|cells| cells.contains(&passed.arrived.cell))
    };
    match allowed.into_iter().any(|placement| there(&placement)) {
        true => Ok(()),
        false => Err(format!(
            "{tag} has no credentials and reached {}, which is no cell of the anonymous placement in \
             registry version {version}",
            passed.arrived.cell
        )),
    }
}

#[cfg(test)]
mod tests;
