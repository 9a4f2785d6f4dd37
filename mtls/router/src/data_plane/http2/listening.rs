//! Inspects the bytes of a connection before its parser reads them.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Inspects the bytes of a connection before its parser reads them.
pub(crate) trait Listen: Unpin {
    /// Inspects incoming bytes.
    ///
    /// # Errors
    /// The bytes must not be parsed. The connection ends with this error.
    fn came(&mut self, bytes: &[u8]) -> io::Result<()>;
}

/// A byte stream whose incoming bytes are inspected.
pub(crate) struct Listening<S, L> {
    stream: S,
    listener: L,
}

impl<S, L> Listening<S, L> {
    pub(crate) fn new(stream: S, listener: L) -> Self {
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
