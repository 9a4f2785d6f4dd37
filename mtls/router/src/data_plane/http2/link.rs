//! What is known of a connection to a cell.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicUsize, Ordering::Relaxed};

use tokio::sync::{Notify, SetOnce};

use super::peer::Limits;

/// The state of a connection to a cell. The code that reads its bytes, its task and its requests
/// share it.
#[derive(Debug)]
pub(super) struct Link {
    /// Whether bytes have come since the task last asked.
    heard: AtomicBool,
    /// Whether the first frame has come whole. It is SETTINGS (RFC 9113, section 3.4).
    arrived: AtomicBool,
    /// Set when the first frame has been read.
    greeted: SetOnce<()>,
    /// The requests that hold the connection.
    requests: AtomicUsize,
    /// How many streams the cell allows at a time.
    streams_max: AtomicU32,
    /// How large a header the cell takes.
    header_list_max: AtomicU32,
    /// Whether the cell has changed these since the task last asked.
    changed: AtomicBool,
    /// Notified when the cell may take more requests, and when the connection has ended.
    room: Arc<Notify>,
    ended: AtomicBool,
}

impl Link {
    /// The cell may have this many streams before it says how many it allows. Notifies `room` when the cell
    /// may take more requests, and when the connection has ended.
    pub(super) fn new(streams_at_first: u32, room: Arc<Notify>) -> Self {
        Self {
            heard: AtomicBool::default(),
            arrived: AtomicBool::default(),
            greeted: SetOnce::default(),
            requests: AtomicUsize::default(),
            streams_max: AtomicU32::new(streams_at_first),
            header_list_max: AtomicU32::new(u32::MAX),
            changed: AtomicBool::default(),
            room,
            ended: AtomicBool::default(),
        }
    }

    /// Notes that bytes came. `first`: the first frame is whole.
    pub(super) fn hears(&self, first: bool) {
        self.heard.store(true, Relaxed);
        if first {
            self.arrived.store(true, Relaxed);
        }
    }

    /// Notes what the cell says that it takes.
    pub(super) fn allows(&self, limits: Limits) {
        self.streams_max.store(limits.streams, Relaxed);
        self.header_list_max.store(limits.header_list, Relaxed);
        self.changed.store(true, Relaxed);
    }

    /// How many streams the cell allows at a time.
    pub(super) fn streams_max(&self) -> usize {
        self.streams_max.load(Relaxed) as usize
    }

    /// How large a header the cell takes, if it has said that.
    pub(super) fn header_list_max(&self) -> usize {
        self.header_list_max.load(Relaxed) as usize
    }

    /// Called by the task after it has read what came. Returns whether bytes came since the last
    /// call.
    pub(super) fn has_read(&self) -> bool {
        let heard = self.heard.swap(false, Relaxed);
        if heard && self.arrived.load(Relaxed) {
            // It fails if it is already set.
            let _ = self.greeted.set(());
        }
        if heard && self.changed.swap(false, Relaxed) {
            self.room.notify_one();
        }
        heard
    }

    /// Whether the first frame has been read.
    pub(super) fn is_greeted(&self) -> bool {
        self.greeted.get().is_some()
    }

    /// Waits until the first frame has been read.
    pub(super) async fn greeted(&self) {
        self.greeted.wait().await;
    }

    /// Counts a request. Returns how many there were before.
    pub(super) fn begins(&self) -> usize {
        self.requests.fetch_add(1, Relaxed)
    }

    /// Counts a request no more. Returns how many there were before.
    pub(super) fn ends(&self) -> usize {
        self.requests.fetch_sub(1, Relaxed)
    }

    pub(super) fn requests(&self) -> usize {
        self.requests.load(Relaxed)
    }

    /// Notes that the connection has ended.
    pub(super) fn closes(&self) {
        self.ended.store(true, Relaxed);
        self.room.notify_one();
    }

    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Relaxed)
    }
}
