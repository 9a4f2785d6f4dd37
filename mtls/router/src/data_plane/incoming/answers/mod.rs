//! Reads the answers of an HTTP/1.1 cell.
//!
//! The guard of [`cellway_core::http1`] follows the framing and checks each part of a message before the
//! router uses it. No other parser looks for the end of a message. What the fields about it say is checked
//! once more before they are passed on ([`Framing`](crate::data_plane::body::Framing)).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use cellway_core::headers::elements;
use cellway_core::http1::{
    AnswerHead, Found, Guard, Interim, Limits, MessageError, Part, RequestKind, Rest, read_fields,
};
use http::header::CONNECTION;
use http::{HeaderMap, Method, Version};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_util::io::poll_read_buf;

use super::Io;

/// The room for a read, in bytes: at first, and at most if each read fills it.
const ROOM_FIRST: usize = 8 * 1024;
const ROOM_MAX: usize = 128 * 1024;

/// Why a cell's answer over HTTP/1.1 breaks off.
#[derive(Debug)]
pub(crate) enum AnswerError {
    /// Reading or writing failed.
    Io(io::Error),
    /// The connection ended before the answer.
    Closed,
    /// The connection ended in the middle of the answer's body.
    Cut,
    /// The guard refuses what came.
    Malformed(MessageError),
}

impl fmt::Display for AnswerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Closed => f.write_str("the cell closed the connection before its answer"),
            Self::Cut => f.write_str("the cell closed the connection in the middle of its answer"),
            Self::Malformed(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for AnswerError {}

/// The reading side of a connection to an HTTP/1.1 cell.
#[derive(Debug)]
pub(crate) struct Answers {
    io: Io,
    guard: Guard,
    /// Bytes that came and have not passed.
    came: BytesMut,
    /// How many bytes the next read may bring.
    room: usize,
    /// Whether any byte came since the last request was sent.
    heard: bool,
    /// Whether the cell keeps the connection open after the answer whose head was read last.
    keeps: bool,
}

impl Answers {
    pub(crate) fn new(io: Io, limits: Limits) -> Self {
        Self {
            io,
            guard: Guard::answers(limits),
            came: BytesMut::new(),
            room: ROOM_FIRST,
            heard: false,
            keeps: false,
        }
    }

    /// Notes that a request with this method is about to be sent.
    pub(crate) fn expect(&mut self, method: &Method) {
        self.guard.expect_answer_to(match *method == Method::HEAD {
            true => RequestKind::Head,
            false => RequestKind::Other,
        });
        self.heard = false;
    }

    /// Whether any byte came from the cell since the last request was sent. Only if none came, the
    /// request may be sent again.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard
    }

    /// Checks that the connection is open and that the cell says nothing that no request asked for. Call it
    /// only between two exchanges.
    ///
    /// # Errors
    /// What is wrong.
    pub(crate) fn is_quiet(&mut self) -> Result<(), AnswerError> {
        let mut cx = Context::from_waker(Waker::noop());
        let unasked = Err(AnswerError::Malformed(MessageError::Unasked));
        if !self.came.is_empty() {
            return unasked;
        }
        match self.poll_read(&mut cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(0)) => Err(AnswerError::Closed),
            Poll::Ready(Ok(_)) => unasked,
            Poll::Ready(Err(error)) => Err(AnswerError::Io(error)),
        }
    }

    /// Whether another request may follow: both messages are complete, and the cell keeps the connection
    /// open.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keeps && self.guard.rest() == Rest::Nothing && self.came.is_empty()
    }

    /// Gives back memory that a large answer took.
    pub(crate) fn rest(&mut self) {
        if self.room > ROOM_FIRST {
            self.room = ROOM_FIRST;
            self.came = BytesMut::new();
        }
    }

    /// Reads the head of the answer. `hear` gets the interim answers before it, with their size.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        mut hear: impl FnMut(Interim, usize),
    ) -> Poll<Result<AnswerHead, AnswerError>> {
        loop {
            let Some((part, bytes)) = ready!(self.poll_part(cx))? else {
                return Poll::Ready(Err(AnswerError::Closed));
            };
            // Whatever the guard passes as a head is one.
            let head = AnswerHead::read(&bytes);
            let head = head.ok_or(AnswerError::Malformed(MessageError::Name))?;
            if part == Part::Head {
                self.keeps = keeps(&head);
                return Poll::Ready(Ok(head));
            }
            if let Some(interim) = Interim::new(head.status, head.headers) {
                hear(interim, bytes.len());
            }
        }
    }

    /// The next part that passes. `None` at the end of the connection.
    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<(Part, Bytes)>, AnswerError>> {
        loop {
            if let Some(part) = self.next()? {
                return Poll::Ready(Ok(Some(part)));
            }
            if ready!(self.poll_read(cx)).map_err(AnswerError::Io)? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The next part of what came, if it is complete.
    fn next(&mut self) -> Result<Option<(Part, Bytes)>, AnswerError> {
        match self.guard.next(&self.came) {
            Ok(Some((part, len))) => Ok(Some((part, self.came.split_to(len).freeze()))),
            Ok(None) => Ok(None),
            Err(Found::InHead(fault) | Found::InBody(fault)) => {
                Err(AnswerError::Malformed(fault.of_answer()))
            }
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        self.came.reserve(self.room);
        let room = self.came.capacity() - self.came.len();
        let read = ready!(poll_read_buf(Pin::new(&mut self.io), cx, &mut self.came))?;
        self.heard |= read > 0;
        if read == room {
            self.room = (room * 2).min(ROOM_MAX);
        }
        Poll::Ready(Ok(read))
    }
}

/// Whether the connection stays open after this answer (RFC 9112, section 9.3).
fn keeps(head: &AnswerHead) -> bool {
    let says = |option: &[u8]| {
        let mut options = elements(head.headers.get_all(CONNECTION));
        options.any(|it| it.eq_ignore_ascii_case(option))
    };
    match head.version {
        Version::HTTP_10 => says(b"keep-alive") && !says(b"close"),
        _ => !says(b"close"),
    }
}

/// The body of an HTTP/1.1 cell's answer. It has the reading side of the connection until it ends.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    answers: Box<Answers>,
    /// Trailers that came with the last bytes.
    trailers: Option<Box<HeaderMap>>,
    /// Why it breaks off after the bytes that were passed on.
    broken: Option<AnswerError>,
    /// Whether its length is known from its header.
    sized: bool,
    ended: bool,
}

impl AnswerBody {
    /// The body that follows the head that was just read.
    pub(crate) fn new(answers: Box<Answers>) -> Self {
        let rest = answers.guard.rest();
        Self {
            ended: rest == Rest::Nothing,
            sized: matches!(rest, Rest::Nothing | Rest::Length(_)),
            answers,
            trailers: None,
            broken: None,
        }
    }

    /// The reading side, for the connection's next exchange or for bytes of another protocol.
    pub(crate) fn into_answers(self) -> Box<Answers> {
        self.answers
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, AnswerError>>> {
        loop {
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
            }
            if let Some(broken) = self.broken.take() {
                return Poll::Ready(Some(Err(broken)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(self.answers.poll_part(cx))? {
                Some((Part::Data, data)) => {
                    // The bytes came before what is wrong.
                    self.broken = self.look_ahead().err();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some((part, bytes)) => self.frames(part, &bytes)?,
                // After a failed write, the end may be that of a connection that was reset: the error is told
                // only once, to the writer.
                None if self.answers.guard.rest() == Rest::UntilClose
                    && !self.answers.io.has_failed() =>
                {
                    self.ended = true;
                }
                None => return Poll::Ready(Some(Err(AnswerError::Cut))),
            }
        }
    }

    /// Reads the framing that came together with the last bytes, so that the end of the body is known
    /// as soon as it is there.
    fn look_ahead(&mut self) -> Result<(), AnswerError> {
        loop {
            match self.answers.guard.rest() {
                Rest::Nothing => self.ended = true,
                Rest::Framing => {
                    if let Some((part, bytes)) = self.answers.next()? {
                        self.frames(part, &bytes)?;
                        continue;
                    }
                }
                Rest::Length(_) | Rest::Chunk | Rest::UntilClose => {}
            }
            return Ok(());
        }
    }

    /// Takes a part of the framing.
    fn frames(&mut self, part: Part, bytes: &Bytes) -> Result<(), AnswerError> {
        if part == Part::Trailers {
            let trailers = read_fields(bytes);
            let trailers = trailers.ok_or(AnswerError::Malformed(MessageError::Name))?;
            self.trailers = (!trailers.is_empty()).then(|| Box::new(trailers));
            self.ended = true;
        }
        Ok(())
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.ended && self.trailers.is_none()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.answers.guard.rest() {
            Rest::Nothing if self.sized => SizeHint::with_exact(0),
            Rest::Length(left) => SizeHint::with_exact(left),
            Rest::Nothing | Rest::Chunk | Rest::Framing | Rest::UntilClose => SizeHint::default(),
        }
    }
}

/// The bytes of a connection that has switched to another protocol.
#[derive(Debug)]
pub(crate) struct SwitchedBytes {
    /// Those that came with the answer.
    came: BytesMut,
    io: Io,
}

impl From<AnswerBody> for SwitchedBytes {
    fn from(body: AnswerBody) -> Self {
        let Answers { came, io, .. } = *body.answers;
        Self { came, io }
    }
}

impl AsyncRead for SwitchedBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.came.is_empty() {
            return Pin::new(&mut self.io).poll_read(cx, buf);
        }
        let count = self.came.len().min(buf.remaining());
        buf.put_slice(&self.came[..count]);
        self.came.advance(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for SwitchedBytes {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests;
