//! Tells a connection's tunnels that the connection is about to close.

use std::sync::OnceLock;

use tokio::sync::Notify;

use crate::observe::event::Closed;

/// Whether a connection was told to close. Its requests in flight finish by themselves, but a tunnel
/// may last for hours, so it is told too.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    why: OnceLock<Closed>,
    begun: Notify,
}

impl Ending {
    /// Tells the tunnels. Only the first reason counts.
    pub(super) fn begin(&self, why: Closed) {
        self.why.get_or_init(|| why);
        self.begun.notify_waiters();
    }

    /// Waits until the connection is told to close. Returns why.
    pub(crate) async fn begun(&self) -> Closed {
        loop {
            let begun = self.begun.notified();
            if let Some(why) = self.why.get() {
                return *why;
            }
            begun.await;
        }
    }
}
