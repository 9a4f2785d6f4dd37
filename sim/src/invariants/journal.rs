//! Combines the reports of client, router and cell about one request, and tells the invariants.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::Invariant;
use crate::fact::{Arrived, Decided, Fact, FailedOver, Sent};

/// Remembers requests, to tell invariants all that is known about each when it arrives at a cell.
/// There is one for all invariants of a run, because each fact goes through it.
#[derive(Debug)]
pub(crate) struct Journal {
    /// The header with the router's id of a request.
    id_header: String,
    sent: BTreeMap<String, Arc<Sent>>,
    /// When the client certificate expires, by tag. The last one counts, because a request may be sent
    /// again over another connection.
    certificates: BTreeMap<String, Option<Duration>>,
    /// Kept after the answer, because the network may deliver a request late.
    decided: BTreeMap<String, (Duration, Arc<Decided>)>,
    /// The requests that went to another cell, by the router's id.
    failed_over: BTreeMap<String, FailedOver>,
}

/// A request that a router forwarded and a cell received: what client, router and cell report about it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Passed<'a> {
    /// What its client sent.
    pub sent: &'a Sent,
    /// When the client's certificate expires, since the Unix epoch. `None` without a certificate that
    /// expires during the run.
    pub certificate_expires: Option<Duration>,
    /// When its router decided, since the start.
    pub decided_at: Duration,
    /// What its router decided, with the cell to which the request went last.
    pub decided: &'a Decided,
    /// Set if its router sent it to another cell than its placement assigns.
    pub failed_over: Option<&'a FailedOver>,
    /// What the cell received.
    pub arrived: &'a Arrived,
}

impl Journal {
    /// With this prefix of the router's own headers.
    pub(crate) fn new(prefix: &str) -> Self {
        Self {
            id_header: format!("{prefix}request-id"),
            sent: BTreeMap::new(),
            certificates: BTreeMap::new(),
            decided: BTreeMap::new(),
            failed_over: BTreeMap::new(),
        }
    }

    /// Takes the next fact, at this time since the start, and tells it to the invariants. Returns what is
    /// wrong: the name of the invariant, and why.
    pub(crate) fn tell<'i, 'd: 'i>(
        &mut self,
        at: Duration,
        fact: &Fact,
        invariants: impl IntoIterator<Item = &'i mut (dyn Invariant + 'd)>,
    ) -> Vec<(&'static str, String)> {
        let passed = self.passed(at, fact);
        let mut wrong = Vec::new();
        for invariant in invariants {
            let observed = invariant.observe(at, fact);
            let checked = observed.and_then(|()| match &passed {
                Some(passed) => invariant.arrived(at, passed),
                None => Ok(()),
            });
            if let Err(why) = checked {
                wrong.push((invariant.name(), why));
            }
        }
        wrong
    }

    /// Takes the next fact; returns the request if it arrives at a cell. `None` also for a request
    /// that no client sent or no router decided: `assigned_cell` reports that.
    fn passed<'a>(&'a mut self, at: Duration, fact: &'a Fact) -> Option<Passed<'a>> {
        match fact {
            Fact::Sent(sent) => {
                self.sent.insert(sent.tag.clone(), sent.clone());
            }
            Fact::Presented {
                tag,
                certificate_expires,
                ..
            } => {
                self.certificates.insert(tag.clone(), *certificate_expires);
            }
            Fact::Decided(decided) => {
                let id = decided.request_id.clone();
                self.decided.insert(id, (at, decided.clone()));
            }
            Fact::FailedOver(failed_over) => {
                let id = failed_over.request_id.clone();
                if let Some((_, decided)) = self.decided.get_mut(&id) {
                    Arc::make_mut(decided).cell = Some(failed_over.cell.clone());
                }
                self.failed_over.insert(id, failed_over.clone());
            }
            Fact::Arrived(arrived) => return self.find(arrived),
            _ => {}
        }
        None
    }

    fn find<'a>(&'a self, arrived: &'a Arrived) -> Option<Passed<'a>> {
        let tag = arrived.tag.as_ref()?;
        let id = arrived.header(&self.id_header)?;
        let (decided_at, decided) = self.decided.get(id)?;
        Some(Passed {
            sent: self.sent.get(tag)?,
            certificate_expires: self.certificates.get(tag).copied().flatten(),
            decided_at: *decided_at,
            decided,
            failed_over: self.failed_over.get(id),
            arrived,
        })
    }
}
