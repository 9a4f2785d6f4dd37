//! Active health checks: which endpoint is probed when, and what the results say.
//!
//! Each endpoint is probed at intervals with jitter, one probe at a time. A few successes or
//! failures in a row change the verdict; the first success counts at once. The probes themselves are
//! the driver's work. At most [`PROBES_MAX`] run at a time, and those that are due longest come
//! first.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use crate::cell::{Cell, CellState, Endpoint, EndpointId};
use crate::mix::mix;
use crate::registry::Registry;
use crate::text::Text;
use crate::time::Mono;

/// The most probes that run at a time.
pub const PROBES_MAX: usize = 64;

/// How the endpoints of some cells are probed.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CheckSettings {
    /// The cells. None: all that no check before this one names.
    pub cells: Vec<Text>,
    /// What is asked.
    pub kind: CheckKind,
    /// The time from a probe's end to the next.
    pub interval: Duration,
    /// The most time that a probe may take, from connecting to the end of the answer.
    pub timeout: Duration,
    /// By how much of the interval a probe comes earlier or later, in percent.
    pub jitter_percent: u8,
    /// Successes in a row that make an unhealthy endpoint healthy.
    pub healthy_threshold: u32,
    /// Failures in a row that make an endpoint unhealthy.
    pub unhealthy_threshold: u32,
}

impl Default for CheckSettings {
    /// All cells by TCP, every 10 s within 2 s, 10 % of jitter, healthy after 2, unhealthy after 3.
    fn default() -> Self {
        Self {
            cells: Vec::new(),
            kind: CheckKind::Tcp,
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(2),
            jitter_percent: 10,
            healthy_threshold: 2,
            unhealthy_threshold: 3,
        }
    }
}

/// What a probe asks.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum CheckKind {
    /// A GET request.
    Http {
        /// The path and query.
        path: Box<str>,
        /// The host to ask for. `None`: that of the endpoint's URL.
        host: Option<Box<str>>,
        /// The statuses of a healthy endpoint.
        statuses: Vec<u16>,
    },
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc {
        /// The service to ask about. Empty: the whole server.
        service: Box<str>,
        /// The host to ask for. `None`: that of the endpoint's URL.
        host: Option<Box<str>>,
    },
    /// A TCP connection, and nothing more.
    Tcp,
}

impl CheckKind {
    /// The name in configurations.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Http { .. } => "http",
            Self::Grpc { .. } => "grpc",
            Self::Tcp => "tcp",
        }
    }
}

/// Identifies one probe. It is never reused.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct ProbeId(u64);

/// A probe that the driver has to make.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Probe {
    /// The id to report the result with.
    pub id: ProbeId,
    /// The endpoint's cell.
    pub cell: Text,
    /// The endpoint.
    pub endpoint: Endpoint,
    /// What to ask, and how long it may take.
    pub check: Arc<CheckSettings>,
}

/// Why a probe failed.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ProbeFailure {
    /// No connection, or the TLS handshake failed.
    Unreachable,
    /// The endpoint's certificate isn't trusted, or lacks its SAN.
    Untrusted,
    /// The probe took too long.
    Timeout,
    /// The connection ended before the answer.
    Reset,
    /// The answer isn't what the protocol allows.
    Protocol,
    /// The answer has another status than expected.
    Status(u16),
    /// The gRPC service answers that it doesn't serve, or with this gRPC status.
    NotServing(Option<u8>),
}

impl ProbeFailure {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Untrusted => "untrusted",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Protocol => "protocol",
            Self::Status(_) => "status",
            Self::NotServing(_) => "not_serving",
        }
    }
}

impl fmt::Display for ProbeFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable => f.write_str("no connection could be made"),
            Self::Untrusted => f.write_str("the certificate isn't trusted or lacks the SAN"),
            Self::Timeout => f.write_str("the check took too long"),
            Self::Reset => f.write_str("the connection ended before the answer"),
            Self::Protocol => f.write_str("the answer isn't valid in its protocol"),
            Self::Status(status) => write!(f, "the status is {status}"),
            Self::NotServing(None) => f.write_str("the service says that it doesn't serve"),
            Self::NotServing(Some(status)) => write!(f, "the gRPC status is {status}"),
        }
    }
}

/// What the probes of an endpoint say.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// Nothing yet. It is used.
    Unknown,
    /// Nothing yet, and it was added to a cell with other endpoints. It is used only if none of
    /// those is usable.
    Pending,
    /// Its checks succeed.
    Healthy,
    /// Its checks fail.
    Unhealthy,
}

impl Verdict {
    /// The name on pages for operators.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::Pending => "pending",
            Self::Healthy => "healthy",
            Self::Unhealthy => "unhealthy",
        }
    }
}

/// The checks of one endpoint, as operators see them.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CheckState {
    /// What is asked: [`CheckKind::as_str`].
    pub kind: &'static str,
    /// What the checks say.
    pub verdict: Verdict,
    /// Results in a row that speak against the verdict.
    pub row: u32,
    /// The last result, and how long ago it came. `None` before the first.
    pub last: Option<(Duration, Result<(), ProbeFailure>)>,
}

/// A verdict that has changed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Changed {
    pub(super) endpoint: EndpointId,
    /// `None`: it is healthy now.
    pub(super) failure: Option<ProbeFailure>,
    /// Whether operators have to know. They needn't hear of the first success.
    pub(super) is_news: bool,
}

/// All checks of one router.
#[derive(Debug)]
pub(super) struct Checks {
    /// Spreads the probes of several routers.
    seed: u64,
    next_id: u64,
    /// One for each endpoint that is checked.
    known: BTreeMap<EndpointId, Checked>,
    /// Those with this verdict. Kept, because the view is made of them after each change, and a fleet
    /// has many endpoints that are well.
    unhealthy: BTreeSet<EndpointId>,
    pending: BTreeSet<EndpointId>,
    /// Endpoints without a probe in flight, and when their next one is due.
    due: BTreeSet<(Mono, EndpointId)>,
    in_flight: BTreeMap<ProbeId, EndpointId>,
    probes: VecDeque<ProbeId>,
}

#[derive(Debug)]
struct Checked {
    cell: Text,
    endpoint: Endpoint,
    check: Arc<CheckSettings>,
    verdict: Verdict,
    /// Results in a row that speak against the verdict.
    row: u32,
    /// The last result, and when it came.
    last: Option<(Mono, Result<(), ProbeFailure>)>,
    step: Step,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Step {
    Waiting(Mono),
    Probing(ProbeId),
}

impl Checks {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            seed,
            next_id: 0,
            known: BTreeMap::new(),
            unhealthy: BTreeSet::new(),
            pending: BTreeSet::new(),
            due: BTreeSet::new(),
            in_flight: BTreeMap::new(),
            probes: VecDeque::new(),
        }
    }

    /// Takes the endpoints of a registry. Endpoints that are gone, or that no check names any more,
    /// are forgotten. Those with another check than before start afresh. `is_added` says which ones
    /// were added to a cell with other endpoints.
    pub(super) fn handle_endpoints(
        &mut self,
        now: Mono,
        registry: &Registry,
        checks: &[Arc<CheckSettings>],
        is_added: impl Fn(EndpointId) -> bool,
    ) {
        self.take_back(now);
        let mut before = std::mem::take(&mut self.known);
        self.due.clear();
        for cell in registry.cells().iter().filter(|cell| is_checked(cell)) {
            let names = |check: &&Arc<CheckSettings>| {
                check.cells.is_empty() || check.cells.contains(&cell.id)
            };
            let Some(check) = checks.iter().find(names) else {
                continue;
            };
            for endpoint in &cell.endpoints {
                let kept = before.remove(&endpoint.id);
                let kept = kept.filter(|kept| kept.check == *check);
                let checked = kept.unwrap_or_else(|| Checked {
                    cell: cell.id.clone(),
                    endpoint: endpoint.clone(),
                    check: Arc::clone(check),
                    verdict: match is_added(endpoint.id) {
                        true => Verdict::Pending,
                        false => Verdict::Unknown,
                    },
                    row: 0,
                    last: None,
                    step: Step::Waiting(now),
                });
                if let Step::Waiting(at) = checked.step {
                    self.due.insert((at, endpoint.id));
                }
                self.known.insert(endpoint.id, checked);
            }
        }
        let with = |verdict| {
            let known = self.known.iter();
            let with = known.filter(move |(_, checked)| checked.verdict == verdict);
            with.map(|(id, _)| *id).collect()
        };
        (self.unhealthy, self.pending) = (with(Verdict::Unhealthy), with(Verdict::Pending));
        self.start_due(now);
    }

    /// Makes the probes due again that the driver hasn't taken yet. Their endpoints may be gone soon,
    /// and a probe that is never made would hold its place for ever.
    fn take_back(&mut self, now: Mono) {
        for id in self.probes.drain(..) {
            let endpoint = self.in_flight.remove(&id);
            let checked = endpoint.and_then(|endpoint| self.known.get_mut(&endpoint));
            if let Some(checked) = checked.filter(|checked| checked.step == Step::Probing(id)) {
                checked.step = Step::Waiting(now);
            }
        }
    }

    /// Takes the result of a probe. Results of probes of endpoints that have started afresh since
    /// are ignored.
    pub(super) fn handle_probed(
        &mut self,
        now: Mono,
        id: ProbeId,
        result: Result<(), ProbeFailure>,
    ) -> Option<Changed> {
        let endpoint = self.in_flight.remove(&id)?;
        let changed = match self.known.get_mut(&endpoint) {
            Some(checked) if checked.step == Step::Probing(id) => {
                let at = now.after(jittered(&checked.check, self.seed ^ id.0));
                checked.step = Step::Waiting(at);
                checked.last = Some((now, result));
                self.due.insert((at, endpoint));
                let changed = checked.count(result);
                changed.map(|is_news| {
                    self.pending.remove(&endpoint);
                    match result {
                        Ok(()) => self.unhealthy.remove(&endpoint),
                        Err(_) => self.unhealthy.insert(endpoint),
                    };
                    Changed {
                        endpoint,
                        failure: result.err(),
                        is_news,
                    }
                })
            }
            Some(_) | None => None,
        };
        self.start_due(now);
        changed
    }

    pub(super) fn handle_timeout(&mut self, now: Mono) {
        self.start_due(now);
    }

    pub(super) fn poll_output(&mut self) -> Option<Probe> {
        let id = self.probes.pop_front()?;
        let checked = self.known.get(self.in_flight.get(&id)?)?;
        Some(Probe {
            id,
            cell: checked.cell.clone(),
            endpoint: checked.endpoint.clone(),
            check: Arc::clone(&checked.check),
        })
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        // When a probe ends, its result starts the next one.
        let has_room = self.in_flight.len() < PROBES_MAX;
        let (at, _) = self.due.first().filter(|_| has_room)?;
        Some(*at)
    }

    /// What is known from the checks of this endpoint. `None` if it isn't checked.
    pub(super) fn state(&self, now: Mono, endpoint: EndpointId) -> Option<CheckState> {
        let checked = self.known.get(&endpoint)?;
        Some(CheckState {
            kind: checked.check.kind.as_str(),
            verdict: checked.verdict,
            row: checked.row,
            last: checked.last.map(|(at, result)| (now.since(at), result)),
        })
    }

    /// The endpoints whose checks fail, in order.
    pub(super) fn unhealthy(&self) -> &BTreeSet<EndpointId> {
        &self.unhealthy
    }

    /// The endpoints that were added to a cell with others and have no result yet, in order.
    pub(super) fn pending(&self) -> &BTreeSet<EndpointId> {
        &self.pending
    }

    fn start_due(&mut self, now: Mono) {
        while self.in_flight.len() < PROBES_MAX
            && let Some((at, endpoint)) = self.due.first().copied()
            && at <= now
        {
            self.due.pop_first();
            let Some(checked) = self.known.get_mut(&endpoint) else {
                continue;
            };
            let id = ProbeId(self.next_id);
            self.next_id += 1;
            checked.step = Step::Probing(id);
            self.in_flight.insert(id, endpoint);
            self.probes.push_back(id);
        }
    }
}

impl Checked {
    /// Counts a result. If it changes the verdict, says whether operators have to know.
    fn count(&mut self, result: Result<(), ProbeFailure>) -> Option<bool> {
        let (to, threshold) = match (result, self.verdict) {
            (Ok(()), Verdict::Healthy) | (Err(_), Verdict::Unhealthy) => {
                self.row = 0;
                return None;
            }
            (Ok(()), Verdict::Unknown | Verdict::Pending) => (Verdict::Healthy, 1),
            (Ok(()), Verdict::Unhealthy) => (Verdict::Healthy, self.check.healthy_threshold),
            (Err(_), Verdict::Unknown | Verdict::Pending | Verdict::Healthy) => {
                (Verdict::Unhealthy, self.check.unhealthy_threshold)
            }
        };
        self.row = self.row.saturating_add(1);
        if self.row < threshold {
            return None;
        }
        let was_unhealthy = self.verdict == Verdict::Unhealthy;
        (self.verdict, self.row) = (to, 0);
        Some(was_unhealthy || to == Verdict::Unhealthy)
    }
}

/// Whether the cell's endpoints are probed: those of cells that take traffic, or may soon again.
fn is_checked(cell: &Cell) -> bool {
    match cell.state {
        CellState::Active | CellState::Draining | CellState::Quarantined => true,
        CellState::Provisioning | CellState::Retired => false,
    }
}

/// The interval, made shorter or longer by a part that depends on `random`.
fn jittered(check: &CheckSettings, random: u64) -> Duration {
    let most = check.interval.as_nanos() * u128::from(check.jitter_percent.min(100)) / 100;
    let part = (most * 2).saturating_mul(u128::from(mix(random) >> 32)) >> 32;
    let nanos = check.interval.as_nanos().saturating_sub(most) + part;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}
