//! Limits the connections that a router accepts: each listener has a limit, and each address a
//! share of it.

use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, OnceLock};

use cellway_env::Env;

use crate::data_plane::drain::Drain;
use crate::data_plane::origin::Origin;
use crate::observe::Reporter;
use crate::observe::event::{Event, Sink};
use crate::settings::ListenerSettings;
use crate::shares::{Bound, Holder, Holders, LimitRefused, Resource, Share, Stake};

/// Counts the connections of a router, over all workers.
#[derive(Debug)]
pub(crate) struct Admission {
    /// One for each listener, in the order of the settings.
    listeners: Vec<ListenerState>,
    holders: Arc<Holders>,
    drain: Arc<Drain>,
}

impl Admission {
    pub(crate) fn new(listeners: usize, holders: Arc<Holders>, drain: Arc<Drain>) -> Self {
        Self {
            listeners: (0..listeners).map(|_| ListenerState::default()).collect(),
            holders,
            drain,
        }
    }

    /// One for each listener, in the order of the settings.
    pub(crate) fn listeners(&self) -> &[ListenerState] {
        &self.listeners
    }
}

/// The state that a listener's sockets on all workers share.
#[derive(Debug, Default)]
pub(crate) struct ListenerState {
    /// The address that the first worker bound. The other workers bind the same one, because the
    /// system chooses port 0 only once.
    pub(crate) address: OnceLock<SocketAddr>,
    /// The open connections, and who holds them.
    pub(crate) connections: Bound,
}

/// Counts one connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted {
    admission: Arc<Admission>,
    listener: usize,
    holder: Holder,
}

impl Counted {
    /// Counts a connection from this peer. For a proxy's connection, [`is_from`](Self::is_from)
    /// names the client later.
    ///
    /// # Errors
    /// The listener or the peer is at its limit.
    pub(crate) fn new(
        admission: &Arc<Admission>,
        listener: usize,
        settings: &ListenerSettings,
        peer: IpAddr,
    ) -> Result<Self, LimitRefused> {
        let holder = match settings.is_proxy(peer) {
            true => Holder::NOBODY,
            false => admission.holders.address(Share::Address, peer),
        };
        let stake = Stake::new(Share::Address, holder, settings.address_share);
        let bound = admission.listeners.get(listener).ok_or(LimitRefused::All)?;
        bound.connections.take(settings.connections_max, &[stake])?;
        admission.drain.connection_begins();
        Ok(Self {
            admission: admission.clone(),
            listener,
            holder,
        })
    }

    /// Counts the connection for the client that a proxy named.
    ///
    /// # Errors
    /// The client's address has used up its share of the listener's connections.
    pub(crate) fn is_from(
        &mut self,
        origin: &Origin,
        settings: &ListenerSettings,
    ) -> Result<(), LimitRefused> {
        let holder = origin.holder(&self.admission.holders, Share::Address);
        if self.holder != Holder::NOBODY || holder == Holder::NOBODY {
            return Ok(());
        }
        let stake = Stake::new(Share::Address, holder, settings.address_share);
        let connections = &self.admission.listeners[self.listener].connections;
        connections.hold(settings.connections_max, &stake)?;
        self.holder = holder;
        Ok(())
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let listener = &self.admission.listeners[self.listener];
        listener.connections.give_back([self.holder]);
        self.admission.drain.connection_ends();
    }
}

/// Reports a connection that was refused at a limit. The caller closes it.
pub(crate) fn refused<E: Env, S: Sink>(
    reporter: &Reporter<E, S>,
    listener: &ListenerState,
    name: &str,
    peer: SocketAddr,
    full: LimitRefused,
) {
    reporter.emit(&Event::ConnectionRefused {
        listener: name,
        peer,
    });
    let LimitRefused::Share(share) = full else {
        return;
    };
    let now = reporter.now();
    let event = Event::ShareRefused {
        listener: name,
        resource: Resource::ListenerConnections,
        share,
        peer: Some(peer),
        cell: None,
        placement: None,
        tenant: None,
        news: listener.connections.is_news(now.mono),
    };
    reporter.emit_at(now, &event);
}
