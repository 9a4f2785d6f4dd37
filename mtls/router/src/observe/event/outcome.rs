//! How requests, connections and envelopes end: the closed sets of values in events.

/// Who made an answer, or ended the request without one.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Owner {
    /// The router itself.
    Router,
    /// The cell.
    Cell,
    /// Nobody has answered: the client went away before that.
    Client,
}

impl Owner {
    /// The name in the answer's header, in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Router => "router",
            Self::Cell => "cell",
            Self::Client => "client",
        }
    }
}

/// What happened to the circuit breaker of an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum CircuitChange {
    /// Requests failed in a row, or the one that tried the endpoint again failed. Nothing passes for
    /// a while.
    Opened,
    /// One request passes, to try the endpoint again.
    Probing,
    /// That request was answered. All requests pass again.
    Closed,
    /// That request ended without an outcome, because its client went away for example, or gave its
    /// place up. The next one may pass.
    Freed,
}

impl CircuitChange {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Opened => "opened",
            Self::Probing => "probing",
            Self::Closed => "closed",
            Self::Freed => "freed",
        }
    }
}

/// Why a request that was sent may be sent again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Unserved {
    /// The cell refused its stream (`REFUSED_STREAM`; RFC 9113, section 8.7).
    Refused,
    /// The cell closed the connection in order and said that it didn't process the request
    /// (`GOAWAY`; RFC 9113, section 6.8).
    GoneAway,
    /// The connection had served earlier requests and broke before the first byte of an answer, and
    /// the request is idempotent (RFC 9110, section 9.2.2).
    Died,
    /// The cell closed a new connection or reset the stream before the first byte of an answer, the request
    /// is idempotent, and the settings allow it (`retry_resets`).
    Reset,
    /// It took longer than `try_timeout_ms`, and the request is idempotent.
    TimedOut,
    /// The answer has one of the `retry_statuses`, and the request is idempotent.
    Status,
}

impl Unserved {
    /// All values.
    pub const ALL: &'static [Self] = &[
        Self::Refused,
        Self::GoneAway,
        Self::Died,
        Self::Reset,
        Self::TimedOut,
        Self::Status,
    ];

    /// Whether the cell has said that it didn't process the request.
    pub const fn is_unprocessed(self) -> bool {
        match self {
            Self::Refused | Self::GoneAway => true,
            Self::Died | Self::Reset | Self::TimedOut | Self::Status => false,
        }
    }

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Refused => "refused",
            Self::GoneAway => "gone_away",
            Self::Died => "died",
            Self::Reset => "reset",
            Self::TimedOut => "timed_out",
            Self::Status => "status",
        }
    }
}

/// What became of a hedge: a second attempt that goes to another endpoint while the first one still waits
/// for its answer.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum HedgeEnd {
    /// The client gets its answer.
    Won,
    /// The first attempt was answered before, or the request ended.
    Lost,
    /// It got no answer, or one that counts as a failure. The first attempt went on.
    Failed,
    /// It was not made, because the cell's retry budget is used up.
    OverBudget,
    /// It was not made, because there was no free place for it at the cell.
    NoPlace,
    /// It was not made, because the cell has no other endpoint that works.
    NoEndpoint,
}

impl HedgeEnd {
    /// All values.
    pub const ALL: &'static [Self] = &[
        Self::Won,
        Self::Lost,
        Self::Failed,
        Self::OverBudget,
        Self::NoPlace,
        Self::NoEndpoint,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Won => "won",
            Self::Lost => "lost",
            Self::Failed => "failed",
            Self::OverBudget => "over_budget",
            Self::NoPlace => "no_place",
            Self::NoEndpoint => "no_endpoint",
        }
    }
}

/// Whether an envelope was sealed, and if not, why.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum SealOutcome {
    /// It was sealed, and the cell gets it.
    Sealed,
    /// The router shares no key with the cell, so the request is refused.
    NoKey,
    /// It would be larger than services accept, so the request is refused.
    TooLarge,
}

impl SealOutcome {
    /// All values.
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
    /// The client closed it, or asked the router to close it.
    Client,
    /// It broke, or the client violated HTTP.
    Error,
    /// The client sent no first byte in time.
    FirstByteTimeout,
    /// A proxy that must send a PROXY header sent none or a bad one.
    ProxyHeader,
    /// The client that the PROXY header names used up its share of the listener's connections.
    Refused,
    /// A request's header took too long.
    HeaderTimeout,
    /// It was idle for too long.
    Idle,
    /// The client read nothing of an answer for too long.
    Stalled,
    /// The client's certificate expired.
    CertificateExpired,
    /// Its only stream was closed ([`Event::StreamClosed`](super::Event::StreamClosed)).
    StreamClosed,
    /// A reload changed its listener, which would no longer accept it.
    ListenerChanged,
    /// The router is draining.
    Drain,
}

impl Closed {
    /// All values.
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
        Self::ListenerChanged,
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
            Self::ListenerChanged => "listener_changed",
            Self::Drain => "drain",
        }
    }
}

/// Whether a request gets the explanation that it asks for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum ExplainAnswer {
    /// It does.
    Given,
    /// Its token is none of those in the settings.
    WrongToken,
    /// More requests ask than the settings allow.
    OverRate,
}

impl ExplainAnswer {
    /// All values, in the order of their discriminants.
    pub const ALL: &'static [Self] = &[Self::Given, Self::WrongToken, Self::OverRate];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Given => "given",
            Self::WrongToken => "wrong_token",
            Self::OverRate => "over_rate",
        }
    }
}

/// What a connection speaks after a switch of protocols.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TunnelProtocol {
    /// WebSocket (RFC 6455).
    WebSocket,
    /// Another protocol that the settings list.
    Other,
}

impl TunnelProtocol {
    /// All values.
    pub const ALL: &'static [Self] = &[Self::WebSocket, Self::Other];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::WebSocket => "websocket",
            Self::Other => "other",
        }
    }
}

/// Why a connection that has switched its protocol ended.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum TunnelEnd {
    /// One side closed it, and the other one followed.
    Closed,
    /// The client broke off.
    ClientGone,
    /// The cell broke off.
    CellGone,
    /// The caller may no longer use it
    /// ([`Event::StreamClosed`](super::Event::StreamClosed) says why).
    Refused,
    /// The router is draining.
    Drain,
    /// A reload changed the client's listener.
    ListenerChanged,
    /// No byte moved for too long.
    Idle,
    /// The client read nothing for too long.
    ClientStalled,
    /// The cell read nothing for too long.
    CellStalled,
    /// The router cut the client's connection, at the end of a drain for example.
    Cut,
}

impl TunnelEnd {
    /// All values.
    pub const ALL: &'static [Self] = &[
        Self::Closed,
        Self::ClientGone,
        Self::CellGone,
        Self::Refused,
        Self::Drain,
        Self::ListenerChanged,
        Self::Idle,
        Self::ClientStalled,
        Self::CellStalled,
        Self::Cut,
    ];

    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::ClientGone => "client_gone",
            Self::CellGone => "cell_gone",
            Self::Refused => "refused",
            Self::Drain => "drain",
            Self::ListenerChanged => "listener_changed",
            Self::Idle => "idle",
            Self::ClientStalled => "client_stalled",
            Self::CellStalled => "cell_stalled",
            Self::Cut => "cut",
        }
    }
}

/// What a request waits for.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Wait {
    /// An issuer's keys.
    Keys,
    /// A place at its cell.
    Place,
}

impl Wait {
    /// The name in logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Keys => "keys",
            Self::Place => "place",
        }
    }
}

/// What happened to spans.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum SpanOutcome {
    /// The collector has taken them.
    Sent,
    /// They were lost, because too many waited to be sent.
    QueueFull,
    /// They were lost, because the collector did not take them.
    NotSent,
}

impl SpanOutcome {
    /// All values, in the order of their discriminants.
    pub const ALL: &'static [Self] = &[Self::Sent, Self::QueueFull, Self::NotSent];

    /// The name in logs and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::QueueFull => "queue_full",
            Self::NotSent => "not_sent",
        }
    }
}
