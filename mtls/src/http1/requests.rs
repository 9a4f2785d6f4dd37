//! A client's requests.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock};

use cellway_core::http1::{Fault, Found, Guard};

use super::guarded::{Instead, Side};

/// What hyper reads in place of a malformed request, so that the router answers it as it answers any
/// other. Nothing of it is looked at but whether its answer may have a body.
pub(super) const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: malformed.invalid\r\n\r\n";
const HEAD: &[u8] = b"HEAD / HTTP/1.1\r\nhost: malformed.invalid\r\n\r\n";

/// What the guard over a connection's requests found, for those who serve them. One task writes and
/// reads it; the fields are atomic only because its future is `Send`.
#[derive(Debug, Default)]
pub(crate) struct Faults {
    /// Requests handed over by hyper so far.
    served: AtomicU64,
    /// Which request has a malformed head. A client can't choose that: it is counted.
    head: OnceLock<(u64, Fault)>,
    body: OnceLock<Fault>,
}

impl Faults {
    /// hyper hands over the next request of the connection. The fault says that it stands for one
    /// that was malformed.
    pub(crate) fn next_request(&self) -> Option<Fault> {
        let ordinal = self.served.fetch_add(1, Relaxed);
        let (at, fault) = self.head.get()?;
        (*at == ordinal).then_some(*fault)
    }

    /// Why the body of the request that is being read breaks off, if the guard broke it off.
    pub(crate) fn in_body(&self) -> Option<Fault> {
        self.body.get().copied()
    }
}

/// The client's side of a connection.
#[derive(Debug)]
pub(crate) struct Requests(Arc<Faults>);

impl Requests {
    pub(crate) fn new(faults: Arc<Faults>) -> Self {
        Self(faults)
    }
}

impl Side for Requests {
    fn guard(&self) -> Guard {
        Guard::requests()
    }

    fn found(&self, found: Found, guard: &Guard, rest: &[u8]) -> Instead {
        match found {
            Found::InHead(fault) => {
                self.0.head.get_or_init(|| (guard.heads(), fault));
                Instead::Request(match rest.starts_with(b"HEAD ") {
                    true => HEAD,
                    false => GET,
                })
            }
            Found::InBody(fault) => {
                self.0.body.get_or_init(|| fault);
                Instead::Broken(fault)
            }
        }
    }
}
