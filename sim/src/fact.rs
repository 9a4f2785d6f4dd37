//! What the invariants are told: one stream of facts from everybody in the world.
//!
//! Each host speaks for itself. Routers report what they decided, cells what they received,
//! clients what they sent and what came back, and the world what is true: an oracle that only
//! heard the router would believe the router.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use cellway_core::Reason;
use cellway_testbed::{Heard, Unserved};

use crate::scenario::CellState;

/// One life of one router.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Life {
    /// Its host's name.
    pub router: String,
    /// How often it was started before.
    pub incarnation: u32,
}

/// Which cells each tenant may be served by, as one registry version has it.
pub type Assignment = BTreeMap<String, BTreeSet<String>>;

/// What a good registry document means, as its operators intend it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Published {
    /// Its version.
    pub version: u64,
    /// Which cells may serve each tenant.
    pub assignment: Assignment,
    /// Which cells take the traffic of each placement.
    pub placements: Assignment,
    /// The suspended tenants.
    pub suspended: BTreeSet<String>,
    /// The callers whose tokens are revoked: tenant and subject.
    pub revoked: BTreeSet<(String, String)>,
    /// The cells that may call others and have their key in it.
    pub callers: BTreeSet<String>,
    /// All cells.
    pub cells: BTreeMap<String, PublishedCell>,
    /// The role settings of each tenant.
    pub role_settings: BTreeMap<String, RoleSettings>,
    /// Whether tenants that it doesn't list go to the cells of their token's tier.
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
    /// The class of service that it gives.
    pub tier: String,
    /// The traffic that it takes.
    pub state: CellState,
}

/// A tenant's role settings in the registry.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RoleSettings {
    /// The roles that count.
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
    /// The methods that it covers; all if empty.
    pub methods: Vec<String>,
    /// The path pattern, as in the configuration.
    pub path: String,
    /// Who may pass.
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

/// Something that one host, or the world, knows to have happened.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// The world: the control plane publishes a good document from now on.
    Published(Box<Published>),
    /// The world: a fault begins, or something is done to a host.
    FaultBegins(String),
    /// The world: a fault is over.
    FaultEnds(String),
    /// The world: a router's configuration file says this from now on.
    Configured(Box<Configured>),
    /// The world: a router's last-known-good state can't be relied on any more.
    StateDamaged(String),
    /// The world: a router started.
    Started(Life),
    /// The world: a router was stopped in the middle of whatever it did.
    Crashed(Life),
    /// The world: a client's host was stopped, so its open requests get no answer.
    ClientStopped(String),
    /// A router: something without a bearing on any invariant, for the timeline.
    Noted(Life, Note),
    /// A router: it decides on this registry from now on.
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
        /// An unknown key is the reason, not the schedule.
        forced: bool,
    },
    /// A router: it decided a request.
    Decided(Decided),
    /// A router: it answered a request, or gave it up.
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
    /// A client: it has a new connection.
    Connected {
        /// Its name.
        client: String,
        /// The host at the other end.
        to: String,
        /// The certificate that this showed, in DER.
        leaf: Vec<u8>,
    },
    /// A client: an answer has a header that its cell may not set.
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
    /// The world: what routers and cells trust each other by, or show each other, has changed.
    CellTrustChanged,
    /// A client: the request goes over a connection with a certificate, which ends then.
    Presented {
        /// The request's tag.
        tag: String,
        /// Since the Unix epoch; `None` if the certificate outlives the run.
        certificate_ends: Option<Duration>,
    },
    /// An Envoy: what it heard of a request from the router that it asked.
    Heard {
        /// The request's tag, if it had one.
        tag: Option<String>,
        /// What it was told.
        heard: Heard,
    },
    /// A client: what became of its request.
    Answered {
        /// The request's tag.
        tag: String,
        /// What the client saw.
        answer: Answer,
    },
    /// A client: more of an answer's body came, of one that was asked for as a long stream.
    Streamed {
        /// The request's tag.
        tag: String,
    },
    /// The world: an endpoint of a cell serves with another certificate from now on.
    CellCertificate {
        /// Its host.
        host: String,
        /// Another cell, whose certificate it is.
        of: Option<String>,
        /// The first moment at which it has expired, since the Unix epoch; `None` if it outlives
        /// the run.
        ends: Option<Duration>,
        /// Whether the host has just started, so that all its connections are newer.
        anew: bool,
    },
    /// A cell: a request arrived.
    Arrived(Arrived),
    /// A cell: a request gets no answer.
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
    /// A cell: what it makes of the envelope of a request that arrived.
    EnvelopeChecked(EnvelopeChecked),
    /// A cell: it fetched the public keys of envelopes, or couldn't.
    EnvelopeKeys {
        /// Which endpoint.
        host: String,
        /// How many keys it has now, or why it keeps what it had.
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

/// A line of the timeline that no invariant looks at.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Note {
    /// The kind, in snake case.
    pub kind: String,
    /// The rest, for people.
    pub text: String,
}

/// A router's decision.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Decided {
    /// Which router.
    pub life: Life,
    /// Its name for the request.
    pub request_id: String,
    /// The cell, if the request may pass.
    pub cell: Option<String>,
    /// The reason of the decision.
    pub reason: Reason,
    /// The identity that the router gave the caller.
    pub tenant: Option<String>,
    /// The registry that it was decided on.
    pub registry_version: Option<u64>,
    /// What the router's wall clock showed, since the Unix epoch.
    pub unix: Duration,
}

/// A router's last word on a request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Responded {
    /// Which router.
    pub life: Life,
    /// Its name for the request.
    pub request_id: String,
    /// What it sent; `None` if the client had gone.
    pub status: Option<u16>,
    /// Why, where the router had a say.
    pub reason: Option<Reason>,
}

/// What proves a routing key.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum RoutingKeyProof {
    /// A gateway's certificate.
    Gateway,
    /// A signature that is good for a time.
    Signer {
        /// The key's name.
        kid: String,
        /// Since the Unix epoch.
        time: Duration,
    },
    /// None, or none that is still valid.
    None,
}

/// A client's request, with the truth about it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Sent {
    /// Which client.
    pub client: String,
    /// A name for the request that travels with it.
    pub tag: String,
    /// The tenant that the client really acts for.
    pub tenant: String,
    /// Whether what it shows proves that.
    pub good: bool,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// The claims of its token, good or bad; `None` without a token.
    pub claims: Option<Box<Claims>>,
    /// The tenant that it picks from those of its token.
    pub selects: Option<String>,
    /// It shows nothing at all.
    pub anonymous: bool,
    /// The token that it shows, if that is good for a time.
    pub token: Option<Token>,
    /// The cell-bound authorization that it shows, if it calls in a cell's name.
    pub cell_bound: Option<Box<CellBound>>,
    /// Who really stands behind the routing key that it shows, if it shows one.
    pub routing_key: Option<RoutingKeyProof>,
    /// The address of its client's host.
    pub address: Ipv4Addr,
    /// The host that it is sent to: a router or an Envoy.
    pub to: String,
    /// The Envoy that it goes through, if it doesn't go through a router.
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
    /// The tenants that it names.
    pub tenants: BTreeSet<String>,
    /// The tenant if the request picks none.
    pub default_tenant: Option<String>,
    /// The roles; `None` if it has no roles claim.
    pub roles: Option<BTreeSet<String>>,
    /// The scopes.
    pub scopes: BTreeSet<String>,
    /// The class of service.
    pub tier: Option<String>,
}

/// What a client knows of its own token.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Token {
    /// Which issuer made it.
    pub issuer: String,
    /// With which key.
    pub key: String,
    /// When, since the Unix epoch.
    pub from: Duration,
    /// When it ends, since the Unix epoch.
    pub ends: Duration,
}

/// What a router's configuration says of cell-bound authorizations.
#[derive(Clone, Copy, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct CellBoundRules {
    /// One that doesn't hold is denied.
    pub enforced: bool,
    /// Each is taken once.
    pub once: bool,
}

/// What is true of a cell-bound authorization.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CellBound {
    /// The cell that it names as its maker.
    pub source: String,
    /// That cell has signed it.
    pub genuine: bool,
    /// The cell that it leads to.
    pub destination: String,
    /// The tenant that it is for.
    pub tenant: String,
    /// The user that it is for.
    pub subject: String,
    /// Its number among those of its source.
    pub jti: String,
    /// When it ends, since the Unix epoch.
    pub ends: Duration,
}

/// A request as a cell received it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Arrived {
    /// The cell's id.
    pub cell: String,
    /// The endpoint's host.
    pub host: String,
    /// The request's tag, if it had one.
    pub tag: Option<String>,
    /// The number of its connection among those of the cell's endpoint.
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

/// What an endpoint of a cell makes of an envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct EnvelopeChecked {
    /// Which endpoint.
    pub host: String,
    /// The router's name for the request.
    pub request_id: Option<String>,
    /// The key that the envelope names.
    pub kid: Option<String>,
    /// What it proves, or why the cell doesn't believe it.
    pub found: Result<Proved, String>,
    /// What each other cell of the world would make of it, with the same keys.
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
    /// The registry's version that it was decided on.
    pub placement_epoch: u64,
}

/// What a client saw of an answer.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
#[non_exhaustive]
pub enum Answer {
    /// A success, from a cell.
    Ok,
    /// An error of the router's, with its reason.
    Router(String),
    /// An error of the cell's own.
    Cell(u16),
    /// No connection.
    Refused,
    /// No whole answer in time.
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
