//! `[[traffic]]` and `[rate_limits]`: how requests are forwarded.

use serde::Deserialize;

use crate::settings::{Priority, RateScope};

/// One `[[traffic]]`. What is absent is as `[upstream]` says.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrafficTable {
    /// Its name in logs and metrics.
    pub name: String,
    /// The time limit from the request's last byte to the answer's header, in milliseconds.
    #[serde(default)]
    pub header_timeout_ms: Option<u64>,
    /// How long nothing may move in either direction of a body, in milliseconds.
    #[serde(default)]
    pub idle_timeout_ms: Option<u64>,
    /// The time limit for the whole exchange, in milliseconds. 0: none.
    #[serde(default)]
    pub total_timeout_ms: Option<u64>,
    /// The protocols that clients may switch to. Absent: WebSocket.
    #[serde(default)]
    pub upgrades: Option<Vec<String>>,
    /// Whether a connection that has switched ends with the token that allowed it.
    #[serde(default)]
    pub upgrades_end_with_token: bool,
    /// How long one attempt may take from the request's last byte to the answer's header, before an
    /// idempotent request is sent to another endpoint, in milliseconds. Absent: as long as
    /// `header_timeout_ms`.
    #[serde(default)]
    pub try_timeout_ms: Option<u64>,
    /// The statuses of answers after which an idempotent request is sent to another endpoint.
    #[serde(default)]
    pub retry_statuses: Option<Vec<u16>>,
    /// Whether an idempotent request is sent to another endpoint after an exchange that broke off before the
    /// first byte of an answer.
    #[serde(default)]
    pub retry_resets: bool,
    /// How long the first attempt of a safe request without a body may take for the answer's header,
    /// before a second one goes to another endpoint, in milliseconds. 0 or absent: never.
    #[serde(default)]
    pub hedge_after_ms: Option<u64>,
    /// The most bytes of a request's body. Absent: no limit.
    #[serde(default)]
    pub body_bytes_max: Option<u64>,
    /// Which requests get a place first at a cell that is at its limit. Absent: `normal`.
    #[serde(default)]
    pub priority: Priority,
    /// Rate limits, at most one for each value of `per`.
    #[serde(default)]
    pub rate_limit: Vec<RateLimitTable>,
    /// Whether the answers to allowed requests have the fields `RateLimit` and `RateLimit-Policy`.
    /// A 429 always has them.
    #[serde(default)]
    pub rate_limit_fields: bool,
}

/// One rate limit of a `[[traffic]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RateLimitTable {
    /// Which requests it counts together.
    pub per: RateScope,
    /// How many requests may come in each window.
    pub requests: u32,
    /// The window in seconds. Absent: 1.
    #[serde(default)]
    pub window_secs: Option<u32>,
    /// How many may come at once after a quiet time. Absent: `requests`.
    #[serde(default)]
    pub burst: Option<u32>,
    /// Whether it also applies to tenants and placements with a limit in the registry.
    #[serde(default)]
    pub always: bool,
}

/// `[rate_limits]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RateLimitsTable {
    /// How many routers share each limit. Absent: 1.
    pub shared_by: Option<u32>,
}
