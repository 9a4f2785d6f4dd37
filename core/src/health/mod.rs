//! Passive outlier detection: endpoints that keep failing are ejected for a while.
//!
//! An endpoint is ejected after [`HealthTiming::consecutive_failures`] failures in a row, and
//! returns by timer, on probation: the next failure ejects it for twice as long, up to
//! [`HealthTiming::ejection_max`]; as many successes in a row clear its record.
//!
//! Never more than [`HealthTiming::ejected_percent_max`] of a cell's endpoints are ejected at once.
//! This is the panic threshold too: if half of a cell fails, the cause is probably not its
//! endpoints, and the other half must not get all the load. So a cell with one endpoint never loses
//! it. Ejection never makes a cell unreachable and never moves a request to another cell.
//!
//! An endpoint keeps its record across registry versions, because its [`EndpointId`] stays the
//! same.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use crate::cell::{Cell, Endpoint, EndpointId};
use crate::registry::Registry;
use crate::text::Text;
use crate::time::{Mono, Now};

/// Which endpoints are ejected, as decisions see it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// Grows with every change.
    epoch: u64,
    /// In order.
    ejected: Vec<EndpointId>,
}

impl Health {
    /// Grows with every change.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Whether the endpoint is ejected.
    pub fn is_ejected(&self, endpoint: EndpointId) -> bool {
        self.ejected.binary_search(&endpoint).is_ok()
    }

    /// All ejected endpoints, in order.
    pub fn ejected(&self) -> &[EndpointId] {
        &self.ejected
    }
}

/// The result of one exchange with an endpoint, as far as the endpoint caused it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It answered, and not with a gateway error.
    Success,
    /// No connection, or the TLS handshake failed.
    ConnectFailed,
    /// A connect, TLS or response header timeout.
    TimedOut,
    /// The connection broke before the answer was complete.
    Reset,
    /// It answered 502, 503 or 504.
    ServerError,
}

/// When endpoints are ejected, and for how long.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct HealthTiming {
    /// Failures in a row that eject an endpoint.
    pub consecutive_failures: u32,
    /// How long the first ejection lasts; it doubles with each that follows.
    pub ejection_min: Duration,
    /// The longest ejection.
    pub ejection_max: Duration,
    /// The most endpoints of one cell that are ejected at once, in percent, rounded down.
    pub ejected_percent_max: u8,
}

impl Default for HealthTiming {
    /// 5 failures, 10 s, 5 minutes, half of the endpoints.
    fn default() -> Self {
        Self {
            consecutive_failures: 5,
            ejection_min: Duration::from_secs(10),
            ejection_max: Duration::from_secs(300),
            ejected_percent_max: 50,
        }
    }
}

/// What happened to an endpoint.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HealthNotice {
    /// It is ejected now.
    Ejected {
        /// Its cell.
        cell: Text,
        /// The endpoint's ID in this process.
        endpoint: EndpointId,
        /// Its URL.
        url: Box<str>,
        /// For how long.
        duration: Duration,
        /// What the last failure was.
        last: Outcome,
    },
    /// It takes traffic again.
    Returned {
        /// Its cell.
        cell: Text,
        /// The endpoint's ID in this process.
        endpoint: EndpointId,
        /// Its URL.
        url: Box<str>,
    },
}

/// Why the state machine wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthWake {
    /// An endpoint returns.
    Return,
}

/// The state machine behind [`Health`].
///
/// Remembers only endpoints that have failed recently, so healthy endpoints need no memory.
#[derive(Debug)]
pub struct HealthControl {
    timing: HealthTiming,
    registry: Option<Arc<Registry>>,
    /// At most one for each endpoint of the registry.
    records: BTreeMap<EndpointId, FailureRecord>,
    view: Arc<Health>,
    /// One for each endpoint that changed at the last input.
    notices: VecDeque<HealthNotice>,
}

/// The record of an endpoint that has failed recently.
#[derive(Clone, Copy, Debug, Default)]
struct FailureRecord {
    /// Consecutive failures.
    failures: u32,
    /// Consecutive successes since the last ejection.
    successes: u32,
    /// How often it was ejected since it last recovered.
    ejections: u32,
    /// It is ejected until then.
    until: Option<Mono>,
}

impl HealthControl {
    /// Starts with no failures.
    pub fn new(timing: HealthTiming) -> Self {
        Self {
            timing,
            registry: None,
            records: BTreeMap::new(),
            view: Arc::default(),
            notices: VecDeque::new(),
        }
    }

    /// Takes a new registry. Removed endpoints are forgotten. If a cell has become so small that
    /// too many of its endpoints are ejected, those with the shortest ejection return.
    pub fn handle_registry(&mut self, registry: &Arc<Registry>) {
        if (self.registry.as_ref()).is_some_and(|current| Arc::ptr_eq(current, registry)) {
            return;
        }
        self.records
            .retain(|id, _| registry.endpoint(*id).is_some());
        self.registry = Some(Arc::clone(registry));
        for cell in registry.cells() {
            let mut ejected: Vec<_> = self.ejected(cell).collect();
            ejected.sort_unstable();
            let excess = ejected.len().saturating_sub(self.ejected_max(cell));
            for (_, id) in ejected.into_iter().take(excess) {
                self.return_to_traffic(id);
            }
        }
        self.refresh_view();
    }

    /// Takes the outcome of an exchange. Outcomes of ejected endpoints, and of those that the
    /// registry doesn't have, are ignored.
    pub fn handle_outcome(&mut self, now: Now, endpoint: EndpointId, outcome: Outcome) {
        let Some(registry) = self.registry.clone() else {
            return;
        };
        let Some((cell, it)) = registry.endpoint(endpoint) else {
            return;
        };
        match outcome {
            Outcome::Success => self.succeeded(endpoint),
            Outcome::ConnectFailed | Outcome::TimedOut | Outcome::Reset | Outcome::ServerError => {
                self.failed(now, cell, it, outcome)
            }
        }
    }

    /// Returns the endpoints whose time has come.
    pub fn handle_timeout(&mut self, now: Now) {
        let due = |record: &FailureRecord| record.until.is_some_and(|until| until <= now.mono);
        let due: Vec<_> = (self.records.iter())
            .filter(|(_, record)| due(record))
            .map(|(id, _)| *id)
            .collect();
        for &id in &due {
            self.return_to_traffic(id);
        }
        if !due.is_empty() {
            self.refresh_view();
        }
    }

    /// The next notice. If there is one, the view has changed.
    pub fn poll_output(&mut self) -> Option<HealthNotice> {
        self.notices.pop_front()
    }

    /// When to call [`HealthControl::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Mono, HealthWake)> {
        let until = self.records.values().filter_map(|record| record.until);
        until.min().map(|at| (at, HealthWake::Return))
    }

    /// The view for decisions.
    pub fn view(&self) -> &Arc<Health> {
        &self.view
    }

    fn succeeded(&mut self, endpoint: EndpointId) {
        let Some(record) = self.records.get_mut(&endpoint) else {
            return;
        };
        if record.until.is_some() {
            return;
        }
        record.failures = 0;
        record.successes = record.successes.saturating_add(1);
        if record.ejections == 0 || record.successes >= self.timing.consecutive_failures {
            self.records.remove(&endpoint);
        }
    }

    fn failed(&mut self, now: Now, cell: &Cell, endpoint: &Endpoint, outcome: Outcome) {
        let may_eject = self.ejected(cell).count() < self.ejected_max(cell);
        let record = self.records.entry(endpoint.id).or_default();
        if record.until.is_some() {
            return;
        }
        record.successes = 0;
        record.failures = record.failures.saturating_add(1);
        if record.failures < self.timing.consecutive_failures || !may_eject {
            return;
        }
        let doublings = record.ejections.min(31);
        let duration = self.timing.ejection_min.saturating_mul(1 << doublings);
        let duration = duration.min(self.timing.ejection_max);
        record.ejections = record.ejections.saturating_add(1);
        record.until = Some(now.mono.after(duration));
        debug_assert!(
            self.ejected(cell).count() <= self.ejected_max(cell),
            "no more of a cell's endpoints are ejected than may be"
        );
        self.notices.push_back(HealthNotice::Ejected {
            cell: cell.id.clone(),
            endpoint: endpoint.id,
            url: endpoint.url.as_str().into(),
            duration,
            last: outcome,
        });
        self.refresh_view();
    }

    /// Returns an endpoint to traffic, on probation: one failure ejects it again, for longer.
    fn return_to_traffic(&mut self, id: EndpointId) {
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        debug_assert!(record.until.is_some(), "only an ejected endpoint returns");
        record.until = None;
        record.successes = 0;
        record.failures = self.timing.consecutive_failures.saturating_sub(1);
        let known = self.registry.as_ref().and_then(|it| it.endpoint(id));
        if let Some((cell, endpoint)) = known {
            self.notices.push_back(HealthNotice::Returned {
                cell: cell.id.clone(),
                endpoint: id,
                url: endpoint.url.as_str().into(),
            });
        }
    }

    /// The ejected endpoints of a cell, and until when they are ejected.
    fn ejected(&self, cell: &Cell) -> impl Iterator<Item = (Mono, EndpointId)> {
        let until = |id| self.records.get(&id)?.until.map(|until| (until, id));
        (cell.endpoints.iter()).filter_map(move |endpoint| until(endpoint.id))
    }

    fn ejected_max(&self, cell: &Cell) -> usize {
        let percent = usize::from(self.timing.ejected_percent_max.min(100));
        cell.endpoints.len() * percent / 100
    }

    fn refresh_view(&mut self) {
        let ejected = (self.records.iter()).filter(|(_, record)| record.until.is_some());
        let ejected: Vec<_> = ejected.map(|(id, _)| *id).collect();
        if ejected != self.view.ejected {
            let epoch = self.view.epoch + 1;
            self.view = Arc::new(Health { epoch, ejected });
        }
    }
}

#[cfg(test)]
mod tests;
