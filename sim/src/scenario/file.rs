//! The tables of a scenario file, as they are written.
//!
//! Values that may have mistakes are [`Spanned`], so that a mistake is reported with its line.

use std::collections::BTreeMap;

use cellway_core::rate_limit::RateLimitSpec;
use serde::Deserialize;
use toml::Spanned;

use super::choices::{CellProtocol, CellState, ClientProtocol, HeaderVersion, UnknownTenant};
use super::credential::{Authorization, Claims, Credential, Flaw};
use super::units::{Rate, Span};
use crate::engine::Kind;

/// A name, with its place in the file.
pub(super) type Name = Spanned<String>;

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    /// One sentence on what it shows.
    pub about: String,
    /// How long the world runs.
    pub duration: Spanned<Span>,
    /// How far one step of the world reaches; longer is faster and coarser.
    #[serde(default = "tick")]
    pub tick: Spanned<Span>,
    /// Which engine runs it.
    #[serde(default)]
    pub engine: Kind,
    pub world: World,
    /// Settings of the routers, merged over the simulator's own.
    #[serde(default)]
    pub router: toml::Table,
    pub workload: Workload,
    #[serde(default)]
    pub fault: Vec<Fault>,
    pub expect: Expect,
}

fn no_more() -> Spanned<u32> {
    Spanned::new(0..0, 0)
}

fn whole_segments() -> Spanned<bool> {
    Spanned::new(0..0, false)
}

fn tick() -> Spanned<Span> {
    Spanned::new(0..0, Span(std::time::Duration::from_millis(5)))
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct World {
    /// The number of routers, which are called `router-1` and so on.
    pub routers: Spanned<u32>,
    /// The shortest and longest time that a message travels.
    #[serde(default = "latency")]
    pub latency: Spanned<[Span; 2]>,
    /// Whether segments are cut in parts.
    #[serde(default = "whole_segments")]
    pub cut_segments: Spanned<bool>,
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
    /// How many more tenants the registry has, which no client acts for.
    #[serde(default = "no_more")]
    pub more_tenants: Spanned<u32>,
    /// Where unlisted tenants go.
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
    /// The tenants that it may speak for. The router requires it if there are several issuers.
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
    /// Since the start of the run: from when to when it gives its tenants away while it is draining.
    pub drains: Option<[Span; 2]>,
    /// The number of endpoints, whose hosts are called `<id>-1` and so on.
    #[serde(default = "one")]
    pub endpoints: Spanned<u32>,
    /// How many of them the registry lists at first. Absent: all. 0: the first registry doesn't have the
    /// cell.
    pub listed: Option<Spanned<u32>>,
    #[serde(default)]
    pub protocol: CellProtocol,
    /// Whether its key for calls to other cells is in the registry from the start.
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

fn region() -> String {
    "home".to_owned()
}

fn one() -> Spanned<u32> {
    Spanned::new(0..0, 1)
}

#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Placement {
    pub id: Name,
    pub tier: String,
    pub cells: Vec<Name>,
    /// Its tenants are spread over the cells. A placement that isn't stateless has exactly one cell.
    #[serde(default)]
    pub stateless: bool,
    /// The placement that serves its tenants while none of its cells takes traffic.
    pub fallback: Option<Name>,
    /// Its tenants also go to another cell while theirs can't be reached.
    #[serde(default)]
    pub failover: bool,
    /// How many requests its tenants may send together.
    pub rate_limit: Option<RateLimitSpec>,
    /// How many of its tenants' requests may be at cells at once.
    pub requests_max: Option<u32>,
}

#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Tenant {
    pub id: Name,
    pub cell: Option<Name>,
    pub placement: Option<Name>,
    #[serde(default)]
    pub suspended: bool,
    pub issuer: Option<Name>,
    /// The roles that its callers may have.
    #[serde(default)]
    pub allowed_roles: Vec<String>,
    /// The role of callers whose credentials have no roles.
    pub default_role: Option<String>,
    /// How many requests it may send.
    pub rate_limit: Option<RateLimitSpec>,
    /// How many of its requests may be at cells at once.
    pub requests_max: Option<u32>,
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
    /// How many of them there are.
    #[serde(default = "one")]
    pub count: Spanned<u32>,
    pub tenant: Name,
    pub rate: Rate,
    #[serde(default)]
    pub credential: Credential,
    /// The issuer of its tokens; by default the first one.
    pub issuer: Option<Name>,
    /// The kid of the key that signs its routing keys.
    #[serde(default = "signer")]
    pub signer: Name,
    /// How long its tokens are valid. It gets a new one after three quarters of that time.
    #[serde(default = "token_lifetime")]
    pub token_lifetime: Spanned<Span>,
    /// How long its certificates are valid; by default for the whole run. A client that renews gets a
    /// new one after three quarters of that time.
    pub certificate_lifetime: Option<Spanned<Span>>,
    /// Whether it gets new certificates when old ones expire and authorities change.
    #[serde(default = "yes")]
    pub renews: bool,
    #[serde(default)]
    pub protocol: ClientProtocol,
    /// It calls on behalf of a cell, with a cell-bound authorization on each request.
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
    /// The router that it uses; by default all in turn.
    pub router: Option<Name>,
    /// The Envoy that it uses instead of a router.
    pub via: Option<Name>,
    /// The load balancer through which it connects.
    pub through: Option<Name>,
    /// Whether it begins its connections with its own PROXY header, which names another client.
    #[serde(default)]
    pub spoofs: bool,
    /// How long each answer lasts; by default a short echo.
    pub stream: Option<Spanned<Span>>,
    /// Whether the stream is a WebSocket, over which the client and the cell talk.
    #[serde(default)]
    pub websocket: bool,
    /// Whether its requests are gRPC calls.
    #[serde(default)]
    pub grpc: bool,
    /// How long its calls may take. It says so in `grpc-timeout`.
    pub deadline: Option<Spanned<Span>>,
    /// Whether it asks for the WebSocket with a `Content-Length`, although no body can follow.
    #[serde(default)]
    pub states_length: bool,
    /// Whether every request is a `POST` whose body stops halfway.
    #[serde(default)]
    pub unfinished: bool,
    /// Whether every request is a `POST` that the client breaks off in the middle of its body.
    #[serde(default)]
    pub breaks_off: bool,
    /// How many bytes it sends with every request, which is a `POST`.
    pub upload: Option<Spanned<u32>>,
    /// Whether it asks for long answers and reads only their beginning.
    #[serde(default)]
    pub stops_reading: bool,
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

/// Makes the table of a fault from its optional fields.
macro_rules! fault {
    ( $( $field:ident : $type:ty ),+ $(,)? ) => {
        /// A fault with every field that any kind has. The table in `fault/table.rs` says which kind
        /// has which.
        #[derive(Deserialize, Debug)]
        #[serde(deny_unknown_fields)]
        pub(super) struct Fault {
            pub at: Spanned<Span>,
            pub kind: Name,
            /// How long it lasts, for those that end.
            #[serde(rename = "for")]
            pub lasts: Option<Spanned<Span>>,
            $( pub $field: Option<$type>, )+
        }

        impl Fault {
            /// The names of the optional fields that are set, apart from `for`.
            pub(super) fn given(&self) -> impl Iterator<Item = &'static str> {
                let all = [ $( (stringify!($field), self.$field.is_some()), )+ ];
                all.into_iter().filter(|(_, given)| *given).map(|(name, _)| name)
            }
        }
    };
}

fault! {
    target: Name,
    to: Name,
    between: [Name; 2],
    delay: Spanned<Span>,
    status: Spanned<u16>,
    retry_after: Spanned<Span>,
    hints: Spanned<u32>,
    streams: Spanned<u32>,
    key: Name,
    authority: Name,
    tenant: Name,
    subject: Name,
    cell: Name,
    state: Spanned<CellState>,
    ahead: Spanned<Span>,
    behind: Spanned<Span>,
    document: Name,
    keys_of: Name,
    settings: Spanned<toml::Table>,
    registry: Spanned<NewRegistry>,
    signs_after: Spanned<Span>,
    lifetime: Spanned<Span>,
}

/// A registry that the control plane publishes in place of the one before.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRegistry {
    pub cell: Vec<ListedCell>,
    #[serde(default)]
    pub placement: Vec<Placement>,
    #[serde(default)]
    pub tenant: Vec<Tenant>,
    #[serde(default)]
    pub unknown_tenant: UnknownTenant,
    /// Whether it may have lost many cells or tenants since the version before.
    #[serde(default)]
    pub allow_shrink: bool,
}

/// A cell of such a registry.
#[derive(Deserialize, Clone, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct ListedCell {
    pub id: Name,
    pub tier: String,
    #[serde(default = "region")]
    pub region: String,
    #[serde(default)]
    pub state: CellState,
    /// The hosts of its endpoints.
    pub endpoints: Vec<String>,
}

#[derive(Deserialize, Debug)]
#[serde(deny_unknown_fields)]
pub(super) struct Expect {
    /// How long after the last fault until everything must work again.
    pub recovery: Spanned<Span>,
    /// Clients that are still refused at the end, for example because their key was withdrawn.
    #[serde(default)]
    pub refused_at_end: Vec<Name>,
    /// Events of the level ERROR that the scenario provokes, by name.
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
    /// The start of the window, by the time when requests are sent.
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
