//! HTTP/1.1 connections with a guard before the parser.
//!
//! hyper's parser takes what others read differently: a bare LF, a length beside chunks, a fragment.
//! [`Guarded`] shows hyper only what [`cellway_core::http1`] lets pass. What becomes of the rest is
//! the side's matter: a client's malformed request is answered by the router like any other refusal
//! ([`Faults`]), a cell's malformed answer breaks off the exchange ([`Http1Sender`]).

mod answers;
mod guarded;
mod requests;

use std::error::Error;
use std::io;

pub(crate) use self::answers::{Answers, Http1Sender};
pub(crate) use self::guarded::Guarded;
pub(crate) use self::requests::{Faults, Requests};
use cellway_core::http1::Fault;

/// The fault that a guard broke the connection off for, if that is what the error comes from.
pub(crate) fn fault(error: &(dyn Error + 'static)) -> Option<Fault> {
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
