//! The health of endpoints: outlier detection, active checks and slow start.
//!
//! **Outlier detection** is passive: workers report how exchanges went. An endpoint is ejected after
//! [`OutlierSettings::connection_failures`] or [`OutlierSettings::answer_failures`] failures of that
//! kind in a row. It returns by timer, on probation: the next failure ejects it again, for longer, up
//! to [`OutlierSettings::ejection_max`]. An ejection is forgotten once the endpoint has taken
//! traffic for as long as it lasted.
//!
//! Never more than [`OutlierSettings::ejected_percent_max`] of a cell's endpoints are ejected at
//! once: if half of a cell fails, the cause is probably not its endpoints, and the other half must
//! not get all the load. So by default a cell with one endpoint never loses it. If a cell has too few
//! usable endpoints all the same, [`WhenAllEjected`] decides. Only `failover` moves
//! requests to another cell.
//!
//! **Active checks** probe endpoints at intervals, if [`HealthSettings::checks`] has any. An endpoint
//! is usable if it isn't ejected and its checks don't fail. Before its first check it counts as
//! usable, unless it was added to a cell that has other usable endpoints. A good check doesn't end an
//! ejection: requests have failed where the check succeeds.
//!
//! **Slow start**: an endpoint that comes back (also from an open circuit breaker, which the workers
//! have), or that a new registry adds to a cell, begins with a
//! small share of the cell's requests, which grows over [`HealthSettings::slow_start`].
//!
//! An endpoint keeps its record across registry versions, because its [`EndpointId`] stays the
//! same.

mod answers;
mod checks;
mod outlier;
mod report;
mod settings;
#[cfg(test)]
mod tests;
mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

pub use self::answers::FailingAnswers;
use self::checks::{Changed, Checks};
pub use self::checks::{
    CheckKind, CheckSettings, CheckState, PROBES_MAX, Probe, ProbeFailure, ProbeId, Verdict,
};
use self::outlier::Record;
pub use self::report::EndpointHealth;
pub use self::settings::{HealthSettings, OutlierSettings, WhenAllEjected};
pub use self::view::Health;
use crate::cell::{Cell, Endpoint, EndpointId};
use crate::registry::Registry;
use crate::text::Text;
use crate::time::{Mono, Now};

/// The result of one exchange with an endpoint, as far as the endpoint caused it.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Outcome {
    /// It answered, and [`FailingAnswers`] doesn't list the answer.
    Success,
    /// The same, and it is the first answer after the router had sent it no requests for a while.
    Recovered,
    /// No connection, or the TLS handshake failed.
    ConnectFailed,
    /// A connect, TLS or response header timeout.
    TimedOut,
    /// The connection broke before the answer was complete.
    Reset,
    /// It answered, and [`FailingAnswers`] lists the answer.
    AnswerFailed,
    /// It said that it did not process the request (`REFUSED_STREAM`, `GOAWAY`).
    Refused,
    /// It ended the stream of this request, and the connection works (`RST_STREAM`).
    StreamReset,
}

impl Outcome {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Recovered => "recovered",
            Self::ConnectFailed => "connect_failed",
            Self::TimedOut => "timed_out",
            Self::Reset => "reset",
            Self::AnswerFailed => "answer_failed",
            Self::Refused => "refused",
            Self::StreamReset => "stream_reset",
        }
    }

    /// What kind of failure it is. `None` if it is none.
    pub const fn cause(self) -> Option<Cause> {
        match self {
            Self::Success | Self::Recovered => None,
            Self::ConnectFailed | Self::TimedOut | Self::Reset => Some(Cause::Connection),
            Self::AnswerFailed | Self::Refused | Self::StreamReset => Some(Cause::Answer),
        }
    }
}

/// The kinds of failures, which are counted apart.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Cause {
    /// The endpoint couldn't be reached, broke the connection or took too long.
    Connection,
    /// The endpoint answered that it or something behind it fails.
    Answer,
}

impl Cause {
    /// All causes.
    pub const ALL: &'static [Self] = &[Self::Connection, Self::Answer];

    /// The name in metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Answer => "answer",
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
    /// Its checks fail.
    Unhealthy {
        /// Its cell.
        cell: Text,
        /// The endpoint's ID in this process.
        endpoint: EndpointId,
        /// Its URL.
        url: Box<str>,
        /// How the last one failed.
        why: ProbeFailure,
    },
    /// Its checks succeed again.
    Healthy {
        /// Its cell.
        cell: Text,
        /// The endpoint's ID in this process.
        endpoint: EndpointId,
        /// Its URL.
        url: Box<str>,
    },
}

/// What the driver of [`HealthControl`] has to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum HealthAction {
    /// Make this probe and call [`HealthControl::handle_probed`] with the result.
    Probe(Probe),
    /// Report this.
    Notice(HealthNotice),
}

/// Why the state machine wants to be woken.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum HealthWake {
    /// An endpoint returns.
    Return,
    /// An endpoint's slow start is over.
    Warm,
    /// An endpoint's next check is due.
    Probe,
}

/// The state machine behind [`Health`].
///
/// Outlier detection remembers only endpoints that have failed. Checks and slow start remember those
/// that they are about.
#[derive(Debug)]
pub struct HealthControl {
    settings: HealthSettings,
    registry: Option<Arc<Registry>>,
    /// At most one for each endpoint of the registry.
    records: BTreeMap<EndpointId, Record>,
    checks: Checks,
    /// Endpoints in their slow start, and when it began.
    warming: BTreeMap<EndpointId, Mono>,
    view: Arc<Health>,
    /// One for each endpoint that changed at the last input.
    notices: VecDeque<HealthNotice>,
}

impl HealthControl {
    /// Starts with no failures. `seed` spreads the probes of several routers.
    pub fn new(settings: HealthSettings, seed: u64) -> Self {
        let mut control = Self {
            settings,
            registry: None,
            records: BTreeMap::new(),
            checks: Checks::new(seed),
            warming: BTreeMap::new(),
            view: Arc::default(),
            notices: VecDeque::new(),
        };
        control.refresh_view(Mono::default());
        control
    }

    /// Takes new settings. Failures and ejections so far stay, and so does what is known from checks
    /// that have not changed.
    pub fn handle_settings(&mut self, now: Now, settings: HealthSettings) {
        if self.settings != settings {
            self.settings = settings;
            self.return_excess(now);
            if let Some(registry) = self.registry.clone() {
                let checks = &self.settings.checks;
                (self.checks).handle_endpoints(now.mono, &registry, checks, |_| false);
            }
            self.refresh_view(now.mono);
        }
    }

    /// Takes a new registry. Removed endpoints are forgotten, and endpoints that are new in their
    /// cell begin with a slow start. If a cell has become so small that too many of its endpoints
    /// are ejected, those with the shortest ejection return.
    pub fn handle_registry(&mut self, now: Now, registry: &Arc<Registry>) {
        if (self.registry.as_ref()).is_some_and(|current| Arc::ptr_eq(current, registry)) {
            return;
        }
        let is_known = |id: &EndpointId| registry.endpoint(*id).is_some();
        self.records.retain(|id, _| is_known(id));
        self.warming.retain(|id, _| is_known(id));
        let before = self.registry.replace(Arc::clone(registry));
        let added = before.map_or_else(BTreeSet::new, |before| added(&before, registry));
        self.warming.extend(added.iter().map(|id| (*id, now.mono)));
        let checks = &self.settings.checks;
        (self.checks).handle_endpoints(now.mono, registry, checks, |id| added.contains(&id));
        self.return_excess(now);
        self.refresh_view(now.mono);
    }

    /// Takes the outcome of an exchange. Outcomes of endpoints that the registry doesn't have are
    /// ignored. Those of ejected ones only say whether they return on probation.
    pub fn handle_outcome(&mut self, now: Now, endpoint: EndpointId, outcome: Outcome) {
        let Some(registry) = self.registry.clone() else {
            return;
        };
        let Some((cell, it)) = registry.endpoint(endpoint) else {
            return;
        };
        match outcome.cause() {
            None => {
                self.succeeded(now, endpoint);
                if outcome == Outcome::Recovered && self.view.is_usable(endpoint) {
                    self.warming.insert(endpoint, now.mono);
                    self.refresh_view(now.mono);
                }
            }
            Some(cause) => self.failed(now, (cell, it), outcome, cause),
        }
    }

    /// Takes the result of [`HealthAction::Probe`]. Each probe has one, even if its endpoint is
    /// gone by now.
    pub fn handle_probed(&mut self, now: Now, id: ProbeId, result: Result<(), ProbeFailure>) {
        if let Some(changed) = self.checks.handle_probed(now.mono, id, result) {
            self.checked(changed);
            self.refresh_view(now.mono);
        }
    }

    /// Returns the endpoints whose time has come, and starts the probes that are due.
    pub fn handle_timeout(&mut self, now: Now) {
        let due = |record: &Record| {
            record
                .ejected_until()
                .is_some_and(|until| until <= now.mono)
        };
        let due: Vec<_> = (self.records.iter())
            .filter(|(_, record)| due(record))
            .map(|(id, _)| *id)
            .collect();
        for &id in &due {
            self.return_to_traffic(now, id);
        }
        self.checks.handle_timeout(now.mono);
        let slow_start = self.settings.slow_start;
        let is_warm = |since: &Mono| now.mono.since(*since) >= slow_start;
        // Mostly it is only a probe that is due.
        if !due.is_empty() || self.warming.values().any(is_warm) {
            self.refresh_view(now.mono);
        }
    }

    /// The next thing to do or to report.
    pub fn poll_output(&mut self) -> Option<HealthAction> {
        if let Some(notice) = self.notices.pop_front() {
            return Some(HealthAction::Notice(notice));
        }
        self.checks.poll_output().map(HealthAction::Probe)
    }

    /// When to call [`HealthControl::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Mono, HealthWake)> {
        let until = self.records.values().filter_map(Record::ejected_until);
        let returns = until.map(|at| (at, HealthWake::Return));
        let warm = self.warming.values();
        let warm = warm.map(|since| (since.after(self.settings.slow_start), HealthWake::Warm));
        let probe = self.checks.poll_timeout().map(|at| (at, HealthWake::Probe));
        returns.chain(warm).chain(probe).min_by_key(|(at, _)| *at)
    }

    /// The view for decisions.
    pub fn view(&self) -> &Arc<Health> {
        &self.view
    }

    fn succeeded(&mut self, now: Now, endpoint: EndpointId) {
        let Some(record) = self.records.get_mut(&endpoint) else {
            return;
        };
        if record.ejected_until().is_some() {
            record.tried(true);
        } else if record.succeeded(now.mono, &self.settings.outlier) {
            self.records.remove(&endpoint);
        }
    }

    fn failed(
        &mut self,
        now: Now,
        (cell, endpoint): (&Cell, &Endpoint),
        outcome: Outcome,
        cause: Cause,
    ) {
        let may_eject = self.ejected(cell).count() < self.ejected_max(cell);
        let settings = &self.settings.outlier;
        let record = self.records.entry(endpoint.id).or_default();
        if record.ejected_until().is_some() {
            record.tried(false);
            return;
        }
        if !record.failed(now.mono, cause, settings) || !may_eject {
            return;
        }
        let duration = record.eject(now.mono, settings);
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
        self.refresh_view(now.mono);
    }

    fn return_to_traffic(&mut self, now: Now, id: EndpointId) {
        let Some(record) = self.records.get_mut(&id) else {
            return;
        };
        record.returns(now.mono);
        let known = self.registry.as_ref().and_then(|it| it.endpoint(id));
        if let Some((cell, endpoint)) = known {
            self.notices.push_back(HealthNotice::Returned {
                cell: cell.id.clone(),
                endpoint: id,
                url: endpoint.url.as_str().into(),
            });
        }
    }

    /// Reports that checks have changed what is known of an endpoint.
    fn checked(&mut self, changed: Changed) {
        let Changed {
            endpoint,
            failure,
            is_news,
        } = changed;
        if !is_news {
            return;
        }
        let registry = self.registry.as_ref();
        let Some((cell, it)) = registry.and_then(|registry| registry.endpoint(endpoint)) else {
            return;
        };
        let (cell, url) = (cell.id.clone(), it.url.as_str().into());
        self.notices.push_back(match failure {
            Some(why) => HealthNotice::Unhealthy {
                cell,
                endpoint,
                url,
                why,
            },
            None => HealthNotice::Healthy {
                cell,
                endpoint,
                url,
            },
        });
    }

    /// Returns the endpoints that are ejected beyond what their cell allows.
    fn return_excess(&mut self, now: Now) {
        let Some(registry) = self.registry.clone() else {
            return;
        };
        for cell in registry.cells() {
            let mut ejected: Vec<_> = self.ejected(cell).collect();
            ejected.sort_unstable();
            let excess = ejected.len().saturating_sub(self.ejected_max(cell));
            for (_, id) in ejected.into_iter().take(excess) {
                self.return_to_traffic(now, id);
            }
        }
    }

    /// The ejected endpoints of a cell, and until when they are ejected.
    fn ejected(&self, cell: &Cell) -> impl Iterator<Item = (Mono, EndpointId)> {
        let until = |id| (self.records.get(&id)?.ejected_until()).map(|until| (until, id));
        (cell.endpoints.iter()).filter_map(move |endpoint| until(endpoint.id))
    }

    fn ejected_max(&self, cell: &Cell) -> usize {
        let percent = usize::from(self.settings.outlier.ejected_percent_max.min(100));
        cell.endpoints.len() * percent / 100
    }

    /// The endpoints that were added to a cell and have not been checked yet, if the cell has others
    /// that are usable.
    fn pending(&self, unusable: &BTreeSet<EndpointId>) -> Vec<EndpointId> {
        let pending = self.checks.pending();
        let is_usable = |id: EndpointId| !unusable.contains(&id) && !pending.contains(&id);
        let has_others = |id: EndpointId| {
            let known = self.registry.as_ref().and_then(|it| it.endpoint(id));
            known.is_some_and(|(cell, _)| cell.endpoints.iter().any(|it| is_usable(it.id)))
        };
        let pending = pending.iter().copied();
        pending.filter(|id| has_others(*id)).collect()
    }

    /// Makes the view that follows from the state. Endpoints that were not usable and are again
    /// begin their slow start.
    fn refresh_view(&mut self, now: Mono) {
        let slow_start = self.settings.slow_start;
        let is_ejected = |(_, record): &(_, &Record)| record.ejected_until().is_some();
        let ejected = self.records.iter().filter(is_ejected);
        let ejected: Vec<_> = ejected.map(|(id, _)| *id).collect();
        let unhealthy: Vec<_> = self.checks.unhealthy().iter().copied().collect();
        let mut unusable: BTreeSet<_> = ejected.iter().chain(&unhealthy).copied().collect();
        unusable.extend(self.pending(&unusable));
        let registry = self.registry.as_ref();
        let is_known = |id| registry.is_some_and(|it| it.endpoint(id).is_some());
        let back = self.view.unusable.iter().copied();
        let back = back.filter(|id| is_known(*id) && !unusable.contains(id));
        self.warming.extend(back.map(|id| (id, now)));
        self.warming
            .retain(|id, since| !unusable.contains(id) && now.since(*since) < slow_start);
        let view = Health {
            epoch: self.view.epoch,
            ejected,
            unhealthy,
            unusable: unusable.into_iter().collect(),
            warming: self.warming.iter().map(|(id, at)| (*id, *at)).collect(),
            slow_start,
            when_all_ejected: self.settings.when_all_ejected,
        };
        if view != *self.view {
            let epoch = view.epoch + 1;
            self.view = Arc::new(Health { epoch, ..view });
        }
    }
}

/// The endpoints that a registry adds to cells with other endpoints. In a new cell no endpoint has to
/// wait for another.
fn added(before: &Registry, registry: &Registry) -> BTreeSet<EndpointId> {
    let is_old = |id: EndpointId| before.endpoint(id).is_some();
    let grown = (registry.cells().iter())
        .filter(|cell| cell.endpoints.iter().any(|endpoint| is_old(endpoint.id)));
    let ids = grown.flat_map(|cell| cell.endpoints.iter().map(|endpoint| endpoint.id));
    ids.filter(|id| !is_old(*id)).collect()
}
