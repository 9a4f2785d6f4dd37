//! How a router drains, and the count of its open connections.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use tokio::sync::Notify;

/// The state of a drain: first no new connections, then no connections at all.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    draining: AtomicBool,
    stopped: AtomicBool,
    /// Notified when one of the two changes, and after a reload.
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

    /// Notified when the drain begins, when it is over, and after a reload. Enable it before you
    /// check the state.
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

    /// Wakes all connections after a reload, so that each checks whether it may stay open. They
    /// already wait for [`changed`](Self::changed); a second wait would cost at each poll.
    pub(crate) fn reloaded(&self) {
        self.changed.notify_waiters();
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

    /// Counts a connection.
    pub(crate) fn connection_begins(&self) {
        self.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// Stops counting a connection.
    pub(crate) fn connection_ends(&self) {
        if self.connections.fetch_sub(1, Ordering::AcqRel) == 1 {
            self.empty.notify_waiters();
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
