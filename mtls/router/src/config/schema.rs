//! The tables of the configuration file, as it writes them.
//!
//! Tables about identity and header names belong to the core and stand here by reference. What a
//! setting means, its unit and its default stand at its field; `docs/cellway.example.toml` shows
//! them all.

use std::net::SocketAddr;

use cellway_core::headers::{Forwarded, HeaderSpec};
use cellway_core::policy::{CbaSpec, IssuerSpec, PolicySpec, TrustSpec};
use cellway_core::routing_key::RoutingKeySpec;
use serde::Deserialize;

use crate::observe::log::{Level, SubjectForm};
use crate::settings::EnvelopeForm;

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
    /// `[trust]`: which client certificates are trusted.
    #[serde(default)]
    pub trust: Option<TrustSpec>,
    /// `[registry]`: where cells, placements and tenants come from.
    pub registry: RegistryTable,
    /// `[upstream]`: the way to the cells.
    #[serde(default)]
    pub upstream: UpstreamTable,
    /// `[fetch]`: the way to identity providers and the control plane.
    #[serde(default)]
    pub fetch: FetchTable,
    /// `[headers]`: what the router's own headers are called.
    #[serde(default)]
    pub headers: HeaderSpec,
    /// `[cba]`: what cells show that call other cells.
    #[serde(default)]
    pub cba: CbaSpec,
    /// `[routing_key]`: who may say in a header which tenant a request is for.
    #[serde(default)]
    pub routing_key: RoutingKeySpec,
    /// `[envelope]`: proofs for cells of the caller that the router verified. Absent: none.
    #[serde(default)]
    pub envelope: Option<EnvelopeTable>,
    /// `[state]`: where last-known-good documents are kept. Absent: they aren't.
    #[serde(default)]
    pub state: Option<StateTable>,
    /// `[admin]`: health and metrics. Absent: there is no admin listener.
    #[serde(default)]
    pub admin: Option<AdminTable>,
    /// `[health]`: health and metrics on any address. Absent: there is no such listener.
    #[serde(default)]
    pub health: Option<HealthTable>,
    /// `[runtime]`
    #[serde(default)]
    pub runtime: RuntimeTable,
    /// `[log]`
    #[serde(default)]
    pub log: LogTable,
}

/// One `[[listener]]`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ListenerTable {
    /// Its name in logs and metrics.
    pub name: String,
    /// Address and port. Port 0 lets the system choose.
    pub bind: SocketAddr,
    /// The policy of requests that come in by it.
    #[serde(default = "default_policy")]
    pub policy: String,
    /// `[[listener.route]]`: other policies for some paths.
    #[serde(default)]
    pub route: Vec<RouteTable>,
    /// What comes in by it.
    #[serde(default)]
    pub serves: ServesWord,
    /// Who may ask an `ext_authz` listener: a list of URI or DNS SANs, or `"loopback"`.
    #[serde(default)]
    pub callers: Option<CallersWord>,
    /// TLS. Absent: plain HTTP.
    #[serde(default)]
    pub tls: Option<ListenerTlsTable>,
    /// The peers whose connections begin with a PROXY header.
    #[serde(default)]
    pub proxy_protocol: Option<ProxyProtocolTable>,
    /// What the router does with `X-Forwarded-For` and the like: `replace`, `append` or `keep`.
    #[serde(default)]
    pub forwarded: Forwarded,
    /// Lets a plain listener bind other addresses than loopback.
    #[serde(default)]
    pub allow_plain: bool,
    /// For the TLS handshake, in milliseconds.
    #[serde(default)]
    pub handshake_timeout_ms: Option<u64>,
    /// From the connection's start (after TLS) to its first byte, in milliseconds.
    #[serde(default)]
    pub first_byte_timeout_ms: Option<u64>,
    /// From a request's first byte to the end of its header, in milliseconds.
    #[serde(default)]
    pub header_timeout_ms: Option<u64>,
    /// Between two requests of one connection, in milliseconds.
    #[serde(default)]
    pub idle_timeout_ms: Option<u64>,
    /// With nothing taken of an answer, in milliseconds.
    #[serde(default)]
    pub stall_timeout_ms: Option<u64>,
    /// The least bytes a second at which a client must read an answer; 0: no minimum.
    #[serde(default)]
    pub read_rate_min: Option<u32>,
    /// The least bytes a second at which a request's body must arrive; 0: no minimum.
    #[serde(default)]
    pub body_rate_min: Option<u32>,
    /// How long the router waits for a slower body, in milliseconds.
    #[serde(default)]
    pub body_grace_ms: Option<u64>,
    /// Most connections at a time, over all workers.
    #[serde(default)]
    pub connections_max: Option<u64>,
    /// The share of them that one client address may have while no other has any, in percent.
    #[serde(default)]
    pub address_share_percent: Option<u8>,
    /// Most concurrent HTTP/2 streams of one connection.
    #[serde(default)]
    pub streams_max: Option<u32>,
}

/// `proxy_protocol` of a listener.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProxyProtocolTable {
    /// Addresses and ranges of the proxies. They must send a PROXY header; from other peers none is
    /// read.
    pub from: Vec<String>,
}

/// One `[[listener.route]]`: the first that fits a request's path gives it its policy.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RouteTable {
    /// A pattern: `/admin/**`.
    pub path: String,
    /// The policy of such requests.
    pub policy: String,
}

/// The words of `serves`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ServesWord {
    /// Requests, to be passed on to cells.
    #[default]
    Proxy,
    /// Questions of an Envoy about requests that it passes on itself.
    ExtAuthz,
}

/// A list of SANs, or the word `loopback`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(
    untagged,
    expecting = "one of: a list of URI or DNS SANs, \"loopback\""
)]
pub enum CallersWord {
    /// These.
    Sans(Vec<Box<str>>),
    /// Whoever reaches a loopback address.
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
    /// Whether clients are asked for a certificate of `[trust] bundle`.
    #[serde(default)]
    pub client_certificate: ClientCertificateWord,
}

/// The words of `client_certificate`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ClientCertificateWord {
    /// Not asked for.
    #[default]
    None,
    /// Asked for; without one, the policy decides.
    Optional,
    /// The handshake fails without a good one.
    Required,
}

/// `[registry]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryTable {
    /// A JSON or TOML file (by its ending). This or `url`.
    pub file: Option<String>,
    /// A control plane's `GET /manage/cells`. This or `file`.
    pub url: Option<String>,
    /// A file with the bearer token for `url`.
    pub token_file: Option<String>,
    /// Between two polls, in seconds.
    pub poll_secs: Option<u64>,
    /// The longest time between two tries of a failing source, in seconds.
    pub retry_max_secs: Option<u64>,
    /// Without a good answer for so many seconds, the registry is flagged stale; it still places.
    pub stale_after_secs: Option<u64>,
    /// Without a good answer for so many seconds, tenants' status isn't believed any more; or
    /// `"off"`.
    pub identity_max_age_secs: Option<SecsOrOff>,
    /// The most bytes that a document may have.
    pub bytes_max: Option<u64>,
}

/// A number of seconds, or the word `off`.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize)]
#[serde(untagged, expecting = "one of: a number of seconds, \"off\"")]
pub enum SecsOrOff {
    /// So many seconds.
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
    /// PEM file: who issues the cells' certificates. Needed for `https` endpoints.
    pub bundle: Option<String>,
    /// PEM file: the router's client certificate, shown to cells that ask.
    pub certificate: Option<String>,
    /// PEM file: its key.
    pub key: Option<String>,
    /// For the TCP connection, name resolution included, in milliseconds.
    pub connect_timeout_ms: Option<u64>,
    /// For the TLS handshake, in milliseconds.
    pub tls_timeout_ms: Option<u64>,
    /// From the request's last byte to the answer's header, in milliseconds.
    pub header_timeout_ms: Option<u64>,
    /// With nothing moving in either direction of a body, in milliseconds.
    pub idle_timeout_ms: Option<u64>,
    /// For the whole exchange, in milliseconds. Absent: streams may go on without end.
    pub total_timeout_ms: Option<u64>,
    /// How long a request tries a cell's other endpoints after one couldn't be reached, in
    /// milliseconds.
    pub failover_timeout_ms: Option<u64>,
    /// How many requests that a cell didn't process may be sent again, in percent of those that it
    /// answers. 0: none.
    pub retry_percent: Option<u8>,
    /// How long an unused connection is kept, in milliseconds.
    pub keep_ms: Option<u64>,
    /// How long a connection is used before a new one replaces it, in milliseconds. For the new
    /// one, the endpoint's name is resolved again.
    pub connection_age_ms: Option<u64>,
    /// The interval of pings on an HTTP/2 connection with open requests while nothing comes from
    /// the cell, in milliseconds. Absent: never.
    pub keepalive_ms: Option<u64>,
    /// Most connections to all endpoints of one cell.
    pub connections_max: Option<u64>,
    /// Most requests in flight to one cell.
    pub requests_max: Option<u64>,
    /// Most bytes in the header of a cell's answer, and in its trailers.
    pub answer_header_bytes_max: Option<u64>,
    /// Most fields in the header of a cell's answer, and in its trailers.
    pub answer_header_fields_max: Option<u64>,
    /// The share of both limits that one client connection may take while no other has any, in
    /// percent.
    pub connection_share_percent: Option<u8>,
    /// The same for one caller: a subject, or without a verified caller, an address.
    pub caller_share_percent: Option<u8>,
    /// The same for one tenant, and for all requests without a verified tenant together.
    pub tenant_share_percent: Option<u8>,
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
    /// For a whole fetch, from connecting to the last byte, in milliseconds.
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
    /// How envelopes are made: `jws`, `hmac` or `compatible`.
    #[serde(default)]
    pub form: EnvelopeForm,
    /// What they name as their issuer.
    #[serde(default)]
    pub issuer: Option<String>,
    /// The folder of the keys, which `cellway envelope-key` keeps.
    pub keys: String,
    /// How long each holds, in seconds; at most 60.
    #[serde(default)]
    pub lifetime_secs: Option<u64>,
    /// How long services may keep the published keys, in seconds. Of the form `jws` only.
    #[serde(default)]
    pub jwks_max_age_secs: Option<u64>,
}

/// `[state]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StateTable {
    /// A folder of the router's own; made if it isn't there.
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
    /// How long requests in flight have after SIGTERM, in seconds.
    pub drain_secs: Option<u64>,
    /// How often files are looked at for changes, in seconds.
    pub watch_secs: Option<u64>,
}

/// `[log]`
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LogTable {
    /// The least severe level that is written: `error`, `warn`, `info` or `debug`.
    pub level: Level,
    /// Where to: `stderr` or `stdout`.
    pub to: Output,
    /// How subjects are shown: `hash`, `raw` or `off`.
    pub subject: SubjectForm,
    /// The file with the key of the hash; the router makes one at its start unless said.
    pub subject_key: Option<String>,
}

/// Where log lines go.
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
