//! Everything that happens, as one typed stream.
//!
//! Logs, metrics, the simulator's trace and its invariants are all made from it, so that none of
//! them parses another.

use std::net::SocketAddr;
use std::time::Duration;

use cellway_core::cba::CellBound;
use cellway_core::control::Notice;
use cellway_core::policy::{Mode, Policy};
use cellway_core::{Decision, Now, Reason, Snapshot, Text};
use cellway_env::fetch::FetchError;

use crate::check::Finding;
use crate::config::{Output, Stated};
pub use crate::data_plane::authz::{Asked, Schemes};
use crate::data_plane::shares::{Resource, Share};
use crate::settings::EnvelopeForm;
use crate::tls::CertificateDates;

/// Hears what happens. Cloned into every task.
pub trait Sink: Clone + Send + Sync + 'static {
    /// Something happened at `now`. Called on the request path: it must not block.
    fn emit(&self, now: Now, event: &Event<'_>);

    /// The sink for one worker; a sink that counts gives each worker its own counters.
    #[must_use]
    fn shard(&self, worker: usize) -> Self {
        let _ = worker;
        self.clone()
    }
}

/// Hears nothing.
impl Sink for () {
    fn emit(&self, _: Now, _: &Event<'_>) {}
}

/// Tells both.
impl<A: Sink, B: Sink> Sink for (A, B) {
    fn emit(&self, now: Now, event: &Event<'_>) {
        self.0.emit(now, event);
        self.1.emit(now, event);
    }

    fn shard(&self, worker: usize) -> Self {
        (self.0.shard(worker), self.1.shard(worker))
    }
}

/// Who made an answer.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// The router, in its own name.
    Router,
    /// The cell.
    Cell,
}

impl Owner {
    /// The word on the wire.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Cell => "cell",
        }
    }
}

/// What a process begins with.
#[derive(Clone, Debug)]
pub struct Startup<'a> {
    /// The configuration file.
    pub config: &'a str,
    /// What it and the environment say.
    pub stated: &'a Stated,
    /// How many workers there will be.
    pub workers: usize,
}

/// What a reload has changed. Names only, never values.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Changed {
    /// Settings that say something else than before.
    pub settings: Vec<String>,
    /// Files that were written or replaced.
    pub files: Vec<String>,
    /// The configuration's digest now; `None` where there is no configuration file.
    pub digest: Option<String>,
}

/// Something that happened.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Event<'a> {
    /// A worker listens.
    Listening {
        /// The listener's name.
        listener: &'a str,
        /// Where, with the port chosen if 0 was asked for.
        address: SocketAddr,
    },
    /// The listeners open without a registry, because the wait for the first one is over.
    OpenedEmpty {
        /// How long they waited.
        waited: Duration,
    },
    /// Accepting failed, for example because file descriptors ran out; it is tried again.
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
        /// What ended it.
        why: Closed,
    },
    /// A TLS handshake with a client failed; there is no HTTP status for that.
    TlsRefused {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
        /// What the handshake failed for.
        reason: TlsRefusal,
    },
    /// A request was decided.
    Decided {
        /// The listener's name.
        listener: &'a str,
        /// The client's address, if known: Envoy may not send it.
        peer: Option<SocketAddr>,
        /// The request's id.
        request_id: &'a str,
        /// How strictly the listener's policy asks for credentials.
        mode: Mode,
        /// What it asked with.
        asked: &'a Asked<'a>,
        /// The answer.
        decision: &'a Decision,
        /// The router forwards what is allowed. It doesn't where an Envoy asks, which does so itself.
        forwards: bool,
        /// The registry that it was decided on; `None` before the first.
        registry_version: Option<u64>,
        /// The request waited for keys.
        waited: bool,
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
        /// The policy allows what the browser asks for.
        covered: bool,
    },
    /// A request's cell-bound authorization was looked at, or one was wanted and missing. Comes
    /// after the request's `Decided`.
    CellBound {
        /// The listener's name.
        listener: &'a str,
        /// The client's address, if known: Envoy may not send it.
        peer: Option<SocketAddr>,
        /// The request's id.
        request_id: &'a str,
        /// What it came to.
        bound: &'a CellBound,
        /// The decision.
        decision: &'a Decision,
    },
    /// A verified request was to get an identity envelope. Comes after the request's `Decided`.
    Envelope {
        /// The listener's name.
        listener: &'a str,
        /// The request's id.
        request_id: &'a str,
        /// The cell that it is for.
        cell: &'a Text,
        /// How envelopes are made.
        form: EnvelopeForm,
        /// What came of it.
        outcome: SealOutcome,
        /// The key, if there is one.
        kid: Option<&'a str>,
    },
    /// A request was answered, or given up: the last event of each.
    Responded {
        /// The listener's name.
        listener: &'a str,
        /// The client's address; where an Envoy asks, its own.
        peer: SocketAddr,
        /// The request's id.
        request_id: &'a str,
        /// The status sent; `None` if the client went away before.
        status: Option<u16>,
        /// Who made the answer.
        owner: Owner,
        /// Why, where the router had a say: its own answers, and bodies cut short.
        reason: Option<Reason>,
        /// Which check failed, where the answer says it.
        detail: Option<&'static str>,
        /// An earlier event of this request has the reason: a denial, or a closed stream.
        told: bool,
        /// The cell, once one was decided.
        cell: Option<&'a Text>,
        /// From the request's header to the answer's.
        latency: Duration,
        /// From the request's header to the answer's last byte.
        duration: Duration,
        /// Bytes of the answer's body.
        bytes: u64,
        /// The answer's body was sent whole.
        complete: bool,
    },
    /// A request that had been let through was closed under way, because a new registry refuses
    /// its tenant. Its `Responded` follows.
    StreamClosed {
        /// The listener's name.
        listener: &'a str,
        /// The client's address.
        peer: SocketAddr,
        /// The request's id.
        request_id: &'a str,
        /// The tenant that is no longer served.
        tenant: Option<&'a Text>,
        /// The tenant that the request was allowed for.
        subject: Option<&'a Text>,
        /// Why a new request would be refused.
        reason: Reason,
    },
    /// A request or connection was refused because one of its holders has used up its share of a
    /// limit. The request's `Responded` or the connection's `ConnectionRefused` follows.
    ShareRefused {
        /// The listener's name.
        listener: &'a str,
        /// The client's address, if known: Envoy may not send it.
        peer: Option<SocketAddr>,
        /// The limit.
        resource: Resource,
        /// The share that is used up.
        share: Share,
        /// The cell, if the limit belongs to one.
        cell: Option<&'a Text>,
        /// The tenant, if one was verified.
        tenant: Option<&'a Text>,
        /// Whether it is the first refusal at this limit in a minute.
        news: bool,
    },
    /// A connection to a cell was made.
    CellConnected {
        /// The cell.
        cell: &'a Text,
        /// The endpoint's URL.
        endpoint: &'a str,
    },
    /// A connection to a cell could not be made, or broke.
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
    /// A request that a cell got but didn't serve may be sent again.
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
    /// Decisions are made on this snapshot from now on.
    Published {
        /// What is published.
        snapshot: &'a Snapshot,
    },
    /// Something happened to keys, registry or endpoints.
    Notice {
        /// Core's account of it.
        notice: &'a Notice,
        /// The policy that the notice's ids belong to.
        policy: &'a Policy,
    },
    /// An issuer is asked for its keys.
    KeysRequested {
        /// The issuer's name.
        issuer: &'a Text,
        /// An unknown key asks for it, not the schedule.
        forced: bool,
    },
    /// A source gave no document. What follows from it comes as a notice.
    SourceFailed {
        /// Which source.
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
    /// A last-known-good document couldn't be written; the one before is still whole.
    KeepFailed {
        /// The file.
        file: &'a str,
        /// What went wrong.
        error: &'a str,
    },
    /// A policy of mode `disabled` is in force, from the start or by a reload: every request that
    /// it decides counts as somebody whom nobody has verified.
    Insecure {
        /// The policy's name.
        policy: &'a Text,
    },
    /// The configuration in force will refuse some requests. Reported at start and after a reload.
    ConfigWarning {
        /// What is wrong.
        finding: &'a Finding,
    },
    /// A certificate is near its end, or was when the settings that name it came in force.
    CertificateEnding {
        /// Its file, its position there, and its dates.
        certificate: &'a CertificateDates,
        /// Until then.
        left: Duration,
    },
    /// A certificate has expired.
    CertificateExpired {
        /// Its file, its position there, and its dates.
        certificate: &'a CertificateDates,
    },
    /// A process begins: the first event of a log.
    Starting(&'a Startup<'a>),
    /// New settings, or files that they name, are in use.
    Reloaded {
        /// What is new.
        changed: &'a Changed,
    },
    /// Log lines go elsewhere from now on: the last one here.
    LogMoved {
        /// Where to.
        to: Output,
    },
    /// New settings were refused; the old ones are still in use.
    ReloadRefused {
        /// What is wrong with them.
        error: &'a str,
    },
    /// No new connections are taken; those in flight have until the deadline.
    Draining {
        /// How long they have.
        deadline: Duration,
    },
    /// The drain is over.
    Drained {
        /// Connections that were cut at the deadline.
        abandoned: usize,
    },
}

/// Why a request that was sent may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unserved {
    /// The cell refused its stream (`REFUSED_STREAM`; RFC 9113, section 8.7).
    Refused,
    /// The cell closed the connection in order, and said that it has not come to the request (`GOAWAY`).
    GoneAway,
    /// The connection, which had been kept from earlier requests, died before the first byte of an
    /// answer, and the request is idempotent (RFC 9110, section 9.2.2).
    Died,
}

impl Unserved {
    /// Every value there is.
    pub const ALL: &'static [Self] = &[Self::Refused, Self::GoneAway, Self::Died];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::GoneAway => "gone_away",
            Self::Died => "died",
        }
    }
}

/// What came of sealing an envelope.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SealOutcome {
    /// The cell gets it.
    Sealed,
    /// No key is shared with the cell; the request is refused.
    NoKey,
    /// It would be larger than services take; the request is refused.
    TooLarge,
}

impl SealOutcome {
    /// Every value there is.
    pub const ALL: &'static [Self] = &[Self::Sealed, Self::NoKey, Self::TooLarge];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sealed => "sealed",
            Self::NoKey => "no_key",
            Self::TooLarge => "too_large",
        }
    }
}

/// Why a client's connection ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Closed {
    /// The client closed it, or asked for it.
    Client,
    /// It broke, or the client broke HTTP.
    Error,
    /// No first byte came in time.
    FirstByteTimeout,
    /// A proxy that must begin with a PROXY header didn't, or with a bad one.
    ProxyHeader,
    /// The client that a PROXY header named has its share of the listener's connections.
    Refused,
    /// A request's header took too long.
    HeaderTimeout,
    /// It was idle for too long.
    Idle,
    /// The client took nothing of an answer for too long.
    Stalled,
    /// The client's certificate expired.
    CertificateExpired,
    /// The one stream that it carried was closed, because its tenant is no longer served.
    StreamClosed,
    /// The router drains.
    Drain,
}

impl Closed {
    /// Every value there is.
    pub const ALL: &'static [Self] = &[
        Self::Client,
        Self::Error,
        Self::FirstByteTimeout,
        Self::ProxyHeader,
        Self::Refused,
        Self::HeaderTimeout,
        Self::Idle,
        Self::Stalled,
        Self::CertificateExpired,
        Self::StreamClosed,
        Self::Drain,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Error => "error",
            Self::FirstByteTimeout => "first_byte_timeout",
            Self::ProxyHeader => "proxy_header",
            Self::Refused => "refused",
            Self::HeaderTimeout => "header_timeout",
            Self::Idle => "idle",
            Self::Stalled => "stalled",
            Self::CertificateExpired => "certificate_expired",
            Self::StreamClosed => "stream_closed",
            Self::Drain => "drain",
        }
    }
}

/// Why a client's TLS handshake failed.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TlsRefusal {
    /// It took too long.
    Timeout,
    /// The client went away.
    Closed,
    /// What came is not TLS, or breaks it.
    Protocol,
    /// The two sides have no version, suite, group or protocol in common.
    Incompatible,
    /// The client has no certificate and the listener requires one.
    NoCertificate,
    /// The client's certificate is past its end, or before its start.
    CertificateExpired,
    /// The client's certificate was issued by nobody in the trust bundle.
    UnknownIssuer,
    /// The client's certificate is revoked.
    CertificateRevoked,
    /// No revocation list that is still fresh says whether the client's certificate holds.
    RevocationUnknown,
    /// The certificate is not a client certificate: its extended key usage lacks `clientAuth`.
    CertificateUsage,
    /// The client's certificate is bad in another way.
    BadCertificate,
    /// The client refused the router's certificate, or said so with another alert.
    Alert,
}

impl TlsRefusal {
    /// Every value there is.
    pub const ALL: &'static [Self] = &[
        Self::Timeout,
        Self::Closed,
        Self::Protocol,
        Self::Incompatible,
        Self::NoCertificate,
        Self::CertificateExpired,
        Self::UnknownIssuer,
        Self::CertificateRevoked,
        Self::RevocationUnknown,
        Self::CertificateUsage,
        Self::BadCertificate,
        Self::Alert,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Protocol => "protocol",
            Self::Incompatible => "incompatible",
            Self::NoCertificate => "no_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::UnknownIssuer => "unknown_issuer",
            Self::CertificateRevoked => "certificate_revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::CertificateUsage => "certificate_usage",
            Self::BadCertificate => "bad_certificate",
            Self::Alert => "alert",
        }
    }
}
