//! Sends a request over HTTP/1.1.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::BytesMut;
use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body::Body;
use tokio::io::AsyncWrite;

use super::outgoing::{Coding, Outgoing, SendError, write_field};
use crate::data_plane::body::{RequestBody, expects_body};
use crate::data_plane::incoming::Io;
use crate::data_plane::outlasting::{Outlasting, Tie};
use crate::data_plane::target;

/// A request on its way to a cell.
pub(crate) type Upload = Outgoing<RequestBody>;

/// The request, with its header as the first bytes to be written. `waiting` is empty memory for them.
pub(super) fn upload(head: &Parts, body: RequestBody, mut waiting: BytesMut) -> Upload {
    let coding = coding(&head.headers, &body);
    write_head(head, coding, &mut waiting);
    Outgoing::new(waiting, &head.headers, coding, body)
}

/// How the body of the request is framed (RFC 9112, section 6.3). Only a chunked body can have trailers.
fn coding(headers: &HeaderMap, body: &RequestBody) -> Coding {
    if body.is_end_stream() {
        return Coding::None;
    }
    let stated = headers.get(CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse().ok());
    match stated.filter(|_| !headers.contains_key(TRAILER)) {
        Some(length) => Coding::Length(length),
        None => Coding::Chunked,
    }
}

/// Writes the request line and the fields (RFC 9112, sections 3 and 5). Those that frame the body say what
/// follows, whatever the client's said: the cell must not wait for a body that doesn't come, and take the
/// next request for it.
fn write_head(head: &Parts, coding: Coding, into: &mut BytesMut) {
    let path = target::origin_form(&head.uri);
    for part in [head.method.as_str(), " ", path.as_str(), " HTTP/1.1\r\n"] {
        into.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &head.headers {
        if name != TRANSFER_ENCODING && name != CONTENT_LENGTH {
            write_field(name.as_str(), value.as_bytes(), into);
        }
    }
    match coding {
        Coding::Chunked => write_field(TRANSFER_ENCODING.as_str(), b"chunked", into),
        Coding::Length(length) => {
            let length = HeaderValue::from(length);
            write_field(CONTENT_LENGTH.as_str(), length.as_bytes(), into);
        }
        Coding::None | Coding::UntilClose => {
            if head.headers.contains_key(CONTENT_LENGTH) || expects_body(&head.method) {
                write_field(CONTENT_LENGTH.as_str(), b"0", into);
            }
        }
    }
    into.extend_from_slice(b"\r\n");
}

/// The rest of an upload whose answer has begun. It ends with the upload, or when nobody has the
/// connection any more.
pub(crate) struct Rest {
    upload: Upload,
    io: Io,
    tie: Tie,
    /// Whether the body broke off. The cell gets no more, and should not wait for it.
    ends: bool,
}

impl Rest {
    pub(super) fn new(upload: Upload, io: Io) -> (Self, Outlasting) {
        let (tie, outlasting) = Outlasting::new();
        let rest = Self {
            upload,
            io,
            tie,
            ends: false,
        };
        (rest, outlasting)
    }
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.tie.poll_gone(cx).is_ready() {
            return Poll::Ready(());
        }
        if !this.ends {
            match ready!(this.upload.poll(&mut this.io, cx)) {
                Ok(()) => {
                    this.tie.completes();
                    return Poll::Ready(());
                }
                Err(SendError::Io(_)) => return Poll::Ready(()),
                Err(SendError::Body(_) | SendError::Length) => this.ends = true,
            }
        }
        Pin::new(&mut this.io).poll_shutdown(cx).map(drop)
    }
}

#[cfg(test)]
mod tests;
