//! Wraps a connection so that its reader gets only the bytes that the guard passes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use cellway_core::http1::{Found, Guard, MessageError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The side that the bytes come from: a client or a cell.
pub(crate) trait Side {
    /// A guard for its messages.
    fn guard(&self) -> Guard;
    /// Called when the reader reads on after a request that asked to switch protocols. Tells the
    /// guard whether the connection has switched.
    fn settle(&self, guard: &mut Guard) {
        guard.stays();
    }
    /// What the reader gets instead of the malformed message. `rest` starts with that message.
    fn found(&self, found: Found, guard: &Guard, rest: &[u8]) -> Instead;
}

/// What the reader gets instead of a malformed message.
pub(crate) enum Instead {
    /// These bytes, and nothing after them.
    Request(&'static [u8]),
    /// An error.
    Broken(MessageError),
}

/// A connection whose reader sees only complete and well-formed heads.
pub(crate) struct Guarded<W, S> {
    wire: W,
    side: S,
    guard: Guard,
    /// Bytes that were read but not handed out. The first `good` may be handed out; the others
    /// haven't passed the guard. At most an incomplete head and the bytes of one read.
    held: BytesMut,
    good: usize,
    end: Option<End>,
}

/// What the reader gets after all good bytes.
#[derive(Clone, Copy)]
enum End {
    Silence,
    Broken(MessageError),
}

impl<W, S: Side> Guarded<W, S> {
    pub(crate) fn new(wire: W, side: S) -> Self {
        Self {
            wire,
            guard: side.guard(),
            side,
            held: BytesMut::new(),
            good: 0,
            end: None,
        }
    }

    /// The bytes that the guard reads.
    pub(crate) fn get_mut(&mut self) -> &mut W {
        &mut self.wire
    }

    /// Takes back bytes that were handed out. They are handed out again, before all others.
    pub(crate) fn give_back(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let mut held = BytesMut::from(bytes);
        held.extend_from_slice(&self.held);
        self.held = held;
        self.good += bytes.len();
    }

    /// Hands out the good part of the held bytes. `false` if there is none.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let n = self.good.min(buf.remaining());
        if n == 0 {
            return self.good > 0;
        }
        buf.put_slice(&self.held[..n]);
        self.held.advance(n);
        self.good -= n;
        if self.held.is_empty() {
            // Few heads come in pieces, so the buffer is freed.
            self.held = BytesMut::new();
        }
        true
    }

    /// Checks the bytes that were just read, in the reader's buffer, and keeps only the good ones.
    fn look(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        if self.held.is_empty() {
            let came = &buf.filled()[before..];
            let scanned = self.guard.scan(came);
            let rest = &came[scanned.pass..];
            match scanned.found {
                Some(found) => self.ends(found, rest),
                None => self.held.extend_from_slice(rest),
            }
            buf.set_filled(before + scanned.pass);
        } else {
            self.held.extend_from_slice(&buf.filled()[before..]);
            buf.set_filled(before);
            self.look_at_held();
        }
    }

    /// Reads on after a request that asked to switch protocols. Its reader reads on only once it
    /// has been answered.
    fn resume(&mut self) {
        self.side.settle(&mut self.guard);
        self.look_at_held();
    }

    /// Checks the held bytes.
    fn look_at_held(&mut self) {
        let held = &self.held[self.good..];
        let scanned = self.guard.scan(held);
        self.good += scanned.pass;
        if let Some(found) = scanned.found {
            let rest = self.held.split_off(self.good);
            self.ends(found, &rest);
        }
    }

    /// Stops handing out bytes.
    fn ends(&mut self, found: Found, rest: &[u8]) {
        self.end = Some(match self.side.found(found, &self.guard, rest) {
            Instead::Request(bytes) => {
                self.held.extend_from_slice(bytes);
                self.good = self.held.len();
                End::Silence
            }
            Instead::Broken(fault) => End::Broken(fault),
        });
    }
}

impl<W: AsyncRead + Unpin, S: Side + Unpin> AsyncRead for Guarded<W, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.guard.asks_to_switch() {
                this.resume();
            }
            if this.hand_out(buf) {
                return Poll::Ready(Ok(()));
            }
            match this.end {
                None => {}
                // The answer closes the connection, so a further read waits forever.
                Some(End::Silence) => return Poll::Pending,
                Some(End::Broken(fault)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.wire).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            this.look(buf, before);
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<W: AsyncWrite + Unpin, S: Unpin> AsyncWrite for Guarded<W, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
