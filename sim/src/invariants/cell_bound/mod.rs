//! A call with a cell-bound authorization comes from the cell that it names and reaches the cell that
//! it is for.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::in_force::{self, InForce};
use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::{CellBound, CellBoundRules, Fact, Life};

/// The header that carries an authorization.
pub const CELL_BOUND: &str = "cell-bound-authorization";

/// While its router's configuration enforces cell-bound authorizations, a request with one arrives
/// only if all of this is true: the cell that the authorization names signed it; it is for the cell
/// where the request arrives and for the tenant and user in the request's headers; it is valid by
/// the router's clock; its cell may call others, and its key was in the registry of the decision;
/// and, with `one_use`, no earlier request used it at this router since its start. In no mode does
/// the authorization itself arrive at a cell.
#[derive(Debug)]
pub struct CellBoundCalls {
    prefix: String,
    settings: SettingsInForce,
    routers: BTreeMap<String, InForce<CellBoundRules>>,
    callers: BTreeMap<u64, BTreeSet<String>>,
    /// The request that used each authorization first, by router, source cell and `jti`.
    used: BTreeMap<(Life, String, String), String>,
}

impl CellBoundCalls {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            prefix: bounds.header_prefix.clone(),
            settings: bounds.settings.clone(),
            routers: BTreeMap::new(),
            callers: BTreeMap::new(),
            used: BTreeMap::new(),
        }
    }
}

impl Invariant for CellBoundCalls {
    fn name(&self) -> &'static str {
        "cell_bound"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Configured(said) => {
                let until = self.settings.read_by(&said.router, at);
                in_force::configured(&mut self.routers, &said.router, said.cell_bound, until);
            }
            Fact::Published(said) => {
                self.callers.insert(said.version, said.callers.clone());
            }
            Fact::Arrived(arrived) if arrived.header(CELL_BOUND).is_some() => {
                return Err(format!(
                    "{} received the header {CELL_BOUND}, which the router must remove",
                    arrived.cell
                ));
            }
            _ => in_force::reloaded(&mut self.routers, at, fact),
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let Some(bound) = &passed.sent.cell_bound else {
            return Ok(());
        };
        let life = &passed.decided.life;
        let rules = self.routers.get(&life.router);
        let all = |test: fn(&CellBoundRules) -> bool| {
            rules.is_some_and(|rules| rules.at(passed.decided_at).all(test))
        };
        let number = (life.clone(), bound.source.clone(), bound.jti.clone());
        let request = &passed.decided.request_id;
        let first = self.used.entry(number).or_insert_with(|| request.clone());
        if !all(|rules| rules.enforced) {
            return Ok(());
        }
        if all(|rules| rules.once) && first != request {
            return Err(wrong(passed, "was used before"));
        }
        let version = passed.decided.registry_version.unwrap_or_default();
        let callers = self.callers.get(&version);
        check(&self.prefix, callers, passed, bound)
    }
}

fn check(
    prefix: &str,
    callers: Option<&BTreeSet<String>>,
    passed: &Passed<'_>,
    bound: &CellBound,
) -> Result<(), String> {
    let stamped = |name: &str| passed.arrived.header(&format!("{prefix}{name}"));
    let holds = [
        (bound.genuine, "the cell that it names didn't sign"),
        (
            bound.destination == passed.arrived.cell,
            "is for another cell",
        ),
        (
            stamped("tenant") == Some(&bound.tenant),
            "is for another tenant",
        ),
        (
            stamped("sub") == Some(&bound.subject),
            "is for another user",
        ),
        (passed.decided.unix < bound.expires, "has expired"),
        (
            callers.is_some_and(|callers| callers.contains(&bound.source)),
            "comes from a cell that may not call others or has no key in the registry",
        ),
    ];
    match holds.iter().find(|(holds, _)| !holds) {
        None => Ok(()),
        Some((_, what)) => Err(wrong(passed, what)),
    }
}

fn wrong(passed: &Passed<'_>, what: &str) -> String {
    let (tag, cell) = (&passed.sent.tag, &passed.arrived.cell);
    format!("{tag} arrived at {cell} with an authorization that {what}")
}

#[cfg(test)]
mod tests;
