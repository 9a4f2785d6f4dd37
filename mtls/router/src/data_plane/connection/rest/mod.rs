//! Frees the memory of an HTTP/1.1 connection that is idle.
//!
//! Between two requests, hyper keeps two buffers of 8 KiB, and room for the next request's future. A
//! connection that has been idle for some time gives all of that back: it is taken apart, and only its
//! bytes are kept. When more bytes come, it is made again. So an idle connection takes about 10 KiB
//! instead of 30 KiB, most of it for TLS.

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

use super::attend::Attended;
use super::watch::{Broken, Serving};
use crate::data_plane::activity::Activity;
use crate::data_plane::http1::{Guarded, Requests};

/// The bytes of a connection.
pub(super) type Io<S> = Guarded<Attended<S>, Requests>;

/// A connection that can be taken apart between two requests.
pub(super) trait Apart<W>: Future<Output = hyper::Result<()>> + Unpin {
    /// Tells it to close when its requests in flight are done.
    fn finish(self: Pin<&mut Self>);

    /// Its bytes, and what it has read of them and not used. `None` if it has given its bytes away.
    fn apart(self) -> Option<(W, Bytes)>;
}

impl<W, V, B> Apart<W> for http1::UpgradeableConnection<TokioIo<W>, V>
where
    W: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    V: HttpService<Incoming, ResBody = B> + Unpin,
    V::Error: Into<Box<dyn Error + Send + Sync>>,
    B: Body + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn finish(self: Pin<&mut Self>) {
        self.graceful_shutdown();
    }

    fn apart(self) -> Option<(W, Bytes)> {
        let http1::Parts { io, read_buf, .. } = self.into_parts()?;
        Some((io.into_inner(), read_buf))
    }
}

/// Runs a connection that rests while it is idle.
pub(super) struct Resting<C, M, S> {
    state: State<C, S>,
    /// Makes the connection.
    make: M,
    activity: Arc<Activity>,
}

enum State<C, S> {
    Serves(Pin<Box<C>>),
    Rests(Box<Io<S>>),
    /// It has ended, or given its bytes away.
    Gone,
}

impl<C, M, S> Resting<C, M, S>
where
    M: Fn(Io<S>) -> C,
{
    /// Serves `wire`.
    pub(super) fn new(wire: Io<S>, activity: Arc<Activity>, make: M) -> Self {
        Self {
            state: State::Serves(Box::pin(make(wire))),
            make,
            activity,
        }
    }

    /// Makes the connection again if it rests.
    fn wake(&mut self) -> Option<Pin<&mut C>> {
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Rests(wire) => State::Serves(Box::pin((self.make)(*wire))),
            state @ (State::Serves(_) | State::Gone) => state,
        };
        match &mut self.state {
            State::Serves(serving) => Some(serving.as_mut()),
            State::Rests(_) | State::Gone => None,
        }
    }
}

impl<C, M, S> Future for Resting<C, M, S>
where
    C: Apart<Io<S>>,
    M: Fn(Io<S>) -> C + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let this = &mut *self;
        if let State::Rests(wire) = &mut this.state {
            match wire.get_mut().poll_ahead(cx) {
                Ok(false) => return Poll::Pending,
                Ok(true) => {}
                // The caller drops this connection.
                Err(_) => {
                    this.activity.resets();
                    return Poll::Pending;
                }
            }
        }
        match this.wake() {
            Some(serving) => serving.poll(cx).map_err(|_| Broken),
            None => Poll::Ready(Ok(())),
        }
    }
}

impl<C, M, S> Serving for Resting<C, M, S>
where
    C: Apart<Io<S>>,
    M: Fn(Io<S>) -> C + Unpin,
    S: AsyncRead + AsyncWrite + Unpin,
{
    fn finish(mut self: Pin<&mut Self>) {
        if let Some(serving) = self.wake() {
            serving.finish();
        }
    }

    fn rest(mut self: Pin<&mut Self>) {
        if !self.activity.may_rest() {
            return;
        }
        self.state = match std::mem::replace(&mut self.state, State::Gone) {
            State::Serves(serving) => match Pin::into_inner(serving).apart() {
                Some((mut wire, unused)) => {
                    wire.give_back(&unused);
                    State::Rests(Box::new(wire))
                }
                None => State::Gone,
            },
            state @ (State::Rests(_) | State::Gone) => state,
        };
    }
}

#[cfg(test)]
mod tests;
