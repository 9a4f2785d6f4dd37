//! The bodies of requests: streamed to the cell, watched, and kept while a request may be sent again.

mod framing;
mod kept;
mod progress;
mod request;
mod source;

use std::fmt;

use cellway_core::Reason;
use http::Method;

pub(crate) use self::framing::{Exchange, Framing};
pub(crate) use self::kept::Places;
pub(crate) use self::progress::{End, Pace, Progress, Turn};
pub(crate) use self::request::{DRAINED_MAX, RequestBody, SpareBody};
pub(crate) use self::source::Source;

/// Whether a recipient expects that a request with this method says how long its body is, also if it has none
/// (RFC 9110, section 8.6).
pub(crate) fn expects_body(method: &Method) -> bool {
    matches!(*method, Method::POST | Method::PUT | Method::PATCH)
}

/// The error for a cut body. The stream is then reset or the connection broken off, so that a
/// recipient never takes a cut body for a complete one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BodyError(pub(crate) Reason);

impl fmt::Display for BodyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body broke off: {}", self.0)
    }
}

impl std::error::Error for BodyError {}
