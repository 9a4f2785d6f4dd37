//! Opens the listeners when a registry is loaded, or when the time limit for that is over.
//!
//! A router without a registry can only answer 503. While its listeners are closed, the system
//! refuses connections, so a load balancer or a client tries another router. The addresses are
//! bound before that, so a router whose address is taken usually fails at start. The admin and
//! health listeners already answer.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use cellway_env::{Env, Sharing};
use tokio::sync::Notify;
use tokio::time::timeout;

use crate::error::StartError;
use crate::observe::Reporter;
use crate::observe::event::{Event, Sink};
use crate::view::{View, ViewCell};

/// When the listeners open.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Opens {
    /// When a registry is loaded, or after this wait.
    WithRegistry(Duration),
    /// When the router's owner says so. Until then, another process serves the same sockets.
    WhenTold,
}

/// The state of a router's listeners.
#[derive(Debug)]
pub(crate) struct Opening {
    /// Whether other processes may listen on the same addresses.
    share: bool,
    /// What the workers wait for.
    opens: Opens,
    /// Whether the workers may open.
    allowed: AtomicBool,
    /// The number of workers that don't listen yet.
    closed: AtomicUsize,
    /// The result, once known.
    result: OnceLock<Result<(), StartError>>,
    /// Notified when one of these fields changes.
    changed: Notify,
}

impl Opening {
    pub(crate) fn new(workers: usize, share: bool, opens: Opens) -> Self {
        Self {
            share,
            opens,
            allowed: AtomicBool::new(false),
            closed: AtomicUsize::new(workers),
            result: OnceLock::new(),
            changed: Notify::new(),
        }
    }

    /// How this worker binds the addresses. `workers` is the number of workers.
    pub(crate) fn sharing(&self, worker: usize, workers: usize) -> Sharing {
        match (self.share, worker, workers) {
            (true, _, _) | (false, 1.., _) => Sharing::Shared,
            (false, 0, 1) => Sharing::Alone,
            (false, 0, _) => Sharing::First,
        }
    }

    /// Whether this worker may listen now. The first worker listens before all others; otherwise
    /// they would block it, or block another process that was first.
    fn may(&self, worker: usize, workers: usize) -> bool {
        let first_listens = self.closed.load(Ordering::Acquire) < workers;
        self.allowed.load(Ordering::Acquire) && (worker == 0 || first_listens)
    }

    /// Waits until this worker may listen.
    pub(crate) async fn turn(&self, worker: usize, workers: usize) {
        self.until(|it| it.may(worker, workers).then_some(())).await;
    }

    /// Lets the workers open.
    pub(crate) fn allow(&self) {
        self.allowed.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Notes that a worker listens.
    pub(crate) fn listens(&self) {
        if self.closed.fetch_sub(1, Ordering::AcqRel) == 1 {
            let _ = self.result.set(Ok(()));
        }
        self.changed.notify_waiters();
    }

    /// Notes that a worker can't listen.
    pub(crate) fn failed(&self, error: StartError) {
        let _ = self.result.set(Err(error));
        self.changed.notify_waiters();
    }

    /// Whether all listeners are open.
    pub(crate) fn is_open(&self) -> bool {
        matches!(self.result.get(), Some(Ok(())))
    }

    /// Waits until all listeners are open or one has failed.
    pub(crate) async fn opened(&self) -> Result<(), StartError> {
        self.until(|it| it.result.get().cloned()).await
    }

    async fn until<T>(&self, found: impl Fn(&Self) -> Option<T>) -> T {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if let Some(found) = found(self) {
                return found;
            }
            changed.await;
        }
    }
}

/// Lets the workers open when it is time to, unless somebody else does.
pub(crate) async fn allow_in_time<E: Env, S: Sink>(
    opening: &Opening,
    views: &ViewCell,
    reporter: &Reporter<E, S>,
) {
    match opening.opens {
        Opens::WithRegistry(wait) => {
            let is_loaded = |view: &View| view.snapshot.registry.as_ref().map(drop);
            let in_time = timeout(wait, views.until(is_loaded)).await.is_ok();
            // If no wait is configured, opening without a registry is expected.
            if !in_time && !wait.is_zero() {
                reporter.emit(&Event::OpenedEmpty { waited: wait });
            }
        }
        Opens::WhenTold => return,
    }
    opening.allow();
}
