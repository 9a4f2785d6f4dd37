//! A suspended tenant isn't served: new requests are refused and open ones end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::listed::Listed;
use super::open::Open;
use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::{Decided, Fact, Life};

/// No request of a suspended tenant passes a router that has applied the suspension. None passes any
/// router once the suspension is older than the longest time for which a router may use an old
/// registry. The tenant's open requests end in a bounded time: the router reports it, and the client
/// gets nothing more.
#[derive(Debug)]
pub struct Suspended {
    settings: SettingsInForce,
    streams_within: Duration,
    delivery_max: Duration,
    suspended: Listed<String>,
    /// When each router applied the suspension of each tenant.
    known: BTreeMap<Life, BTreeMap<String, Duration>>,
    /// The tenants of allowed requests that haven't ended, by router and request id.
    open: Open<String>,
    /// The router that forwarded each request, by tag.
    passed: BTreeMap<String, Life>,
    /// The tenant that a client acts for, by tag.
    tenants: BTreeMap<String, String>,
}

impl Suspended {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            streams_within: bounds.streams_within,
            delivery_max: bounds.delivery_max,
            suspended: Listed::new(),
            known: BTreeMap::new(),
            open: Open::new(),
            passed: BTreeMap::new(),
            tenants: BTreeMap::new(),
        }
    }

    fn applied(&mut self, at: Duration, life: &Life, version: u64) {
        let none = BTreeSet::new();
        let suspended = self.suspended.in_version(version).unwrap_or(&none);
        let known = self.known.entry(life.clone()).or_default();
        known.retain(|tenant, _| suspended.contains(tenant));
        for tenant in suspended {
            known.entry(tenant.clone()).or_insert(at);
        }
    }

    /// When a router applied the suspension of this tenant.
    fn knows_since(&self, life: &Life, tenant: &str) -> Option<Duration> {
        self.known.get(life)?.get(tenant).copied()
    }

    fn decided(&mut self, decided: &Decided) {
        if let (Some(_), Some(tenant)) = (&decided.cell, &decided.tenant) {
            let id = decided.request_id.clone();
            self.open.begins(decided.life.clone(), id, tenant.clone());
        }
    }

    /// Checks that no router leaves a request of a suspended tenant open for too long.
    fn check_open(&self, at: Duration) -> Result<(), String> {
        // Each fact asks, and most facts come while nobody is suspended.
        if self.known.values().all(BTreeMap::is_empty) {
            return Ok(());
        }
        for (life, id, tenant) in self.open.iter() {
            let since = self.knows_since(life, tenant);
            if let Some(since) = since.filter(|since| at > *since + self.streams_within) {
                let router = &life.router;
                return Err(format!(
                    "{router} still has request {id} of {tenant} open, but applied its suspension at {since:?}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that a client of a suspended tenant gets nothing more.
    fn check_streamed(&self, at: Duration, tag: &str) -> Result<(), String> {
        let (Some(life), Some(tenant)) = (self.passed.get(tag), self.tenants.get(tag)) else {
            return Ok(());
        };
        let since = self.knows_since(life, tenant);
        match since.filter(|since| at > *since + self.streams_within + self.delivery_max) {
            Some(since) => Err(format!(
                "{tag} still gets an answer from {}, which applied the suspension of {tenant} at {since:?}",
                life.router
            )),
            None => Ok(()),
        }
    }

    /// Checks that the tenant of a request that arrived wasn't suspended when its router decided.
    fn check_passed(&self, passed: &Passed<'_>) -> Result<(), String> {
        let (tag, tenant) = (&passed.sent.tag, &passed.sent.tenant);
        let (life, decided_at) = (&passed.decided.life, passed.decided_at);
        let known = self.knows_since(life, tenant);
        if known.is_some_and(|known| known < decided_at) {
            let router = &life.router;
            return Err(format!(
                "{router} forwarded {tag}, but had applied the suspension of {tenant}"
            ));
        }
        let (settings, router) = (&self.settings, &life.router);
        let since = self
            .suspended
            .known_everywhere(tenant, settings, router, decided_at);
        match since {
            Some(since) => Err(format!(
                "{router} forwarded {tag}, but {tenant} has been suspended since {since:?}"
            )),
            None => Ok(()),
        }
    }
}

impl Invariant for Suspended {
    fn name(&self) -> &'static str {
        "suspended"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.open.observe(fact);
        match fact {
            Fact::Published(said) => self.suspended.published(at, said.version, &said.suspended),
            Fact::RegistryApplied { life, version } => self.applied(at, life, *version),
            Fact::Decided(decided) => self.decided(decided),
            Fact::Streamed { tag } => self.check_streamed(at, tag)?,
            _ => {}
        }
        self.check_open(at)
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let sent = passed.sent;
        if sent.anonymous {
            return Ok(());
        }
        let life = passed.decided.life.clone();
        self.passed.insert(sent.tag.clone(), life);
        self.tenants.insert(sent.tag.clone(), sent.tenant.clone());
        self.check_passed(passed)
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        self.check_open(at)
    }
}

#[cfg(test)]
mod tests;
