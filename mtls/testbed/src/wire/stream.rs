//! The byte stream of an HTTP/2 connection, with the frames that go around hyper.

use std::convert::Infallible;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cellway_core::http2::{FrameHeader, Frames, PREFACE_LEN, Part};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Wire;

/// The most bytes of one read.
const READ_MAX: usize = 8 * 1024;

/// The byte stream of a connection beneath hyper.
pub(crate) struct WireStream<S> {
    stream: S,
    wire: Wire,
    /// Bytes of the client's preface that are still to come.
    preface_left: usize,
    incoming: Frames,
    outgoing: Frames,
    read: Box<[u8]>,
    /// What was read for hyper.
    for_hyper: Vec<u8>,
}

impl<S> WireStream<S> {
    pub(crate) fn new(stream: S, wire: Wire) -> Self {
        Self {
            stream,
            wire,
            preface_left: PREFACE_LEN,
            incoming: Frames::after(0),
            outgoing: Frames::after(0),
            read: vec![0; READ_MAX].into(),
            for_hyper: Vec::new(),
        }
    }

    /// Sorts out the frames that aren't for hyper. A frame's header waits until it is whole.
    fn sift(&mut self, read: usize) {
        let bytes = &self.read[..read];
        let (preface, bytes) = bytes.split_at(self.preface_left.min(read));
        self.preface_left -= preface.len();
        self.for_hyper.extend(preface);
        let mut state = self.wire.lock();
        let Ok(()) = self.incoming.take_parts(bytes, |part| {
            match part {
                Part::Header(header) if state.came(header) => {
                    self.for_hyper.extend(encoded(header));
                }
                // Only acknowledgments of settings aren't for hyper, and these have no payload.
                Part::Header(_) => {}
                Part::Payload(payload) => self.for_hyper.extend(payload),
            }
            Ok::<_, Infallible>(())
        });
    }
}

/// A frame's header as bytes.
fn encoded(header: FrameHeader) -> impl Iterator<Item = u8> {
    let length = header.length.to_be_bytes().into_iter().skip(1);
    let stream = header.stream.to_be_bytes();
    length.chain([header.kind, header.flags]).chain(stream)
}

impl<S: AsyncWrite + Unpin> WireStream<S> {
    /// Notes that hyper has written these bytes.
    fn wrote(&mut self, bytes: &[u8]) {
        let mut state = self.wire.lock();
        let Ok(()) = self.outgoing.take(bytes, |header| {
            state.limit.went(header);
            Ok::<_, Infallible>(())
        });
    }

    /// Writes the frames that are due, unless hyper is in the middle of one.
    fn poll_frames(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if !self.outgoing.is_between() {
            return Poll::Ready(Ok(()));
        }
        let mut state = self.wire.lock();
        while !state.frames.is_empty() {
            let written = Pin::new(&mut self.stream).poll_write(cx, &state.frames);
            let written = ready!(written)?;
            state.frames.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for WireStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        while this.for_hyper.is_empty() {
            let mut read = ReadBuf::new(&mut this.read);
            ready!(Pin::new(&mut this.stream).poll_read(cx, &mut read))?;
            let read = read.filled().len();
            if read == 0 {
                return Poll::Ready(Ok(()));
            }
            this.sift(read);
        }
        let taken = this.for_hyper.len().min(buf.remaining());
        buf.put_slice(&this.for_hyper[..taken]);
        this.for_hyper.drain(..taken);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for WireStream<S> {
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
