//! Clients whose authority is no longer trusted aren't served: new requests are refused and open ones end.

use std::collections::BTreeMap;
use std::time::Duration;

use super::open::Open;
use super::{Bounds, Invariant, Passed, SettingsInForce};
use crate::fact::{Fact, Life};

/// Once a router must have read that an authority of clients isn't trusted any more, no request passes
/// that came with a certificate of this authority. Requests with one that are open then end in a bounded
/// time: the router reports it, and the client gets nothing more.
#[derive(Debug)]
pub struct ClientTrust {
    settings: SettingsInForce,
    stuck: Vec<(String, Duration, Duration)>,
    streams_within: Duration,
    delivery_max: Duration,
    /// When the disks changed, and the first authority that is trusted since then.
    changes: Vec<(Duration, usize)>,
    /// The authority that issued the certificate of a request's connection, by tag.
    issued_by: BTreeMap<String, usize>,
    /// The tags of the requests that arrived and haven't ended, by router and request id.
    open: Open<String>,
    /// The router that forwarded each request, by tag.
    passed: BTreeMap<String, Life>,
}

impl ClientTrust {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            stuck: bounds.reloads_stuck.clone(),
            streams_within: bounds.streams_within,
            delivery_max: bounds.delivery_max,
            changes: Vec::new(),
            issued_by: BTreeMap::new(),
            open: Open::new(),
            passed: BTreeMap::new(),
        }
    }

    /// Since when a router must know that the certificate of this request isn't trusted. `None` if it is,
    /// or if the router may not have been able to read the change.
    fn untrusted_since(&self, at: Duration, router: &str, tag: &str) -> Option<Duration> {
        let authority = self.issued_by.get(tag)?;
        let mut changes = self.changes.iter();
        let (changed, _) = changes.find(|(_, first)| authority < first)?;
        let since = self.settings.read_by(router, *changed);
        let mut stuck = self.stuck.iter();
        let is_stuck = stuck.any(|(name, begin, end)| {
            let [from, until] = [*begin, self.settings.read_by(router, *end)];
            name == router && from <= at && *changed <= until
        });
        (!is_stuck).then_some(since)
    }

    /// Checks that its router still trusted the certificate of a request when it decided.
    fn check_passed(&self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let (tag, router) = (&passed.sent.tag, &passed.decided.life.router);
        let since = self.untrusted_since(at, router, tag);
        match since.filter(|since| *since < passed.decided_at) {
            Some(since) => Err(format!(
                "{router} forwarded {tag}, but must not trust its certificate since {since:?}"
            )),
            None => Ok(()),
        }
    }

    /// Checks that no router leaves a request of such a client open for too long.
    fn check_open(&self, at: Duration) -> Result<(), String> {
        // Each fact asks, and most facts come while all authorities are trusted.
        if self.changes.is_empty() {
            return Ok(());
        }
        for (Life { router, .. }, id, tag) in self.open.iter() {
            let since = self.untrusted_since(at, router, tag);
            if let Some(since) = since.filter(|since| at > *since + self.streams_within) {
                return Err(format!(
                    "{router} still has {tag} open as {id}, but must not trust its certificate since \
                     {since:?}"
                ));
            }
        }
        Ok(())
    }

    /// Checks that such a client gets nothing more.
    fn check_streamed(&self, at: Duration, tag: &str) -> Result<(), String> {
        let Some(Life { router, .. }) = self.passed.get(tag) else {
            return Ok(());
        };
        let late = self.streams_within + self.delivery_max;
        let since = self.untrusted_since(at, router, tag);
        match since.filter(|since| at > *since + late) {
            Some(since) => Err(format!(
                "{tag} still gets an answer from {router}, which must not trust its certificate since \
                 {since:?}"
            )),
            None => Ok(()),
        }
    }
}

impl Invariant for ClientTrust {
    fn name(&self) -> &'static str {
        "client_trust"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.open.observe(fact);
        match fact {
            Fact::ClientTrustChanged(first) => self.changes.push((at, *first)),
            Fact::Presented { tag, authority, .. } => {
                self.issued_by.insert(tag.clone(), *authority);
            }
            Fact::Streamed { tag } => self.check_streamed(at, tag)?,
            _ => {}
        }
        self.check_open(at)
    }

    fn arrived(&mut self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let (tag, decided) = (&passed.sent.tag, passed.decided);
        self.passed.insert(tag.clone(), decided.life.clone());
        self.check_passed(at, passed)?;
        let (life, id) = (decided.life.clone(), decided.request_id.clone());
        self.open.begins(life, id, tag.clone());
        // It may have been on its way for so long that it should have ended already.
        self.check_open(at)
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        self.check_open(at)
    }
}

#[cfg(test)]
mod tests;
