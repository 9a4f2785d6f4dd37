//! `[upstream]`: how cells are reached, and their limits.

use std::time::Duration;

use cellway_core::adaptive_limit::AdaptiveSettings;
use cellway_core::health::{FailingAnswers, HealthSettings};

use super::{KeyPair, Pem};

/// How cells are reached: `[upstream]`.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// The CAs of the cells' certificates. `None`: `https` endpoints can't be reached.
    pub bundle: Option<Pem>,
    /// The router's client certificate, shown to cells that ask.
    pub identity: Option<KeyPair>,
    /// How long cells may take.
    pub timeouts: CellTimeouts,
    /// How many connections and requests one cell may have.
    pub limits: CellLimits,
    /// The interval of pings on an HTTP/2 connection with open requests while nothing comes from
    /// the cell. `None`: never. At least [`KEEPALIVE_MIN`].
    pub keepalive: Option<Duration>,
    /// How long a connection is used before a new one replaces it. For the new one, the endpoint's
    /// name is resolved again.
    pub connection_age: Duration,
    /// How many requests may be sent again, in percent of the requests that the cell answers, plus
    /// [`RETRIES_RESERVE`](crate::RETRIES_RESERVE). 0: none.
    pub retry_percent: u8,
    /// The limits of cells' answers.
    pub answers: AnswerLimits,
    /// When endpoints are ejected, and how they come back.
    pub health: HealthSettings,
    /// Which answers count as failures of an endpoint.
    pub failing_answers: FailingAnswers,
    /// When an endpoint gets no requests for a while.
    pub breaker: BreakerSettings,
}

impl Default for UpstreamSettings {
    fn default() -> Self {
        Self {
            bundle: None,
            identity: None,
            timeouts: CellTimeouts::default(),
            limits: CellLimits::default(),
            keepalive: None,
            connection_age: Duration::from_secs(300),
            retry_percent: 20,
            answers: AnswerLimits::default(),
            health: HealthSettings {
                slow_start: SLOW_START_DEFAULT,
                ..HealthSettings::default()
            },
            failing_answers: FailingAnswers::default(),
            breaker: BreakerSettings::default(),
        }
    }
}

/// How long the share of an endpoint grows after it has come back, by default.
const SLOW_START_DEFAULT: Duration = Duration::from_secs(10);

/// The circuit breaker of each endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerSettings {
    /// Connection failures in a row that open it. 0: it never opens.
    pub failures: u32,
    /// How long it stays open before one request may try the endpoint.
    pub open: Duration,
}

impl Default for BreakerSettings {
    fn default() -> Self {
        Self {
            failures: 5,
            open: Duration::from_secs(5),
        }
    }
}

/// The shortest interval of HTTP/2 pings to a cell. It is the shortest that gRPC clients may use
/// (gRFC A8). By default, gRPC servers allow one ping in five minutes. They answer the third early
/// one with GOAWAY, which ends every stream of the connection.
pub const KEEPALIVE_MIN: Duration = Duration::from_secs(10);

/// How long cells may take. Each has its own reason in a 504.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellTimeouts {
    /// The time limit for the TCP connection, including name resolution: `cell_timeout_connect`.
    pub connect: Duration,
    /// The time limit for the TLS handshake: `cell_timeout_tls`.
    pub tls: Duration,
    /// The time limit from the request's last byte to the answer's header: `cell_timeout_header`.
    pub header: Duration,
    /// How long nothing may move in either direction of a body: `cell_timeout_idle`. Streams such
    /// as gRPC watches can be quiet for minutes, so the default is Envoy's `stream_idle_timeout`.
    pub idle: Duration,
    /// The time limit for the whole exchange: `cell_timeout_total`. `None`: streams may stay open
    /// forever.
    pub total: Option<Duration>,
    /// How long a request may try a cell's other endpoints after one couldn't be reached.
    pub failover: Duration,
    /// How long an unused connection is kept.
    pub keep: Duration,
}

impl Default for CellTimeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(2),
            tls: Duration::from_secs(3),
            header: Duration::from_secs(30),
            idle: Duration::from_secs(300),
            total: None,
            failover: Duration::from_secs(10),
            keep: Duration::from_secs(60),
        }
    }
}

/// How many connections and requests one cell may have, over all workers. A cell in trouble can't
/// take what the other cells need.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellLimits {
    /// The most connections to all its endpoints.
    pub connections_max: usize,
    /// The most requests in flight. More wait, and then are refused as `overloaded`.
    pub requests_max: usize,
    /// The most requests that wait for a place. 0: none wait.
    pub queue_max: usize,
    /// How long they wait.
    pub queue_timeout: Duration,
    /// Lets fewer requests pass than `requests_max` while the cell's answers take longer than usual.
    /// `None`: off.
    pub adaptive: Option<AdaptiveSettings>,
    /// The shares of both limits for a connection, caller or tenant.
    pub shares: CellShares,
}

/// The share of a cell's limits that one holder may have while no other has any, in percent. 100
/// means all of them. A holder may have less when fewer places are free.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellShares {
    /// One client connection.
    pub connection: u8,
    /// One subject of a tenant, or one client address if no caller was verified.
    pub caller: u8,
    /// One tenant. All requests without a verified tenant count together as one.
    pub tenant: u8,
}

impl Default for CellShares {
    /// Each share leaves room: a connection for its caller's other connections, a caller for its
    /// tenant's other callers, a tenant for other tenants.
    fn default() -> Self {
        Self {
            connection: 50,
            caller: 60,
            tenant: 80,
        }
    }
}

impl Default for CellLimits {
    fn default() -> Self {
        Self {
            connections_max: 1024,
            requests_max: 4096,
            queue_max: 1024,
            queue_timeout: Duration::from_secs(1),
            adaptive: None,
            shares: CellShares::default(),
        }
    }
}

/// The limits of the header and the trailers of a cell's answer. An answer over them is refused or
/// cut as `cell_protocol_error`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct AnswerLimits {
    /// The most bytes. In HTTP/2: names, values and 32 for each field (RFC 9113, section 6.5.2). In
    /// HTTP/1.1: as received. At most [`HEADER_BYTES_MAX`](Self::HEADER_BYTES_MAX).
    pub header_bytes_max: u32,
    /// The most fields. At most [`HEADER_FIELDS_MAX`](Self::HEADER_FIELDS_MAX).
    pub header_fields_max: u32,
}

impl AnswerLimits {
    /// The largest allowed `header_bytes_max`.
    pub const HEADER_BYTES_MAX: u32 = 256 * 1024;
    /// The largest allowed `header_fields_max`.
    pub const HEADER_FIELDS_MAX: u32 = 1024;
}

impl Default for AnswerLimits {
    /// The same limits as for requests.
    fn default() -> Self {
        Self {
            header_bytes_max: 64 * 1024,
            header_fields_max: 100,
        }
    }
}
