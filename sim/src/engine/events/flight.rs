//! What travels between hosts.

use std::cmp::Ordering;

use bytes::Bytes;
use tokio::time::Instant;

use super::connection::{ConnectionId, Side};

/// A segment on its way.
#[derive(Debug)]
pub(super) struct Flight {
    pub(super) due: Instant,
    /// Counts all segments of a world: what is due at one moment arrives in the order of sending.
    pub(super) number: u64,
    pub(super) connection: ConnectionId,
    /// Who gets it.
    pub(super) to: Side,
    pub(super) segment: Segment,
}

#[derive(Debug)]
pub(super) enum Segment {
    /// A client asks for a connection; how often it did so before.
    Open {
        tries: u32,
    },
    /// The server's system has accepted it.
    Opened,
    /// Nobody listens there.
    Refused,
    Data(Bytes),
    /// The sender writes no more.
    End,
    /// The sender has left, and takes nothing more.
    Reset,
}

impl PartialEq for Flight {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Flight {}

impl PartialOrd for Flight {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// The greatest is the first to arrive, as a heap wants it.
impl Ord for Flight {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.due, other.number).cmp(&(self.due, self.number))
    }
}
