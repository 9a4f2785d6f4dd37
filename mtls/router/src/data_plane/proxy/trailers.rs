//! Decides which trailers are forwarded between HTTP/1.1 and HTTP/2.
//!
//! HTTP/2 allows trailers after any message. HTTP/1.1 allows them only after a chunked body. Only
//! those that `Trailer` names are sent, and a client gets them only if it sent `TE: trailers` (RFC 9110,
//! section 6.5.1).

use std::future::poll_fn;
use std::pin::pin;
use std::time::Duration;

use cellway_core::headers;
use http::header::{CONNECTION, CONTENT_LENGTH, TE, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Request, Version};
use http_body::Body;
use tokio::time::timeout;

use crate::data_plane::body::{Framing, RequestBody};
use crate::data_plane::incoming::Incoming;
use crate::data_plane::pool::{Lease, RequestPermit};

/// How long an HTTP/2 cell may take to end a stream after the last byte that its client gets.
const END_AWAITED: Duration = Duration::from_secs(1);

/// Which of an answer's trailers a client gets.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Trailers {
    /// All of them: the client uses HTTP/2.
    All,
    /// Those that are announced: the client uses HTTP/1.1 and sent `TE: trailers`.
    Announced,
    None,
}

impl Trailers {
    /// The trailers that the client of this request gets.
    pub(super) fn of(request: &Parts) -> Self {
        match request.version {
            Version::HTTP_2 => Self::All,
            Version::HTTP_11 if headers::takes_trailers(&request.headers) => Self::Announced,
            _ => Self::None,
        }
    }

    /// Adapts an answer's header so that these trailers can follow, and its framing to what the
    /// client will read. `over` says that nothing follows the header.
    pub(super) fn prepare(self, headers: &mut HeaderMap, framing: &mut Framing, over: bool) {
        match self {
            Self::All => return,
            Self::Announced if framing.may_have_trailers() && !over => {
                if headers::is_grpc(headers) {
                    headers::announce_grpc(headers);
                }
                if headers.contains_key(TRAILER) {
                    chunk(headers);
                }
            }
            Self::Announced | Self::None => {
                headers.remove(TRAILER);
            }
        }
        if !headers.contains_key(TRANSFER_ENCODING) {
            framing.ends_by_length();
        }
    }
}

/// Adapts the header of a request over HTTP/1.1: it announces only trailers that can follow.
pub(super) fn prepare_request(request: &mut Request<RequestBody>) {
    let body = request.body();
    let (over, http2) = (body.is_end_stream(), body.is_from_http2());
    let headers = request.headers_mut();
    if over || !http2 && headers.contains_key(CONTENT_LENGTH) {
        headers.remove(TRAILER);
    }
    // A sender of TE must list it in Connection (RFC 9110, section 10.1.4).
    if headers.contains_key(TE) {
        headers.insert(CONNECTION, HeaderValue::from_static("te"));
    }
}

fn chunk(headers: &mut HeaderMap) {
    headers.remove(CONTENT_LENGTH);
    headers.insert(TRANSFER_ENCODING, HeaderValue::from_static("chunked"));
}

/// Reads what an HTTP/2 cell sends after the last byte that an HTTP/1.1 client gets: END_STREAM,
/// perhaps with trailers. Dropping the body at once would reset the stream, and some servers close
/// a connection after many resets.
pub(super) async fn take_end(body: Incoming, _held: (Lease, RequestPermit)) {
    let mut body = pin!(body);
    let end = poll_fn(|cx| body.as_mut().poll_frame(cx));
    let _ = timeout(END_AWAITED, end).await;
}
