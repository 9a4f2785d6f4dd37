//! HTTP/1.1, with a guard over all bytes that come.
//!
//! hyper's parser, which reads clients' requests, accepts bytes that other parsers read differently: a bare
//! LF, a length together with chunks, a fragment. [`Guarded`] gives hyper only the bytes that
//! [`cellway_core::http1`] passes, and the router answers a malformed request like any other refusal
//! ([`Faults`]).
//!
//! A connection to a cell ([`Http1Connection`]) has no second parser: the guard itself says where a message
//! and its body end. The request's own task writes the request and reads the answer, so that no other task
//! must be woken for it. A malformed answer breaks off the exchange.

mod connection;
mod guarded;
mod requests;
#[cfg(test)]
mod testing;
mod upload;

pub(crate) use self::connection::Http1Connection;
pub(crate) use self::guarded::Guarded;
pub(crate) use self::requests::{Faults, Requests};

/// hyper's own limit on fields, unless it gets another. Up to this many it keeps on its stack. Any
/// limit that it is given, however low, makes it allocate and fill memory for each message.
pub(crate) const HYPER_FIELDS_MAX: usize = 100;
