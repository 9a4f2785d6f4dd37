//! One direction of a tunnel.
//!
//! Bytes are read only while all earlier ones are written, so that a slow reader slows the sender
//! down. Nothing is allocated while nothing is held back, because most tunnels are quiet.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cellway_core::websocket::Frames;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use crate::data_plane::http2::is_without_error;

/// Bytes per read, and the most that are held back.
const CHUNK: usize = 16 * 1024;

/// How many reads are done before other tasks get their turn.
const CHUNKS_AT_ONCE: usize = 8;

/// Which end broke.
#[derive(Debug)]
pub(super) enum Broken {
    /// The end that is read.
    From(io::Error),
    /// The end that is written.
    To(io::Error),
}

/// One direction.
pub(super) struct Flow {
    /// Bytes that were read and not written yet. The first `written` have been written.
    held: Vec<u8>,
    written: usize,
    unflushed: bool,
    /// Set if the bytes are WebSocket.
    frames: Option<Frames>,
    phase: Phase,
    /// When bytes last moved.
    moved: Instant,
    /// How many bytes were passed on.
    bytes: u64,
}

enum Phase {
    Open,
    /// This Close frame follows at the end of the present frame.
    Closing(Vec<u8>),
    /// Nothing more is passed on. What comes until the sender's Close frame is discarded.
    Discarding,
    /// Nothing more comes. The other end has to be told.
    Ended,
    Done,
}

impl Flow {
    pub(super) fn new(websocket: bool) -> Self {
        Self {
            held: Vec::new(),
            written: 0,
            unflushed: false,
            frames: websocket.then(Frames::default),
            phase: Phase::Open,
            moved: Instant::now(),
            bytes: 0,
        }
    }

    /// When bytes last moved.
    pub(super) fn moved(&self) -> Instant {
        self.moved
    }

    /// Whether bytes wait for the end that is written.
    pub(super) fn is_blocked(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether the bytes are WebSocket.
    pub(super) fn is_websocket(&self) -> bool {
        self.frames.is_some()
    }

    /// Whether nothing more passes, and the end that is written knows it.
    pub(super) fn is_done(&self) -> bool {
        matches!(self.phase, Phase::Done)
    }

    /// Whether a Close frame was passed on, or the bytes have no such message.
    pub(super) fn has_closed(&self) -> bool {
        self.frames.as_ref().is_none_or(Frames::has_closed)
    }

    /// Whether a whole Close frame was passed on.
    fn has_said_close(&self) -> bool {
        self.frames
            .as_ref()
            .is_some_and(|frames| frames.has_closed() && frames.is_between())
    }

    /// How many bytes were passed on.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// Ends this direction with this Close frame, as soon as the present frame has ended. `false` if
    /// the bytes aren't WebSocket, and can't be ended in order.
    pub(super) fn close(&mut self, frame: Vec<u8>) -> bool {
        let Some(frames) = &self.frames else {
            return false;
        };
        if let Phase::Open = self.phase {
            self.phase = match frames.has_closed() {
                // The sender has said it already, and its Close frame passes whole.
                true => Phase::Open,
                false => Phase::Closing(frame),
            };
        }
        true
    }

    /// Passes bytes on. Ready when nothing more comes and the other end knows.
    pub(super) fn poll<R, W>(
        &mut self,
        cx: &mut Context<'_>,
        mut from: Pin<&mut R>,
        mut to: Pin<&mut W>,
    ) -> Poll<Result<(), Broken>>
    where
        R: AsyncRead,
        W: AsyncWrite,
    {
        for _ in 0..CHUNKS_AT_ONCE {
            ready!(self.poll_held(cx, to.as_mut())).map_err(Broken::To)?;
            self.add_close_frame();
            if self.is_blocked() {
                continue;
            }
            match self.phase {
                Phase::Done => return Poll::Ready(Ok(())),
                Phase::Ended => {
                    ready!(to.as_mut().poll_shutdown(cx)).map_err(Broken::To)?;
                    self.phase = Phase::Done;
                }
                Phase::Open | Phase::Closing(_) | Phase::Discarding => {
                    let polled = self.poll_read(cx, from.as_mut(), to.as_mut());
                    if polled?.is_pending() {
                        return self.poll_flush(cx, to).map_err(Broken::To);
                    }
                }
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Writes what is held back.
    fn poll_held<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        mut to: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        while self.written < self.held.len() {
            let n = ready!(to.as_mut().poll_write(cx, &self.held[self.written..]))?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.wrote(n);
            self.written += n;
        }
        if self.written > 0 {
            (self.held, self.written) = (Vec::new(), 0);
        }
        Poll::Ready(Ok(()))
    }

    fn wrote(&mut self, bytes: usize) {
        self.unflushed = true;
        self.moved = Instant::now();
        self.bytes += bytes as u64;
    }

    /// Flushes while nothing comes. Always pending.
    fn poll_flush<W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        to: Pin<&mut W>,
    ) -> Poll<io::Result<()>> {
        if self.unflushed && to.poll_flush(cx)?.is_ready() {
            self.unflushed = false;
        }
        Poll::Pending
    }

    /// Puts the Close frame behind the frames that were passed on, if it is time.
    fn add_close_frame(&mut self) {
        let between = self.frames.as_ref().is_some_and(Frames::is_between);
        if let (Phase::Closing(frame), true) = (&mut self.phase, between) {
            self.held = std::mem::take(frame);
            self.phase = Phase::Discarding;
        }
    }

    /// Reads once, and writes what may pass at once. Holds back the rest.
    fn poll_read<R: AsyncRead, W: AsyncWrite>(
        &mut self,
        cx: &mut Context<'_>,
        from: Pin<&mut R>,
        to: Pin<&mut W>,
    ) -> Result<Poll<()>, Broken> {
        let mut chunk = [MaybeUninit::uninit(); CHUNK];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        match from.poll_read(cx, &mut chunk) {
            Poll::Pending => return Ok(Poll::Pending),
            // It is over in any case.
            Poll::Ready(Err(_)) if matches!(self.phase, Phase::Discarding) => {
                self.phase = Phase::Ended;
                return Ok(Poll::Ready(()));
            }
            // A server's reset after its Close frame and its end.
            Poll::Ready(Err(error)) if self.has_said_close() && is_without_error(&error) => {
                self.phase = Phase::Ended;
                return Ok(Poll::Ready(()));
            }
            Poll::Ready(Err(error)) => return Err(Broken::From(error)),
            Poll::Ready(Ok(())) => {}
        }
        if chunk.filled().is_empty() {
            self.phase = Phase::Ended;
            return Ok(Poll::Ready(()));
        }
        self.moved = Instant::now();
        let pass = self.came(chunk.filled());
        let pass = &chunk.filled()[..pass];
        if pass.is_empty() {
            return Ok(Poll::Ready(()));
        }
        let written = match to.poll_write(cx, pass) {
            Poll::Pending => 0,
            Poll::Ready(Ok(0)) => return Err(Broken::To(io::ErrorKind::WriteZero.into())),
            Poll::Ready(Ok(n)) => n,
            Poll::Ready(Err(error)) => return Err(Broken::To(error)),
        };
        if written > 0 {
            self.wrote(written);
        }
        self.held.extend_from_slice(&pass[written..]);
        Ok(Poll::Ready(()))
    }

    /// Follows bytes that came. Returns how many of them are passed on.
    fn came(&mut self, bytes: &[u8]) -> usize {
        let Some(frames) = &mut self.frames else {
            return bytes.len();
        };
        match self.phase {
            Phase::Open => {
                frames.take(bytes);
                bytes.len()
            }
            Phase::Closing(_) => {
                let pass = frames.take_frame(bytes);
                if frames.has_closed() {
                    // The sender's own Close frame, which passes whole.
                    self.phase = Phase::Open;
                }
                pass
            }
            Phase::Discarding => {
                frames.take(bytes);
                if frames.has_closed() && frames.is_between() {
                    self.phase = Phase::Ended;
                }
                0
            }
            Phase::Ended | Phase::Done => 0,
        }
    }
}

#[cfg(test)]
mod tests;
