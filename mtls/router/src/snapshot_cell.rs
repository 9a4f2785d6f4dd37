//! State that the tasks of one router share: the snapshot, and the channel to control.

use std::sync::Arc;

use arc_swap::{ArcSwap, Guard};
use cellway_core::Snapshot;
use cellway_core::health::Outcome;
use cellway_core::policy::IssuerId;
use cellway_core::registry::EndpointId;
use tokio::sync::{Notify, mpsc};

/// Between the control task, which publishes, and the workers, which read.
///
/// Reading takes no lock. Nothing here blocks: what doesn't fit into the channel to control is
/// dropped and told to the caller, because a request must never wait for bookkeeping.
#[derive(Debug)]
pub struct SnapshotCell {
    snapshot: ArcSwap<Snapshot>,
    published: Notify,
    to_control: mpsc::Sender<ToControl>,
}

/// The other end of [`SnapshotCell::tell`]: what the control task receives.
pub type Inbox = mpsc::Receiver<ToControl>;

/// What workers tell control.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum ToControl {
    /// A token names a key that the issuer's key set lacks.
    UnknownKey {
        /// The token's issuer.
        issuer: IssuerId,
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

impl SnapshotCell {
    /// Most messages that may wait for control. More are dropped; the workers repeat what matters.
    pub const INBOX_MAX: usize = 1024;

    /// Starts with this snapshot.
    pub fn new(snapshot: Arc<Snapshot>) -> (Arc<Self>, Inbox) {
        let (to_control, inbox) = mpsc::channel(Self::INBOX_MAX);
        let snapshots = Self {
            snapshot: ArcSwap::new(snapshot),
            published: Notify::new(),
            to_control,
        };
        (Arc::new(snapshots), inbox)
    }

    /// The present snapshot, borrowed for a short while: don't hold it over an `await`.
    pub fn snapshot(&self) -> Guard<Arc<Snapshot>> {
        self.snapshot.load()
    }

    /// Makes `snapshot` the present one and wakes those who wait for it. Gives back the one
    /// before, so that the control task is where its parts are freed.
    pub fn publish(&self, snapshot: Arc<Snapshot>) -> Arc<Snapshot> {
        let before = self.snapshot.swap(snapshot);
        self.published.notify_waiters();
        before
    }

    /// Wakes at every [`publish`](Self::publish). Enable it before looking at the snapshot.
    pub fn published(&self) -> &Notify {
        &self.published
    }

    /// Waits until `found` is true for the current snapshot.
    pub async fn until(&self, found: impl Fn(&Snapshot) -> bool) {
        loop {
            let mut published = std::pin::pin!(self.published.notified());
            published.as_mut().enable();
            if found(&self.snapshot()) {
                return;
            }
            published.await;
        }
    }

    /// Tells control something. `false` if its inbox is full or it is gone.
    pub fn tell(&self, message: ToControl) -> bool {
        self.to_control.try_send(message).is_ok()
    }
}
