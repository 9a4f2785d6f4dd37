//! Passive outlier detection: endpoints that keep failing rest for a while.
//!
//! An endpoint is ejected after [`HealthTiming::consecutive_failures`] failures in a row, and
//! returns by timer, on probation: the next failure ejects it for twice as long, up to
//! [`HealthTiming::ejection_max`]; as many successes in a row clear its record.
//!
//! Never more than [`HealthTiming::ejected_percent_max`] of a cell's endpoints rest at once. This
//! is the panic threshold too: when half of a cell fails, the fault is hardly its endpoints', and
//! the rest must not carry all the load. So a cell with one endpoint never loses it, and ejection
//! never makes a cell unreachable, nor moves a request to another cell.
//!
//! An endpoint keeps its record over registry versions by its [`EndpointId`].

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

    /// Whether the endpoint rests.
    pub fn is_ejected(&self, endpoint: EndpointId) -> bool {
        self.ejected.binary_search(&endpoint).is_ok()
    }

    /// All that rest, in order.
    pub fn ejected(&self) -> &[EndpointId] {
        &self.ejected
    }
}

/// How one exchange with an endpoint went, as far as the endpoint is to blame.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It answered, and not with a gateway error.
    Success,
    /// No connection, or the TLS handshake failed.
    ConnectFailed,
    /// A connect, TLS or response header timeout.
    TimedOut,
    /// The connection broke before the answer was whole.
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
    /// The most endpoints of one cell that rest at once, in percent, rounded down.
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
    /// It rests now.
    Ejected {
        /// Its cell.
        cell: Text,
        /// The endpoint's ID in this process.
        endpoint: EndpointId,
        /// Its URL.
        url: Box<str>,
        /// For how long.
        rest: Duration,
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

/// Why the health table wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthWake {
    /// An endpoint returns.
    Return,
}

/// The state machine behind [`Health`].
///
/// Remembers only endpoints that have failed of late: a registry's worth of healthy ones costs
/// nothing.
#[derive(Debug)]
pub struct HealthControl {
    timing: HealthTiming,
    registry: Option<Arc<Registry>>,
    /// Bounded by the registry's endpoints.
    troubled: BTreeMap<EndpointId, FailureRecord>,
    view: Arc<Health>,
    /// One for each endpoint that changed at the last input.
    notices: VecDeque<HealthNotice>,
}

/// An endpoint that has failed of late.
#[derive(Clone, Copy, Debug, Default)]
struct FailureRecord {
    /// In a row.
    failures: u32,
    /// In a row, since the last ejection.
    successes: u32,
    /// How often it was ejected since it was last well.
    ejections: u32,
    /// It rests until then.
    until: Option<Mono>,
}

impl HealthControl {
    /// With all endpoints well.
    pub fn new(timing: HealthTiming) -> Self {
        Self {
            timing,
            registry: None,
            troubled: BTreeMap::new(),
            view: Arc::default(),
            notices: VecDeque::new(),
        }
    }

    /// Takes a new registry: endpoints that are gone are forgotten, and where a cell has become
    /// so small that too many of it rest, those that rest the shortest return.
    pub fn handle_registry(&mut self, registry: &Arc<Registry>) {
        if (self.registry.as_ref()).is_some_and(|current| Arc::ptr_eq(current, registry)) {
            return;
        }
        self.troubled
            .retain(|id, _| registry.endpoint(*id).is_some());
        self.registry = Some(Arc::clone(registry));
        for cell in registry.cells() {
            let mut resting: Vec<_> = self.resting(cell).collect();
            resting.sort_unstable();
            let excess = resting.len().saturating_sub(self.resting_max(cell));
            for (_, id) in resting.into_iter().take(excess) {
                self.give_back(id);
            }
        }
        self.refresh_view();
    }

    /// Takes how an exchange went. Outcomes of endpoints that rest, or that the registry doesn't
    /// have, say nothing any more.
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
        let due = |trouble: &FailureRecord| trouble.until.is_some_and(|until| until <= now.mono);
        let due: Vec<_> = (self.troubled.iter())
            .filter(|(_, trouble)| due(trouble))
            .map(|(id, _)| *id)
            .collect();
        for &id in &due {
            self.give_back(id);
        }
        if !due.is_empty() {
            self.refresh_view();
        }
    }

    /// What happened since the last call. The view has changed if it gives anything.
    pub fn poll_output(&mut self) -> Option<HealthNotice> {
        self.notices.pop_front()
    }

    /// When to call [`HealthControl::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Mono, HealthWake)> {
        let until = self.troubled.values().filter_map(|trouble| trouble.until);
        until.min().map(|at| (at, HealthWake::Return))
    }

    /// The table for decisions.
    pub fn view(&self) -> &Arc<Health> {
        &self.view
    }

    fn succeeded(&mut self, endpoint: EndpointId) {
        let Some(trouble) = self.troubled.get_mut(&endpoint) else {
            return;
        };
        if trouble.until.is_some() {
            return;
        }
        trouble.failures = 0;
        trouble.successes = trouble.successes.saturating_add(1);
        if trouble.ejections == 0 || trouble.successes >= self.timing.consecutive_failures {
            self.troubled.remove(&endpoint);
        }
    }

    fn failed(&mut self, now: Now, cell: &Cell, endpoint: &Endpoint, outcome: Outcome) {
        let may_rest = self.resting(cell).count() < self.resting_max(cell);
        let trouble = self.troubled.entry(endpoint.id).or_default();
        if trouble.until.is_some() {
            return;
        }
        trouble.successes = 0;
        trouble.failures = trouble.failures.saturating_add(1);
        if trouble.failures < self.timing.consecutive_failures || !may_rest {
            return;
        }
        let doublings = trouble.ejections.min(31);
        let rest = self.timing.ejection_min.saturating_mul(1 << doublings);
        let rest = rest.min(self.timing.ejection_max);
        trouble.ejections = trouble.ejections.saturating_add(1);
        trouble.until = Some(now.mono.after(rest));
        debug_assert!(
            self.resting(cell).count() <= self.resting_max(cell),
            "no more of a cell's endpoints are ejected than may be"
        );
        self.notices.push_back(HealthNotice::Ejected {
            cell: cell.id.clone(),
            endpoint: endpoint.id,
            url: endpoint.url.as_str().into(),
            rest,
            last: outcome,
        });
        self.refresh_view();
    }

    /// Ends an endpoint's rest. It is on probation: one failure ejects it again, for longer.
    fn give_back(&mut self, id: EndpointId) {
        let Some(trouble) = self.troubled.get_mut(&id) else {
            return;
        };
        debug_assert!(trouble.until.is_some(), "only an ejected endpoint returns");
        trouble.until = None;
        trouble.successes = 0;
        trouble.failures = self.timing.consecutive_failures.saturating_sub(1);
        let known = self.registry.as_ref().and_then(|it| it.endpoint(id));
        if let Some((cell, endpoint)) = known {
            self.notices.push_back(HealthNotice::Returned {
                cell: cell.id.clone(),
                endpoint: id,
                url: endpoint.url.as_str().into(),
            });
        }
    }

    /// The endpoints of a cell that rest, and until when.
    fn resting(&self, cell: &Cell) -> impl Iterator<Item = (Mono, EndpointId)> {
        let until = |id| self.troubled.get(&id)?.until.map(|until| (until, id));
        (cell.endpoints.iter()).filter_map(move |endpoint| until(endpoint.id))
    }

    fn resting_max(&self, cell: &Cell) -> usize {
        let percent = usize::from(self.timing.ejected_percent_max.min(100));
        cell.endpoints.len() * percent / 100
    }

    fn refresh_view(&mut self) {
        let resting = (self.troubled.iter()).filter(|(_, trouble)| trouble.until.is_some());
        let ejected: Vec<_> = resting.map(|(id, _)| *id).collect();
        if ejected != self.view.ejected {
            let epoch = self.view.epoch + 1;
            self.view = Arc::new(Health { epoch, ejected });
        }
    }
}

#[cfg(test)]
mod tests;
