//! The bytes under an HTTP/1.1 connection to a cell.

use std::fmt;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::lock::lock_uncontended;

/// Any stream of bytes. The pools have one type of connection for all.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// A connection's bytes. One clone reads them and one writes: an answer may begin before its request's
/// body has ended.
#[derive(Clone)]
pub(crate) struct Io(Arc<Shared>);

struct Shared {
    stream: Mutex<Box<dyn Stream>>,
    /// Whether writing has failed.
    failed: AtomicBool,
}

impl Io {
    pub(crate) fn new(stream: impl Stream + 'static) -> Self {
        Self(Arc::new(Shared {
            stream: Mutex::new(Box::new(stream)),
            failed: AtomicBool::new(false),
        }))
    }

    /// Whether writing has failed.
    pub(super) fn has_failed(&self) -> bool {
        self.0.failed.load(Relaxed)
    }

    fn with<R>(&self, poll: impl FnOnce(Pin<&mut dyn Stream>) -> R) -> R {
        let mut stream = lock_uncontended(&self.0.stream);
        poll(Pin::new(&mut **stream))
    }

    fn writes<R>(
        &self,
        poll: impl FnOnce(Pin<&mut dyn Stream>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        let polled = self.with(poll);
        if matches!(polled, Poll::Ready(Err(_))) {
            self.0.failed.store(true, Relaxed);
        }
        polled
    }
}

impl fmt::Debug for Io {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Io")
    }
}

/// Ends the connection in order, as far as that needs no wait: over TLS with `close_notify`.
impl Drop for Shared {
    fn drop(&mut self) {
        let mut stream = lock_uncontended(&self.stream);
        let mut cx = Context::from_waker(Waker::noop());
        let _ = Pin::new(&mut **stream).poll_shutdown(&mut cx);
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.writes(|stream| stream.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.writes(|stream| stream.poll_write_vectored(cx, pieces))
    }

    fn is_write_vectored(&self) -> bool {
        self.with(|stream| stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writes(|stream| stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with(|stream| stream.poll_shutdown(cx))
    }
}
