//! A connection to an HTTP/1.1 cell.

use std::any::Any;
use std::fmt;
use std::task::{Context, Poll};

use bytes::BytesMut;
use cellway_core::http1::{AnswerHead, Interim, Limits, MessageError};
use http::Request;
use http::request::Parts;
use tokio::time::Instant;

use super::outgoing::{Outgoing, SendError};
use super::upload::{Rest, Upload, upload};
use crate::data_plane::body::RequestBody;
use crate::data_plane::incoming::{AnswerBody, Answers, HttpError, Io, ReadError, Stream};
use crate::data_plane::outlasting::Outlasting;
use crate::settings::AnswerLimits;

/// A connection, lent to one request at a time. The request's own task writes and reads it.
pub(crate) struct Http1Connection {
    io: Io,
    /// The reading side. `None` while the body of an answer has it.
    answers: Option<Box<Answers>>,
    /// The head of the request, until its answer is accepted. It is needed if the request is sent again.
    head: Option<Parts>,
    /// The part of the request that is still to be sent before the head of the answer comes.
    upload: Option<Upload>,
    /// Set if the upload outlasts the head of its answer.
    outlasting: Option<Outlasting>,
    /// Whether the answer began before the cell had got all of the request. A cell that doesn't read the
    /// rest would take it for the next request.
    early: bool,
    /// Why the last write failed.
    broken: Option<ReadError>,
    /// Memory for the next request's header.
    memory: BytesMut,
    /// When the connection should be replaced.
    until: Instant,
    /// Held as long as the connection.
    _held: Box<dyn Any + Send + Sync>,
}

impl fmt::Debug for Http1Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Http1Connection")
            .field("answers", &self.answers)
            .field("until", &self.until)
            .finish_non_exhaustive()
    }
}

impl Http1Connection {
    /// A connection over this stream. It holds `held` until it is dropped.
    pub(crate) fn new(
        stream: impl Stream + 'static,
        limits: AnswerLimits,
        until: Instant,
        held: impl Any + Send + Sync,
    ) -> Self {
        let limits = Limits {
            bytes: limits.header_bytes_max as usize,
            fields: limits.header_fields_max as usize,
        };
        let io = Io::new(stream);
        Self {
            answers: Some(Box::new(Answers::new(io.clone(), limits))),
            io,
            head: None,
            upload: None,
            outlasting: None,
            early: false,
            broken: None,
            memory: BytesMut::new(),
            until,
            _held: Box::new(held),
        }
    }

    /// When the connection should be replaced.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    /// Whether the cell has closed it, or speaks before it is asked. Call it only between two exchanges.
    pub(crate) fn is_closed(&mut self) -> bool {
        let quiet = |answers: &mut Box<Answers>| answers.is_quiet().is_ok();
        !self.answers.as_mut().is_some_and(quiet)
    }

    /// Whether any byte came from the cell since the last request was sent. Only if none came, the
    /// request may be sent again.
    pub(crate) fn has_heard(&self) -> bool {
        self.answers.as_ref().is_none_or(|it| it.has_heard())
    }

    /// Begins to send the request in the slot.
    ///
    /// # Errors
    /// The cell has closed the connection, or speaks before it is asked. The request stays in the slot.
    pub(crate) fn begin(
        &mut self,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<(), ReadError> {
        let answers = self.answers.as_mut().ok_or(ReadError::Closed)?;
        answers.is_quiet()?;
        if let Some(request) = slot.take() {
            answers.expect(request.method());
            let memory = std::mem::take(&mut self.memory);
            let (head, body) = request.into_parts();
            self.upload = Some(upload(&head, body, memory));
            self.head = Some(head);
            self.early = false;
        }
        Ok(())
    }

    /// The head of the request that was sent last.
    pub(crate) fn head(&self) -> Option<&Parts> {
        self.head.as_ref()
    }

    /// Takes the head of the request that was sent last.
    pub(crate) fn take_head(&mut self) -> Option<Parts> {
        self.head.take()
    }

    /// Sends the request and reads the head of its answer. `hear` gets the interim answers before it,
    /// with their size.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        hear: impl FnMut(Interim, usize),
    ) -> Poll<Result<AnswerHead, HttpError>> {
        self.send(cx)?;
        let Some(answers) = &mut self.answers else {
            return Poll::Ready(Err(HttpError::Answer(ReadError::Closed)));
        };
        let polled = answers.poll_head(cx, hear);
        // What comes before any byte of the request is written is no answer to it.
        if matches!(polled, Poll::Ready(Ok(_)))
            && (self.upload.as_ref()).is_some_and(|upload| !upload.has_begun())
        {
            let unasked = ReadError::Malformed(MessageError::Unasked);
            return Poll::Ready(Err(HttpError::Answer(unasked)));
        }
        polled.map_err(|error| match (error, self.broken.take()) {
            // Of both, the first one says more.
            (ReadError::Closed | ReadError::Io(_), Some(broken)) => HttpError::Answer(broken),
            (error, _) => HttpError::Answer(error),
        })
    }

    /// Sends what there is of the request. If a write fails, the cell may have answered before that, so
    /// its answer decides.
    fn send(&mut self, cx: &mut Context<'_>) -> Result<(), HttpError> {
        let Some(upload) = &mut self.upload else {
            return Ok(());
        };
        match upload.poll(&mut self.io, cx) {
            Poll::Pending => return Ok(()),
            Poll::Ready(Ok(())) => {
                let sent = self.upload.take();
                self.memory = sent.and_then(Outgoing::into_memory).unwrap_or_default();
            }
            // The cell has got nothing, so that it can't have answered.
            Poll::Ready(Err(SendError::Io(error))) if !upload.has_begun() => {
                return Err(HttpError::Answer(ReadError::Io(error)));
            }
            Poll::Ready(Err(SendError::Io(error))) => {
                self.upload = None;
                self.broken = Some(ReadError::Io(error));
            }
            Poll::Ready(Err(error @ (SendError::Body(_) | SendError::Length))) => {
                return Err(HttpError::Upload(error.to_string()));
            }
        }
        Ok(())
    }

    /// The body of the answer whose head was just read, and what is still to be sent meanwhile.
    pub(crate) fn take_body(&mut self) -> Option<(AnswerBody, Option<Rest>)> {
        let body = AnswerBody::new(self.answers.take()?);
        self.early = self.upload.as_ref().is_some_and(Outgoing::is_owed);
        let rest = self.upload.take().map(|upload| {
            let (rest, outlasting) = Rest::new(upload, self.io.clone());
            self.outlasting = Some(outlasting);
            rest
        });
        Some((body, rest))
    }

    /// Whether the answer is over, and the request is still being sent.
    pub(crate) fn is_sending(&mut self) -> bool {
        let whole = self.outlasting.as_mut().map(Outlasting::is_whole);
        if whole == Some(Some(true)) {
            self.outlasting = None;
        }
        whole == Some(None)
    }

    /// Waits until the request is sent, or can't be.
    pub(crate) async fn sent(&mut self) {
        if let Some(outlasting) = &mut self.outlasting
            && outlasting.whole().await
        {
            self.outlasting = None;
        }
    }

    /// Takes the reading side back after the answer. Returns whether another request may follow.
    pub(crate) fn is_reusable(&mut self, body: AnswerBody) -> bool {
        let mut answers = body.into_answers();
        let sent =
            !self.early && !self.is_sending() && self.outlasting.is_none() && self.broken.is_none();
        let reusable = sent && answers.is_reusable();
        answers.rest();
        self.answers = Some(answers);
        reusable
    }
}

#[cfg(test)]
mod tests;
