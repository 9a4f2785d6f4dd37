//! What is wrong with a cell, and what that does to a request.

use std::time::Duration;

use http::StatusCode;

use super::wire::Excess;

/// A fault of a cell. To take it down, cut its network.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CellFault {
    /// Nothing.
    #[default]
    None,
    /// Its answers start after this long.
    Slow(Duration),
    /// It works on four requests at once, on each for this long. The others wait inside it.
    Busy(Duration),
    /// It answers with this status.
    Status(StatusCode),
    /// It answers 503 and asks its client to come back after this long, in whole seconds.
    Unavailable(Duration),
    /// It ends gRPC calls with this status and no message, if it [takes calls](crate::EchoCell::take_calls).
    GrpcStatus(u8),
    /// It ends gRPC calls with this status after a message, if it takes calls.
    LateGrpcStatus(u8),
    /// Its gRPC health service says that it doesn't serve, if it takes calls. It serves other requests.
    NotServing,
    /// It cuts its answers in the middle of the body. Every second one had announced its length.
    ResetMidBody,
    /// It stops sending in the middle of its answers' bodies.
    StallMidBody,
    /// It accepts connections and requests and answers neither.
    HalfOpen,
    /// It never answers requests whose path begins with `/hang`. It answers all others.
    Hang,
    /// It answers requests whose path begins with `/upload` before it has read their bodies.
    AnswerEarly(Reads),
    /// It accepts connections and reads nothing from any of its connections. It does nothing else: once it
    /// reads again, it answers.
    Deaf,
    /// It refuses every HTTP/2 stream without processing it.
    RefuseStreams,
    /// Each of its HTTP/2 connections sends `GOAWAY` after twenty requests, and later requests are
    /// not processed.
    GoAway,
    /// It accepts requests and cuts them before it answers: it resets the HTTP/2 stream, or closes
    /// the HTTP/1.1 connection.
    BreakOff,
    /// It breaks off ten requests, then serves ten, and so on.
    Flapping,
    /// It sends this many early hints (103) before each answer.
    EarlyHints(u32),
    /// It answers each new connection with bytes that are no HTTP.
    Garbage,
}

/// How a cell reads bodies whose requests it has answered.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Reads {
    /// With a pause after each part.
    Slowly,
    /// Not at all, as long as it has this fault. It doesn't say so.
    Never,
}

/// How a request ended that a cell didn't answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unserved {
    /// The cell refused its stream and did not process it (RFC 9113, section 8.7).
    StreamRefused,
    /// The same, because the stream is one more than the cell allows.
    TooManyStreams(Excess),
    /// It came after the connection's `GOAWAY`, so the cell did not process it.
    AfterGoaway,
    /// The cell accepted it and reset its stream.
    StreamReset,
    /// The cell accepted it and closed its connection.
    ConnectionClosed,
}

impl Unserved {
    /// Whether the cell has told its client that it did not process it.
    pub fn is_unprocessed(self) -> bool {
        match self {
            Self::StreamRefused | Self::TooManyStreams(_) | Self::AfterGoaway => true,
            Self::StreamReset | Self::ConnectionClosed => false,
        }
    }
}
