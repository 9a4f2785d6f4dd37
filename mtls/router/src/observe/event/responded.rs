//! The end of a request.

use std::net::SocketAddr;
use std::time::Duration;

use cellway_core::{Reason, Text};

use super::{Exchange, Owner};

/// A request that was answered or given up.
#[derive(Clone, Copy, Debug)]
pub struct Responded<'a> {
    /// The listener's name.
    pub listener: &'a str,
    /// The client's address. If an Envoy asks for authorization, this is the Envoy's address.
    pub peer: SocketAddr,
    /// The request's id.
    pub request_id: &'a str,
    /// The status that was sent. `None` if the client went away before that.
    pub status: Option<u16>,
    /// Who made the answer, or [`Owner::Client`] if there is none.
    pub owner: Owner,
    /// The reason, if the router made the answer itself or cut its body short.
    pub reason: Option<Reason>,
    /// Which check failed, if the answer says so.
    pub detail: Option<&'static str>,
    /// Whether an earlier event of this request already has the reason: a denial, or a closed
    /// stream.
    pub told: bool,
    /// The cell, if one was decided.
    pub cell: Option<&'a Text>,
    /// Why this isn't the cell that the request's placement assigns.
    pub failover: Option<Reason>,
    /// From the request's header to the answer's.
    pub latency: Duration,
    /// From the request's header to the answer's last byte.
    pub duration: Duration,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// Whether the answer's whole body was sent.
    pub complete: bool,
    /// What else the access log says. `None` if the request isn't logged there.
    pub exchange: Option<&'a Exchange<'a>>,
}
