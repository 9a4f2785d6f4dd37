//! `[[traffic]]`: how the requests of a listener or a route are forwarded.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::upgrade::Upgrades;
use serde::Deserialize;

use super::{CellTimeouts, RateRule};

/// One `[[traffic]]`. A listener names one for its requests, and a route may name another.
///
/// It is to forwarding what a policy is to callers. What it leaves out is as `[upstream]` says.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TrafficSettings {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// Replaces [`CellTimeouts::header`].
    pub header_timeout: Option<Duration>,
    /// Replaces [`CellTimeouts::idle`].
    pub idle_timeout: Option<Duration>,
    /// Replaces [`CellTimeouts::total`].
    pub total_timeout: TotalTimeout,
    /// How long one attempt may take from the request's last byte to the answer's header, before an
    /// idempotent request is sent to another endpoint. `None`: it waits for the header timeout, and so
    /// does an attempt that no other can follow.
    pub try_timeout: Option<Duration>,
    /// The statuses of answers after which an idempotent request is sent to another endpoint.
    pub retry_statuses: Vec<u16>,
    /// Whether an idempotent request is sent to another endpoint after the cell has closed the connection or
    /// reset the stream before the first byte of an answer.
    pub retry_resets: bool,
    /// How long the first attempt of a safe request without a body may take before a second one goes to
    /// another endpoint. `None`: there is no second one before the first is over.
    pub hedge_after: Option<Duration>,
    /// The most bytes of a request's body: 413 `body_too_large`. `None`: no limit.
    pub body_bytes_max: Option<u64>,
    /// Its rate limits, at most one for each [`RateScope`](super::RateScope).
    pub rates: Vec<RateRule>,
    /// Whether allowed requests' answers say how much of a rate limit is left.
    pub rate_fields: bool,
    /// Which requests get a place first at a cell that is at its limit.
    pub priority: Priority,
    /// The protocols that clients may switch to.
    pub upgrades: Upgrades,
    /// Whether a connection that has switched ends when the token expires that allowed it.
    pub upgrades_end_with_token: bool,
}

/// Which requests get a place first at a cell that is at its limit.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Priority {
    /// In turn with other tenants.
    #[default]
    Normal,
    /// Before the others, most of the time, and with room of its own in the queue. For probes that
    /// must be answered in an overload too.
    High,
}

impl Priority {
    /// All priorities.
    pub const ALL: &'static [Self] = &[Self::Normal, Self::High];
}

/// The time limit for a whole exchange.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TotalTimeout {
    /// The same as `[upstream]` says.
    #[default]
    Upstream,
    /// No limit.
    Off,
    /// This long.
    After(Duration),
}

impl TrafficSettings {
    /// The name that listeners use if they name none.
    pub const DEFAULT: &'static str = "default";

    /// Whether clients over HTTP/2 may be told that an extended CONNECT works (RFC 8441).
    pub(crate) fn takes_upgrades(&self) -> bool {
        !self.upgrades.is_empty()
    }

    /// Whether idempotent requests may be sent again although a cell may have processed them.
    pub fn retries_processed(&self) -> bool {
        self.try_timeout.is_some() || !self.retry_statuses.is_empty() || self.retry_resets
    }

    /// The time limits of a request. `upstream` has those that this table doesn't replace.
    pub fn timeouts(&self, upstream: &CellTimeouts) -> CellTimeouts {
        CellTimeouts {
            header: self.header_timeout.unwrap_or(upstream.header),
            idle: self.idle_timeout.unwrap_or(upstream.idle),
            total: match self.total_timeout {
                TotalTimeout::Upstream => upstream.total,
                TotalTimeout::Off => None,
                TotalTimeout::After(limit) => Some(limit),
            },
            ..*upstream
        }
    }
}

impl Default for TrafficSettings {
    /// Nothing differs from `[upstream]`.
    fn default() -> Self {
        Self {
            name: Self::DEFAULT.into(),
            header_timeout: None,
            idle_timeout: None,
            total_timeout: TotalTimeout::Upstream,
            try_timeout: None,
            retry_statuses: Vec::new(),
            retry_resets: false,
            hedge_after: None,
            body_bytes_max: None,
            rates: Vec::new(),
            rate_fields: false,
            priority: Priority::Normal,
            upgrades: Upgrades::default(),
            upgrades_end_with_token: false,
        }
    }
}
