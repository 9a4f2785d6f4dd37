//! The facts that invariants check: one stream from all hosts of the world.
//!
//! Routers report what they decided, cells what they received, clients what they sent and what came
//! back. The world reports what is true. Each reports independently, because an invariant that only
//! heard the router would have to trust it.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use cellway_core::Reason;
use cellway_testbed::{CheckOutcome, Unserved};

use crate::scenario::CellState;

/// A router from one start to its next crash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Life {
    /// Its host's name.
    pub router: String,
    /// How often it was started before.
    pub incarnation: u32,
}

/// The cells that may serve each tenant in one registry version.
pub type Assignment = BTreeMap<String, BTreeSet<String>>;

/// The content of a good registry document, as its operators mean it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Published {
    /// Its version.
    pub version: u64,
    /// Which cells may serve each tenant.
    pub assignment: Assignment,
    /// The cells of each placement that take traffic.
    pub placements: Assignment,
    /// The suspended tenants.
    pub suspended: BTreeSet<String>,
    /// The revoked subjects: tenant and subject.
    pub revoked: BTreeSet<(String, String)>,
    /// The cells that may call others and have their key in the registry.
    pub callers: BTreeSet<String>,
    /// All cells.
    pub cells: BTreeMap<String, PublishedCell>,
    /// The role settings of each tenant.
    pub role_settings: BTreeMap<String, RoleSettings>,
    /// Whether unlisted tenants go to the cells of their token's tier.
    pub by_tier: bool,
}

impl Published {
    /// The cells that may serve a tenant, given the tier in its token. For a tenant that isn't
    /// listed these are the cells of its tier that take new traffic, or none.
    pub fn cells_of(&self, tenant: &str, tier: Option<&str>) -> Option<BTreeSet<String>> {
        if let Some(cells) = self.assignment.get(tenant) {
            return Some(cells.clone());
        }
        let tier = tier.filter(|_| self.by_tier)?;
        let of_tier = self
            .cells
            .iter()
            .filter(|(_, cell)| cell.tier == tier && cell.state == CellState::Active);
        Some(of_tier.map(|(id, _)| id.clone()).collect())
    }
}

/// A cell in the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct PublishedCell {
    /// Its tier.
    pub tier: String,
    /// Its state.
    pub state: CellState,
}

/// A tenant's role settings in the registry.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RoleSettings {
    /// The roles that its callers may have.
    pub allowed_roles: BTreeSet<String>,
    /// The role of callers whose credentials have no roles.
    pub default_role: Option<String>,
}

/// What a router's configuration file says, as far as an invariant depends on it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Configured {
    /// The router's host.
    pub router: String,
    /// The placement of requests without credentials; `None` if they are refused.
    pub anonymous: Option<String>,
    /// How it treats cell-bound authorizations.
    pub cell_bound: CellBoundRules,
    /// The kids of the keys whose signatures of routing keys it accepts.
    pub signers: BTreeSet<String>,
    /// The rules; `None` if there are none.
    pub rules: Option<Vec<Rule>>,
}

/// A rule of a router's policy.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Rule {
    /// The methods that it covers; all methods if empty.
    pub methods: Vec<String>,
    /// The path pattern, as in the configuration.
    pub path: String,
    /// The callers that it allows.
    pub who: Who,
}

/// The callers that a rule allows.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Who {
    /// Everyone.
    Anyone,
    /// Everyone with valid credentials.
    Verified,
    /// Callers that have one of these roles and all of these scopes.
    Granted {
        /// The roles. If empty, only scopes count.
        roles: Vec<String>,
        /// Scopes.
        scopes: Vec<String>,
    },
}

/// Something that happened, as reported by a host or by the world.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// The world: the control plane publishes this good document from now on.
    Published(Box<Published>),
    /// The world: a fault begins, or something is done to a host.
    FaultBegins(String),
    /// The world: a fault is over.
    FaultEnds(String),
    /// The world: a router's configuration file says this from now on.
    Configured(Box<Configured>),
    /// The world: a router's last-known-good state may be damaged from now on.
    StateDamaged(String),
    /// The world: a router started.
    Started(Life),
    /// The world: a router crashed.
    Crashed(Life),
    /// The world: a client's host was stopped, so its open requests get no answer.
    ClientStopped(String),
    /// A router: an event for the timeline.
    Noted(Life, Note),
    /// A router: it decides on this registry version from now on.
    RegistryApplied {
        /// Which router.
        life: Life,
        /// The registry's version.
        version: u64,
    },
    /// A router: it asks an issuer for keys.
    KeysAsked {
        /// Which router.
        life: Life,
        /// The issuer that it asks.
        issuer: String,
        /// An unknown key caused the fetch, not the schedule.
        forced: bool,
    },
    /// A router: it decided a request.
    Decided(Decided),
    /// A router: it answered a request or gave up.
    Responded(Responded),
    /// A router: an event of the level ERROR.
    Error {
        /// Which router.
        life: Life,
        /// The event's name.
        event: String,
        /// All of it.
        text: String,
    },
    /// The world: an endpoint of a cell was stopped, and its connections with it.
    EndpointStopped(String),
    /// A client: it sends a request.
    Sent(Sent),
    /// A client: it opened a connection.
    Connected {
        /// Its name.
        client: String,
        /// The host at the other end.
        to: String,
        /// The certificate of the other end, in DER.
        leaf: Vec<u8>,
    },
    /// A client: an answer has a header that only the router may set.
    AnswerForged {
        /// The request's tag.
        tag: String,
        /// The header.
        header: String,
    },
    /// The world: this serving certificate is on a router's disk from now on.
    RouterCertificate {
        /// The router's host.
        router: String,
        /// The certificate, in DER.
        leaf: Vec<u8>,
    },
    /// The world: the authority between routers and cells has changed.
    CellTrustChanged,
    /// A client: the request goes over a connection with a client certificate.
    Presented {
        /// The request's tag.
        tag: String,
        /// When the certificate expires, since the Unix epoch; `None` if that is after the run.
        certificate_expires: Option<Duration>,
    },
    /// An Envoy: what came of asking its router about a request.
    Checked {
        /// The request's tag, if it had one.
        tag: Option<String>,
        /// Whether the router allowed it.
        outcome: CheckOutcome,
    },
    /// A client: the result of its request.
    Answered {
        /// The request's tag.
        tag: String,
        /// What the client saw.
        answer: Answer,
    },
    /// A client: it received another part of a long answer.
    Streamed {
        /// The request's tag.
        tag: String,
    },
    /// The world: an endpoint of a cell serves with this certificate from now on.
    CellCertificate {
        /// Its host.
        host: String,
        /// The other cell, if it is the certificate of another cell.
        impersonates: Option<String>,
        /// When it expires, since the Unix epoch; `None` if that is after the run.
        expires: Option<Duration>,
        /// Whether the host has just started, so that all its connections use this certificate.
        restarted: bool,
    },
    /// A cell: a request arrived.
    Arrived(Arrived),
    /// A cell: it gave a request no answer.
    Unserved {
        /// Which cell.
        cell: String,
        /// Its endpoint's host.
        host: String,
        /// The request's tag, if it had one.
        tag: Option<String>,
        /// How it ended. A disclaimed request hasn't arrived.
        how: Unserved,
    },
    /// A cell: it checked the envelope of a request.
    EnvelopeChecked(EnvelopeChecked),
    /// A cell: it fetched the public keys of envelopes, or failed to.
    EnvelopeKeys {
        /// Which endpoint.
        host: String,
        /// How many keys it has now, or why it keeps the old ones.
        outcome: Result<usize, String>,
    },
    /// A cell: the trailers of a request.
    Trailers {
        /// Which cell.
        cell: String,
        /// The request's tag, if it had one.
        tag: Option<String>,
        /// Names in lower case, and values.
        trailers: Vec<(String, String)>,
    },
}

/// An event for the timeline.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Note {
    /// The kind, in snake case.
    pub kind: String,
    /// A description for people.
    pub text: String,
}

/// A router's decision.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Decided {
    /// Which router.
    pub life: Life,
    /// The router's id of the request.
    pub request_id: String,
    /// The cell, if the request may pass.
    pub cell: Option<String>,
    /// The reason of the decision.
    pub reason: Reason,
    /// The tenant that the router identified.
    pub tenant: Option<String>,
    /// The registry version of the decision.
    pub registry_version: Option<u64>,
    /// The time of the router's wall clock, since the Unix epoch.
    pub unix: Duration,
}

/// The end of a request, as its router reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Responded {
    /// Which router.
    pub life: Life,
    /// The router's id of the request.
    pub request_id: String,
    /// The status that it sent; `None` if the client had closed the connection.
    pub status: Option<u16>,
    /// The reason, if the router made or cut the answer.
    pub reason: Option<Reason>,
}

/// What proves a routing key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RoutingKeyProof {
    /// A gateway's certificate.
    Gateway,
    /// A signature, which is valid for a time.
    Signer {
        /// The key's name.
        kid: String,
        /// When it was signed, since the Unix epoch.
        time: Duration,
    },
    /// None, or none that is still valid.
    None,
}

/// A client's request, and what the client knows about it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// Which client.
    pub client: String,
    /// The request's name, which it carries in a header.
    pub tag: String,
    /// The tenant that the client really acts for.
    pub tenant: String,
    /// Whether its credentials prove that.
    pub good: bool,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The claims of its token, good or bad; `None` without a token.
    pub claims: Option<Box<Claims>>,
    /// The tenant that it picks from those of its token.
    pub selects: Option<String>,
    /// It has no credentials.
    pub anonymous: bool,
    /// Its token, if that is valid for a time.
    pub token: Option<Token>,
    /// Its cell-bound authorization, if it calls on behalf of a cell.
    pub cell_bound: Option<Box<CellBound>>,
    /// What really proves its routing key, if it has one.
    pub routing_key: Option<RoutingKeyProof>,
    /// The address of the client's host.
    pub address: Ipv4Addr,
    /// The host that it is meant for: a router or an Envoy.
    pub to: String,
    /// The Envoy that it is sent to instead of a router.
    pub via: Option<String>,
    /// The method may change something, so the request must not be sent to a cell twice.
    pub once: bool,
}

/// A token's claims.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Claims {
    /// Its audiences: `aud`.
    pub audiences: BTreeSet<String>,
    /// The tenants that the token names.
    pub tenants: BTreeSet<String>,
    /// The tenant if the request picks none.
    pub default_tenant: Option<String>,
    /// The roles; `None` if it has no roles claim.
    pub roles: Option<BTreeSet<String>>,
    /// The scopes.
    pub scopes: BTreeSet<String>,
    /// The tier.
    pub tier: Option<String>,
}

/// What a client knows about its own token.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Token {
    /// Its issuer.
    pub issuer: String,
    /// The key that signed it.
    pub key: String,
    /// When it was issued, since the Unix epoch.
    pub issued: Duration,
    /// When it expires, since the Unix epoch.
    pub expires: Duration,
}

/// How a router's configuration treats cell-bound authorizations.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct CellBoundRules {
    /// Requests with an invalid one are denied.
    pub enforced: bool,
    /// Each is accepted once.
    pub once: bool,
}

/// The truth about a cell-bound authorization.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CellBound {
    /// The calling cell that it names.
    pub source: String,
    /// Whether that cell signed it.
    pub genuine: bool,
    /// The cell that it is for.
    pub destination: String,
    /// The tenant that it is for.
    pub tenant: String,
    /// The user that it is for.
    pub subject: String,
    /// Its `jti`.
    pub jti: String,
    /// When it expires, since the Unix epoch.
    pub expires: Duration,
}

/// A request, as a cell received it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Arrived {
    /// The cell's id.
    pub cell: String,
    /// The endpoint's host.
    pub host: String,
    /// The request's tag, if it had one.
    pub tag: Option<String>,
    /// The number of its connection at this endpoint.
    pub connection: u64,
    /// How many requests came before it on the same connection.
    pub on_connection: u64,
    /// All headers, names in lower case.
    pub headers: Vec<(String, String)>,
}

impl Arrived {
    /// The value of a header of this name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(n, _)| n == name);
        found.map(|(_, value)| value.as_str())
    }
}

/// The result when an endpoint of a cell checked an envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EnvelopeChecked {
    /// Which endpoint.
    pub host: String,
    /// The router's id of the request.
    pub request_id: Option<String>,
    /// The key that the envelope names.
    pub kid: Option<String>,
    /// What it proves, or why the cell refuses it.
    pub found: Result<Proved, String>,
    /// The result that every other cell of the world would get with the same keys.
    pub elsewhere: Vec<(String, Result<(), String>)>,
}

/// What an envelope proves.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Proved {
    /// The tenant that the caller acts for.
    pub tenant: Option<String>,
    /// The cell that it is for.
    pub cell: String,
    /// The registry version of the decision.
    pub placement_epoch: u64,
}

/// The answer that a client got.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// A success, from a cell.
    Ok,
    /// An error from the router, with its reason.
    Router(String),
    /// An error from a cell, with its status.
    Cell(u16),
    /// No connection.
    Refused,
    /// No complete answer in time.
    None,
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Router(reason) => f.write_str(reason),
            Self::Cell(status) => write!(f, "cell_status_{status}"),
            Self::Refused => f.write_str("refused"),
            Self::None => f.write_str("no_answer"),
        }
    }
}
