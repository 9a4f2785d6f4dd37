//! Whether a host reads what comes on its connections.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Whether a host reads, for all of its connections. At first it does.
#[derive(Clone, Debug, Default)]
pub(super) struct Ears(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    deaf: bool,
    /// Who waits until the host reads again, in order.
    waiting: Vec<Waker>,
}

impl Ears {
    pub(super) fn set(&self, hears: bool) {
        let mut state = self.lock();
        state.deaf = !hears;
        if hears {
            state.waiting.drain(..).for_each(Waker::wake);
        }
    }

    /// Ready if the host reads now.
    fn poll_hears(&self, cx: &mut Context<'_>) -> Poll<()> {
        let mut state = self.lock();
        if !state.deaf {
            return Poll::Ready(());
        }
        if !state.waiting.iter().any(|it| it.will_wake(cx.waker())) {
            state.waiting.push(cx.waker().clone());
        }
        Poll::Pending
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A connection from which nothing comes while its host doesn't read.
pub(super) struct Hearing<S> {
    stream: S,
    ears: Ears,
}

impl<S> Hearing<S> {
    pub(super) fn new(stream: S, ears: Ears) -> Self {
        Self { stream, ears }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Hearing<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.ears.poll_hears(cx) {
            Poll::Ready(()) => Pin::new(&mut self.stream).poll_read(cx, buf),
            Poll::Pending => Poll::Pending,
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Hearing<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
