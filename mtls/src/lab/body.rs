//! Bodies that are in memory, whole and broken.

use std::collections::VecDeque;
use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};

/// A body that is in memory, and may break off or stall before it is whole.
pub(super) struct Buffered {
    steps: VecDeque<Step>,
    /// What `Content-Length` says; more than what follows where the body isn't whole.
    length: u64,
}

enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    /// Lets the connection flush what it has.
    Breathe,
    Break,
    Stall,
}

/// The connection was broken off on purpose.
#[derive(Debug)]
pub(super) struct BrokenOff;

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken off on purpose")
    }
}

impl std::error::Error for BrokenOff {}

impl Buffered {
    pub(super) fn whole(body: Bytes) -> Self {
        Self {
            length: body.len() as u64,
            // An empty body is none: a request's header then is its end.
            steps: Some(body)
                .filter(|body| !body.is_empty())
                .map(Step::Data)
                .into_iter()
                .collect(),
        }
    }

    /// The first half of `body`, then the end of the connection (of the stream, in HTTP/2).
    pub(super) fn half(body: &Bytes) -> Self {
        Self {
            length: body.len() as u64,
            steps: VecDeque::from([first_half(body), Step::Breathe, Step::Break]),
        }
    }

    /// The first half of `body`, then silence.
    pub(super) fn stalled(body: &Bytes) -> Self {
        Self {
            length: body.len() as u64,
            steps: VecDeque::from([first_half(body), Step::Stall]),
        }
    }

    pub(super) fn with_trailers(mut self, trailers: HeaderMap) -> Self {
        self.steps.push_back(Step::Trailers(trailers));
        self
    }

    pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response<Self> {
        let mut response = Response::new(Self::whole(body.into()));
        *response.status_mut() = status;
        response.headers_mut().insert(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/json"),
        );
        response
    }

    pub(super) fn empty(status: StatusCode) -> Response<Self> {
        let mut response = Response::new(Self {
            length: 0,
            steps: VecDeque::new(),
        });
        *response.status_mut() = status;
        response
    }
}

fn first_half(body: &Bytes) -> Step {
    Step::Data(body.slice(..body.len() / 2))
}

impl Body for Buffered {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Breathe) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Break) => Poll::Ready(Some(Err(BrokenOff))),
            Some(Step::Stall) => {
                // No waker is kept: only the other side's end of the connection ends this.
                self.steps.push_front(Step::Stall);
                Poll::Pending
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.steps.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        match self.steps.back() {
            // With a length hyper would write no trailers over HTTP/1.1.
            Some(Step::Trailers(_)) => SizeHint::default(),
            _ => SizeHint::with_exact(self.length),
        }
    }
}
