//! The tables of the configuration file, as they are written there.
//!
//! Core declares the tables about identity and header names. Each field says what the setting means
//! and its unit. `docs/cellway.example.toml` shows all settings with their defaults.

mod listener;
mod log;
mod traffic;
mod upstream;

use std::net::SocketAddr;

use cellway_core::headers::HeaderSpec;
use cellway_core::policy::{CbaSpec, IssuerSpec, PolicySpec, TrustSpec};
use cellway_core::routing_key::RoutingKeySpec;
use serde::Deserialize;

pub use self::listener::{
    CallersWord, ClientCertificateWord, ListenerTable, ListenerTlsTable, Loopback,
    ProxyProtocolTable, ServesWord,
};
pub use self::log::{AccessTable, AccessWord, LogTable};
pub(super) use self::log::{ExplainTable, TraceTable};
pub(super) use self::traffic::{RateLimitTable, RateLimitsTable, TrafficTable};
pub use self::upstream::{
    AdaptiveLimitTable, BreakerTable, CheckWord, HealthCheckTable, OutlierTable, UpstreamTable,
    WhenAllEjectedWord,
};
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
    /// `[explain]`: operators who may ask for the explanation of a request. Absent: nobody may.
    #[serde(default)]
    pub explain: Option<ExplainTable>,
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
    /// An address and port. Without `tls`, only loopback addresses.
    pub bind: SocketAddr,
    /// `[admin.tls]`: mutual TLS. Absent: plain HTTP.
    #[serde(default)]
    pub tls: Option<AdminTlsTable>,
}

/// `[admin.tls]`
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AdminTlsTable {
    /// A PEM file with the router's certificate chain.
    pub certificate: String,
    /// A PEM file with its private key.
    pub key: String,
    /// A PEM file with the CAs of operators' certificates.
    pub bundle: String,
    /// Revocation lists of those CAs.
    #[serde(default)]
    pub crl: Vec<String>,
    /// The URI or DNS SANs of the operators.
    pub clients: Vec<Box<str>>,
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
