//! `[[listener]]`: where requests come in.

use std::net::SocketAddr;

use cellway_core::headers::Forwarded;
use serde::Deserialize;

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

fn default_policy() -> String {
    "default".to_owned()
}
