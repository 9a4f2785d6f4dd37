//! The tables of a scenario file, as they are written.
//!
//! Names that refer to something else are [`Spanned`], so that a mistake in one is reported with
//! the line that it stands on.

use std::collections::BTreeMap;

use serde::Deserialize;
use toml::Spanned;

use super::units::{Rate, Span};

/// A name, and where it stands in the file.
pub(super) type Name = Spanned<String>;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// One sentence for people.
    pub about: String,
    /// How long the world runs.
    pub duration: Spanned<Span>,
    /// How far one step of the world reaches; longer is faster and coarser.
    #[serde(default = "tick")]
    pub tick: Spanned<Span>,
    pub world: World,
    /// Settings of the real router, merged over those that the simulator makes.
    #[serde(default)]
    pub router: toml::Table,
    pub workload: Workload,
    #[serde(default)]
    pub fault: Vec<Fault>,
    pub expect: Expect,
}

fn tick() -> Spanned<Span> {
    Spanned::new(0..0, Span(std::time::Duration::from_millis(5)))
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct World {
    /// How many; they are called `router-1` and so on.
    pub routers: Spanned<u32>,
    /// The shortest and longest time that a message travels.
    #[serde(default = "latency")]
    pub latency: Spanned<[Span; 2]>,
    pub issuer: Vec<Issuer>,
    pub cell: Vec<Cell>,
    /// Envoys that ask a router about each request.
    #[serde(default)]
    pub envoy: Vec<Envoy>,
    /// Load balancers in front of routers.
    #[serde(default)]
    pub balancer: Vec<Balancer>,
    #[serde(default)]
    pub placement: Vec<Placement>,
    pub tenant: Vec<Tenant>,
    /// Where tenants go that aren't listed.
    #[serde(default)]
    pub unknown_tenant: UnknownTenant,
}

fn latency() -> Spanned<[Span; 2]> {
    let millis = |n| Span(std::time::Duration::from_millis(n));
    Spanned::new(0..0, [millis(5), millis(20)])
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Issuer {
    pub name: Name,
    /// The tenants that it may speak for; required if there are two issuers.
    pub tenants: Option<Vec<Name>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Cell {
    pub id: Name,
    pub tier: String,
    #[serde(default = "region")]
    pub region: String,
    #[serde(default)]
    pub state: CellState,
    /// How many; they are hosts called `<id>-1` and so on.
    #[serde(default = "one")]
    pub endpoints: Spanned<u32>,
    #[serde(default)]
    pub protocol: CellProtocol,
    /// If it calls other cells: its key is in the registry from the start.
    #[serde(default = "yes")]
    pub publishes_key: bool,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Envoy {
    pub name: Name,
    /// The router that it asks.
    pub router: Name,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Balancer {
    pub name: Name,
    /// The router that it is in front of.
    pub router: Name,
    /// Whether the routers' configuration lists it.
    #[serde(default = "yes")]
    pub listed: bool,
    /// The version of the PROXY headers that it writes.
    #[serde(default)]
    pub version: HeaderVersion,
}

/// A version of the PROXY protocol's header.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(try_from = "u8")]
pub enum HeaderVersion {
    /// A line of text.
    One,
    /// Binary.
    #[default]
    Two,
}

impl TryFrom<u8> for HeaderVersion {
    type Error = &'static str;

    fn try_from(version: u8) -> Result<Self, Self::Error> {
        match version {
            1 => Ok(Self::One),
            2 => Ok(Self::Two),
            _ => Err("must be 1 or 2"),
        }
    }
}

fn region() -> String {
    "home".to_owned()
}

fn one() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

/// Which traffic a cell takes, as the registry says.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum CellState {
    /// None yet.
    Provisioning,
    /// All of its tenants'.
    #[default]
    Active,
    /// That of the tenants which it has.
    Draining,
    /// None; its tenants are told to wait.
    Quarantined,
}

impl CellState {
    /// The word in the registry.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
        }
    }
}

/// What a cell's endpoints speak.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum CellProtocol {
    /// Mutual TLS; HTTP/2 or HTTP/1.1 by ALPN.
    #[default]
    Https,
    /// Plain HTTP/1.1.
    Http,
    /// Plain HTTP/2.
    H2c,
}

impl CellProtocol {
    /// The scheme of its URLs.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::H2c => "h2c",
        }
    }
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Placement {
    pub id: Name,
    pub tier: String,
    pub cells: Vec<Name>,
    /// Its tenants are spread over the cells. One that isn't has exactly one cell.
    #[serde(default)]
    pub stateless: bool,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub id: Name,
    pub cell: Option<Name>,
    pub placement: Option<Name>,
    #[serde(default)]
    pub suspended: bool,
    pub issuer: Option<Name>,
    /// The roles in credentials that count.
    #[serde(default)]
    pub allowed_roles: Vec<String>,
    /// The role of callers whose credentials have no roles.
    pub default_role: Option<String>,
}

/// Where tenants go that the registry doesn't list.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum UnknownTenant {
    /// They are refused.
    #[default]
    Deny,
    /// They go to an active cell of the tier that their token names.
    ByTier,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Workload {
    pub client: Vec<Client>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    pub name: Name,
    pub tenant: Name,
    pub rate: Rate,
    #[serde(default)]
    pub credential: Credential,
    /// Who issues its tokens; the first issuer unless named.
    pub issuer: Option<Name>,
    /// Whose key signs its routing keys, by its kid.
    #[serde(default = "signer")]
    pub signer: Name,
    /// How long its tokens hold. It gets a new one when three quarters of that have passed.
    #[serde(default = "token_lifetime")]
    pub token_lifetime: Spanned<Span>,
    /// How long its certificates hold; for the whole run unless said. A client that renews gets a
    /// new one when three quarters of that have passed.
    pub certificate_lifetime: Option<Spanned<Span>>,
    /// It gets new certificates as old ones end and authorities change.
    #[serde(default = "yes")]
    pub renews: bool,
    #[serde(default)]
    pub protocol: ClientProtocol,
    /// It calls in a cell's name, with a cell-bound authorization on each request.
    pub cell_bound: Option<CellBound>,
    /// Further claims of its tokens.
    #[serde(default)]
    pub claims: Claims,
    /// Whether it names its tenant in a header.
    #[serde(default)]
    pub selects: bool,
    /// What is wrong with its tokens.
    pub flaw: Option<Flaw>,
    /// The path of its requests.
    pub path: Option<Name>,
    /// The router that it uses; all in turn unless named.
    pub router: Option<Name>,
    /// The Envoy that it uses, and no router then.
    pub via: Option<Name>,
    /// The load balancer through which it connects.
    pub through: Option<Name>,
    /// Whether it begins its connections with its own PROXY header, which names another client.
    #[serde(default)]
    pub spoofs: bool,
    /// Every request asks for an answer that lasts so long; an echo unless said.
    pub stream: Option<Spanned<Span>>,
    /// Whether every request is a `POST` whose body stops halfway.
    #[serde(default)]
    pub unfinished: bool,
    /// How long it waits for an answer.
    #[serde(default = "timeout")]
    pub timeout: Spanned<Span>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct CellBound {
    /// The cell.
    pub source: Name,
    #[serde(default)]
    pub shows: Authorization,
}

/// Which cell-bound authorizations a client shows.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum Authorization {
    /// A new one of its cell's own with each request, for the cell that has its tenant.
    #[default]
    Good,
    /// The same for another cell.
    Misdirected,
    /// One for another user of its tenant.
    ForAnother,
    /// One that claims its cell's key and was signed by another.
    Forged,
    /// What another client of this cell has shown the same router just before, token and all.
    Replayed,
}

/// Further claims of a client's tokens.
#[derive(Deserialize, Clone, PartialEq, Eq, Debug, Default)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// All tenants that the token names, instead of one.
    pub tenants: Option<Vec<String>>,
    /// With `tenants`: the tenant if the request picks none.
    pub default_tenant: Option<String>,
    /// Its roles; no claim by default.
    pub roles: Option<Vec<String>>,
    /// Its scopes.
    #[serde(default)]
    pub scopes: Vec<String>,
    /// The class of service.
    pub tier: Option<String>,
    /// Further audiences of the token.
    #[serde(default)]
    pub audiences: Vec<String>,
}

/// What is wrong with a token, or with how it is sent.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug)]
#[serde(rename_all = "snake_case")]
pub enum Flaw {
    /// It has no signature, and `alg` `none`.
    Unsigned,
    /// It names another issuer.
    WrongIssuer,
    /// It isn't valid before an hour from now.
    Early,
    /// It has another `typ`, that of cell-bound authorizations.
    WrongType,
    /// It is bound to a certificate that the client doesn't have.
    BoundElsewhere,
    /// It names no tenant.
    NoTenant,
    /// It names no subject.
    NoSubject,
    /// It has no expiry.
    NoExpiry,
    /// It has no audience.
    NoAudience,
    /// It is sent twice, in two headers.
    Twice,
    /// It is also sent in the query.
    InQuery,
    /// It is good, but the request's `Connection` names headers of the router, so that they would
    /// be dropped.
    NamesStamps,
}

fn yes() -> bool {
    true
}

fn signer() -> Name {
    Spanned::new(0..0, "edge-1".to_owned())
}

fn token_lifetime() -> Spanned<Span> {
    seconds(3600)
}

fn timeout() -> Spanned<Span> {
    seconds(10)
}

fn seconds(n: u64) -> Spanned<Span> {
    Spanned::new(0..0, Span(std::time::Duration::from_secs(n)))
}

/// What a client shows.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum Credential {
    /// A good token of its issuer's.
    #[default]
    Token,
    /// A certificate with its tenant in the SAN.
    Certificate,
    /// Both, for the same tenant.
    Both,
    /// Nothing.
    None,
    /// A token that expired before the simulation began.
    Expired,
    /// A token for somebody else.
    WrongAudience,
    /// A token that claims its issuer's key and was signed by another.
    Forged,
    /// A token that names a key nobody has, another one each time.
    UnknownKey,
    /// A token for its tenant and a certificate of another's.
    Conflicting,
    /// A good token that it goes on showing for a while after its end.
    Overdue,
    /// A gateway's certificate, and its tenant as the routing key.
    GatewayKey,
    /// Its tenant as the routing key, signed anew for each request by its signer.
    SignedKey,
    /// Its tenant as the routing key, and nothing else.
    SpoofedKey,
    /// Its tenant as the routing key, spoofed beside another tenant's certificate.
    BorrowedKey,
    /// Its tenant as the routing key, signed by another key under its signer's name.
    ForgedKey,
    /// Its tenant as the routing key, signed by its signer minutes ago.
    StaleKey,
}

impl Credential {
    /// Whether a router in `required` mode must always let it in, as far as credentials go.
    pub fn is_good(self) -> bool {
        match self {
            Self::Token | Self::Certificate | Self::Both | Self::GatewayKey | Self::SignedKey => {
                true
            }
            Self::None
            | Self::Expired
            | Self::WrongAudience
            | Self::Forged
            | Self::UnknownKey
            | Self::Conflicting
            | Self::Overdue
            | Self::SpoofedKey
            | Self::BorrowedKey
            | Self::ForgedKey
            | Self::StaleKey => false,
        }
    }

    /// Whether there is a token that somebody issued.
    pub fn has_token(self) -> bool {
        match self {
            Self::Token
            | Self::Both
            | Self::Expired
            | Self::WrongAudience
            | Self::Forged
            | Self::UnknownKey
            | Self::Conflicting
            | Self::Overdue => true,
            Self::None
            | Self::Certificate
            | Self::GatewayKey
            | Self::SignedKey
            | Self::SpoofedKey
            | Self::BorrowedKey
            | Self::ForgedKey
            | Self::StaleKey => false,
        }
    }

    /// Whether it has a client certificate in it.
    pub fn is_certified(self) -> bool {
        match self {
            Self::Certificate
            | Self::Both
            | Self::Conflicting
            | Self::GatewayKey
            | Self::BorrowedKey => true,
            Self::Token
            | Self::None
            | Self::Expired
            | Self::WrongAudience
            | Self::Forged
            | Self::UnknownKey
            | Self::Overdue
            | Self::SignedKey
            | Self::SpoofedKey
            | Self::ForgedKey
            | Self::StaleKey => false,
        }
    }

    /// Whether it proves the tenant for as long as its token holds.
    pub fn can_prove(self) -> bool {
        self.is_good() || self == Self::Overdue
    }
}

/// What a client speaks.
#[derive(Deserialize, Clone, Copy, PartialEq, Eq, Debug, Default)]
#[serde(rename_all = "snake_case")]
pub enum ClientProtocol {
    /// HTTP/1.1
    Http1,
    /// HTTP/2
    #[default]
    Http2,
}

/// A fault with every field that any kind has; the table in `fault/table.rs` says which belong to which.
#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Fault {
    pub at: Spanned<Span>,
    pub kind: Name,
    /// How long it lasts, for those that end.
    #[serde(rename = "for")]
    pub lasts: Option<Spanned<Span>>,
    pub target: Option<Name>,
    pub between: Option<[Name; 2]>,
    pub delay: Option<Spanned<Span>>,
    pub status: Option<Spanned<u16>>,
    pub key: Option<Name>,
    pub authority: Option<Name>,
    pub tenant: Option<Name>,
    pub subject: Option<Name>,
    pub cell: Option<Name>,
    pub state: Option<Spanned<CellState>>,
    pub ahead: Option<Spanned<Span>>,
    pub behind: Option<Spanned<Span>>,
    pub document: Option<Name>,
    pub keys_of: Option<Name>,
    pub settings: Option<Spanned<toml::Table>>,
    pub signs_after: Option<Spanned<Span>>,
    pub lifetime: Option<Spanned<Span>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// How long after the end of the last fault everything routable must succeed again.
    pub recovery: Spanned<Span>,
    /// Clients that the faults leave refused for good: their key was withdrawn, for example.
    #[serde(default)]
    pub refused_at_end: Vec<Name>,
    /// ERROR-level events that this scenario provokes, by name.
    #[serde(default)]
    pub errors: Vec<String>,
    #[serde(default)]
    pub answers: Vec<Answers>,
    /// How often each kind of notable event must be seen, at least.
    #[serde(default)]
    pub events: BTreeMap<String, Spanned<u32>>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Answers {
    pub clients: Spanned<Vec<Name>>,
    /// Counted from the moment the request was sent.
    #[serde(default = "start")]
    pub from: Spanned<Span>,
    pub until: Option<Spanned<Span>>,
    /// Every answer is one of these.
    #[serde(default)]
    pub only: Vec<Name>,
    /// Each of these comes at least once.
    #[serde(default)]
    pub some: Vec<Name>,
    /// Answers that come from a cell come from one of these.
    #[serde(default)]
    pub cells: Vec<Name>,
}

fn start() -> Spanned<Span> {
    Spanned::new(0..0, Span(std::time::Duration::ZERO))
}
