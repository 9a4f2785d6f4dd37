//! Scenarios: a world, a workload, faults and what must hold, as a file that anyone can read.
//!
//! This module reads the file. [`Scenario::parse`] also checks the settings and the registry with the
//! router's own code.

mod check;
mod choices;
mod client;
mod credential;
mod error;
mod expectations;
mod fault;
mod file;
mod hosts;
mod names;
mod order;
mod units;

use std::collections::BTreeMap;
use std::time::Duration;

use cellway_core::rate_limit::RateLimitSpec;

use crate::engine::Kind;

pub(crate) use check::read;
pub use choices::{CellProtocol, CellState, ClientProtocol, HeaderVersion, UnknownTenant};
pub use credential::{Authorization, Claims, Credential, Flaw};
pub(crate) use error::Errors;
pub use error::{ScenarioError, ScenarioErrors};
pub use fault::{
    Authority, Change, Fault, FaultKind, ListedCell, NewRegistry, markdown as faults_in_markdown,
};
pub use hosts::{Host, Role};

/// The name of the control plane's host.
pub const CONTROL_PLANE: &str = "control-plane";

/// The longest that a world may run.
const DURATION_MAX: Duration = Duration::from_secs(24 * 3600);
/// The first key of every identity provider.
pub(crate) const FIRST_KEY: &str = "key-1";
/// The envelope key that signs at the start of a world.
pub(crate) const FIRST_ENVELOPE_KEY: &str = "env-1";

/// A checked scenario: every name in it exists, and every fault has its fields.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Scenario {
    /// The file's name without folder and ending.
    pub name: String,
    /// The path that it was loaded from. Mistakes and failures name it.
    pub path: String,
    /// The file's text.
    pub text: String,
    /// The command that runs it again: see [`Scenario::replayed_by`].
    pub replay: Option<String>,
    /// One sentence on what it shows.
    pub about: String,
    /// How long the world runs.
    pub duration: Duration,
    /// How far one step of the world reaches.
    pub tick: Duration,
    /// Which engine runs it.
    pub engine: Kind,
    /// Whether segments are cut in parts.
    pub cuts_segments: bool,
    /// The shortest and longest time that a message travels.
    pub latency: [Duration; 2],
    /// Hosts' names.
    pub routers: Vec<String>,
    /// Identity providers.
    pub issuers: Vec<Issuer>,
    /// The cells of the first registry.
    pub cells: Vec<Cell>,
    /// Envoys that ask a router about each request.
    pub envoys: Vec<Envoy>,
    /// Load balancers in front of routers.
    pub balancers: Vec<Balancer>,
    /// The placements of the first registry.
    pub placements: Vec<Placement>,
    /// The tenants of the first registry.
    pub tenants: Vec<Tenant>,
    /// How many more tenants the registry has, which no client acts for.
    pub more_tenants: u32,
    /// Where unlisted tenants go.
    pub unknown_tenant: UnknownTenant,
    /// Who sends requests.
    pub clients: Vec<Client>,
    /// The timeline, in its order.
    pub faults: Vec<Fault>,
    /// What must hold besides the invariants.
    pub expect: Expect,
    /// Settings of the routers, merged over the simulator's own.
    pub router_settings: toml::Table,
}

/// An identity provider; its host is called `idp-<name>`.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Issuer {
    /// What the routers' configuration calls it.
    pub name: String,
    /// The tenants that it may speak for.
    pub tenants: Option<Vec<String>>,
}

impl Issuer {
    /// The host that it runs on.
    pub fn host(&self) -> String {
        format!("idp-{}", self.name)
    }
}

/// A cell of the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Cell {
    /// Its id.
    pub id: String,
    /// Its tier.
    pub tier: String,
    /// Its region.
    pub region: String,
    /// Its state.
    pub state: CellState,
    /// Since the start of the run: from when to when it gives its tenants away while it is draining.
    /// `None`: at once.
    pub drains: Option<[Duration; 2]>,
    /// How many endpoints it has.
    pub endpoints: u32,
    /// How many of them the registry lists at first.
    pub listed: u32,
    /// What they speak.
    pub protocol: CellProtocol,
    /// Whether its key for calls to other cells is in the registry from the start.
    pub publishes_key: bool,
}

impl Cell {
    /// The hosts of its endpoints.
    pub fn hosts(&self) -> impl Iterator<Item = String> + '_ {
        (1..=self.endpoints).map(|n| format!("{}-{n}", self.id))
    }

    /// The hosts that the registry lists at first.
    pub fn listed_hosts(&self) -> impl Iterator<Item = String> + '_ {
        self.hosts().take(self.listed as usize)
    }
}

/// An Envoy that asks a router about each request, and forwards it to a cell itself.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Envoy {
    /// Its host's name.
    pub name: String,
    /// The router that it asks.
    pub router: String,
}

/// A load balancer that passes a router's connections on, and names their clients in PROXY headers.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Balancer {
    /// Its host's name.
    pub name: String,
    /// The router that it is in front of.
    pub router: String,
    /// Whether the routers' configuration lists its address, so that they read its headers.
    pub listed: bool,
    /// The version of the headers that it writes.
    pub version: HeaderVersion,
}

/// A placement of the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Placement {
    /// Its id.
    pub id: String,
    /// The tier of its cells.
    pub tier: String,
    /// The cells.
    pub cells: Vec<String>,
    /// Its tenants are spread over the cells.
    pub stateless: bool,
    /// The placement that serves its tenants while none of its cells takes traffic.
    pub fallback: Option<String>,
    /// Its tenants also go to another cell while theirs can't be reached.
    pub failover: bool,
    /// How many requests its tenants may send together.
    pub rate: Option<RateLimitSpec>,
    /// How many of its tenants' requests may be at cells at once.
    pub requests_max: Option<u32>,
}

/// A tenant of the registry.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Where it goes.
    pub home: Home,
    /// Whether it is suspended.
    pub suspended: bool,
    /// The only issuer that may speak for it.
    pub issuer: Option<String>,
    /// The roles that its callers may have.
    pub allowed_roles: Vec<String>,
    /// The role of callers whose credentials have no roles.
    pub default_role: Option<String>,
    /// How many requests it may send.
    pub rate: Option<RateLimitSpec>,
    /// How many of its requests may be at cells at once.
    pub requests_max: Option<u32>,
}

/// Where a tenant goes.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum Home {
    /// To a cell of its own.
    Cell(String),
    /// To a placement.
    Placement(String),
}

/// A client, which has its own host.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Client {
    /// Its host's name.
    pub name: String,
    /// The name of its entry in the scenario, which may stand for several clients.
    pub entry: String,
    /// The tenant that it acts for.
    pub tenant: String,
    /// The mean time between two requests.
    pub interval: Duration,
    /// Its credentials.
    pub credential: Credential,
    /// Who issues its tokens: an issuer's name.
    pub issuer: String,
    /// Whose key signs its routing keys, by its kid.
    pub signer: String,
    /// How long its tokens are valid.
    pub token_lifetime: Duration,
    /// How long its certificates are valid, if not for the whole run.
    pub certificate_lifetime: Option<Duration>,
    /// Whether it gets new certificates when old ones expire and authorities change.
    pub renews: bool,
    /// What it speaks.
    pub protocol: ClientProtocol,
    /// Further claims of its tokens.
    pub claims: Claims,
    /// Whether it picks its tenant from those of its token.
    pub selects: bool,
    /// What is wrong with its tokens.
    pub flaw: Option<Flaw>,
    /// The path of its requests.
    pub path: String,
    /// The cell on behalf of which it calls, if any.
    pub cell_bound: Option<CellBound>,
    /// The router that it uses; all in turn if there is none.
    pub router: Option<String>,
    /// The Envoy that it uses instead of a router.
    pub via: Option<String>,
    /// The load balancer through which it connects to a router.
    pub through: Option<String>,
    /// Whether it begins its connections with its own PROXY header, which names another client.
    pub spoofs: bool,
    /// How long each answer lasts; `None` for a short echo.
    pub stream: Option<Duration>,
    /// Whether the stream is a WebSocket.
    pub websocket: bool,
    /// Whether its requests are gRPC calls.
    pub grpc: bool,
    /// How long its calls may take, as it says in `grpc-timeout`.
    pub deadline: Option<Duration>,
    /// Whether it asks for the WebSocket with a `Content-Length`, although no body can follow.
    pub states_length: bool,
    /// Whether every request is a `POST` whose body stops halfway.
    pub unfinished: bool,
    /// Whether every request is a `POST` that the client breaks off in the middle of its body.
    pub breaks_off: bool,
    /// How many bytes the body of every request has, which is a `POST` then.
    pub upload: Option<u32>,
    /// Whether it asks for long answers and reads only their beginning.
    pub stops_reading: bool,
    /// How long it waits for an answer.
    pub timeout: Duration,
}

impl Client {
    /// Whether its requests have an end.
    pub fn ends_requests(&self) -> bool {
        !self.unfinished && !self.breaks_off
    }

    /// Whether every request of it is a `POST`.
    pub fn always_posts(&self) -> bool {
        !self.ends_requests() || self.upload.is_some() || self.grpc
    }

    /// Whether its credentials prove its tenant while its token is valid.
    pub fn can_prove(&self) -> bool {
        let of_several = match &self.claims.tenants {
            None => true,
            Some(tenants) if self.selects => tenants.contains(&self.tenant),
            Some(tenants) => match &self.claims.default_tenant {
                Some(default) => *default == self.tenant,
                None => *tenants == [self.tenant.clone()],
            },
        };
        self.credential.can_prove() && self.flaw.is_none() && of_several
    }

    /// The path in the name of its certificate, if it has one.
    pub fn certificate_path(&self) -> Option<String> {
        let of = |tenant: &str| Some(format!("tenant/{tenant}/{}", self.name));
        match self.credential {
            Credential::Certificate | Credential::Both => of(&self.tenant),
            Credential::Conflicting | Credential::BorrowedKey => of("somebody-else"),
            Credential::GatewayKey => Some(format!("gateway/{}", self.name)),
            Credential::Token
            | Credential::None
            | Credential::Expired
            | Credential::WrongAudience
            | Credential::Forged
            | Credential::UnknownKey
            | Credential::Overdue
            | Credential::SignedKey
            | Credential::SpoofedKey
            | Credential::ForgedKey
            | Credential::StaleKey => None,
        }
    }
}

/// Calls on behalf of a cell, with a cell-bound authorization on each request.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct CellBound {
    /// The cell.
    pub source: String,
    /// Which authorizations.
    pub shows: Authorization,
}

/// What must hold besides the invariants.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Expect {
    /// How long after the last fault everything routable must succeed again.
    pub recovery: Duration,
    /// Clients that are still refused at the end, because of the faults.
    pub refused_at_end: Vec<String>,
    /// Events of the level ERROR that the scenario provokes.
    pub errors: Vec<String>,
    /// The answers that clients must get.
    pub answers: Vec<Answers>,
    /// How often each kind of notable event must be seen, at least.
    pub events: BTreeMap<String, Events>,
}

/// How often a kind of notable event must be seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Events {
    /// The least number of times.
    pub least: u32,
    /// The line of the scenario with this expectation.
    pub line: usize,
}

/// The answers that clients must get in a window of time.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Answers {
    /// Which clients.
    pub clients: Vec<String>,
    /// The start of the window, by the time when requests are sent.
    pub from: Duration,
    /// The end of the window.
    pub until: Duration,
    /// Every answer is one of these; any answer if empty.
    pub only: Vec<String>,
    /// Each of these comes at least once.
    pub some: Vec<String>,
    /// Answers from cells come from one of these; from any cell if empty.
    pub cells: Vec<String>,
    /// The line of the scenario with this expectation.
    pub line: usize,
}

/// Why a scenario can't be loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    /// The file can't be read.
    Io(String, std::io::Error),
    /// The file has mistakes.
    Mistakes(ScenarioErrors),
}

impl std::fmt::Display for LoadError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(path, error) => write!(f, "{path}: {error}"),
            Self::Mistakes(errors) => errors.fmt(f),
        }
    }
}

impl std::error::Error for LoadError {}

impl Scenario {
    /// Sets the command that a failure prints to replay the run. `{seed}` in it is replaced by the
    /// seed.
    ///
    /// Without it, a failure prints a command for the test that ran the scenario, or the command
    /// line of the process. Set it if neither would run the same seed again.
    #[must_use]
    pub fn replayed_by(mut self, command: impl Into<String>) -> Self {
        self.replay = Some(command.into());
        self
    }

    /// When the last fault is over.
    pub fn calm_from(&self) -> Duration {
        let ends = self.faults.iter().map(|fault| fault.until);
        ends.max().unwrap_or_default()
    }

    /// Whether its routers seal envelopes, and so its cells verify them.
    pub fn seals_envelopes(&self) -> bool {
        self.router_settings.contains_key("envelope")
    }

    /// Whether a client calls on behalf of this cell.
    pub fn is_source(&self, cell: &str) -> bool {
        let sources = self.clients.iter().filter_map(|c| c.cell_bound.as_ref());
        sources.into_iter().any(|bound| bound.source == cell)
    }

    /// The hosts that a name in a fault stands for: for a cell's id, all of its endpoints, and for an entry
    /// of several clients, all of these.
    pub fn hosts_of(&self, name: &str) -> Vec<String> {
        if let Some(cell) = self.cells.iter().find(|cell| cell.id == name) {
            return cell.hosts().collect();
        }
        let clients = self.clients.iter().filter(|client| client.entry == name);
        let hosts: Vec<_> = clients.map(|client| client.name.clone()).collect();
        match hosts.is_empty() {
            true => vec![name.to_owned()],
            false => hosts,
        }
    }
}
