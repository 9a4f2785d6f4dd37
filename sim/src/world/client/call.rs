//! gRPC calls (grpc/grpc, `doc/PROTOCOL-HTTP2.md`).

use std::time::Duration;

use bytes::{BufMut, Bytes, BytesMut};
use cellway_testbed::{Answer as Response, Request};
use http::header::{CONTENT_TYPE, TE};
use http::{HeaderValue, Method, StatusCode};

use super::refusal::{WITHOUT_REASON, is_of_router, reason_in_body};
use crate::fact::Answer;
use crate::world::hosts::ANSWER_TRAILER;

/// The bytes before a message: whether it is compressed, and its length.
const PREFIX: usize = 5;

/// Makes a call of the request.
pub(super) fn prepare(request: &mut Request, deadline: Option<Duration>) {
    request.method = Method::POST;
    let message = b"an order";
    let mut frame = BytesMut::with_capacity(PREFIX + message.len());
    frame.put_u8(0);
    frame.put_u32(message.len() as u32);
    frame.put_slice(message);
    request.body = frame.freeze();
    let headers = &mut request.headers;
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert(TE, HeaderValue::from_static("trailers"));
    if let Some(deadline) = deadline {
        let millis = format!("{}m", deadline.as_millis());
        let millis = HeaderValue::try_from(millis).expect("digits and a letter");
        headers.insert("grpc-timeout", millis);
    }
}

/// The gRPC status of an answer: in its trailers, or in its header if it has no message.
pub(super) fn status(response: &Response) -> Option<u8> {
    field(response, "grpc-status")?.parse().ok()
}

/// The kind of an answer to a call. Only a cell's whole answer has the cell's trailer, so the router has
/// broken off one that has others.
pub(super) fn classify(response: &Response) -> Answer {
    let trailers = &response.trailers;
    let is_broken = !trailers.is_empty() && !trailers.contains_key(ANSWER_TRAILER);
    if is_broken || is_of_router(response) {
        let reason = field(response, "grpc-message").map(str::to_owned);
        let reason = reason.or_else(|| reason_in_body(response));
        return Answer::Router(reason.unwrap_or_else(|| WITHOUT_REASON.to_owned()));
    }
    match status(response) {
        Some(0) => Answer::Ok,
        Some(status) if response.status == StatusCode::OK => Answer::CellGrpc(status),
        Some(_) | None => Answer::Cell(response.status.as_u16()),
    }
}

/// The only message of an answer.
///
/// # Errors
/// There is none, or not the whole of it.
pub(super) fn message(response: &Response) -> Result<Bytes, String> {
    let body = &response.body;
    let length = body.get(1..PREFIX).and_then(|it| it.try_into().ok());
    let whole = length.is_some_and(|it| body.len() == PREFIX + u32::from_be_bytes(it) as usize);
    match whole {
        true => Ok(body.slice(PREFIX..)),
        false => Err(format!("its {} bytes are not one message", body.len())),
    }
}

fn field<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    let trailer = response.trailers.get(name);
    let value = trailer.or_else(|| response.headers.get(name))?;
    value.to_str().ok()
}
