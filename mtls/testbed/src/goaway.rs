//! HTTP/2 connections that send `GOAWAY` and leave requests unprocessed.
//!
//! hyper's server closes a connection gracefully: it serves every request that it received. Other
//! servers, when they close a connection (after some number of requests, or at a restart), name a
//! last stream in `GOAWAY` that is lower than streams they already received: they didn't process
//! requests on higher streams (RFC 9113, section 6.8). To act like them, this module writes its own
//! frame between hyper's frames.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use cellway_core::http2::{FrameHeader, Frames, HEADERS, PREFACE_LEN};

/// The type of `GOAWAY` (RFC 9113, section 6.8), and the length of one without debug data.
const GOAWAY: u8 = 7;
const GOAWAY_LEN: u8 = 8;

/// Whether one connection goes away, shared by its requests and its byte stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Goaway(Arc<Mutex<State>>);

#[derive(Debug, Default)]
struct State {
    /// Opened streams whose requests hyper hasn't handed over yet. It hands them over in this
    /// order.
    opened: VecDeque<u32>,
    /// The highest stream that was opened.
    highest: u32,
    /// The highest stream whose request is served.
    served: u32,
    /// `GOAWAY` was made.
    sent: bool,
    /// The rest of the frames that are still to be written.
    frames: Vec<u8>,
}

impl Goaway {
    /// Counts the next request. With `goes_away` the connection goes away, and neither this request
    /// nor later ones are processed. Returns the request's stream, and whether it is left unprocessed.
    pub(super) fn next(&self, goes_away: bool) -> (u32, bool) {
        let mut state = self.lock();
        let stream = state.opened.pop_front();
        if goes_away && !state.sent {
            state.sent = true;
            let frame = goaway(state.served);
            state.frames.extend(frame);
        }
        if !state.sent {
            state.served = stream.unwrap_or(state.served);
        }
        (stream.unwrap_or_default(), state.sent)
    }

    /// Writes these whole frames before hyper's next one.
    pub(super) fn push(&self, frames: &[u8]) {
        self.lock().frames.extend(frames);
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A `GOAWAY` without an error, after this stream.
fn goaway(last: u32) -> Vec<u8> {
    let mut frame = vec![0, 0, GOAWAY_LEN, GOAWAY, 0, 0, 0, 0, 0];
    frame.extend(last.to_be_bytes());
    frame.extend([0; 4]);
    frame
}

/// The byte stream of a connection that may go away.
pub(super) struct GoawayStream<S> {
    stream: S,
    goaway: Goaway,
    incoming: Frames,
    outgoing: Frames,
}

impl<S> GoawayStream<S> {
    pub(super) fn new(stream: S, goaway: Goaway) -> Self {
        Self {
            stream,
            goaway,
            incoming: Frames::after(PREFACE_LEN),
            outgoing: Frames::after(0),
        }
    }
}

impl<S: AsyncWrite + Unpin> GoawayStream<S> {
    /// Notes that hyper has written these bytes.
    fn wrote(&mut self, bytes: &[u8]) {
        let Ok(()) = self.outgoing.take(bytes, |_| Ok::<_, Infallible>(()));
    }

    /// Writes the frames that are due, unless hyper is in the middle of one.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.is_between() {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.goaway.lock();
        while !state.frames.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &state.frames);
            let written = ready!(written)?;
            state.frames.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for GoawayStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let this = &mut *self;
        let read = Pin::new(&mut this.stream).poll_read(cx, buf);
        let mut state = this.goaway.lock();
        let opens = |FrameHeader { kind, stream, .. }| {
            // Trailers come on a stream that is known.
            if kind == HEADERS && stream > state.highest {
                state.highest = stream;
                state.opened.push_back(stream);
            }
            Ok::<_, Infallible>(())
        };
        let Ok(()) = this.incoming.take(&buf.filled()[before..], opens);
        drop(state);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for GoawayStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_frames(cx))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write(cx, bytes))?;
        self.wrote(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        ready!(self.poll_frames(cx))?;
        let written = ready!(Pin::new(&mut self.stream).poll_write_vectored(cx, pieces))?;
        let mut left = written;
        for piece in pieces {
            let (taken, _) = piece.split_at(left.min(piece.len()));
            self.wrote(taken);
            left -= taken.len();
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_frames(cx))?;
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
