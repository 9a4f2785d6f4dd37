//! Bodies as they are received: of clients' requests, and of cells' answers.
//!
//! [`ClientBytes`] reads clients' HTTP/1.1, [`Answers`] reads that of cells, and h2 reads HTTP/2. The rest of
//! the data plane sees one body and one error.

mod answers;
mod error;
mod io;
mod messages;
mod received;
mod requests;

use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};

pub(crate) use self::answers::{AnswerBody, Answers, SwitchedBytes};
pub(crate) use self::error::HttpError;
pub(crate) use self::io::{Io, Stream};
pub(crate) use self::messages::ReadError;
pub(crate) use self::received::Received;
pub(crate) use self::requests::{Asked, ClientBody, ClientBytes, ClientStream};

/// A body that comes from the other end of a connection.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A client's over HTTP/1.1. Boxed, because most requests have none.
    Request(Box<ClientBody>),
    /// A cell's.
    Answer(AnswerBody),
    Http2(Received),
    /// There is none.
    Empty,
}

impl From<AnswerBody> for Incoming {
    fn from(body: AnswerBody) -> Self {
        Self::Answer(body)
    }
}

impl From<Received> for Incoming {
    fn from(body: Received) -> Self {
        Self::Http2(body)
    }
}

impl Body for Incoming {
    type Data = Bytes;
    type Error = HttpError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match self.get_mut() {
            Self::Request(body) => body.poll_frame(cx).map_err(HttpError::Request),
            Self::Answer(body) => body.poll_frame(cx).map_err(HttpError::Answer),
            Self::Http2(body) => body.poll_frame(cx).map_err(HttpError::Http2),
            Self::Empty => Poll::Ready(None),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Request(body) => body.is_end_stream(),
            Self::Answer(body) => body.is_end_stream(),
            Self::Http2(body) => body.is_end_stream(),
            Self::Empty => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Request(body) => body.size_hint(),
            Self::Answer(body) => body.size_hint(),
            Self::Http2(body) => body.size_hint(),
            Self::Empty => SizeHint::with_exact(0),
        }
    }
}

#[cfg(test)]
mod tests;
