//! The facts that invariants check: one stream from all hosts of the world.
//!
//! Routers report what they decided, cells what they received, clients what they sent and what came
//! back. The world reports what is true. Each reports independently, because an invariant that only
//! heard the router would have to trust it.

mod arrived;
mod configured;
mod published;
mod request;

use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;
pub use cellway_router::event::CircuitChange;
use cellway_testbed::{CheckOutcome, Unserved};

pub use self::arrived::{Arrived, BodyEnded, EnvelopeChecked, Proved};
pub use self::configured::{CellBoundRules, Configured, Rule, Who};
pub use self::published::{Assignment, Published, PublishedCell, RoleSettings, Standby};
pub use self::request::{Answer, CellBound, Claims, RoutingKeyProof, Sent, Token};

/// A router from one start to its next crash.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub struct Life {
    /// Its host's name.
    pub router: String,
    /// How often it was started before.
    pub incarnation: u32,
}

/// Something that happened, as reported by a host or by the world.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub enum Fact {
    /// The world: the control plane publishes this good document from now on.
    Published(Arc<Published>),
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
    /// A router: it decided a request. Shared, because many invariants keep it.
    Decided(Arc<Decided>),
    /// A router: it sends a request to another cell than the tenant's placement assigns. Comes after
    /// `Decided`.
    FailedOver(FailedOver),
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
    /// A router: it ejected an endpoint, or the endpoint has returned.
    Ejected {
        /// Which router.
        life: Life,
        /// The endpoint's host.
        host: String,
        /// Whether it is ejected now.
        ejected: bool,
    },
    /// A router: its checks of an endpoint fail, or they succeed again.
    Probed {
        /// Which router.
        life: Life,
        /// The endpoint's host.
        host: String,
        /// Whether they succeed now.
        healthy: bool,
    },
    /// A router: the circuit breaker of an endpoint has changed.
    Circuit {
        /// Which router.
        life: Life,
        /// The endpoint's host.
        host: String,
        /// The router's id of the request that changed it.
        request_id: String,
        /// What happened.
        change: CircuitChange,
    },
    /// The world: an endpoint of a cell was stopped, and its connections with it.
    EndpointStopped(String),
    /// A client: it sends a request. Shared, because many invariants keep it.
    Sent(Arc<Sent>),
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
    /// A client: a complete answer from a cell is not the answer to its request.
    AnswerMixed {
        /// The request's tag.
        tag: String,
        /// What is wrong with the answer.
        found: String,
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
    /// The world: routers' disks trust no earlier authority of clients than this one from now on. The first
    /// is 0.
    ClientTrustChanged(usize),
    /// A client: the request goes over a connection with a client certificate.
    Presented {
        /// The request's tag.
        tag: String,
        /// When the certificate expires, since the Unix epoch; `None` if that is after the run.
        certificate_expires: Option<Duration>,
        /// The authority that issued it. The first is 0.
        authority: usize,
    },
    /// An Envoy: what came of asking its router about a request.
    Checked {
        /// The request's tag, if it had one.
        tag: Option<String>,
        /// Whether the router allowed it.
        outcome: CheckOutcome,
    },
    /// A client: the router's id of its request, as the answer names it. Comes before `Answered`.
    Traced {
        /// The request's tag.
        tag: String,
        /// The router's id.
        request_id: String,
    },
    /// A client: what it got in answer to its gRPC call. Comes before `Answered`.
    CallAnswered {
        /// The request's tag.
        tag: String,
        /// The status of HTTP.
        http: u16,
        /// The gRPC status, if there was one.
        status: Option<u8>,
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
    /// A client: it reads no more of a long answer.
    StoppedReading {
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
    /// The world: an endpoint of a cell allows another number of streams on its connections from now on.
    StreamsAllowed(String),
    /// A cell: a request arrived.
    Arrived(Arrived),
    /// A cell: it ends a gRPC call with this status.
    CallEnded {
        /// Its endpoint's host.
        host: String,
        /// The request's tag, if it had one.
        tag: Option<String>,
        /// The gRPC status.
        status: u8,
        /// Whether it comes after a message.
        has_message: bool,
    },
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
    /// A cell: it works on a request no longer. Its answer begins, or its router has gone away.
    Left {
        /// Its endpoint's host.
        host: String,
        /// The request's tag, if it had one.
        tag: Option<String>,
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
    /// A cell: the body of a request has ended.
    BodyEnded(BodyEnded),
    /// A service, client or identity provider of the user's: whatever it reports with
    /// [`Host::tell`](crate::own::Host::tell).
    Own {
        /// What happened.
        name: String,
        /// More about it. If it is an object with a `tag`, it is about the request of that name.
        value: serde_json::Value,
    },
}

impl Fact {
    /// The router that ends with this fact: it crashes, or has drained.
    pub(crate) fn ended(&self) -> Option<&Life> {
        if let Self::Noted(life, note) = self {
            return (note.kind == "drained").then_some(life);
        }
        let Self::Crashed(life) = self else {
            return None;
        };
        Some(life)
    }
}

/// An event for the timeline.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Note {
    /// The kind, in snake case.
    pub kind: String,
    /// A description for people.
    pub text: String,
    /// The router's new key set, if the event is about one.
    pub keys: Option<KeySet>,
}

/// A key set of an issuer, as a router reports it.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct KeySet {
    /// The issuer's name.
    pub issuer: String,
    /// How many keys can be used.
    pub keys: usize,
    /// It comes from the router's disk.
    pub restored: bool,
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

/// A request goes to another cell.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct FailedOver {
    /// Which router.
    pub life: Life,
    /// The router's id of the request.
    pub request_id: String,
    /// The cell that can't serve it. `None` if no cell of the placement takes traffic.
    pub from: Option<String>,
    /// The cell that gets it.
    pub cell: String,
    /// Why the assigned cell doesn't serve it.
    pub reason: Reason,
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
