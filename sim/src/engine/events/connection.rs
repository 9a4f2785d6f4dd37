//! The two ends of a TCP connection.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use tokio::io::ReadBuf;
use tokio::time::Instant;

/// How many bytes one direction holds, on the way and unread together: about what a system's socket
/// buffers hold.
const BYTES_MAX: usize = 256 * 1024;

/// Counts all connections of a world.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(super) struct ConnectionId(pub(super) u64);

/// Which end of a connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Side {
    Client,
    Server,
}

impl Side {
    pub(super) fn other(self) -> Self {
        match self {
            Self::Client => Self::Server,
            Self::Server => Self::Client,
        }
    }
}

/// Whether a connection was made.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Opening {
    Asked,
    Done,
    Refused,
}

/// A connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) opening: Opening,
    client: End,
    server: End,
}

/// One end of a connection: what it has received, and what it has done.
#[derive(Debug)]
pub(super) struct End {
    pub(super) address: SocketAddr,
    arrived: VecDeque<Bytes>,
    arrived_bytes: usize,
    /// On the way to this end.
    coming_bytes: usize,
    /// Everything that was sent to this end arrives after what was sent before.
    pub(super) latest_due: Instant,
    /// Nothing more comes, and the peer has said so.
    ended: bool,
    /// The peer has left.
    reset: bool,
    /// This end writes no more.
    pub(super) shut: bool,
    /// This end's socket is dropped.
    pub(super) left: bool,
    reader: Option<Waker>,
    writer: Option<Waker>,
}

impl End {
    fn new(address: SocketAddr, now: Instant) -> Self {
        Self {
            address,
            arrived: VecDeque::new(),
            arrived_bytes: 0,
            coming_bytes: 0,
            latest_due: now,
            ended: false,
            reset: false,
            shut: false,
            left: false,
            reader: None,
            writer: None,
        }
    }

    /// Whether bytes wait that nobody has read.
    pub(super) fn has_unread(&self) -> bool {
        self.arrived_bytes > 0
    }

    pub(super) fn is_reset(&self) -> bool {
        self.reset
    }

    fn is_full(&self) -> bool {
        !self.left && self.arrived_bytes + self.coming_bytes >= BYTES_MAX
    }

    pub(super) fn wait_to_read(&mut self, cx: &Context<'_>) {
        self.reader = Some(cx.waker().clone());
    }

    pub(super) fn wake(&mut self) {
        let wakers = [self.reader.take(), self.writer.take()];
        wakers.into_iter().flatten().for_each(Waker::wake);
    }
}

impl Connection {
    pub(super) fn new(client: SocketAddr, server: SocketAddr, now: Instant) -> Self {
        Self {
            opening: Opening::Asked,
            client: End::new(client, now),
            server: End::new(server, now),
        }
    }

    pub(super) fn end(&self, side: Side) -> &End {
        match side {
            Side::Client => &self.client,
            Side::Server => &self.server,
        }
    }

    pub(super) fn end_mut(&mut self, side: Side) -> &mut End {
        match side {
            Side::Client => &mut self.client,
            Side::Server => &mut self.server,
        }
    }

    /// Whether both ends have left.
    pub(super) fn is_over(&self) -> bool {
        self.client.left && self.server.left
    }

    /// Reads what has arrived, at most `limit` bytes of it. What was written in parts may come in one, as
    /// with TCP.
    pub(super) fn poll_read(
        &mut self,
        side: Side,
        limit: usize,
        cx: &Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let end = self.end_mut(side);
        let mut room = buf.remaining().min(limit);
        let before = end.arrived_bytes;
        while room > 0
            && let Some(first) = end.arrived.front_mut()
        {
            let taken = first.len().min(room);
            buf.put_slice(&first[..taken]);
            first.advance(taken);
            room -= taken;
            end.arrived_bytes -= taken;
            if first.is_empty() {
                end.arrived.pop_front();
            }
        }
        if end.arrived_bytes < before {
            if let Some(writer) = self.end_mut(side.other()).writer.take() {
                writer.wake();
            }
            return Poll::Ready(Ok(()));
        }
        // As on Linux, what had arrived before a reset can be read.
        if end.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if end.ended || buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        end.wait_to_read(cx);
        Poll::Pending
    }

    /// Ready when `side` may send `len` bytes, which it must do then.
    pub(super) fn poll_write(
        &mut self,
        side: Side,
        len: usize,
        cx: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let end = self.end(side);
        if end.reset {
            return Poll::Ready(Err(io::ErrorKind::ConnectionReset.into()));
        }
        if end.shut {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if self.end(side.other()).is_full() {
            self.end_mut(side).writer = Some(cx.waker().clone());
            return Poll::Pending;
        }
        self.end_mut(side.other()).coming_bytes += len;
        Poll::Ready(Ok(()))
    }

    /// Bytes arrive. False if nobody is there to take them.
    pub(super) fn arrive(&mut self, to: Side, bytes: Bytes) -> bool {
        let end = self.end_mut(to);
        end.coming_bytes = end.coming_bytes.saturating_sub(bytes.len());
        if end.left {
            return false;
        }
        if !end.reset {
            end.arrived_bytes += bytes.len();
            end.arrived.push_back(bytes);
            if let Some(reader) = end.reader.take() {
                reader.wake();
            }
        }
        true
    }

    pub(super) fn end_arrives(&mut self, to: Side) {
        let end = self.end_mut(to);
        end.ended = true;
        end.wake();
    }

    pub(super) fn reset_arrives(&mut self, to: Side) {
        let end = self.end_mut(to);
        end.reset = true;
        end.wake();
    }

    /// This end's socket is dropped: it reads nothing more.
    pub(super) fn leave(&mut self, side: Side) {
        let end = self.end_mut(side);
        end.left = true;
        end.shut = true;
        end.arrived.clear();
        end.arrived_bytes = 0;
        end.reader = None;
        end.writer = None;
        // There is room for whatever the peer still writes, because nobody keeps it.
        if let Some(writer) = self.end_mut(side.other()).writer.take() {
            writer.wake();
        }
    }
}
