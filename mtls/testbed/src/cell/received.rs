//! What a cell receives, and what it reports about that.

use http::{HeaderMap, Request, header};
use hyper::body::Incoming;
use serde::Serialize;

use crate::cell_fault::Unserved;

/// A request as a cell saw it.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Received {
    /// The cell's id.
    pub cell: String,
    /// How many requests this cell got before; 0 for one that it doesn't process.
    pub ordinal: u64,
    /// How many connections were made to this cell before its own.
    pub connection: u64,
    /// How many requests came on the same connection before it.
    pub on_connection: u64,
    /// How many streams its client has acknowledged that the cell allows on the connection. `None` if the
    /// cell has not [limited](crate::cell::EchoCell::allow_streams) them.
    pub streams_known: Option<u32>,
    /// The DNS and URI SANs of the peer's certificate; empty over plain HTTP.
    pub peer: Vec<String>,
    /// `HTTP/1.1` or `HTTP/2`.
    pub version: &'static str,
    /// The method.
    pub method: String,
    /// The host that the request names: `:authority`, or `Host` in HTTP/1.1.
    pub authority: Option<String>,
    /// The path and query.
    pub path: String,
    /// All headers in order, names in lower case; bytes that aren't UTF-8 are replaced.
    pub headers: Vec<(String, String)>,
}

/// How a request ended, as a cell saw it.
#[derive(Clone, PartialEq, Eq, Default, Debug, Serialize)]
pub struct Ended {
    /// Bytes of body.
    pub body_bytes: u64,
    /// Whether the body came whole.
    pub complete: bool,
    /// Trailers, as [`Received::headers`].
    pub trailers: Vec<(String, String)>,
}

/// How a cell ends a gRPC call.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct CallEnding {
    /// The gRPC status.
    pub status: u8,
    /// Whether a message comes first. Without one, the status is in the header (`Trailers-Only`).
    pub has_message: bool,
}

/// What a cell reports about a request.
#[derive(Clone, Copy, Debug)]
pub enum Report<'a> {
    /// The head of a request came.
    Arrived(&'a Received),
    /// Its body ended.
    Ended(&'a Received, &'a Ended),
    /// It is a gRPC call, which the cell ends like this.
    CallEnded(&'a Received, CallEnding),
    /// It gets no answer. A request that the cell doesn't process isn't reported as arrived.
    Unserved(&'a Received, Unserved),
    /// The cell works on it no longer: its answer begins, or its client has gone away. Not reported after
    /// [`Unserved`](Self::Unserved).
    Left(&'a Received),
}

/// The host that a request names.
pub(super) fn authority(request: &Request<Incoming>) -> Option<String> {
    let host = request.headers().get(header::HOST);
    match request.uri().authority() {
        Some(authority) => Some(authority.to_string()),
        None => host.map(|host| String::from_utf8_lossy(host.as_bytes()).into_owned()),
    }
}

/// The names in lower case, and the values. Bytes that aren't UTF-8 are replaced.
pub(super) fn pairs(headers: &HeaderMap) -> Vec<(String, String)> {
    headers
        .iter()
        .map(|(name, value)| {
            let value = String::from_utf8_lossy(value.as_bytes()).into_owned();
            (name.as_str().to_owned(), value)
        })
        .collect()
}
