//! Whether a cell takes an extended CONNECT (RFC 8441), which its SETTINGS say.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// What is known of the first frame of a cell on an HTTP/2 connection, which is SETTINGS (RFC 9113,
/// section 3.4). The frames of the connection, its task and requests share it.
#[derive(Debug, Default)]
pub(crate) struct Greeting {
    came: AtomicBool,
    takes_connect: OnceLock<bool>,
    changed: Notify,
}

impl Greeting {
    /// Notes that the first frame came whole, and is about to be parsed.
    pub(super) fn comes(&self) {
        self.came.store(true, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits for the first frame. The task that read it parses it before others run.
    pub(crate) async fn came(&self) {
        loop {
            let changed = self.changed.notified();
            if self.came.load(Ordering::Acquire) {
                return;
            }
            changed.await;
        }
    }

    /// Notes what the first frame says.
    pub(crate) fn says(&self, takes_connect: bool) {
        self.takes_connect.get_or_init(|| takes_connect);
        self.changed.notify_waiters();
    }

    /// Waits until it is known whether the cell takes an extended CONNECT.
    pub(crate) async fn takes_connect(&self) -> bool {
        loop {
            let changed = self.changed.notified();
            if let Some(takes) = self.takes_connect.get() {
                return *takes;
            }
            changed.await;
        }
    }
}
