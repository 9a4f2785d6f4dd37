//! The tables of the configuration file, as they are written there.
//!
//! Core declares the tables about identity and header names. Each field says what the setting means
//! and its unit. `docs/cellway.example.toml` shows all settings with their defaults.

use std::net::SocketAddr;

use cellway_core::headers::{Forwarded, HeaderSpec};
use cellway_core::policy::{CbaSpec, IssuerSpec, PolicySpec, TrustSpec};
use cellway_core::routing_key::RoutingKeySpec;
use serde::Deserialize;

use crate::settings::{EnvelopeForm, RateScope};
use crate::settings::{Level, SubjectForm};

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct File {
    /// `[[listener]]`: where requests come in. At least one.
    #[serde(default)]
    pub listener: Vec<ListenerTable>,
    /// `[[issuer]]`: issuers whose tokens are accepted.
    #[serde(default)]
    pub issuer: Vec<IssuerSpec>,
    /// `[[policy]]`: which credentials a listener asks for.
    #[serde(default)]
    pub policy: Vec<PolicySpec>,
    /// `[[traffic]]`: how requests are forwarded, if it differs between listeners or routes.
    #[serde(default)]
    pub traffic: Vec<TrafficTable>,
    /// `[rate_limits]`: what applies to all rate limits.
    #[serde(default)]
    pub rate_limits: RateLimitsTable,
    /// `[trust]`: which client certificates are trusted.
    #[serde(default)]
    pub trust: Option<TrustSpec>,
    /// `[registry]`: where cells, placements and tenants come from.
    pub registry: RegistryTable,
    /// `[upstream]`: connections to cells.
    #[serde(default)]
    pub upstream: UpstreamTable,
    /// `[fetch]`: connections to identity providers and the control plane.
    #[serde(default)]
    pub fetch: FetchTable,
    /// `[headers]`: the names of the router's own headers.
    #[serde(default)]
    pub headers: HeaderSpec,
    /// `[cba]`: authorizations of cells that call other cells.
    #[serde(default)]
    pub cba: CbaSpec,
    /// `[routing_key]`: who may set the header that names a request's tenant.
    #[serde(default)]
    pub routing_key: RoutingKeySpec,
    /// `[envelope]`: signed envelopes that prove to cells who the caller is. Absent: none.
    #[serde(default)]
    pub envelope: Option<EnvelopeTable>,
    /// `[state]`: where last-known-good documents are kept. Absent: they aren't kept.
    #[serde(default)]
    pub state: Option<StateTable>,
    /// `[admin]`: health and metrics. Absent: there is no admin listener.
    #[serde(default)]
    pub admin: Option<AdminTable>,
    /// `[health]`: health and metrics on any address. Absent: there is no health listener.
    #[serde(default)]
    pub health: Option<HealthTable>,
    /// `[runtime]`
    #[serde(default)]
    pub runtime: RuntimeTable,
    /// `[log]`
    #[serde(default)]
    pub log: LogTable,
    /// `[trace]`: W3C Trace Context. Absent: trace fields pass as they are.
    #[serde(default)]
    pub trace: Option<TraceTable>,
}

/// One `[[listener]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTable {
    /// Its name in logs and metrics.
    pub name: String,
    /// Address and port. Port 0 lets the system choose.
    pub bind: SocketAddr,
    /// The policy for its requests.
    #[serde(default = "default_policy")]
    pub policy: String,
    /// The `[[traffic]]` for its requests. Absent: the one named "default", if there is one.
    #[serde(default)]
    pub traffic: Option<String>,
    /// `[[listener.route]]`: what differs for some paths.
    #[serde(default)]
    pub route: Vec<RouteTable>,
    /// What it serves: requests, or questions of an Envoy.
    #[serde(default)]
    pub serves: ServesWord,
    /// Who may ask an `ext_authz` listener: a list of URI or DNS SANs, or `"loopback"`.
    #[serde(default)]
    pub callers: Option<CallersWord>,
    /// TLS. Absent: plain HTTP.
    #[serde(default)]
    pub tls: Option<ListenerTlsTable>,
    /// The peers whose connections start with a PROXY header.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocolTable>,
    /// What the router does with `X-Forwarded-For` and the like: `replace`, `append` or `keep`.
    #[serde(default)]
    pub forwarded: Forwarded,
    /// Adds headers to answers that tell the client how the request was routed.
    #[serde(default)]
    pub explain_headers: bool,
    /// Lets a plain listener bind other addresses than loopback.
    #[serde(default)]
    pub allow_plain: bool,
    /// The time limit for the TLS handshake, in milliseconds.
    #[serde(default)]
    pub handshake_timeout_ms: Option<u64>,
    /// The time limit from the connection's start (after TLS) to its first byte, in milliseconds.
    #[serde(default)]
    pub first_byte_timeout_ms: Option<u64>,
    /// The time limit from a request's first byte to the end of its header, in milliseconds.
    #[serde(default)]
    pub header_timeout_ms: Option<u64>,
    /// The time limit between two requests of one connection, in milliseconds.
    #[serde(default)]
    pub idle_timeout_ms: Option<u64>,
    /// How long a client may read nothing of an answer, in milliseconds.
    #[serde(default)]
    pub stall_timeout_ms: Option<u64>,
    /// The fewest bytes per second at which a client must read an answer. 0: no minimum.
    #[serde(default)]
    pub read_rate_min: Option<u32>,
    /// The fewest bytes per second at which a request's body must arrive. 0: no minimum.
    #[serde(default)]
    pub body_rate_min: Option<u32>,
    /// How long the router waits for a slower body, in milliseconds.
    #[serde(default)]
    pub body_grace_ms: Option<u64>,
    /// The most connections at a time, over all workers.
    #[serde(default)]
    pub connections_max: Option<u64>,
    /// The share of them that one client address may have while no other has any, in percent.
    #[serde(default)]
    pub address_share_percent: Option<u8>,
    /// The most concurrent HTTP/2 streams of one connection.
    #[serde(default)]
    pub streams_max: Option<u32>,
}

/// `proxy_protocol` of a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolTable {
    /// Addresses and ranges of the proxies. They must send a PROXY header. The router reads none
    /// from other peers.
    pub from: Vec<String>,
}

/// One `[[listener.route]]`. The first route that matches a request's path decides.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// A pattern: `/admin/**`.
    pub path: String,
    /// The policy for requests that match. Absent: the listener's.
    #[serde(default)]
    pub policy: Option<String>,
    /// The `[[traffic]]` for requests that match. Absent: the listener's.
    #[serde(default)]
    pub traffic: Option<String>,
}

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
    /// The most bytes of a request's body. Absent: no limit.
    #[serde(default)]
    pub body_bytes_max: Option<u64>,
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

/// The words of `serves`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServesWord {
    /// Requests that the router forwards to cells.
    #[default]
    Proxy,
    /// Authorization checks by an Envoy, which forwards the requests itself.
    ExtAuthz,
}

/// A list of SANs, or the word `loopback`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "one of: a list of URI or DNS SANs, \"loopback\""
)]
pub enum CallersWord {
    /// Callers with one of these SANs.
    Sans(Vec<Box<str>>),
    /// Everybody who reaches a loopback address.
    Word(Loopback),
}

/// The word `loopback`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Loopback {
    /// `"loopback"`
    Loopback,
}

/// `[listener.tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTlsTable {
    /// PEM file: the leaf, then intermediates.
    pub certificate: String,
    /// PEM file: PKCS#8, SEC1 or PKCS#1.
    pub key: String,
    /// Whether clients are asked for a certificate that `[trust] bundle` verifies.
    #[serde(default)]
    pub client_certificate: ClientCertificateWord,
}

/// The words of `client_certificate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificateWord {
    /// Clients aren't asked for one.
    #[default]
    None,
    /// Clients are asked for one. If a client has none, the policy decides.
    Optional,
    /// The handshake fails without a good one.
    Required,
}

/// `[registry]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryTable {
    /// A JSON or TOML file, as its extension says. Either this or `url` is set.
    pub file: Option<String>,
    /// The URL of a control plane's `GET /manage/cells`. Either this or `file` is set.
    pub url: Option<String>,
    /// A file with the bearer token for `url`.
    pub token_file: Option<String>,
    /// The time between two polls, in seconds.
    pub poll_secs: Option<u64>,
    /// The longest time between two tries of a failing source, in seconds.
    pub retry_max_secs: Option<u64>,
    /// After this many seconds without a good answer, the registry is reported as stale. Placement
    /// still uses it.
    pub stale_after_secs: Option<u64>,
    /// After this many seconds without a good answer, tenants' status is too old and requests are
    /// refused. Or `"off"`.
    pub identity_max_age_secs: Option<SecsOrOff>,
    /// The most bytes that a document may have.
    pub bytes_max: Option<u64>,
}

/// A number of seconds, or the word `off`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged, expecting = "one of: a number of seconds, \"off\"")]
pub enum SecsOrOff {
    /// This many seconds.
    Secs(u64),
    /// Never.
    Word(Off),
}

/// The word `off`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Off {
    /// `"off"`
    Off,
}

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
    /// `[[upstream.health_check]]`
    pub health_check: Vec<HealthCheckTable>,
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

/// `[fetch]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct FetchTable {
    /// PEM file with the CAs of the sources' certificates. Absent: the CAs that the system trusts.
    pub bundle: Option<String>,
    /// PEM file: the router's client certificate, for sources that ask for one.
    pub certificate: Option<String>,
    /// PEM file: its key.
    pub key: Option<String>,
    /// The time limit for a whole fetch, from connecting to the last byte, in milliseconds.
    pub total_timeout_ms: Option<u64>,
    /// The forward proxy for sources, such as `http://proxy.example:3128`, or `off`. Absent: the
    /// environment variable `HTTPS_PROXY`.
    pub proxy: Option<String>,
    /// Hosts that are reached without the proxy. Absent: the environment variable `NO_PROXY`.
    pub no_proxy: Option<Vec<String>>,
}

/// `[envelope]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EnvelopeTable {
    /// The form of envelopes: `jws`, `hmac` or `compatible`.
    #[serde(default)]
    pub form: EnvelopeForm,
    /// The issuer that envelopes name.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The folder of the keys, which `cellway envelope-key` manages.
    pub keys: String,
    /// How long each envelope is valid, in seconds. At most 60.
    #[serde(default)]
    pub lifetime_secs: Option<u64>,
    /// How long services may cache the published keys, in seconds. Only for the form `jws`.
    #[serde(default)]
    pub jwks_max_age_secs: Option<u64>,
}

/// `[state]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateTable {
    /// A folder that only this router uses. It is created if it doesn't exist.
    pub directory: String,
}

/// `[admin]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminTable {
    /// A loopback address and port.
    pub bind: SocketAddr,
}

/// `[health]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HealthTable {
    /// An address and port.
    pub bind: SocketAddr,
}

/// `[runtime]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RuntimeTable {
    /// Worker threads. Absent: one for each core.
    pub workers: Option<u16>,
    /// Lets another router listen on the same addresses if it also sets this, for a hand-over.
    pub share_addresses: bool,
    /// How long the listeners wait for the first registry, in seconds.
    pub open_wait_secs: Option<u64>,
    /// How long the router still takes connections after SIGTERM, in seconds, while `/readyz` says
    /// that it drains.
    pub drain_delay_secs: Option<u64>,
    /// How long connections without a request stay open after that, in seconds.
    pub drain_idle_secs: Option<u64>,
    /// How long open requests may take after that, in seconds.
    pub drain_secs: Option<u64>,
    /// How often files are checked for changes, in seconds.
    pub watch_secs: Option<u64>,
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// The least severe level that is written: `error`, `warn`, `info` or `debug`.
    pub level: Level,
    /// Where lines are written: `stderr` or `stdout`.
    pub to: Output,
    /// How subjects are shown: `hash`, `raw` or `off`.
    pub subject: SubjectForm,
    /// The file with the key of the hash. Without it, the router makes a random key at its start.
    pub subject_key: Option<String>,
    /// The access log: one line for each request.
    pub access: AccessTable,
}

/// `[log.access]`
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct AccessTable {
    /// Which requests have a line: `off`, `sampled` or `full`.
    pub requests: AccessWord,
    /// `sampled`: one in this many of the requests that don't fail.
    pub one_in: Option<u32>,
    /// Where lines are written. Absent: `log.to`.
    pub to: Option<Output>,
}

/// The words of `log.access.requests`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessWord {
    /// None.
    #[default]
    Off,
    /// Those that fail, and a sample of the others.
    Sampled,
    /// All.
    Full,
}

/// `[trace]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct TraceTable {
    /// The router starts a sampled trace for one in this many of the requests that belong to none.
    /// Absent: it starts none.
    pub start_one_in: Option<u32>,
}

/// Where log lines are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Output {
    /// Standard error.
    #[default]
    Stderr,
    /// Standard output.
    Stdout,
}

impl Output {
    /// The word in the configuration and in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Stderr => "stderr",
            Self::Stdout => "stdout",
        }
    }
}

fn default_policy() -> String {
    "default".to_owned()
}
