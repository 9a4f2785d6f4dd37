//! Reads the answers of an HTTP/1.1 cell.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use cellway_core::http1::{
    AnswerHead, Guard, Interim, Limits, MessageError, Part, RequestKind, Rest,
};
use http::Method;
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Io;
use super::messages::{BodyState, Messages, ReadError, keeps};

/// The reading side of a connection to an HTTP/1.1 cell.
#[derive(Debug)]
pub(crate) struct Answers {
    io: Io,
    messages: Messages,
    /// Whether any byte came since the last request was sent.
    heard: bool,
    /// Whether the cell keeps the connection open after the answer whose head was read last.
    keeps: bool,
}

impl Answers {
    pub(crate) fn new(io: Io, limits: Limits) -> Self {
        Self {
            io,
            messages: Messages::new(Guard::answers(limits)),
            heard: false,
            keeps: false,
        }
    }

    /// Notes that a request with this method is about to be sent.
    pub(crate) fn expect(&mut self, method: &Method) {
        self.messages
            .guard
            .expect_answer_to(match *method == Method::HEAD {
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
    pub(crate) fn is_quiet(&mut self) -> Result<(), ReadError> {
        let mut cx = Context::from_waker(Waker::noop());
        let unasked = Err(ReadError::Malformed(MessageError::Unasked));
        if !self.messages.came.is_empty() {
            return unasked;
        }
        match self.poll_read(&mut cx) {
            Poll::Pending => Ok(()),
            Poll::Ready(Ok(0)) => Err(ReadError::Closed),
            Poll::Ready(Ok(_)) => unasked,
            Poll::Ready(Err(error)) => Err(ReadError::Io(error)),
        }
    }

    /// Whether another request may follow: both messages are complete, and the cell keeps the connection
    /// open.
    pub(crate) fn is_reusable(&self) -> bool {
        self.keeps && self.messages.guard.rest() == Rest::Nothing && self.messages.came.is_empty()
    }

    /// Gives back memory that a large answer took.
    pub(crate) fn rest(&mut self) {
        self.messages.rest();
    }

    /// Reads the head of the answer. `hear` gets the interim answers before it, with their size.
    pub(crate) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
        mut hear: impl FnMut(Interim, usize),
    ) -> Poll<Result<AnswerHead, ReadError>> {
        loop {
            let Some((part, bytes)) = ready!(self.poll_part(cx))? else {
                return Poll::Ready(Err(ReadError::Closed));
            };
            // Whatever the guard passes as a head is one.
            let head = AnswerHead::read(&bytes);
            let head = head.ok_or(ReadError::Malformed(MessageError::Name))?;
            if part == Part::Head {
                self.keeps = keeps(head.version, &head.headers);
                return Poll::Ready(Ok(head));
            }
            if let Some(interim) = Interim::new(head.status, head.headers) {
                hear(interim, bytes.len());
            }
        }
    }

    fn poll_part(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<(Part, Bytes)>, ReadError>> {
        let part = self.messages.poll_part(&mut self.io, cx);
        // What came either has passed or waits for more.
        self.heard |= matches!(part, Poll::Ready(Ok(Some(_)))) || !self.messages.came.is_empty();
        part.map_err(of_answer)
    }

    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let read = ready!(self.messages.poll_read(&mut self.io, cx))?;
        self.heard |= read > 0;
        Poll::Ready(Ok(read))
    }
}

/// The same error, with the limits of answers.
fn of_answer(error: ReadError) -> ReadError {
    match error {
        ReadError::Malformed(fault) => ReadError::Malformed(fault.of_answer()),
        ReadError::Io(_) | ReadError::Closed | ReadError::Cut => error,
    }
}

/// The body of an HTTP/1.1 cell's answer. It has the reading side of the connection until it ends.
#[derive(Debug)]
pub(crate) struct AnswerBody {
    answers: Box<Answers>,
    state: BodyState,
}

impl AnswerBody {
    /// The body that follows the head that was just read.
    pub(crate) fn new(answers: Box<Answers>) -> Self {
        let state = BodyState::new(&answers.messages);
        Self { answers, state }
    }

    /// The reading side, for the connection's next exchange or for bytes of another protocol.
    pub(crate) fn into_answers(self) -> Box<Answers> {
        self.answers
    }

    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let Answers { io, messages, .. } = &mut *self.answers;
        match ready!(self.state.poll_frame(messages, io, cx)) {
            // After a failed write, the end may be that of a connection that was reset: the error is told
            // only once, to the writer.
            Some(Err(ReadError::Cut))
                if messages.guard.rest() == Rest::UntilClose && !io.has_failed() =>
            {
                self.state.ended = true;
                Poll::Ready(None)
            }
            frame => Poll::Ready(frame.map(|frame| frame.map_err(of_answer))),
        }
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.state.is_over()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.state.size_hint(&self.answers.messages)
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
        let Answers { messages, io, .. } = *body.answers;
        let came = messages.came;
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
