//! Combines the reports of client, router and cell about one request.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::fact::{Arrived, Decided, Fact, FailedOver, Sent};

/// Remembers requests, to give all that is known about each when it arrives at a cell.
#[derive(Debug)]
pub(super) struct Journal {
    prefix: String,
    sent: BTreeMap<String, Arc<Sent>>,
    /// When the client certificate expires, by tag. The last one counts, because a request may be sent
    /// again over another connection.
    certificates: BTreeMap<String, Option<Duration>>,
    /// Kept after the answer, because the network may deliver a request late.
    decided: BTreeMap<String, (Duration, Arc<Decided>)>,
    /// The requests that went to another cell, by the router's id.
    failed_over: BTreeMap<String, FailedOver>,
}

/// A request that a router forwarded and a cell received.
pub(super) struct Passed<'a> {
    pub(super) sent: &'a Sent,
    /// Since the Unix epoch; `None` without a certificate that expires during the run.
    pub(super) certificate_expires: Option<Duration>,
    /// Since the start.
    pub(super) decided_at: Duration,
    /// With the cell to which the request went last.
    pub(super) decided: &'a Decided,
    /// Set if its router sent it to another cell than its placement assigns.
    pub(super) failed_over: Option<&'a FailedOver>,
    pub(super) arrived: &'a Arrived,
}

impl Journal {
    /// With this prefix of the router's own headers.
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            sent: BTreeMap::new(),
            certificates: BTreeMap::new(),
            decided: BTreeMap::new(),
            failed_over: BTreeMap::new(),
        }
    }

    /// Takes the next fact; returns the request if it arrives at a cell. `None` also for a request
    /// that no client sent or no router decided: `assigned_cell` reports that.
    pub(super) fn passed<'a>(&'a mut self, at: Duration, fact: &'a Fact) -> Option<Passed<'a>> {
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

    /// Whether the request of this tag was sent through an Envoy.
    pub(super) fn is_via(&self, tag: Option<&str>) -> bool {
        let sent = tag.and_then(|tag| self.sent.get(tag));
        sent.is_some_and(|sent| sent.via.is_some())
    }

    fn find<'a>(&'a self, arrived: &'a Arrived) -> Option<Passed<'a>> {
        let tag = arrived.tag.as_ref()?;
        let id = arrived.header(&format!("{}request-id", self.prefix))?;
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
