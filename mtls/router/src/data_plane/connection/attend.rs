//! Watches the client of an HTTP/1.1 connection while it waits for its answer.
//!
//! A client may close its sending side and continue to read (RFC 9112, section 9.6). hyper still
//! sends the answer to this client, but doesn't read the connection while the cell works on the
//! request. So this module reads ahead meanwhile. An orderly close is kept for later. A reset shows
//! that the client is gone. It ends the request, so that the request doesn't keep its place at the
//! cell.
//!
//! Interim answers (RFC 9110, section 15.2) are written here while the request's final answer is awaited.
//!
//! If a request switches the connection to another protocol, its tunnel runs here after hyper.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::io::ClientIo;
use super::watch::{Broken, Serving};
use crate::data_plane::activity::Activity;
use crate::data_plane::switch::{Switch, Tunnel};
use crate::lock::lock_uncontended;

/// A client's bytes, as hyper reads and writes them.
pub(super) struct Attended<S>(Arc<Mutex<ClientIo<S>>>);

impl<S> Attended<S> {
    pub(super) fn new(io: Arc<Mutex<ClientIo<S>>>) -> Self {
        Self(io)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Attended<S> {
    /// Reads ahead while hyper doesn't read. Returns whether there is something to read.
    ///
    /// # Errors
    /// The connection is broken.
    pub(super) fn poll_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<bool> {
        lock_uncontended(&self.0).poll_ahead(cx)
    }
}

/// Runs a connection over [`Attended`] bytes.
pub(super) struct Attending<C, S> {
    serving: Pin<Box<C>>,
    io: Arc<Mutex<ClientIo<S>>>,
    activity: Arc<Activity>,
    switch: Arc<Switch>,
    phase: Phase,
}

/// What runs the connection.
enum Phase {
    /// hyper.
    Http,
    /// Nobody: hyper has ended and left the connection open.
    Closing,
    Tunnel(Tunnel),
}

impl<C, S> Attending<C, S> {
    /// Makes the connection to run over `io`.
    pub(super) fn new(
        io: ClientIo<S>,
        activity: Arc<Activity>,
        switch: Arc<Switch>,
        serve: impl FnOnce(Attended<S>) -> C,
    ) -> Self {
        let io = Arc::new(Mutex::new(io));
        Self {
            serving: Box::pin(serve(Attended::new(io.clone()))),
            io,
            activity,
            switch,
            phase: Phase::Http,
        }
    }
}

impl<C: Serving, S: AsyncRead + AsyncWrite + Unpin> Attending<C, S> {
    /// What runs the connection after hyper. hyper leaves the connection open if a request asked to
    /// switch protocols, also if the answer didn't.
    fn after_http(&self) -> Option<Phase> {
        match self.switch.take() {
            Some(tunnel) => Some(Phase::Tunnel(tunnel)),
            None => self.switch.was_asked().then_some(Phase::Closing),
        }
    }
}

impl<C: Serving, S: AsyncRead + AsyncWrite + Unpin> Future for Attending<C, S> {
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        if let Phase::Http = self.phase
            && let Poll::Ready(result) = self.serving.as_mut().poll(cx)
        {
            match self.after_http() {
                Some(next) if result.is_ok() => self.phase = next,
                Some(_) | None => return Poll::Ready(result),
            }
        }
        match &mut self.phase {
            Phase::Http => {}
            Phase::Tunnel(tunnel) => {
                ready!(tunnel.as_mut().poll(cx));
                return Poll::Ready(Ok(()));
            }
            Phase::Closing => {
                let closed = Pin::new(&mut *lock_uncontended(&self.io)).poll_shutdown(cx);
                // A failure means that the client is gone already.
                return closed.map(|_| Ok(()));
            }
        }
        if self.activity.interims().any() {
            lock_uncontended(&self.io).send_interims(cx);
        }
        if self.activity.only_awaits_answer() && lock_uncontended(&self.io).poll_ahead(cx).is_err()
        {
            // The caller drops this connection.
            self.activity.resets();
        }
        Poll::Pending
    }
}

impl<C: Serving, S: AsyncRead + AsyncWrite + Unpin> Serving for Attending<C, S> {
    fn finish(mut self: Pin<&mut Self>) {
        self.serving.as_mut().finish();
    }

    fn rest(mut self: Pin<&mut Self>) {
        self.serving.as_mut().rest();
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncRead for Attended<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock_uncontended(&self.0)).poll_read(cx, buf)
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Attended<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock_uncontended(&self.0)).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut *lock_uncontended(&self.0)).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        lock_uncontended(&self.0).is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock_uncontended(&self.0)).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut *lock_uncontended(&self.0)).poll_shutdown(cx)
    }
}
