//! Revoked credentials are no longer accepted.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::listed::Listed;
use super::open::Open;
use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::{Fact, Life};

/// No token and no certificate of a revoked subject passes a router that has applied the revocation.
/// None passes any router once the revocation is older than the longest time for which a router may
/// use an old registry. This includes cached tokens. A subject's open requests end in a bounded time
/// after a router has applied its revocation.
#[derive(Debug)]
pub struct Revoked {
    settings: SettingsInForce,
    revoked: Listed<Subject>,
    /// The version that each router applied last, and when.
    applied: BTreeMap<Life, (Duration, u64)>,
    streams_within: Duration,
    /// The subjects of requests that are open, by router and its id.
    open: Open<Subject>,
    /// When each router applied the revocation of a subject.
    known: BTreeMap<(Life, Subject), Duration>,
}

/// A tenant, and who acts for it.
type Subject = (String, String);

impl Revoked {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            revoked: Listed::new(),
            applied: BTreeMap::new(),
            streams_within: bounds.streams_within,
            open: Open::new(),
            known: BTreeMap::new(),
        }
    }

    fn applied(&mut self, at: Duration, life: &Life, version: u64) {
        self.applied.insert(life.clone(), (at, version));
        let none = BTreeSet::new();
        let revoked = self.revoked.in_version(version).unwrap_or(&none);
        self.known
            .retain(|(of, subject), _| of != life || revoked.contains(subject));
        for subject in revoked {
            let key = (life.clone(), subject.clone());
            self.known.entry(key).or_insert(at);
        }
    }

    /// Checks that no router leaves a request of a revoked subject open for too long.
    fn check_open(&self, at: Duration) -> Result<(), String> {
        // Each fact asks, and most facts come while nobody is revoked.
        if self.known.is_empty() {
            return Ok(());
        }
        for (life, id, subject) in self.open.iter() {
            let since = self.known.get(&(life.clone(), subject.clone()));
            if let Some(since) = since.filter(|since| at > **since + self.streams_within) {
                return Err(format!(
                    "{} still has request {id} of {} open, but applied its revocation at {since:?}",
                    life.router, subject.1
                ));
            }
        }
        Ok(())
    }

    /// Whether a router has applied, before this moment, a version that revokes this subject.
    fn knows(&self, life: &Life, subject: &Subject, at: Duration) -> bool {
        let applied = self.applied.get(life).filter(|(since, _)| *since < at);
        let revoked = applied.and_then(|(_, version)| self.revoked.in_version(*version));
        revoked.is_some_and(|revoked| revoked.contains(subject))
    }
}

impl Invariant for Revoked {
    fn name(&self) -> &'static str {
        "revoked"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.open.observe(fact);
        match fact {
            Fact::Published(said) => self.revoked.published(at, said.version, &said.revoked),
            Fact::RegistryApplied { life, version } => self.applied(at, life, *version),
            _ => {}
        }
        self.check_open(at)
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        // A client without a token or a certificate has no subject.
        if passed.sent.anonymous || passed.sent.routing_key.is_some() {
            return Ok(());
        }
        let (tag, life) = (&passed.sent.tag, &passed.decided.life);
        let subject = (passed.sent.tenant.clone(), passed.sent.client.clone());
        let (decided_at, id) = (passed.decided_at, passed.decided.request_id.clone());
        self.open.begins(life.clone(), id, subject.clone());
        if self.knows(life, &subject, decided_at) {
            return Err(format!(
                "{} forwarded {tag}, but had applied the revocation of {}",
                life.router, subject.1
            ));
        }
        let (settings, router) = (&self.settings, &life.router);
        let since = self
            .revoked
            .known_everywhere(&subject, settings, router, decided_at);
        match since {
            Some(since) => Err(format!(
                "{} forwarded {tag}, but {} has been revoked since {since:?}",
                life.router, subject.1
            )),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
