//! A body that h2 reads.

use std::task::{Context, Poll, ready};

use bytes::Bytes;
use h2::RecvStream;
use http::HeaderMap;
use http_body::{Frame, SizeHint};

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
        }
    }

    /// The other end may send as many bytes again as were taken.
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, h2::Error>>> {
        if !self.data_ended {
            match ready!(self.stream.poll_data(cx)) {
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
