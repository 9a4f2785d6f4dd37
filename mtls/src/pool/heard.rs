//! Whether a cell has said anything on an HTTP/1.1 connection since a request was sent.
//!
//! hyper's error is the same whether a connection ends before the first byte of an answer or in
//! the middle of its header. Only in the first case may the request be sent again.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Set by the connection, cleared by the request that is about to be sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Heard(Arc<AtomicBool>);

impl Heard {
    pub(crate) fn clear(&self) {
        self.0.store(false, Ordering::Relaxed);
    }

    pub(crate) fn anything(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

/// Hears what comes on a connection before its parser does.
pub(super) trait Listen: Unpin {
    /// These bytes came.
    ///
    /// # Errors
    /// They must not be parsed: the connection ends with this error.
    fn came(&mut self, bytes: &[u8]) -> io::Result<()>;
}

impl Listen for Heard {
    fn came(&mut self, _: &[u8]) -> io::Result<()> {
        self.0.store(true, Ordering::Relaxed);
        Ok(())
    }
}

/// A byte stream that somebody listens to.
pub(super) struct Listening<S, L> {
    stream: S,
    listener: L,
}

impl<S, L> Listening<S, L> {
    pub(super) fn new(stream: S, listener: L) -> Self {
        Self { stream, listener }
    }
}

impl<S: AsyncRead + Unpin, L: Listen> AsyncRead for Listening<S, L> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buf);
        match &buf.filled()[before..] {
            [] => read,
            came => match self.listener.came(came) {
                Ok(()) => read,
                Err(error) => Poll::Ready(Err(error)),
            },
        }
    }
}

impl<S: AsyncWrite + Unpin, L: Unpin> AsyncWrite for Listening<S, L> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
