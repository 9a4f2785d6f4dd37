//! The client's side of a request's body, and why a body is cut.

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cellway_core::headers;
use cellway_core::policy::Policy;
use http_body::Frame;

use super::BodyError;
use super::framing::trailers_fit;
use crate::data_plane::activity::Activity;
use crate::data_plane::incoming::{HttpError, Incoming};
use crate::data_plane::streams::{Side, Stream};
use crate::data_plane::well_formed::is_padded;

/// The client's side of a body.
#[derive(Debug)]
pub(crate) struct Source {
    pub(super) incoming: Incoming,
    /// Boxed, because the body is moved often on its way to the cell.
    passed: Option<Box<Passed>>,
}

/// What a body needs once its request was allowed.
#[derive(Debug)]
struct Passed {
    /// The policy whose stamps the request has. Its trailers must not use those names, even if a
    /// reload changes them meanwhile.
    stamped_by: Arc<Policy>,
    stream: Option<Arc<Stream>>,
    activity: Arc<Activity>,
    /// How many more bytes may come. `None`: no limit.
    left: Option<u64>,
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.activity.body_ends();
    }
}

/// The error that tells the connection to the cell that a request's body is cut.
///
/// The stream of an HTTP/2 cell is reset with the first error code among the error's sources. The
/// cell always gets CANCEL: neither the cell nor the router has failed, and the client's code doesn't
/// concern the cell (RFC 9113, section 7).
#[derive(Debug)]
pub(crate) struct SendBodyError {
    why: RequestBodyError,
    code: h2::Error,
}

impl From<RequestBodyError> for SendBodyError {
    fn from(why: RequestBodyError) -> Self {
        let code = h2::Reason::CANCEL.into();
        Self { why, code }
    }
}

impl fmt::Display for SendBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.why.fmt(f)
    }
}

impl std::error::Error for SendBodyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.code)
    }
}

/// Why a request's body is cut.
#[derive(Debug)]
pub(crate) enum RequestBodyError {
    /// Reading from the client failed.
    Client(HttpError),
    /// The client ended the HTTP/2 stream without END_STREAM.
    Cut,
    /// The trailers are over the limits, or malformed.
    Trailers,
    /// It is longer than `body_bytes_max` of its route.
    TooLong,
    /// The router closed the stream.
    Closed(BodyError),
    /// The cell answered without reading it.
    GivenUp,
    /// The request is sent again with a new body.
    SentAgain,
}

impl fmt::Display for RequestBodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Cut => f.write_str("the client ended the stream without END_STREAM"),
            Self::Trailers => f.write_str(
                "the request's trailers are too large, too many, or padded with whitespace",
            ),
            Self::TooLong => f.write_str("the request's body is longer than body_bytes_max"),
            Self::Closed(why) => why.fmt(f),
            Self::GivenUp => f.write_str(
                "the cell sent its whole answer without reading the rest of the request's body",
            ),
            Self::SentAgain => f.write_str("the request is sent again"),
        }
    }
}

impl Source {
    pub(super) fn new(incoming: Incoming) -> Self {
        Self {
            incoming,
            passed: None,
        }
    }

    /// Notes that the request was allowed: the policy that stamped it, its stream, and how long its
    /// body may be.
    pub(super) fn passes(
        &mut self,
        policy: &Arc<Policy>,
        stream: Option<Arc<Stream>>,
        activity: &Arc<Activity>,
        bytes_max: Option<u64>,
    ) {
        activity.body_begins();
        self.passed = Some(Box::new(Passed {
            stamped_by: policy.clone(),
            stream,
            activity: activity.clone(),
            left: bytes_max,
        }));
    }

    /// Counts bytes of the body; `false` if there are more than it may have.
    pub(super) fn may_have(&mut self, bytes: usize) -> bool {
        let Some(left) = (self.passed.as_mut()).and_then(|passed| passed.left.as_mut()) else {
            return true;
        };
        let rest = left.checked_sub(bytes as u64);
        *left = rest.unwrap_or(0);
        rest.is_some()
    }

    /// The body as it comes from the client.
    pub(crate) fn into_incoming(self) -> Incoming {
        self.incoming
    }

    /// Ready once the stream that the body belongs to is closed.
    pub(super) fn poll_closed(&self, cx: &Context<'_>) -> Poll<RequestBodyError> {
        let passed = self.passed.as_ref();
        match passed.and_then(|passed| passed.stream.as_ref()) {
            Some(stream) => {
                let closed = stream.poll_closed(Side::Request, cx);
                closed.map(|reason| RequestBodyError::Closed(BodyError(reason)))
            }
            None => Poll::Pending,
        }
    }

    /// Notes that nobody forwards the body any more.
    pub(crate) fn ends(&self) {
        if let Some(passed) = &self.passed {
            passed.activity.body_ends();
        }
    }

    /// Removes forbidden fields from trailers; `false` if the trailers are over the limits or malformed.
    pub(super) fn clean_trailers(&self, frame: &mut Frame<Bytes>) -> bool {
        let Some(trailers) = frame.trailers_mut() else {
            return true;
        };
        if !trailers_fit(trailers) || is_padded(trailers) {
            return false;
        }
        match &self.passed {
            Some(passed) => headers::sanitize_trailers(&passed.stamped_by.headers, trailers),
            None => trailers.clear(),
        }
        true
    }
}
