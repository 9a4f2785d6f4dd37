//! `[[listener]]`: what clients connect to.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::headers::Forwarded;
use cellway_core::path::{Path, PathError, PathPattern};
use cellway_core::policy::{Policy, PolicyId};

use super::{KeyPair, TrafficSettings};
use crate::network::Network;

/// One `[[listener]]`.
#[derive(Clone, Debug)]
pub struct ListenerSettings {
    /// Its name in logs and metrics.
    pub name: Arc<str>,
    /// The address to bind. Port 0 lets the system choose.
    pub bind: SocketAddr,
    /// The policy for requests that match no route.
    pub policy: PolicyId,
    /// How requests that match no route are forwarded.
    pub traffic: Arc<TrafficSettings>,
    /// What differs for some paths. The first route that matches decides.
    pub routes: Vec<ListenerRoute>,
    /// What it serves.
    pub serves: Serves,
    /// `None`: plain HTTP.
    pub tls: Option<ListenerTls>,
    /// The peers whose connections start with a PROXY header that names the client. Empty: none.
    pub proxy_protocol: Vec<Network>,
    /// What the router does with `X-Forwarded-For` and the like in requests.
    pub forwarded: Forwarded,
    /// Whether answers tell the client how the request was routed: the cell, and why.
    pub explain_headers: bool,
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
            traffic: Arc::default(),
            routes: Vec::new(),
            serves: Serves::Proxy,
            tls: None,
            proxy_protocol: Vec::new(),
            forwarded: Forwarded::default(),
            explain_headers: false,
            timeouts: ClientTimeouts::default(),
            connections_max: 10_000,
            address_share: 80,
            streams_max: 128,
        }
    }

    /// What applies to a request with this path and query.
    ///
    /// # Errors
    /// [`PathError`] if there are routes and servers could read the path differently. Otherwise a
    /// client could choose the weaker policy.
    pub fn route_of(&self, target: &str) -> Result<Routed<'_>, PathError> {
        let own = Routed {
            route: None,
            policy: self.policy,
            traffic: &self.traffic,
        };
        if self.routes.is_empty() {
            return Ok(own);
        }
        let path = Path::of(target)?;
        let found = self.routes.iter().find(|route| route.path.matches(path));
        Ok(found.map_or(own, |route| Routed {
            route: Some(&route.path),
            policy: route.policy,
            traffic: &route.traffic,
        }))
    }

    /// Whether the router sees certificates of this listener's clients. For an Envoy that asks for
    /// authorization, these are the certificates that it reports.
    pub fn asks_for_certificate(&self) -> ClientCertificate {
        match (&self.serves, &self.tls) {
            (Serves::ExtAuthz(_), _) => ClientCertificate::Optional,
            (Serves::Proxy, Some(tls)) => tls.client_certificate,
            (Serves::Proxy, None) => ClientCertificate::None,
        }
    }

    /// Says for an operator what applies to a request of this listener: the route that matched, and
    /// the `[[traffic]]`.
    pub fn describe(&self, routed: &Routed<'_>) -> String {
        let route = match routed.route {
            Some(path) => format!(", route {}", path.as_str()),
            None if self.routes.is_empty() => String::new(),
            None => ", no route matches".to_owned(),
        };
        let traffic = match self.serves {
            Serves::Proxy => format!(", traffic {}", routed.traffic.name),
            // Envoy forwards the request.
            Serves::ExtAuthz(_) => String::new(),
        };
        format!("listener {}{route}{traffic}", self.name)
    }

    /// Whether connections from this peer must start with a PROXY header.
    pub(crate) fn is_proxy(&self, peer: IpAddr) -> bool {
        let mut listed = self.proxy_protocol.iter();
        listed.any(|network| network.contains(peer))
    }

    /// Whether the listener announces extended CONNECT to clients over HTTP/2: they may switch to some
    /// protocol on some path.
    pub(crate) fn announces_connect(&self) -> bool {
        let routed = self.routes.iter().map(|route| &route.traffic);
        let mut all = routed.chain([&self.traffic]);
        self.serves == Serves::Proxy && all.any(|traffic| traffic.takes_upgrades())
    }

    /// Whether `policy` has CORS rules for any path of the listener.
    pub(crate) fn has_cors(&self, policy: &Policy) -> bool {
        let routed = self.routes.iter().map(|route| route.policy);
        let mut all = routed.chain([self.policy]);
        all.any(|id| policy.auth(id).cors.is_some())
    }
}

/// What differs for some of a listener's paths.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct ListenerRoute {
    /// The paths.
    pub path: PathPattern,
    /// Their policy.
    pub policy: PolicyId,
    /// How their requests are forwarded.
    pub traffic: Arc<TrafficSettings>,
}

/// What applies to one request: what its route says, or else its listener.
#[derive(Clone, Copy, Debug)]
pub struct Routed<'a> {
    /// The pattern of the route that matched. `None`: none did.
    pub route: Option<&'a PathPattern>,
    /// Which credentials it needs, and who may send it.
    pub policy: PolicyId,
    /// How it is forwarded.
    pub traffic: &'a TrafficSettings,
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
