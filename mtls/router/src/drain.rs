//! How a router drains, and the count of its open connections.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cellway_env::Env;
use tokio::sync::Notify;

use crate::data_plane::connection::Origin;
use crate::data_plane::shares::{Full, Holder, Share, Stake};
use crate::router_state::RouterState;
use crate::settings::ListenerSettings;

/// The state of a drain: first no new connections, then no connections at all.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    draining: AtomicBool,
    stopped: AtomicBool,
    /// Notified when one of the two changes.
    changed: Notify,
    /// Connections of all listeners.
    connections: AtomicUsize,
    /// Notified when the last connection is gone.
    empty: Notify,
}

impl Drain {
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Notified when the drain begins and when it is over. Enable it before you check the state.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Begins the drain. `false` if it had begun before.
    pub(crate) fn begin(&self) -> bool {
        let first = !self.draining.swap(true, Ordering::AcqRel);
        self.changed.notify_waiters();
        first
    }

    /// Cuts the remaining connections, and returns how many there were.
    pub(crate) fn stop(&self) -> usize {
        let left = self.connections.load(Ordering::Acquire);
        self.stopped.store(true, Ordering::Release);
        self.changed.notify_waiters();
        left
    }

    /// Waits until the drain begins.
    pub(crate) async fn begun(&self) {
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.is_draining() {
                return;
            }
            notified.await;
        }
    }

    /// Waits until no connection is left.
    pub(crate) async fn emptied(&self) {
        loop {
            let notified = self.empty.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if self.connections.load(Ordering::Acquire) == 0 {
                return;
            }
            notified.await;
        }
    }
}

/// Counts one connection for as long as it lives.
#[derive(Debug)]
pub(crate) struct Counted<E: Env> {
    common: Arc<RouterState<E>>,
    listener: usize,
    holder: Holder,
}

impl<E: Env> Counted<E> {
    /// Counts a connection from this peer. For a proxy's connection, [`is_from`](Self::is_from)
    /// names the client later.
    ///
    /// # Errors
    /// The listener or the peer is at its limit.
    pub(crate) fn new(
        common: &Arc<RouterState<E>>,
        listener: usize,
        settings: &ListenerSettings,
        peer: IpAddr,
    ) -> Result<Self, Full> {
        let holder = match settings.is_proxy(peer) {
            true => Holder::NOBODY,
            false => common.holders.address(Share::Address, peer),
        };
        let stake = Stake::new(Share::Address, holder, settings.address_share);
        let bound = common.listeners.get(listener).ok_or(Full::All)?;
        bound.connections.take(settings.connections_max, &[stake])?;
        common.drain.connections.fetch_add(1, Ordering::AcqRel);
        Ok(Self {
            common: common.clone(),
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
    ) -> Result<(), Full> {
        let holder = origin.holder(&self.common.holders, Share::Address);
        if self.holder != Holder::NOBODY || holder == Holder::NOBODY {
            return Ok(());
        }
        let stake = Stake::new(Share::Address, holder, settings.address_share);
        let connections = &self.common.listeners[self.listener].connections;
        connections.hold(settings.connections_max, &stake)?;
        self.holder = holder;
        Ok(())
    }
}

impl<E: Env> Drop for Counted<E> {
    fn drop(&mut self) {
        let listener = &self.common.listeners[self.listener];
        listener.connections.give_back([self.holder]);
        if self.common.drain.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.common.drain.empty.notify_waiters();
        }
    }
}
