//! HTTP/1.1: requests to cells, and the answers to clients.
//!
//! No library parses HTTP/1.1 here. [`cellway_core::http1`] says where a message and its body end, and
//! accepts only bytes that all parsers read the same way: a second parser could read a bare LF, a length
//! together with chunks, or a fragment in another way.
//!
//! On a connection to a cell ([`Http1Connection`]), the request's own task writes the request and reads
//! the answer, so that no other task must be woken for it. A malformed answer breaks off the exchange.

mod answer;
mod connection;
mod outgoing;
#[cfg(test)]
mod testing;
mod upload;

pub(crate) use self::answer::{Asking, answer};
pub(crate) use self::connection::Http1Connection;
pub(crate) use self::outgoing::Outgoing;
