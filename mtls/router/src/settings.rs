//! A router's settings: plain values, already checked. The configuration file is one way to make
//! them, a few lines of Rust in a test or a service another.

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

use crate::control_plane::sources::RegistryLocation;
use crate::network::Network;

/// Everything a [`Router`](crate::Router) is told.
#[derive(Clone, Debug)]
pub struct RouterSettings {
    /// Where to listen.
    pub listeners: Vec<ListenerSettings>,
    /// Who may call: issuers, policies, SAN templates, header names.
    pub policy: Arc<Policy>,
    /// Whose client certificates are believed; required by listeners that ask for them.
    pub trust_bundle: Option<Pem>,
    /// Trust domains with bundles of their own: only these authorities vouch for their names, and
    /// they vouch for nothing else.
    pub domain_bundles: Vec<DomainBundle>,
    /// Which of these certificates no longer count.
    pub revocation: RevocationSettings,
    /// The way to the cells.
    pub upstream: UpstreamSettings,
    /// Where keys and the registry come from, and where the last good ones are kept.
    pub sources: Sources,
    /// `[envelope]`: proofs for cells of the caller that the router verified. `None`: none.
    pub envelope: Option<EnvelopeSettings>,
}

/// `[envelope]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnvelopeSettings {
    /// How they are made.
    pub form: EnvelopeForm,
    /// What they name as their issuer; the same at all replicas.
    pub issuer: Box<str>,
    /// The folder of the keys, with its index.
    pub keys: String,
    /// How long each holds.
    pub lifetime: Duration,
    /// How long services may keep the published keys, and so how long a new one waits.
    pub jwks_max_age: Duration,
}

/// How envelopes are made.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvelopeForm {
    /// A JWS under a private key; the public ones are published.
    #[default]
    Jws,
    /// Six headers under a key that is shared with the cell.
    Hmac,
    /// The six headers that cells of older tenant routers know, with a shared key.
    Compatible,
}

impl EnvelopeForm {
    /// The word in configurations, metrics and logs.
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

/// Who signs for a trust domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainBundle {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Its certificate authorities.
    pub bundle: Pem,
}

/// Revoked client certificates.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RevocationSettings {
    /// The lists, PEM or DER. Without any, nothing is revoked.
    pub lists: Vec<Pem>,
    /// A list that is past its time counts all the same.
    pub stale_allowed: bool,
    /// A certificate whose issuer has no list counts.
    pub missing_allowed: bool,
}

impl RouterSettings {
    /// Whether anybody's client certificates are believed.
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
    /// Where to bind; port 0 lets the system choose.
    pub bind: SocketAddr,
    /// The policy of requests that come in by it, but for those that a route is for.
    pub policy: PolicyId,
    /// Other policies for some paths; the first that fits decides.
    pub routes: Vec<ListenerRoute>,
    /// What comes in by it.
    pub serves: Serves,
    /// `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
    /// The peers whose connections begin with a PROXY header that names the client. Empty: none.
    pub proxy_protocol: Vec<Network>,
    /// What the router does with `X-Forwarded-For` and the like in requests.
    pub forwarded: Forwarded,
    /// How long clients may take.
    pub timeouts: ClientTimeouts,
    /// Most connections at a time, over all workers. More are closed at once.
    pub connections_max: usize,
    /// The share of them that one client address may have while no other has any, in percent.
    pub address_share: u8,
    /// Most concurrent HTTP/2 streams of one connection.
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

    /// The policy of a request for this path and query.
    ///
    /// # Errors
    /// [`PathError`]: there are routes, and the path can be read in two ways. It must not fall to
    /// whichever policy is the laxer.
    pub fn policy_of(&self, target: &str) -> Result<PolicyId, PathError> {
        if self.routes.is_empty() {
            return Ok(self.policy);
        }
        let path = Path::of(target)?;
        let found = self.routes.iter().find(|route| route.path.matches(path));
        Ok(found.map_or(self.policy, |route| route.policy))
    }

    /// Whether connections from this peer must begin with a PROXY header.
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

/// The policy of some of a listener's paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerRoute {
    /// Which paths.
    pub path: PathPattern,
    /// Their policy.
    pub policy: PolicyId,
}

/// What comes in by a listener.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Serves {
    /// Requests, to be passed on to cells.
    #[default]
    Proxy,
    /// Questions of an Envoy about requests that it passes on itself (`ext_authz`).
    ExtAuthz(Callers),
}

/// Who may ask. Whoever may can say which certificate a client has shown, so nobody else must.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Callers {
    /// Whose verified client certificate has one of these URI or DNS SANs.
    Sans(Vec<Box<str>>),
    /// Whoever reaches the listener, which is bound to a loopback address.
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
    /// The same, without asking clients for certificates.
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
    /// Not asked for.
    #[default]
    None,
    /// Asked for; without one, the policy decides. A bad one ends the handshake.
    Optional,
    /// The handshake fails without a good one.
    Required,
}

/// How long clients may take.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ClientTimeouts {
    /// For the TLS handshake.
    pub handshake: Duration,
    /// From the connection's start (after TLS) to its first byte.
    pub first_byte: Duration,
    /// From a request's first byte to the end of its header.
    pub header: Duration,
    /// Between two requests of one connection.
    pub idle: Duration,
    /// With nothing taken of an answer that is there to be taken; what it holds at the cell is
    /// given back then.
    pub stall: Duration,
    /// The least bytes a second at which a client must read an answer while the router waits for
    /// it; 0: no minimum. Each byte buys time, up to `stall`.
    pub read_rate_min: u32,
    /// The least bytes a second at which a request's body must arrive while the router waits for
    /// it; 0: no minimum. Each byte buys time, up to `body_grace`.
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

/// The way to the cells: `[upstream]`.
#[derive(Clone, Debug)]
pub struct UpstreamSettings {
    /// Who issues the cells' certificates; `None`: `https` endpoints can't be reached.
    pub bundle: Option<Pem>,
    /// The router's client certificate, shown to cells that ask.
    pub identity: Option<KeyPair>,
    /// How long cells may take.
    pub timeouts: CellTimeouts,
    /// What one cell may take of the router.
    pub limits: CellLimits,
    /// The interval of pings on an HTTP/2 connection with open requests while nothing comes from
    /// the cell; `None`: never. At least [`KEEPALIVE_MIN`].
    pub keepalive: Option<Duration>,
    /// How long a connection is used before a new one replaces it. For the new one, the endpoint's
    /// name is resolved again.
    pub connection_age: Duration,
    /// How many requests that a cell didn't process may be sent again, in percent of those that it
    /// answers, plus [`RETRIES_RESERVE`](crate::RETRIES_RESERVE); 0: none.
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

/// The shortest interval of HTTP/2 pings to a cell: the shortest that gRPC clients may use (gRFC
/// A8). By default gRPC servers allow one ping in five minutes, and answer the third early one with
/// GOAWAY, which ends every stream of the connection.
pub const KEEPALIVE_MIN: Duration = Duration::from_secs(10);

/// How long cells may take. Each has its own reason in a 504.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellTimeouts {
    /// For the TCP connection, name resolution included: `cell_timeout_connect`.
    pub connect: Duration,
    /// For the TLS handshake: `cell_timeout_tls`.
    pub tls: Duration,
    /// From the request's last byte to the answer's header: `cell_timeout_header`.
    pub header: Duration,
    /// How long nothing may move in either direction of a body: `cell_timeout_idle`. Streams such
    /// as gRPC watches can be quiet for minutes, so the default is Envoy's `stream_idle_timeout`.
    pub idle: Duration,
    /// For the whole exchange, `cell_timeout_total`; `None` for streams without end.
    pub total: Option<Duration>,
    /// How long a request tries a cell's other endpoints after one couldn't be reached.
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

/// What one cell may take of the router, over all workers: a cell in trouble takes no more, and
/// leaves the rest to the others.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellLimits {
    /// Most connections to all its endpoints.
    pub connections_max: usize,
    /// Most requests in flight; more are refused as `overloaded`.
    pub requests_max: usize,
    /// The shares of both limits for a connection, caller or tenant.
    pub shares: CellShares,
}

/// The share of a cell's places that one holder may have while no other has any, in percent; 100:
/// all of them. The share shrinks as the places fill.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CellShares {
    /// One client connection.
    pub connection: u8,
    /// One subject of a tenant; without a verified caller, one client address.
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
    /// Most bytes. In HTTP/2: names, values and 32 for each field (RFC 9113, section 6.5.2). In
    /// HTTP/1.1: as received. At most [`HEADER_BYTES_MAX`](Self::HEADER_BYTES_MAX).
    pub header_bytes_max: u32,
    /// Most fields. At most [`HEADER_FIELDS_MAX`](Self::HEADER_FIELDS_MAX).
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

/// Where keys and the registry come from, and where the last good ones are kept. (Where each
/// issuer's keys are stands in the policy.)
#[derive(Clone, Debug)]
pub struct Sources {
    /// Where cells, placements and tenants come from.
    pub registry: RegistrySettings,
    /// The way to identity providers and the control plane: `[fetch]`.
    pub fetch: FetchSettings,
    /// The folder of last-known-good documents; `None`: none are kept.
    pub state: Option<String>,
}

impl Sources {
    /// A registry from here, nothing kept, defaults for the rest.
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
    /// When it is asked for, and how long answers are believed.
    pub timing: RegistryTiming,
    /// How large a document may be, and how much smaller than the one before.
    pub limits: RegistryLimits,
}

/// `[fetch]`
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// The CAs of the sources' certificates; `None`: the CAs that the system trusts.
    pub bundle: Option<Pem>,
    /// The router's client certificate, for sources that ask for one.
    pub identity: Option<KeyPair>,
    /// For a whole fetch, from connecting to the last byte.
    pub total_timeout: Duration,
    /// Which sources are reached through a proxy.
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
    /// The system's trust, no certificate, 10 s, no proxy.
    fn default() -> Self {
        Self {
            bundle: None,
            identity: None,
            total_timeout: Duration::from_secs(10),
            proxies: Proxies::default(),
        }
    }
}
