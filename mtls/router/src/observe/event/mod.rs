//! Everything that happens in the router, as one typed stream of events.
//!
//! Logs, metrics, the simulator's trace and its invariants are all made from this stream, so none
//! of them has to parse another.

mod exchange;
mod outcome;
mod responded;
mod sink;
#[cfg(test)]
pub(crate) mod testing;

use std::net::SocketAddr;
use std::time::Duration;

use cellway_core::cba::CellBound;
use cellway_core::control::Notice;
use cellway_core::health::ProbeFailure;
use cellway_core::policy::{Mode, Policy};
use cellway_core::{Decision, Reason, Snapshot, Text};
use cellway_env::fetch::FetchError;

pub use self::exchange::{Applied, Exchange, Phase, Phases};
pub use self::outcome::{
    CircuitChange, Closed, ExplainAnswer, HedgeEnd, Owner, SealOutcome, SpanOutcome, TunnelEnd,
    TunnelProtocol, Unserved, Wait,
};
pub use self::responded::Responded;
pub use self::sink::Sink;
pub use super::asked::{Asked, Schemes};
use crate::config::Stated;
use crate::finding::Finding;
use crate::settings::Output;
use crate::settings::{EnvelopeForm, RateScope};
use crate::shares::{Resource, Share};
use crate::tls::CertificateDates;
pub use crate::tls::HandshakeError;

/// What a process starts with.
#[derive(Clone, Debug)]
pub struct Startup<'a> {
    /// The configuration file.
    pub config: &'a str,
    /// The settings that the file and the environment set.
    pub stated: &'a Stated,
    /// The number of workers that are started.
    pub workers: usize,
}

/// What a reload changed. It holds names only, never values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changed {
    /// Settings whose value changed.
    pub settings: Vec<String>,
    /// Files that were changed or replaced.
    pub files: Vec<String>,
    /// The new configuration's digest. `None` if there is no configuration file.
    pub digest: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A worker listens on an address.
    Listening {
        /// The listener's name.
        listener: &'a str,
        /// The address. If the configured port is 0, this has the port that the system chose.
        address: SocketAddr,
    },
    /// The listeners open without a registry, because the time limit for the first registry is
    /// over.
    OpenedEmpty {
        /// How long they waited.
        waited: Duration,
    },
    /// Accepting a connection failed, for example because file descriptors ran out. The router
    /// tries again.
    AcceptFailed {
        /// The listener's name.
        listener: &'a str,
        /// The system's error.
        error: &'a std::io::Error,
    },
    /// A connection was accepted.
    ConnectionAccepted {
        /// The listener's name.
        listener: &'a str,
        /// The peer's address. For a proxy, this event has the proxy's own address; all later
        /// events have the client's address from the PROXY header.
        peer: SocketAddr,
    },
    /// A connection was closed at once because the listener or the client's address is at its
    /// limit.
    ConnectionRefused {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
    },
    /// A connection ended.
    ConnectionClosed {
        /// The listener's name.
        listener: &'a str,
        /// Why it ended.
        why: Closed,
    },
    /// A TLS handshake with a client failed. There is no HTTP answer and no status.
    TlsRefused {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
        /// Why it failed.
        reason: HandshakeError,
    },
    /// A client of the admin listener has a certificate of its CA, but none of the names of operators.
    /// It got no page.
    AdminDenied {
        /// The client's address.
        peer: SocketAddr,
    },
    /// A request was decided.
    Decided {
        /// The listener's name.
        listener: &'a str,
        /// The client's address, if known: Envoy may not send it.
        peer: Option<SocketAddr>,
        /// The request's id.
        request_id: &'a str,
        /// The mode of the listener's policy.
        mode: Mode,
        /// The request, with the credentials that it carries.
        asked: &'a Asked<'a>,
        /// The answer.
        decision: &'a Decision,
        /// Whether the router forwards the request if it is allowed. If an Envoy asks for
        /// authorization, the Envoy forwards it.
        forwards: bool,
        /// The version of the registry that decided it. `None` if no registry was loaded yet.
        registry_version: Option<u64>,
        /// Whether the request waited for keys.
        waited: bool,
    },
    /// A request asked for the explanation of its decision. Its `Decided` follows.
    ExplainAsked {
        /// The listener's name.
        listener: &'a str,
        /// The client's address, if known: Envoy may not send it.
        peer: Option<SocketAddr>,
        /// The request's id.
        request_id: &'a str,
        /// Whether it gets one.
        answer: ExplainAnswer,
    },
    /// The router answered a CORS preflight. It has no `Decided` event, because a preflight has no
    /// credentials.
    Preflight {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
        /// The request's id.
        request_id: &'a str,
        /// Whether the policy allows what the browser asks for.
        covered: bool,
    },
    /// A request's cell-bound authorization was checked, or a required one was missing. Comes after
    /// the request's `Decided`.
    CellBound {
        /// The listener's name.
        listener: &'a str,
        /// The client's address, if known: Envoy may not send it.
        peer: Option<SocketAddr>,
        /// The request's id.
        request_id: &'a str,
        /// The result of the check.
        bound: &'a CellBound,
        /// The decision.
        decision: &'a Decision,
    },
    /// The router sealed an identity envelope for a verified request, or couldn't. Comes after the
    /// request's `Decided`.
    Envelope {
        /// The listener's name.
        listener: &'a str,
        /// The request's id.
        request_id: &'a str,
        /// The cell that the envelope is for.
        cell: &'a Text,
        /// The configured form of envelopes.
        form: EnvelopeForm,
        /// Whether it was sealed.
        outcome: SealOutcome,
        /// The id of the key, if there is one.
        kid: Option<&'a str>,
    },
    /// A request was answered or given up. This is the last event of each request.
    Responded(Responded<'a>),
    /// A request that had been allowed was closed while it was open: a new registry refuses its tenant
    /// or credential, or its client certificate is no longer valid after a reload. Its `Responded`
    /// follows.
    StreamClosed {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
        /// The request's id.
        request_id: &'a str,
        /// The request's tenant.
        tenant: Option<&'a Text>,
        /// The request's subject, if it has one.
        subject: Option<&'a Text>,
        /// Why a new request would be refused.
        reason: Reason,
    },
    /// A request or connection was refused because one of its holders used up its share of a limit.
    /// The request's `Responded` or the connection's `ConnectionRefused` follows.
    ShareRefused {
        /// The listener's name.
        listener: &'a str,
        /// The client's address, if known: Envoy may not send it.
        peer: Option<SocketAddr>,
        /// The limit.
        resource: Resource,
        /// The share that is used up.
        share: Share,
        /// The cell that the request goes to, if it was decided.
        cell: Option<&'a Text>,
        /// The placement, if one chose the cell.
        placement: Option<&'a Text>,
        /// The tenant, if one was verified.
        tenant: Option<&'a Text>,
        /// Whether this is the first refusal at this limit in a minute.
        news: bool,
    },
    /// An allowed request was refused because a rate limit is used up. Its `Responded` follows.
    RateLimited {
        /// The listener's name.
        listener: &'a str,
        /// Which kind of limit it is.
        scope: RateScope,
        /// The placement, if one chose the cell.
        placement: Option<&'a Text>,
        /// The tenant, if one was verified.
        tenant: Option<&'a Text>,
        /// Whether this is the first refusal by a limit of this kind in a minute.
        news: bool,
    },
    /// A client's connection, or a stream of it, has switched its protocol.
    TunnelOpened {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
        /// The id of the request that asked to switch.
        request_id: &'a str,
        /// What it speaks now.
        protocol: TunnelProtocol,
    },
    /// A connection that had switched its protocol ended. `Responded` follows.
    TunnelEnded {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
        /// The id of the request that asked to switch.
        request_id: &'a str,
        /// What it spoke.
        protocol: TunnelProtocol,
        /// Why it ended.
        end: TunnelEnd,
    },
    /// A request has waited before it could be served. Most requests never wait.
    Waited {
        /// The request's id.
        request_id: &'a str,
        /// What it waited for.
        what: Wait,
        /// The cell, if one was decided.
        cell: Option<&'a Text>,
        /// How long.
        time: Duration,
    },
    /// A connection to a cell was made.
    CellConnected {
        /// The cell.
        cell: &'a Text,
        /// The endpoint's URL.
        endpoint: &'a str,
        /// How long that took: the name, TCP and TLS.
        took: Duration,
    },
    /// A connection to a cell couldn't be made, or broke.
    CellFailed {
        /// The cell.
        cell: &'a Text,
        /// The endpoint's URL.
        endpoint: &'a str,
        /// The kind of failure.
        reason: Reason,
        /// What the system, TLS or HTTP said.
        error: &'a str,
    },
    /// The circuit breaker of an endpoint has changed.
    CircuitChanged {
        /// The cell.
        cell: &'a Text,
        /// The endpoint's URL.
        endpoint: &'a str,
        /// The request that changed it.
        request_id: &'a str,
        /// What happened.
        change: CircuitChange,
    },
    /// The health of an endpoint was checked.
    EndpointChecked {
        /// The cell.
        cell: &'a Text,
        /// The endpoint's URL.
        endpoint: &'a str,
        /// How the check failed. `None`: it succeeded.
        failure: Option<ProbeFailure>,
        /// What the system, TLS or the endpoint said.
        error: Option<&'a str>,
    },
    /// A request was sent to a cell that didn't serve it, so it may be sent again.
    CellRetry {
        /// The cell.
        cell: &'a Text,
        /// The endpoint that it was sent to.
        endpoint: &'a str,
        /// The request's id.
        request_id: &'a str,
        /// Why it may be sent again.
        why: Unserved,
        /// Whether it is sent again. `false` if the cell's retry budget is used up.
        granted: bool,
    },
    /// The first attempt of a request took longer than `hedge_after_ms`, and what became of the second one.
    CellHedge {
        /// The cell.
        cell: &'a Text,
        /// The endpoint of the second attempt; `None` if it was not made.
        endpoint: Option<&'a str>,
        /// The request's id.
        request_id: &'a str,
        /// How it ended.
        end: HedgeEnd,
    },
    /// A request goes to another cell than its placement assigns. Comes after the request's `Decided`,
    /// and again if that cell can't be reached either.
    FailedOver {
        /// The listener's name.
        listener: &'a str,
        /// The request's id.
        request_id: &'a str,
        /// The cell that can't serve it. `None` if no cell of the placement takes traffic.
        from: Option<&'a Text>,
        /// The cell that gets it.
        cell: &'a Text,
        /// The fallback placement, if this is one of its cells.
        fallback: Option<&'a Text>,
        /// Why the assigned cell doesn't serve it.
        reason: Reason,
    },
    /// Spans were sent to the collector, or lost.
    Spans {
        /// How many.
        count: u64,
        /// What happened to them.
        outcome: SpanOutcome,
        /// What went wrong, if they could not be sent.
        error: Option<&'a FetchError>,
    },
    /// A new snapshot is in force: all further decisions use it.
    Published {
        /// The new snapshot.
        snapshot: &'a Snapshot,
    },
    /// Core reports a change of keys, registry or endpoint health.
    Notice {
        /// What core reports.
        notice: &'a Notice,
        /// The policy that the notice's ids belong to.
        policy: &'a Policy,
    },
    /// The router asks an issuer for its keys.
    KeysRequested {
        /// The issuer's name.
        issuer: &'a Text,
        /// Whether a token with an unknown key caused this, and not the schedule.
        forced: bool,
    },
    /// A source gave no document. A `Notice` follows if that has consequences.
    SourceFailed {
        /// The source's name.
        source: &'a str,
        /// What went wrong.
        error: &'a FetchError,
    },
    /// A last-known-good file was rejected.
    KeptRefused {
        /// The file.
        file: &'a str,
        /// What went wrong.
        error: &'a str,
    },
    /// A last-known-good document couldn't be written. The previous one is still intact.
    KeepFailed {
        /// The file.
        file: &'a str,
        /// What went wrong.
        error: &'a str,
    },
    /// A policy of mode `disabled` is in force, since the start or a reload: every request that it
    /// decides gets the configured identity, which nobody verified.
    Insecure {
        /// The policy's name.
        policy: &'a Text,
    },
    /// The configuration in force will refuse some requests. Reported at start and after a reload.
    ConfigWarning {
        /// What is wrong.
        finding: &'a Finding,
    },
    /// A certificate expires soon. This is also reported when the settings that name it take
    /// effect.
    CertificateEnding {
        /// Its file, its position there, and its dates.
        certificate: &'a CertificateDates,
        /// The time until it expires.
        left: Duration,
    },
    /// A certificate has expired.
    CertificateExpired {
        /// Its file, its position there, and its dates.
        certificate: &'a CertificateDates,
    },
    /// A process starts. This is the first event of a log.
    Starting(&'a Startup<'a>),
    /// New settings, or changed files that they name, are in use.
    Reloaded {
        /// What changed.
        changed: &'a Changed,
    },
    /// The log moves to another output. This is the last line in the old one.
    LogMoved {
        /// The new output.
        to: Output,
    },
    /// New settings were refused. The old ones are still in use.
    ReloadRefused {
        /// What is wrong with them.
        error: &'a str,
    },
    /// The router drains: it says that it isn't ready, and takes connections until the delay is over.
    Draining {
        /// How long it still takes connections.
        delay: Duration,
        /// How long requests in flight may take after that.
        deadline: Duration,
    },
    /// The router drains and accepts no more connections. Requests in flight may finish until the
    /// deadline.
    ListenersClosed,
    /// The process starts the next one, to pass its sockets to it.
    UpgradeStarted {
        /// The next process's id.
        pid: u32,
    },
    /// The next process serves the sockets from now on. This one drains.
    HandedOver {
        /// The next process's id.
        pid: u32,
    },
    /// The next process doesn't serve. This one goes on.
    UpgradeFailed {
        /// Why.
        error: &'a str,
    },
    /// The drain is over.
    Drained {
        /// The number of connections that were cut at the deadline.
        abandoned: usize,
    },
}
