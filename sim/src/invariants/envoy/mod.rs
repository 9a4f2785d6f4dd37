//! An Envoy forwards only what its router allows, and as the router would have forwarded it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_testbed::CheckOutcome;

use super::{Invariant, Passed, shown};
use crate::fact::{Arrived, Fact};

/// A request that was sent through an Envoy arrives only if the router allowed it, at the cell that
/// the router named, and with the router's request id. It has the same identity headers as requests
/// of the same tenant, decided on the same registry version, that the router forwards itself.
#[derive(Debug)]
pub struct EnvoyObeys {
    prefix: String,
    /// The tags of requests that were sent through an Envoy.
    via: BTreeSet<String>,
    /// What the router allowed, by tag: its request id, and the cell.
    leave: BTreeMap<String, (String, String)>,
    stamped: Stamped,
}

/// What routers stamp, by tenant, registry version and cell.
type Stamped = BTreeMap<(String, Option<u64>, String), Stamps>;

/// The router's own headers, except those that differ with each request and user.
type Stamps = BTreeMap<String, String>;

impl EnvoyObeys {
    /// With this prefix of the router's own headers.
    pub fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            via: BTreeSet::new(),
            leave: BTreeMap::new(),
            stamped: BTreeMap::new(),
        }
    }

    /// Checks that the router allowed a request that arrives through an Envoy.
    fn check_leave(&self, arrived: &Arrived) -> Result<(), String> {
        let tag = arrived.tag.as_ref();
        let Some(tag) = tag.filter(|tag| self.via.contains(*tag)) else {
            return Ok(());
        };
        let id = arrived.header(&format!("{}request-id", self.prefix));
        let as_told = self.leave.get(tag).is_some_and(|(request_id, cell)| {
            Some(request_id.as_str()) == id && *cell == arrived.cell
        });
        match as_told {
            true => Ok(()),
            false => Err(format!(
                "an Envoy sent {tag} to {} without the router's permission",
                arrived.cell
            )),
        }
    }
}

impl Invariant for EnvoyObeys {
    fn name(&self) -> &'static str {
        "envoy_obeys"
    }

    fn observe(&mut self, _at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if sent.via.is_some() => {
                self.via.insert(sent.tag.clone());
            }
            Fact::Checked {
                tag: Some(tag),
                outcome: CheckOutcome::Allowed { request_id, cell },
            } => {
                let leave = (request_id.clone(), cell.clone());
                self.leave.insert(tag.clone(), leave);
            }
            Fact::Arrived(arrived) => self.check_leave(arrived)?,
            _ => {}
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        // Requests with a token are compared: a certificate gives other headers.
        if passed.sent.token.is_none() || passed.sent.cell_bound.is_some() {
            return Ok(());
        }
        check(&self.prefix, &mut self.stamped, passed)
    }
}

fn check(prefix: &str, stamped: &mut Stamped, passed: &Passed<'_>) -> Result<(), String> {
    let (tenant, cell) = (&passed.sent.tenant, &passed.arrived.cell);
    let key = (
        tenant.clone(),
        passed.decided.registry_version,
        cell.clone(),
    );
    let stamps = stamps(prefix, passed);
    if passed.sent.via.is_none() {
        stamped.entry(key).or_insert(stamps);
        return Ok(());
    }
    let tag = &passed.sent.tag;
    if passed.decided.cell.as_ref() != Some(&passed.arrived.cell) {
        return Err(format!(
            "an Envoy sent {tag} to {}, but the router decided {}",
            passed.arrived.cell,
            shown(passed.decided.cell.as_ref())
        ));
    }
    let sub = passed.arrived.header(&format!("{prefix}sub"));
    if sub != Some(&passed.sent.client) {
        return Err(format!(
            "{tag} arrived with sub {}, expected {}",
            shown(sub),
            passed.sent.client
        ));
    }
    match stamped.get(&key) {
        Some(proxied) if *proxied != stamps => Err(format!(
            "through an Envoy {tag} arrived with the headers {stamps:?}, but the router itself sends \
             {proxied:?}"
        )),
        Some(_) | None => Ok(()),
    }
}

fn stamps(prefix: &str, passed: &Passed<'_>) -> Stamps {
    // Whoever finds a cell down first says why in another way; `failover_allowed` checks that.
    const DIFFER: [&str; 3] = ["request-id", "sub", "failover"];
    let own = passed.arrived.headers.iter();
    own.filter_map(|(name, value)| Some((name.strip_prefix(prefix)?, value)))
        .filter(|(name, _)| !DIFFER.contains(name))
        .map(|(name, value)| (name.to_owned(), value.clone()))
        .collect()
}

#[cfg(test)]
mod tests;
