//! Guards a client's requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use cellway_core::http1::{Found, Guard, MessageError};

use super::guarded::{Instead, Side};
use crate::data_plane::switch::Switch;

/// What hyper reads instead of a malformed request, so that the router answers it like any other.
/// Only its method matters: whether the answer may have a body.
pub(super) const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: malformed.invalid\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: malformed.invalid\r\n\r\n";

/// The faults that the guard found in a connection's requests. One task writes and reads this; the
/// fields are atomic only because its future must be `Send`.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Requests that hyper has handed over so far.
    served: AtomicU64,
    /// The number of the request with a malformed head. It is counted here, so a client can't
    /// choose it.
    head: OnceLock<(u64, MessageError)>,
    body: OnceLock<MessageError>,
}

impl Faults {
    /// Called when hyper hands over the connection's next request. Returns the fault if that
    /// request replaces a malformed one.
    pub(crate) fn next_request(&self) -> Option<MessageError> {
        let ordinal = self.served.fetch_add(1, Relaxed);
        let (at, fault) = self.head.get()?;
        (*at == ordinal).then_some(*fault)
    }

    /// Why the guard cut the body of the current request, if it did.
    pub(crate) fn in_body(&self) -> Option<MessageError> {
        self.body.get().copied()
    }
}

/// The client's side of a connection.
pub(crate) struct Requests {
    faults: Arc<Faults>,
    switch: Arc<Switch>,
}

impl Requests {
    pub(crate) fn new(faults: Arc<Faults>, switch: Arc<Switch>) -> Self {
        Self { faults, switch }
    }
}

impl Side for Requests {
    fn guard(&self) -> Guard {
        Guard::requests()
    }

    fn settle(&self, guard: &mut Guard) {
        match self.switch.has_switched() {
            true => guard.switches(),
            false => guard.stays(),
        }
    }

    fn found(&self, found: Found, guard: &Guard, rest: &[u8]) -> Instead {
        match found {
            Found::InHead(fault) => {
                self.faults.head.get_or_init(|| (guard.heads(), fault));
                Instead::Request(match rest.starts_with(b"HEAD ") {
                    true => HEAD,
                    false => GET,
                })
            }
            Found::InBody(fault) => {
                self.faults.body.get_or_init(|| fault);
                Instead::Broken(fault)
            }
        }
    }
}
