//! What a cell saw of a request.

use std::time::Duration;

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
    /// How many streams its router has acknowledged that the cell allows on its connection, if the cell has
    /// limited them.
    pub streams_known: Option<u32>,
    /// The method. An extended CONNECT is `CONNECT`.
    pub method: String,
    /// The path and query.
    pub path: String,
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

/// The end of a request's body, as a cell saw it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct BodyEnded {
    /// The cell's id.
    pub cell: String,
    /// The request's tag, if it had one.
    pub tag: Option<String>,
    /// The bytes of the body.
    pub bytes: u64,
    /// Whether the body came whole.
    pub complete: bool,
    /// The trailers: names in lower case, and values.
    pub trailers: Vec<(String, String)>,
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
    /// The user, as the router's header spells it.
    pub subject: Option<String>,
    /// The roles.
    pub roles: Vec<String>,
    /// When it expires, since the Unix epoch.
    pub expires: Duration,
}
