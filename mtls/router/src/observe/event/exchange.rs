//! What the access log says about one request, besides what its `Responded` event says.

use std::time::Duration;

use cellway_core::Text;
use http::{HeaderValue, Method, Version};

/// One request, from its client to its cell.
#[derive(Clone, Debug)]
pub struct Exchange<'a> {
    /// Whether its header could be read. If not, the method and the path are none that the client sent.
    pub is_read: bool,
    /// What applies to it. `None`: its header or its path can't be read in one way only.
    pub applied: Option<Applied<'a>>,
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query, which may have secrets.
    pub path: &'a str,
    /// The version of HTTP that the client speaks.
    pub version: Version,
    /// The client's `traceparent`, unchecked.
    pub traceparent: Option<&'a HeaderValue>,
    /// Whether it has an `Upgrade` that the router ignored: it was forwarded without it.
    pub upgrade_ignored: bool,
    /// The tenant, if the request was allowed and has one.
    pub tenant: Option<&'a Text>,
    /// The subject, if the request was allowed and has one.
    pub subject: Option<&'a Text>,
    /// How many endpoints were tried, each time counted. 0: none.
    pub attempts: u8,
    /// The URL of the last endpoint, or of the one that served the request if two worked on it.
    pub endpoint: Option<&'a str>,
    /// The URL of the endpoint that took too long, so that another one got the request too.
    pub hedged_from: Option<&'a str>,
    /// The version of HTTP that this endpoint speaks, if it was reached.
    pub endpoint_version: Option<Version>,
    /// Bytes of the request's body that arrived.
    pub request_bytes: u64,
    /// How long the connection's TLS handshake took. Only the first request of a connection has it,
    /// because only that one waited for it.
    pub tls: Option<Duration>,
    /// Where the time went.
    pub phases: Phases,
}

/// What applies to a request, by its path.
#[derive(Clone, Copy, Debug)]
pub struct Applied<'a> {
    /// The pattern of the listener's route that matched. `None`: none did.
    pub route: Option<&'a str>,
    /// The policy's name.
    pub policy: &'a Text,
    /// The name of the `[[traffic]]`.
    pub traffic: &'a str,
}

/// A part of a request's time before its answer. A request can be in a phase several times.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Phase {
    /// Checks, the decision and the stamps.
    Decide,
    /// Waiting for an issuer's keys.
    Keys,
    /// Waiting for a place at the cell.
    Queue,
    /// Waiting for a connection: a free one, or a new one.
    Connect,
    /// Sending the request, and waiting for the header of its answer.
    Cell,
}

impl Phase {
    /// All phases, in the order in which a request passes them.
    pub const ALL: [Self; 5] = [
        Self::Decide,
        Self::Keys,
        Self::Queue,
        Self::Connect,
        Self::Cell,
    ];
}

/// How long a request was in each phase.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Phases(pub(crate) [Duration; Phase::ALL.len()]);

impl Phases {
    /// The time in this phase, in whole microseconds.
    pub fn of(&self, phase: Phase) -> Duration {
        self.0[phase as usize]
    }
}
