//! How a router drains, and the count of its open connections.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};

use crate::settings::DrainTimes;

/// The shortest time that a connection without a request stays open. The connections' timers depend
/// on it.
const IDLE_MIN: Duration = Duration::from_millis(10);

/// The state of a drain. It goes through three steps: the router says that it isn't ready, but takes
/// connections as before; its sockets are closed and connections are told to end; all connections
/// that are left are cut.
#[derive(Debug, Default)]
pub(crate) struct Drain {
    announced: AtomicBool,
    /// Another process serves the same sockets.
    replaced: AtomicBool,
    draining: AtomicBool,
    stopped: AtomicBool,
    /// When the drain began, and how long connections without a request stay open. Set before
    /// `draining`.
    idle: OnceLock<(Instant, Duration)>,
    /// Notified at each step but the announcement, and after a reload.
    changed: Notify,
    /// Notified when the drain is announced and when it begins.
    stepped: Notify,
    /// The open connections of all listeners, and the sockets that may still give one.
    connections: AtomicUsize,
    /// Notified when the last of them is gone.
    empty: Notify,
}

impl Drain {
    /// Whether the drain was announced: the router will close its sockets.
    pub(crate) fn is_announced(&self) -> bool {
        self.announced.load(Ordering::Acquire)
    }

    /// Notes that another process serves the same sockets.
    pub(crate) fn replace(&self) {
        self.replaced.store(true, Ordering::Release);
    }

    /// Whether the router isn't ready because of the drain. If it was replaced, whoever still asks it
    /// on an old connection would take the next process for unready.
    pub(crate) fn makes_unready(&self) -> bool {
        self.is_announced() && !self.replaced.load(Ordering::Acquire)
    }

    /// Whether no new connections are accepted, and open ones must be told to end.
    pub(crate) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Acquire)
    }

    /// Whether all connections must be closed now.
    pub(crate) fn is_stopped(&self) -> bool {
        self.stopped.load(Ordering::Acquire)
    }

    /// Notified when connections must be told to end, when they are cut, and after a reload. Enable
    /// it before you check the state.
    pub(crate) fn changed(&self) -> &Notify {
        &self.changed
    }

    /// Announces the drain. `false` if it was announced before.
    pub(crate) fn announce(&self) -> bool {
        let first = !self.announced.swap(true, Ordering::AcqRel);
        self.stepped.notify_waiters();
        first
    }

    /// Begins the drain: from now on no connection is accepted. `false` if it had begun before.
    pub(crate) fn begin(&self, times: DrainTimes) -> bool {
        let idle = times.idle.min(times.deadline).max(IDLE_MIN);
        let _ = self.idle.set((Instant::now(), idle));
        self.announce();
        let first = !self.draining.swap(true, Ordering::AcqRel);
        self.changed.notify_waiters();
        self.stepped.notify_waiters();
        first
    }

    /// Waits until the drain is announced or begins, after this was first polled.
    pub(crate) async fn stepped(&self) {
        self.stepped.notified().await;
    }

    /// Until when a connection that has had no request in flight since `since` stays open. `None`
    /// before the drain.
    pub(crate) fn idle_until(&self, since: Instant) -> Option<Instant> {
        let (begun, idle) = self.idle.get()?;
        Some(since.max(*begun) + *idle)
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
        self.reached(Self::is_draining).await;
    }

    /// Waits until a connection that hasn't brought a request yet may be closed.
    pub(crate) async fn waited_for_request(&self) {
        self.begun().await;
        let stopped = self.reached(Self::is_stopped);
        if let Some((begun, idle)) = self.idle.get() {
            let _ = timeout_at(*begun + *idle, stopped).await;
        }
    }

    async fn reached(&self, is_reached: impl Fn(&Self) -> bool) {
        loop {
            let notified = self.changed.notified();
            tokio::pin!(notified);
            notified.as_mut().enable();
            if is_reached(self) {
                return;
            }
            notified.await;
        }
    }

    /// Counts a connection, or a socket that may still give one.
    pub(crate) fn connection_begins(&self) {
        self.connections.fetch_add(1, Ordering::AcqRel);
    }

    /// Stops counting it.
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
