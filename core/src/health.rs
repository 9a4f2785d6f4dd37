//! Passive outlier detection: endpoints that keep failing rest for a while.

use std::sync::Arc;
use std::time::Duration;

use crate::registry::{EndpointId, Registry};
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
        /// Which.
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
        /// Which.
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
#[derive(Debug)]
pub struct HealthControl {
    timing: HealthTiming,
    view: Arc<Health>,
}

impl HealthControl {
    /// With all endpoints well.
    pub fn new(timing: HealthTiming) -> Self {
        Self {
            timing,
            view: Arc::default(),
        }
    }

    /// Takes a new registry: endpoints that are gone are forgotten.
    pub fn handle_registry(&mut self, now: Now, registry: &Arc<Registry>) {
        let _ = (now, registry, &self.timing);
    }

    /// Takes how an exchange went.
    pub fn handle_outcome(&mut self, now: Now, endpoint: EndpointId, outcome: Outcome) {
        let _ = (now, endpoint, outcome);
    }

    /// Returns the endpoints whose time has come.
    pub fn handle_timeout(&mut self, now: Now) {
        let _ = now;
    }

    /// What happened since the last call; the view has changed if anything did.
    pub fn poll(&mut self) -> Option<HealthNotice> {
        None
    }

    /// When to call [`HealthControl::handle_timeout`], and why.
    pub fn poll_timeout(&self) -> Option<(Mono, HealthWake)> {
        None
    }

    /// The table for decisions.
    pub fn view(&self) -> &Arc<Health> {
        &self.view
    }
}
