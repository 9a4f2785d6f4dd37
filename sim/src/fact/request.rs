//! What a client knows about its request, and the answer that it got.

use std::collections::BTreeSet;
use std::fmt;
use std::net::Ipv4Addr;
use std::time::Duration;

use serde::{Deserialize, Serialize};

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
    /// It asks for a WebSocket.
    pub websocket: bool,
    /// It is a gRPC call.
    pub grpc: bool,
    /// How long the call may take, as its header says.
    pub deadline: Option<Duration>,
    /// The bytes of its body. `None` if the body never ends.
    pub body: Option<u64>,
    /// Its body is followed by a trailer.
    pub trailers: bool,
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

/// The answer that a client got.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Answer {
    /// A success, from a cell.
    Ok,
    /// An error from the router, with its reason.
    Router(String),
    /// An error from a cell, with its status.
    Cell(u16),
    /// An error of a gRPC call from a cell, with its gRPC status.
    CellGrpc(u8),
    /// No connection.
    Refused,
    /// A WebSocket was opened, and closed by the other side with this code.
    Closed(u16),
    /// No complete answer in time.
    None,
}

impl Answer {
    /// What it is, in words.
    pub fn sentence(&self) -> String {
        match self {
            Self::Ok => "a good answer of its cell".to_owned(),
            Self::Router(reason) => format!("the router's error {reason}"),
            Self::Cell(status) => format!("the cell's status {status}"),
            Self::CellGrpc(status) => format!("the cell's gRPC status {status}"),
            Self::Refused => "no connection (refused)".to_owned(),
            Self::Closed(code) => format!("a WebSocket that is closed with {code}"),
            Self::None => "no complete answer in time".to_owned(),
        }
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ok => f.write_str("ok"),
            Self::Router(reason) => f.write_str(reason),
            Self::Cell(status) => write!(f, "cell_status_{status}"),
            Self::CellGrpc(status) => write!(f, "cell_grpc_status_{status}"),
            Self::Refused => f.write_str("refused"),
            Self::Closed(code) => write!(f, "closed_{code}"),
            Self::None => f.write_str("no_answer"),
        }
    }
}
