//! Delays writes so that several are sent at once.
//!
//! h2 flushes after each DATA frame of 256 bytes or more, so each answer that is ready on a
//! connection would cost its own TLS record and system call. A corked stream only holds bytes when
//! it is flushed. After the connection was polled, it writes everything that it holds at once.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::watch::{Broken, Serving};
use crate::lock::lock_uncontended;

/// The most bytes that are held: as many as fit into one TLS record.
const HELD_MAX: usize = 16 * 1024;

/// A stream whose writes are held until the end of a poll of [`Uncorking`].
pub(super) struct Corked<W>(Arc<Mutex<Cork<W>>>);

struct Cork<W> {
    wire: W,
    held: BytesMut,
    /// Whether bytes were written or are held that may not be sent yet.
    pending: bool,
    /// Why held bytes could not be written. The next read or write returns this error.
    failed: Option<io::Error>,
}

/// Runs a connection over a [`Corked`] stream.
pub(super) struct Uncorking<C, W> {
    serving: Pin<Box<C>>,
    cork: Arc<Mutex<Cork<W>>>,
    /// How the connection ended, while its last bytes are being sent.
    ended: Option<Result<(), Broken>>,
}

impl<C, W> Uncorking<C, W> {
    /// Corks `wire`, and creates the connection to run over it.
    pub(super) fn new(wire: W, serve: impl FnOnce(Corked<W>) -> C) -> Self {
        let cork = Arc::new(Mutex::new(Cork::new(wire)));
        Self {
            serving: Box::pin(serve(Corked(cork.clone()))),
            cork,
            ended: None,
        }
    }
}

impl<C: Serving, W: AsyncWrite + Unpin> Future for Uncorking<C, W> {
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if self.ended.is_none()
            && let Poll::Ready(result) = self.serving.as_mut().poll(cx)
        {
            self.ended = Some(result);
        }
        let written = lock_uncontended(&self.cork).write_out(cx);
        match (written, self.ended.take()) {
            (Poll::Pending, ended) => {
                self.ended = ended;
                Poll::Pending
            }
            (Poll::Ready(_), Some(result)) => Poll::Ready(result),
            (Poll::Ready(Ok(())), None) => Poll::Pending,
            (Poll::Ready(Err(error)), None) => {
                lock_uncontended(&self.cork).failed = Some(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
        }
    }
}

impl<C: Serving, W: AsyncWrite + Unpin> Serving for Uncorking<C, W> {
    fn finish(mut self: Pin<&mut Self>) {
        self.serving.as_mut().finish();
    }

    fn rest(self: Pin<&mut Self>) {
        let mut cork = lock_uncontended(&self.cork);
        if cork.held.is_empty() {
            cork.held = BytesMut::new();
        }
    }
}

impl<W> Cork<W> {
    fn new(wire: W) -> Self {
        Self {
            wire,
            held: BytesMut::new(),
            pending: false,
            failed: None,
        }
    }

    fn failure(&mut self) -> io::Result<()> {
        self.failed.take().map_or(Ok(()), Err)
    }
}

impl<W: AsyncWrite + Unpin> Cork<W> {
    /// Writes and flushes the held bytes.
    fn write_out(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.pending {
            return Poll::Ready(Ok(()));
        }
        while !self.held.is_empty() {
            let written = ready!(Pin::new(&mut self.wire).poll_write(cx, &self.held))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.held.advance(written);
        }
        ready!(Pin::new(&mut self.wire).poll_flush(cx))?;
        self.pending = false;
        Poll::Ready(Ok(()))
    }
}

impl<W: AsyncRead + Unpin> AsyncRead for Corked<W> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut cork = lock_uncontended(&self.0);
        if let Some(error) = cork.failed.take() {
            return Poll::Ready(Err(error));
        }
        Pin::new(&mut cork.wire).poll_read(cx, buf)
    }
}

impl<W: AsyncWrite + Unpin> AsyncWrite for Corked<W> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(buf)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let mut cork = lock_uncontended(&self.0);
        cork.failure()?;
        let len = bufs.iter().map(|buf| buf.len()).sum::<usize>();
        if cork.held.len() + len > HELD_MAX {
            ready!(cork.write_out(cx))?;
        }
        cork.pending = true;
        if len > HELD_MAX {
            return Pin::new(&mut cork.wire).poll_write_vectored(cx, bufs);
        }
        for buf in bufs {
            cork.held.extend_from_slice(buf);
        }
        Poll::Ready(Ok(len))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(lock_uncontended(&self.0).failure())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let mut cork = lock_uncontended(&self.0);
        cork.failure()?;
        ready!(cork.write_out(cx))?;
        Pin::new(&mut cork.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
