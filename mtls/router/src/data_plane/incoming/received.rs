//! A body that h2 reads.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

use crate::data_plane::turns::Turns;
use crate::data_plane::well_formed;

/// The value of [`Received::left`] without a length. An `Option` would make the body larger.
const UNKNOWN: u64 = u64::MAX;

/// A body that comes over HTTP/2.
///
/// Only END_STREAM ends it (RFC 9113, section 8.1). A reset is an error, also one with `NO_ERROR`:
/// the body is cut.
#[derive(Debug)]
pub(crate) struct Received {
    stream: RecvStream,
    /// How many bytes of its `Content-Length` are left. h2 checks that it has as many.
    left: u64,
    data_ended: bool,
    /// Set until the body is read, if the client waits for `100 Continue` before it sends the body.
    expects: Option<Turns>,
}

impl Received {
    /// The body of the message with this header.
    pub(crate) fn new(stream: RecvStream, headers: &HeaderMap) -> Self {
        let length = well_formed::content_length(headers).ok().flatten();
        let ended = stream.is_end_stream();
        Self {
            stream,
            left: length.unwrap_or(if ended { 0 } else { UNKNOWN }),
            data_ended: false,
            expects: None,
        }
    }

    /// The same, of a request with `Expect: 100-continue` (RFC 9110, section 10.1.1). Its stream sends
    /// `100 Continue` when the body is read, unless it has begun to come by then.
    pub(crate) fn expecting(self, stream: &Turns) -> Self {
        Self {
            expects: Some(stream.clone()),
            ..self
        }
    }

    /// The stream, for a message after which its bytes are no body of HTTP's. Nothing may have been
    /// read.
    pub(crate) fn into_stream(self) -> RecvStream {
        self.stream
    }

    /// The other end may send as many bytes again as were taken.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            let polled = self.stream.poll_data(cx);
            if let Some(stream) = self.expects.take()
                && polled.is_pending()
            {
                stream.go_on();
            }
            match ready!(polled) {
                Some(Ok(data)) => {
                    // It fails only if more is released than came.
                    let _ = self.stream.flow_control().release_capacity(data.len());
                    if self.left != UNKNOWN {
                        self.left = self.left.saturating_sub(data.len() as u64);
                    }
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some(Err(error)) => return Poll::Ready(Some(Err(error))),
                None => self.data_ended = true,
            }
        }
        let trailers = ready!(self.stream.poll_trailers(cx));
        Poll::Ready(
            trailers
                .map(|fields| fields.map(Frame::trailers))
                .transpose(),
        )
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.stream.is_end_stream()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        match self.left {
            UNKNOWN => SizeHint::default(),
            left => SizeHint::with_exact(left),
        }
    }
}
