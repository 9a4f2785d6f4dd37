//! One request to a cell, and its answer.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::client::{ResponseFuture, SendRequest};
use h2::{Reason, SendStream};
use http::header::{CONTENT_LENGTH, HeaderValue};
use http::{Method, Request, Response, StatusCode};
use http_body::Body;

use super::sending::Sending;
use super::stream_bytes::StreamBytes;
use crate::data_plane::body::{RequestBody, expects_body};
use crate::data_plane::incoming::{HttpError, Incoming, Received};

/// A request whose header was sent. If it is dropped before the answer came, the stream is reset.
pub(crate) struct Exchange {
    answer: ResponseFuture,
    rest: Rest,
    /// Whether any part of an answer has come.
    heard: bool,
}

/// What the router sends after the header.
pub(crate) enum Rest {
    Nothing,
    Body(Sending<RequestBody>),
    /// Bytes of another protocol, if the cell agrees to it.
    Connect(SendStream<Bytes>),
    /// The cell has agreed.
    Switched(StreamBytes),
}

impl Exchange {
    /// Sends the header of the request in the slot.
    pub(super) fn begin(
        sender: &mut SendRequest<Bytes>,
        slot: &mut Option<Request<RequestBody>>,
    ) -> Result<Self, h2::Error> {
        let mut request = slot.take().ok_or(Reason::INTERNAL_ERROR)?;
        announce_length(&mut request);
        let (head, body) = request.into_parts();
        let switches = head.method == Method::CONNECT;
        let whole = !switches && body.is_end_stream();
        let (answer, to) = sender.send_request(Request::from_parts(head, ()), whole)?;
        let rest = match whole {
            true => Rest::Nothing,
            false if switches => Rest::Connect(to),
            false => Rest::Body(Sending::new(body, to)),
        };
        Ok(Self {
            answer,
            rest,
            heard: false,
        })
    }

    /// Sends what there is of the body, and reads the answer's header. `hear` gets the interim
    /// answers before it.
    pub(crate) fn poll_answer(
        &mut self,
        cx: &mut Context<'_>,
        mut hear: impl FnMut(Response<()>),
    ) -> Poll<Result<Response<Incoming>, HttpError>> {
        if let Rest::Body(body) = &mut self.rest
            && Pin::new(body).poll(cx).is_ready()
        {
            self.rest = Rest::Nothing;
        }
        while let Some(interim) = ready!(self.answer.poll_informational(cx)?) {
            self.heard = true;
            if interim.status() == StatusCode::SWITCHING_PROTOCOLS {
                return Poll::Ready(Err(HttpError::Malformed("a 101 over HTTP/2")));
            }
            hear(interim);
        }
        let answer = ready!(Pin::new(&mut self.answer).poll(cx)?);
        let (head, stream) = answer.into_parts();
        let agrees = head.status == StatusCode::OK;
        let body = match std::mem::replace(&mut self.rest, Rest::Nothing) {
            Rest::Connect(to) if agrees => {
                self.rest = Rest::Switched(StreamBytes::new(stream, to));
                Incoming::Empty
            }
            rest @ (Rest::Nothing | Rest::Body(_) | Rest::Connect(_) | Rest::Switched(_)) => {
                self.rest = rest;
                Received::new(stream, &head.headers).into()
            }
        };
        Poll::Ready(Ok(Response::from_parts(head, body)))
    }

    /// Whether any part of an answer has come.
    pub(crate) fn has_heard(&self) -> bool {
        self.heard
    }

    /// What is still to be sent after the answer has begun.
    pub(crate) fn into_rest(self) -> Rest {
        self.rest
    }
}

/// Sets the length of a body that has one, also of an empty body where one is expected (RFC 9110,
/// section 8.6).
fn announce_length(request: &mut Request<RequestBody>) {
    match request.body().size_hint().exact() {
        Some(0) if !expects_body(request.method()) => {}
        Some(length) => {
            let headers = request.headers_mut();
            if !headers.contains_key(CONTENT_LENGTH) {
                headers.insert(CONTENT_LENGTH, HeaderValue::from(length));
            }
        }
        None => {}
    }
}
