//! A connection to an HTTP/1.1 cell.

use std::any::Any;
use std::fmt;
use std::task::{Context, Poll};

use bytes::BytesMut;
use cellway_core::http1::{AnswerHead, Interim, Limits};
use http::Request;
use tokio::time::Instant;

use super::upload::{Outlasting, Rest, Upload, UploadError};
use crate::data_plane::body::RequestBody;
use crate::data_plane::incoming::{AnswerBody, AnswerError, Answers, HttpError, Io, Stream};
use crate::settings::AnswerLimits;

/// The most memory for the bytes of a header that a connection keeps for its next request.
const KEPT_MAX: usize = 16 * 1024;

/// A connection, lent to one request at a time. The request's own task writes and reads it.
pub(crate) struct Http1Connection {
    io: Io,
    /// The reading side. `None` while the body of an answer has it.
    answers: Option<Box<Answers>>,
    /// The part of the request that is still to be sent before the head of the answer comes.
    upload: Option<Upload>,
    /// Set if the upload outlasts the head of its answer.
    outlasting: Option<Outlasting>,
    /// Why the last write failed.
    broken: Option<AnswerError>,
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
            upload: None,
            outlasting: None,
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

    /// Whether the cell has closed it. Call it only between two exchanges.
    pub(crate) fn is_closed(&mut self) -> bool {
        self.answers.as_mut().is_none_or(|it| it.is_closed())
    }

    /// Whether any byte came from the cell since the last request was sent. Only if none came, the
    /// request may be sent again.
    pub(crate) fn has_heard(&self) -> bool {
        self.answers.as_ref().is_none_or(|it| it.has_heard())
    }

    /// Begins to send the request in the slot. It stays there if the connection is closed.
    pub(crate) fn begin(&mut self, slot: &mut Option<Request<RequestBody>>) {
        if !self.is_closed()
            && let Some(answers) = &mut self.answers
            && let Some(request) = slot.take()
        {
            answers.expect(request.method());
            let memory = std::mem::take(&mut self.memory);
            self.upload = Some(Upload::new(request, memory));
        }
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
            return Poll::Ready(Err(AnswerError::Closed.into()));
        };
        let polled = answers.poll_head(cx, hear);
        polled.map_err(|error| match (error, self.broken.take()) {
            // Of both, the first one says more.
            (AnswerError::Closed | AnswerError::Io(_), Some(broken)) => broken.into(),
            (error, _) => error.into(),
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
                if let Some(upload) = self.upload.take() {
                    let memory = upload.into_memory();
                    if memory.capacity() <= KEPT_MAX {
                        self.memory = memory;
                    }
                }
            }
            Poll::Ready(Err(UploadError::Io(error))) => {
                self.upload = None;
                self.broken = Some(AnswerError::Io(error));
            }
            Poll::Ready(Err(UploadError::Body(error))) => {
                return Err(HttpError::Upload(error.to_string()));
            }
        }
        Ok(())
    }

    /// The body of the answer whose head was just read, and what is still to be sent meanwhile.
    pub(crate) fn take_body(&mut self) -> Option<(AnswerBody, Option<Rest>)> {
        let body = AnswerBody::new(self.answers.take()?);
        let rest = self.upload.take().map(|upload| {
            let (rest, outlasting) = Rest::new(upload, self.io.clone());
            self.outlasting = Some(outlasting);
            rest
        });
        Some((body, rest))
    }

    /// Takes the reading side back after the answer. Returns whether another request may follow.
    pub(crate) fn is_reusable(&mut self, body: AnswerBody) -> bool {
        let mut answers = body.into_answers();
        let sent = self.broken.is_none()
            && self.upload.is_none()
            && self.outlasting.take().is_none_or(|mut it| it.is_whole());
        let reusable = sent && answers.is_reusable();
        answers.rest();
        self.answers = Some(answers);
        reusable
    }
}
