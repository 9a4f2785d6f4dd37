//! HTTP/1.1 connections with a guard in front of the parser.
//!
//! hyper's parser accepts bytes that other parsers read differently: a bare LF, a length together
//! with chunks, a fragment. [`Guarded`] gives hyper only the bytes that [`cellway_core::http1`]
//! passes. The router answers a client's malformed request like any other refusal ([`Faults`]). A
//! cell's malformed answer breaks off the exchange ([`Http1Sender`]).

mod answers;
mod guarded;
mod interims;
mod requests;

use std::error::Error;
use std::io;

use cellway_core::http1::MessageError;

pub(crate) use self::answers::{Answers, Http1Sender};
pub(crate) use self::guarded::Guarded;
pub(crate) use self::interims::Heads;
pub(crate) use self::requests::{Faults, Requests};

/// hyper's own limit on fields, unless it gets another. Up to this many it keeps on its stack. Any
/// limit that it is given, however low, makes it allocate and fill memory for each message.
pub(crate) const HYPER_FIELDS_MAX: usize = 100;

/// The guard's fault, if the error comes from one.
pub(crate) fn fault(error: &(dyn Error + 'static)) -> Option<MessageError> {
    let mut next = Some(error);
    while let Some(error) = next {
        let inner = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        if let Some(fault) = inner.and_then(|inner| inner.downcast_ref()) {
            return Some(*fault);
        }
        next = error.source();
    }
    None
}
