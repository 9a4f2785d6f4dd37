//! `[upstream]`: connections to cells, and what the router does when endpoints fail.

use serde::Deserialize;

/// `[upstream]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct UpstreamTable {
    /// PEM file: the CAs of the cells' certificates. Needed for `https` endpoints.
    pub bundle: Option<String>,
    /// PEM file: the router's client certificate, shown to cells that ask.
    pub certificate: Option<String>,
    /// PEM file: its key.
    pub key: Option<String>,
    /// The time limit for the TCP connection, including name resolution, in milliseconds.
    pub connect_timeout_ms: Option<u64>,
    /// The time limit for the TLS handshake, in milliseconds.
    pub tls_timeout_ms: Option<u64>,
    /// The time limit from the request's last byte to the answer's header, in milliseconds.
    pub header_timeout_ms: Option<u64>,
    /// How long nothing may move in either direction of a body, in milliseconds.
    pub idle_timeout_ms: Option<u64>,
    /// The time limit for the whole exchange, in milliseconds. Absent: streams may stay open
    /// forever.
    pub total_timeout_ms: Option<u64>,
    /// How long a request may try a cell's other endpoints after one couldn't be reached, in
    /// milliseconds.
    pub failover_timeout_ms: Option<u64>,
    /// How many requests that a cell didn't process may be sent again, in percent of the requests
    /// that it answers. 0: none.
    pub retry_percent: Option<u8>,
    /// How long an unused connection is kept, in milliseconds.
    pub keep_ms: Option<u64>,
    /// How long a connection is used before a new one replaces it, in milliseconds. For the new
    /// one, the endpoint's name is resolved again.
    pub connection_age_ms: Option<u64>,
    /// The interval of pings on an HTTP/2 connection with open requests while nothing comes from
    /// the cell, in milliseconds. Absent: never.
    pub keepalive_ms: Option<u64>,
    /// The most connections to all endpoints of one cell.
    pub connections_max: Option<u64>,
    /// The most requests in flight to one cell.
    pub requests_max: Option<u64>,
    /// The most requests that wait for a place at one cell. 0: none wait.
    pub queue_max: Option<u64>,
    /// How long they wait, in milliseconds.
    pub queue_timeout_ms: Option<u64>,
    /// The most bytes in the header of a cell's answer, and in its trailers.
    pub answer_header_bytes_max: Option<u64>,
    /// The most fields in the header of a cell's answer, and in its trailers.
    pub answer_header_fields_max: Option<u64>,
    /// The share of both limits that one client connection may take while no other has any, in
    /// percent.
    pub connection_share_percent: Option<u8>,
    /// The same for one caller: a subject, or an address if no caller was verified.
    pub caller_share_percent: Option<u8>,
    /// The same for one tenant, and for all requests without a verified tenant together.
    pub tenant_share_percent: Option<u8>,
    /// What happens if a cell has too few usable endpoints.
    pub when_all_ejected: Option<WhenAllEjectedWord>,
    /// `panic`: all endpoints are used if fewer than this percentage of a cell's is usable.
    pub panic_threshold_percent: Option<u8>,
    /// How long the share of an endpoint grows after it has come back, in seconds. 0: not at all.
    pub slow_start_secs: Option<u64>,
    /// `[upstream.outlier]`
    pub outlier: OutlierTable,
    /// `[upstream.breaker]`
    pub breaker: BreakerTable,
    /// `[upstream.adaptive_limit]`
    pub adaptive_limit: AdaptiveLimitTable,
    /// `[[upstream.health_check]]`
    pub health_check: Vec<HealthCheckTable>,
}

/// What happens if a cell has too few usable endpoints.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhenAllEjectedWord {
    /// All its endpoints are used.
    #[default]
    Panic,
    /// Its requests are refused.
    Fail,
}

/// `[upstream.outlier]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutlierTable {
    /// How many failures in a row to connect, to keep the connection or to answer in time eject an
    /// endpoint. 0: they never do.
    pub connection_failures: Option<u32>,
    /// How many failing answers in a row eject an endpoint. 0: they never do.
    pub answer_failures: Option<u32>,
    /// Which statuses are failing answers.
    pub statuses: Option<Vec<u16>>,
    /// Which gRPC statuses are failing answers, in answers without messages.
    pub grpc_statuses: Option<Vec<u8>>,
    /// How long the first ejection lasts, in seconds.
    pub ejection_secs: Option<u64>,
    /// How much longer each following ejection lasts.
    pub ejection_factor: Option<u32>,
    /// The longest ejection, in seconds.
    pub ejection_max_secs: Option<u64>,
    /// The most endpoints of one cell that are ejected at once, in percent.
    pub ejected_percent_max: Option<u8>,
}

/// `[upstream.adaptive_limit]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AdaptiveLimitTable {
    /// Whether a cell gets fewer requests while its answers take longer than usual.
    pub enabled: bool,
    /// The fewest requests that a cell may have at once, and the number while its usual time is
    /// measured.
    pub requests_min: Option<u32>,
    /// How much longer than usual answers may take before the limit shrinks, in percent.
    pub tolerance_percent: Option<u32>,
    /// How often the limit changes, in milliseconds.
    pub window_ms: Option<u64>,
    /// The usual time is measured again when the limit has held requests back for this long, in
    /// seconds.
    pub remeasure_secs: Option<u64>,
}

/// `[upstream.breaker]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BreakerTable {
    /// How many failures in a row to connect, to keep the connection or to answer in time open the
    /// breaker of an endpoint. 0: it never opens.
    pub failures: Option<u32>,
    /// How long it stays open before one request may try the endpoint, in milliseconds.
    pub open_ms: Option<u64>,
}

/// `[[upstream.health_check]]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthCheckTable {
    /// What is asked.
    pub kind: CheckWord,
    /// The cells whose endpoints are checked. Absent: all that no check before this one names.
    pub cells: Option<Vec<String>>,
    /// `http`: the path.
    pub path: Option<String>,
    /// `http`, `grpc`: the host to ask for. Absent: that of the endpoint's URL.
    pub host: Option<String>,
    /// `http`: the statuses of a healthy endpoint.
    pub statuses: Option<Vec<u16>>,
    /// `grpc`: the service to ask about. Absent: the whole server.
    pub service: Option<String>,
    /// The time from a check's end to the next, in milliseconds.
    pub interval_ms: Option<u64>,
    /// The most time that a check may take, in milliseconds.
    pub timeout_ms: Option<u64>,
    /// By how much of the interval a check comes earlier or later, in percent.
    pub jitter_percent: Option<u8>,
    /// Successes in a row that make an unhealthy endpoint healthy.
    pub healthy_threshold: Option<u32>,
    /// Failures in a row that make an endpoint unhealthy.
    pub unhealthy_threshold: Option<u32>,
}

/// What a health check asks.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckWord {
    /// A GET request.
    Http,
    /// A call of `grpc.health.v1.Health/Check`.
    Grpc,
    /// A TCP connection.
    Tcp,
}
