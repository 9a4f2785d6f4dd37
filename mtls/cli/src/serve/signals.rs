//! The signals that a router obeys.

use std::io;
use std::sync::Arc;

use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::Notify;

use super::supervisor::Supervisor;

pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user2: Signal,
}

/// What signals ask for while the router goes on.
#[derive(Clone, Default)]
pub(super) struct Asked {
    pub(super) reload: Arc<Notify>,
    pub(super) upgrade: Arc<Notify>,
    /// Learns that a reload begins.
    pub(super) supervisor: Supervisor,
}

impl Signals {
    pub(super) fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Waits for a signal that ends the process. Meanwhile, SIGHUP asks for a reload and SIGUSR2 for
    /// an upgrade.
    pub(super) async fn end(&mut self, asked: &Asked) {
        loop {
            tokio::select! {
                biased;
                _ = self.terminate.recv() => return,
                _ = self.interrupt.recv() => return,
                _ = self.hangup.recv() => {
                    asked.supervisor.reloading();
                    asked.reload.notify_one();
                }
                _ = self.user2.recv() => asked.upgrade.notify_one(),
            }
        }
    }
}
