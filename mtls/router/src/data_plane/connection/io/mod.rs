//! The byte stream of a client's connection.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes};
use cellway_env::Unsent;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::linger::Linger;
use crate::data_plane::activity::Activity;
use crate::data_plane::incoming::ClientStream;
use crate::wire::Wire;

/// The most bytes that are read ahead: a part of the next request that was sent early.
const AHEAD_MAX: usize = 1024;

/// How a stream is left: what settles its unsent bytes, and how long a client that reads none of them
/// may take.
pub(crate) type Leave<S> = (fn(&S, Unsent), Duration);

/// A client's connection. It first hands out the bytes that were read to detect the protocol, and
/// notes when bytes move.
pub(crate) struct ClientIo<S> {
    wire: Wire<S>,
    read_ahead: Bytes,
    activity: Arc<Activity>,
    /// Whether the client has closed its sending side.
    ended: bool,
    /// Whether all was written that there was: nothing of a message is left in a buffer above this.
    is_between: bool,
    /// Set when the router has closed its sending side and discards what still comes.
    linger: Option<Box<Linger>>,
    leave: Leave<S>,
}

impl<S> ClientIo<S> {
    pub(crate) fn new(
        wire: Wire<S>,
        read_ahead: Bytes,
        activity: Arc<Activity>,
        leave: Leave<S>,
    ) -> Self {
        Self {
            wire,
            read_ahead,
            activity,
            ended: false,
            is_between: true,
            linger: None,
            leave,
        }
    }

    /// Writes the interim answers that wait, unless a message is being written. An
    /// answer calls this before its own bytes, so those of a request come before its answer.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn poll_interims(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let Self { wire, activity, .. } = self;
        let interims = activity.interims();
        if !self.is_between {
            interims.leave_out();
            return Poll::Ready(Ok(()));
        }
        let written = interims.write(|bytes| {
            let result = Pin::new(&mut *wire).poll_write(cx, bytes);
            match &result {
                Poll::Pending => activity.write_blocked(),
                Poll::Ready(count) => activity.write_moved(*count.as_ref().unwrap_or(&0)),
            }
            match result {
                Poll::Ready(Ok(0)) => Err(Poll::Ready(io::ErrorKind::WriteZero.into())),
                Poll::Ready(Ok(count)) => Ok(count),
                Poll::Ready(Err(error)) => Err(Poll::Ready(error)),
                Poll::Pending => Err(Poll::Pending),
            }
        });
        match written {
            Ok(()) => Poll::Ready(Ok(())),
            Err(stopped) => stopped.map(Err),
        }
    }

    fn poll_flush_wire(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let result = Pin::new(&mut self.wire).poll_flush(cx);
        match &result {
            Poll::Pending => self.activity.write_blocked(),
            Poll::Ready(_) => self.activity.write_moved(0),
        }
        result
    }

    /// Called before bytes of a message are written.
    fn poll_before(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        if self.activity.interims().any() {
            ready!(self.poll_interims(cx))?;
        }
        self.is_between = false;
        Poll::Ready(Ok(()))
    }

    fn wrote(&self, result: &Poll<io::Result<usize>>) {
        match result {
            Poll::Pending => self.activity.write_blocked(),
            Poll::Ready(bytes) => self.activity.write_moved(*bytes.as_ref().unwrap_or(&0)),
        }
    }
}

/// A connection that was cut is reset: otherwise the system would keep the bytes of a client that reads
/// nothing, when no limit counts the connection any more. All others end in order, and the answer that
/// was written still arrives.
impl<S> Drop for ClientIo<S> {
    fn drop(&mut self) {
        let (leave, patience) = self.leave;
        let unsent = match self.activity.breaks_off() {
            true => Unsent::Discarded,
            false => Unsent::SentWithin(patience),
        };
        leave(self.wire.stream(), unsent);
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> ClientStream for ClientIo<S> {
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        if self.ended || !self.read_ahead.is_empty() {
            return Ok(true);
        }
        let mut bytes = [0; AHEAD_MAX];
        let mut buffer = ReadBuf::new(&mut bytes);
        match Pin::new(&mut self.wire).poll_read(cx, &mut buffer) {
            Poll::Pending => {}
            // Many TLS clients close without close_notify. What is missing of a request is seen anyway.
            Poll::Ready(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => {
                self.ended = true;
            }
            Poll::Ready(read) => {
                read?;
                self.ended = buffer.filled().is_empty();
                self.read_ahead = Bytes::copy_from_slice(buffer.filled());
            }
        }
        Ok(self.ended || !self.read_ahead.is_empty())
    }

    fn send_interims(&mut self, cx: &mut Context<'_>) {
        // Looked at before, because this isn't the message's flush: some of its bytes may still be held.
        let is_between = self.is_between;
        // Whoever reads or writes notices a broken connection.
        if let Poll::Ready(Ok(())) = self.poll_interims(cx)
            && is_between
        {
            let _ = self.poll_flush_wire(cx);
        }
    }

    fn notes_read(&self) {
        self.activity.read();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for ClientIo<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.read_ahead.is_empty() {
            let n = self.read_ahead.len().min(buf.remaining());
            buf.put_slice(&self.read_ahead[..n]);
            self.read_ahead.advance(n);
            self.activity.read();
            return Poll::Ready(Ok(()));
        }
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        let before = buf.filled().len();
        let result = Pin::new(&mut self.wire).poll_read(cx, buf);
        if result.is_ready() {
            match buf.filled().len() > before {
                true => self.activity.read(),
                false => self.ended = buf.remaining() > 0,
            }
        }
        result
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for ClientIo<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_before(cx))?;
        let result = Pin::new(&mut self.wire).poll_write(cx, buf);
        self.wrote(&result);
        result
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_before(cx))?;
        let result = Pin::new(&mut self.wire).poll_write_vectored(cx, bufs);
        self.wrote(&result);
        result
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // Only what is written completely is flushed.
        self.is_between = true;
        self.poll_flush_wire(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.wire).poll_shutdown(cx))?;
        }
        if this.ended || !this.activity.is_unread() {
            return Poll::Ready(Ok(()));
        }
        let linger = this.linger.get_or_insert_with(|| Box::new(Linger::new()));
        linger.poll(&mut this.wire, cx).map(Ok)
    }
}

#[cfg(test)]
mod tests;
