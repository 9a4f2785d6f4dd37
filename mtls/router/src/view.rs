//! Where the control plane and the data plane meet: the cell that holds the current configuration
//! and snapshot, and the channel back to control.

use std::ops::Deref;
use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use cellway_core::Snapshot;
use cellway_core::health::Outcome;
use cellway_core::policy::{IssuerId, Policy};
use cellway_core::registry::EndpointId;
use tokio::sync::{Notify, mpsc};

use crate::active_config::ActiveConfig;

/// The configuration and the snapshot that a request is decided and served by.
///
/// Both have the same policy, so ids from the one are valid in the other.
#[derive(Debug)]
pub(crate) struct View {
    pub(crate) config: Arc<ActiveConfig>,
    pub(crate) snapshot: Arc<Snapshot>,
}

impl View {
    /// Joins a configuration and a snapshot of its policy.
    ///
    /// # Panics
    /// If the snapshot is of another policy.
    pub(crate) fn new(config: Arc<ActiveConfig>, snapshot: Arc<Snapshot>) -> Self {
        // Ids of one policy mean something else in another: a wrong pair could let a caller in.
        assert!(
            Arc::ptr_eq(&config.settings.policy, &snapshot.policy),
            "a snapshot of another policy than the configuration's"
        );
        Self { config, snapshot }
    }
}

/// A view that is borrowed from its cell. While a thread holds several of them, loading another one
/// costs more, so don't hold one over an `await`.
pub(crate) type Loaded = Guard<Arc<View>>;

/// Holds the current view. The control task replaces it, the workers read it.
///
/// Reading takes no lock. Nothing here blocks: a message that doesn't fit into the channel to
/// control is dropped and the caller is told, because a request must never wait for bookkeeping.
#[derive(Debug)]
pub(crate) struct ViewCell {
    view: ArcSwap<View>,
    published: Notify,
    to_control: mpsc::Sender<ToControl>,
}

/// The other end of [`ViewCell::tell`]: what the control task receives.
pub(crate) type Inbox = mpsc::Receiver<ToControl>;

/// A message from a worker to control.
#[derive(Clone, Debug)]
pub(crate) enum ToControl {
    /// A token names a key that the issuer's key set lacks.
    UnknownKey {
        /// The token's issuer.
        issuer: IssuerId,
        /// The policy in which `issuer` is an id. A reload may have replaced it meanwhile.
        policy: Arc<Policy>,
        /// The key's name, if the token has one.
        kid: Option<Box<str>>,
    },
    /// How an exchange with an endpoint went: every failure, and the first success after one.
    Outcome {
        /// The endpoint.
        endpoint: EndpointId,
        /// How it went.
        outcome: Outcome,
    },
}

/// The most messages that may wait for control. More are dropped. Workers repeat the important
/// ones.
const INBOX_MAX: usize = 1024;

impl ViewCell {
    /// Starts with this view.
    pub(crate) fn new(view: View) -> (Arc<Self>, Inbox) {
        let (to_control, inbox) = mpsc::channel(INBOX_MAX);
        let cell = Self {
            view: ArcSwap::from_pointee(view),
            published: Notify::new(),
            to_control,
        };
        (Arc::new(cell), inbox)
    }

    /// The current view. A request loads it once, and once more if it waited for keys.
    pub(crate) fn load(&self) -> Loaded {
        self.view.load()
    }

    /// The current view, to be held for longer.
    pub(crate) fn current(&self) -> Arc<View> {
        self.view.load_full()
    }

    /// The current configuration, to be held for longer.
    pub(crate) fn config(&self) -> Arc<ActiveConfig> {
        Arc::clone(&self.load().config)
    }

    /// The current snapshot, to be held for longer.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.load().snapshot)
    }

    /// Makes `view` the current one and wakes all tasks that wait for it. Returns the view before, so
    /// that the control task frees it.
    pub(crate) fn publish(&self, view: View) -> Arc<View> {
        let before = self.view.swap(Arc::new(view));
        self.published.notify_waiters();
        before
    }

    /// Waits until `found` finds something in the current view.
    pub(crate) async fn until<T>(&self, found: impl Fn(&View) -> Option<T>) -> T {
        loop {
            let mut published = std::pin::pin!(self.published.notified());
            // Enabled before the look, so that no publication is missed in between.
            published.as_mut().enable();
            if let Some(found) = found(self.load().deref()) {
                return found;
            }
            published.await;
        }
    }

    /// Waits for the next view, after this was first polled.
    pub(crate) async fn published(&self) {
        self.published.notified().await;
    }

    /// Sends a message to control. `false` if its inbox is full or it is gone.
    pub(crate) fn tell(&self, message: ToControl) -> bool {
        self.to_control.try_send(message).is_ok()
    }
}
