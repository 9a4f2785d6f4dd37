//! The listening sockets of a router: those that it gets from another process, and those that it may
//! pass on to the next one.
//!
//! A socket that two processes have stays open, with its queue, until the last of them closes it. So
//! no connection is refused or reset while one process takes over from the other.

use std::io;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cellway_env::Env;

/// A listening socket, and the name of its listener.
pub(crate) type ListenerSocket = (Arc<str>, OwnedFd);

/// The sockets of all listeners. Dropped once the listeners are closing, because a socket is open
/// until nobody has it.
#[derive(Debug, Default)]
pub(crate) struct Sockets(Mutex<Option<Held>>);

#[derive(Debug)]
struct Held {
    /// From another process. These listeners bind no address.
    adopted: Vec<ListenerSocket>,
    /// Copies of the sockets that the workers listen on.
    open: Vec<ListenerSocket>,
}

impl Sockets {
    pub(crate) fn new(adopted: Vec<ListenerSocket>) -> Self {
        let open = Vec::new();
        Self(Mutex::new(Some(Held { adopted, open })))
    }

    /// This worker's copies of the adopted sockets of a listener. Empty if the listener has none, so
    /// that it binds its address.
    ///
    /// Every socket belongs to some worker, because the system puts connections into each socket's
    /// queue. Every worker has a socket, which it may share.
    ///
    /// # Errors
    /// The process has too many open files, or a socket doesn't listen.
    pub(crate) fn adopt<E: Env>(
        &self,
        env: &E,
        listener: &str,
        (worker, workers): (usize, usize),
    ) -> io::Result<Vec<E::Claim>> {
        let held = self.lock();
        let adopted = held.iter().flat_map(|held| &held.adopted);
        let sockets = adopted.filter(|(name, _)| **name == *listener);
        let sockets: Vec<_> = sockets.map(|(_, socket)| socket).collect();
        let mut claims = Vec::new();
        for index in 0..sockets.len().max(workers) {
            let Some(socket) = sockets.get(index % sockets.len().max(1)) else {
                break;
            };
            if index % workers == worker {
                claims.push(env.adopt(socket.try_clone()?)?);
            }
        }
        Ok(claims)
    }

    /// Keeps a copy of an open socket.
    pub(crate) fn opened(&self, listener: &Arc<str>, socket: OwnedFd) {
        if let Some(held) = &mut *self.lock() {
            held.open.push((listener.clone(), socket));
        }
    }

    /// Copies of all open sockets.
    ///
    /// # Errors
    /// The process has too many open files.
    pub(crate) fn copies(&self) -> io::Result<Vec<ListenerSocket>> {
        let held = self.lock();
        let copy = |(name, socket): &ListenerSocket| Ok((name.clone(), socket.try_clone()?));
        held.iter().flat_map(|held| &held.open).map(copy).collect()
    }

    /// Drops everything, so that a socket closes when its worker closes it.
    pub(crate) fn close(&self) {
        *self.lock() = None;
    }

    fn lock(&self) -> MutexGuard<'_, Option<Held>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
