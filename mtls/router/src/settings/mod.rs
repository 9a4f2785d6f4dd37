//! A router's settings: plain values, already checked. They come from the configuration file, or
//! from a few lines of Rust in a test or a service.

mod log;
mod registry_location;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::headers::Forwarded;
use cellway_core::path::{Path, PathError, PathPattern};
use cellway_core::policy::{Policy, PolicyId};
use cellway_core::registry::{RegistryLimits, RegistryTiming};
use cellway_env::fetch::{Proxies, Reach};
use serde::{Deserialize, Serialize};

pub use self::log::{Level, SubjectForm};
pub use self::registry_location::RegistryLocation;
use crate::network::Network;

/// How long the listeners wait for the first registry by default.
pub(crate) const OPEN_WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// Everything a [`Router`](crate::Router) is told.
#[derive(Clone, Debug)]
pub struct RouterSettings {
    /// The listeners.
    pub listeners: Vec<ListenerSettings>,
    /// How callers are identified and what they may do: issuers, policies, SAN templates, header
    /// names.
    pub policy: Arc<Policy>,
    /// The trusted CAs for client certificates. Listeners that ask for certificates need them.
    pub trust_bundle: Option<Pem>,
    /// Trust domains with their own bundles. Only these CAs are trusted for the domain's names, and
    /// they are trusted for nothing else.
    pub domain_bundles: Vec<DomainBundle>,
    /// Revocation of client certificates.
    pub revocation: RevocationSettings,
    /// How cells are reached.
    pub upstream: UpstreamSettings,
    /// Where keys and the registry come from, and where last-known-good copies are kept.
    pub sources: Sources,
    /// `[envelope]`: signed envelopes that prove to cells who the caller is. `None`: none.
    pub envelope: Option<EnvelopeSettings>,
}

/// `[envelope]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnvelopeSettings {
    /// Their form.
    pub form: EnvelopeForm,
    /// The issuer that they name. It must be the same at all replicas.
    pub issuer: Box<str>,
    /// The folder of the keys, with its index.
    pub keys: String,
    /// How long each is valid.
    pub lifetime: Duration,
    /// How long services may cache the published keys. A new key waits this long before it signs.
    pub jwks_max_age: Duration,
}

/// The form of envelopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvelopeForm {
    /// A JWS that a private key signs. The public keys are published.
    #[default]
    Jws,
    /// Six headers with an HMAC. Router and cell share the key.
    Hmac,
    /// The six headers that cells behind older tenant routers expect. Router and cell share the
    /// key.
    Compatible,
}

impl EnvelopeForm {
    /// The name in configurations, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jws => "jws",
            Self::Hmac => "hmac",
            Self::Compatible => "compatible",
        }
    }

    /// Whether the router shares a separate key with each cell.
    pub const fn is_shared(self) -> bool {
        match self {
            Self::Jws => false,
            Self::Hmac | Self::Compatible => true,
        }
    }
}

/// The CAs of a trust domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainBundle {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Its CAs.
    pub bundle: Pem,
}

/// How revoked client certificates are recognized.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RevocationSettings {
    /// The lists, PEM or DER. Without any, nothing is revoked.
    pub lists: Vec<Pem>,
    /// Whether a stale list is still used. Otherwise the certificates that it covers are refused.
    pub stale_allowed: bool,
    /// Whether a certificate is accepted if its issuer has no list.
    pub missing_allowed: bool,
}

impl RouterSettings {
    /// Whether any client certificates are trusted.
    pub fn trusts_clients(&self) -> bool {
        self.trust_bundle.is_some() || !self.domain_bundles.is_empty()
    }
}

/// PEM text, or the file that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pem {
    /// A file, read through the environment's store at start and at every reload.
    File(String),
    /// The text itself.
    Text(Bytes),
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// A certificate chain and its private key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPair {
    /// The leaf first, then intermediates.
    pub certificate: Pem,
    /// PKCS#8, SEC1 or PKCS#1.
    pub key: Pem,
}

/// One `[[listener]]`.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// The address to bind. Port 0 lets the system choose.
    pub bind: SocketAddr,
    /// The policy for requests that match no route.
    pub policy: PolicyId,
    /// Other policies for some paths. The first route that matches decides.
    pub routes: Vec<ListenerRoute>,
    /// What it serves.
    pub serves: Serves,
    /// `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
    /// The peers whose connections start with a PROXY header that names the client. Empty: none.
    pub proxy_protocol: Vec<Network>,
    /// What the router does with `X-Forwarded-For` and the like in requests.
    pub forwarded: Forwarded,
    /// How long clients may take.
    pub timeouts: ClientTimeouts,
    /// The most connections at a time, over all workers. More are closed at once.
    pub connections_max: usize,
    /// The share of them that one client address may have while no other has any, in percent.
    pub address_share: u8,
    /// The most concurrent HTTP/2 streams of one connection.
    pub streams_max: u32,
}

impl ListenerSettings {
    /// A plain listener with default limits.
    pub fn new(name: &str, bind: SocketAddr, policy: PolicyId) -> Self {
        Self {
            name: name.into(),
            bind,
            policy,
            routes: Vec::new(),
            serves: Serves::Proxy,
            tls: None,
            proxy_protocol: Vec::new(),
            forwarded: Forwarded::default(),
            timeouts: ClientTimeouts::default(),
            connections_max: 10_000,
            address_share: 80,
            streams_max: 128,
        }
    }

    /// The policy for a request with this path and query.
    ///
    /// # Errors
    /// [`PathError`] if there are routes and servers could read the path differently. Otherwise a
    /// client could choose the weaker policy.
    pub fn policy_of(&self, target: &str) -> Result<PolicyId, PathError> {
        if self.routes.is_empty() {
            return Ok(self.policy);
        }
        let path = Path::of(target)?;
        let found = self.routes.iter().find(|route| route.path.matches(path));
        Ok(found.map_or(self.policy, |route| route.policy))
    }

    /// Whether connections from this peer must start with a PROXY header.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        let mut listed = self.proxy_protocol.iter();
        listed.any(|network| network.contains(peer))
    }

    /// Whether `policy` has CORS rules for any path of the listener.
    pub(crate) fn has_cors(&self, policy: &Policy) -> bool {
        let routed = self.routes.iter().map(|route| route.policy);
        let mut all = routed.chain([self.policy]);
        all.any(|id| policy.auth(id).cors.is_some())
    }
}

/// The policy for some of a listener's paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerRoute {
    /// The paths.
    pub path: PathPattern,
    /// Their policy.
    pub policy: PolicyId,
}

/// What a listener serves.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Serves {
    /// Requests that the router forwards to cells.
    #[default]
    Proxy,
    /// Authorization checks by an Envoy, which forwards the requests itself (`ext_authz`).
    ExtAuthz(Callers),
}

/// Who may send authorization checks. A caller says which certificate a client has shown and the
/// router believes it, so nobody else may call.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Callers {
    /// Callers whose verified client certificate has one of these URI or DNS SANs.
    Sans(Vec<Box<str>>),
    /// Everybody who reaches the listener, which must be bound to a loopback address.
    Loopback,
}

/// TLS of a listener.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerTls {
    /// The router's own certificate.
    pub identity: KeyPair,
    /// Whether clients are asked for theirs.
    pub client_certificate: ClientCertificate,
}

impl ListenerTls {
    /// The same settings, but clients aren't asked for certificates.
    pub(crate) fn without_clients(&self) -> Self {
        Self {
            client_certificate: ClientCertificate::None,
            ..self.clone()
        }
    }
}

/// Whether clients are asked for a certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ClientCertificate {
    /// Clients aren't asked for one.
    #[default]
    None,
    /// Clients are asked for one. If a client has none, the policy decides. A bad one fails the
    /// handshake.
    Optional,
    /// The handshake fails without a good one.
    Required,
}

/// How long clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientTimeouts {
    /// The time limit for the TLS handshake.
    pub handshake: Duration,
    /// The time limit from the connection's start (after TLS) to its first byte.
    pub first_byte: Duration,
    /// The time limit from a request's first byte to the end of its header.
    pub header: Duration,
    /// The time limit between two requests of one connection.
    pub idle: Duration,
    /// How long a client may read nothing of an answer that is ready. After that, the router gives
    /// up the answer and frees its place at the cell.
    pub stall: Duration,
    /// The fewest bytes per second at which a client must read an answer while the router waits for
    /// the client. 0: no minimum. Each byte that it reads gives it more time, up to `stall`.
    pub read_rate_min: u32,
    /// The fewest bytes per second at which a request's body must arrive while the router waits for
    /// it. 0: no minimum. Each byte that arrives gives it more time, up to `body_grace`.
    pub body_rate_min: u32,
    /// How long the router waits for a body that is slower than that.
    pub body_grace: Duration,
}

impl Default for ClientTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_byte: Duration::from_secs(10),
            header: Duration::from_secs(10),
            idle: Duration::from_secs(75),
            stall: Duration::from_secs(60),
            read_rate_min: 240,
            body_rate_min: 240,
            body_grace: Duration::from_secs(20),
        }
    }
}

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
    /// How many requests that a cell didn't process may be sent again, in percent of the requests
    /// that it answers, plus [`RETRIES_RESERVE`](crate::RETRIES_RESERVE). 0: none.
    pub retry_percent: u8,
    /// The limits of cells' answers.
    pub answers: AnswerLimits,
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
    /// The most requests in flight. More are refused as `overloaded`.
    pub requests_max: usize,
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
            header_fields_max: 128,
        }
    }
}

/// Where keys and the registry come from, and where last-known-good copies are kept. (The policy
/// says where each issuer's keys are.)
#[derive(Clone, Debug)]
pub struct Sources {
    /// Where cells, placements and tenants come from.
    pub registry: RegistrySettings,
    /// How identity providers and the control plane are reached: `[fetch]`.
    pub fetch: FetchSettings,
    /// The folder of last-known-good documents. `None`: none are kept.
    pub state: Option<String>,
}

impl Sources {
    /// Sources with this registry, no last-known-good documents, and defaults for the rest.
    pub fn new(registry: RegistryLocation) -> Self {
        Self {
            registry: RegistrySettings {
                location: registry,
                timing: RegistryTiming::default(),
                limits: RegistryLimits::default(),
            },
            fetch: FetchSettings::default(),
            state: None,
        }
    }
}

/// `[registry]`
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Where it comes from.
    pub location: RegistryLocation,
    /// When it is fetched, and how long an answer may be used.
    pub timing: RegistryTiming,
    /// How large a document may be, and how much smaller than the previous one.
    pub limits: RegistryLimits,
}

/// `[fetch]`
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// The CAs of the sources' certificates. `None`: the CAs that the system trusts.
    pub bundle: Option<Pem>,
    /// The router's client certificate, for sources that ask for one.
    pub identity: Option<KeyPair>,
    /// The time limit for a whole fetch, from connecting to the last byte.
    pub total_timeout: Duration,
    /// The forward proxy, and which sources are reached through it.
    pub proxies: Proxies,
}

impl FetchSettings {
    /// How sources are reached.
    pub fn reach(&self) -> Reach {
        Reach {
            total_timeout: self.total_timeout,
            proxies: self.proxies.clone(),
        }
    }
}

impl Default for FetchSettings {
    /// The system's CAs, no certificate, 10 s, no proxy.
    fn default() -> Self {
        Self {
            bundle: None,
            identity: None,
            total_timeout: Duration::from_secs(10),
            proxies: Proxies::default(),
        }
    }
}
