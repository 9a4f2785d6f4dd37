//! Bodies in memory: complete ones, and ones that break off.

use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep};

/// A body in memory, which may break off or stall before its end.
pub(super) struct Buffered {
    steps: VecDeque<Step>,
    /// The value of `Content-Length`. It is larger than the body if the body breaks off.
    length: Option<u64>,
}

enum Step {
    Data(Bytes),
    Trailers(HeaderMap),
    /// Lets the connection flush what it has.
    Yield,
    Pause(Pin<Box<Sleep>>),
    /// Ends the HTTP/1.1 connection, or resets the HTTP/2 stream with this code.
    Break(h2::Reason),
    Stall,
    /// A line at each tick, this many times.
    Ticks {
        left: u32,
        every: Duration,
        next: Pin<Box<Sleep>>,
    },
}

/// How long after its first half a broken-off body breaks off.
const BREAKS_OFF_AFTER: Duration = Duration::from_millis(300);

/// The bytes of a body between two pauses.
const PART: usize = 64 * 1024;

/// The line that a stream sends at each tick.
const TICK: &[u8] = b"tick\n";

/// The body was broken off on purpose.
#[derive(Debug)]
pub(super) struct InjectedError(h2::Error);

impl fmt::Display for InjectedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("broken off on purpose")
    }
}

impl std::error::Error for InjectedError {
    /// hyper resets the stream with the code that it finds here.
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

impl Buffered {
    pub(super) fn whole(body: Bytes) -> Self {
        Self {
            length: Some(body.len() as u64),
            // An empty body is no body, so the request ends after its header.
            steps: Some(body)
                .filter(|body| !body.is_empty())
                .map(Step::Data)
                .into_iter()
                .collect(),
        }
    }

    /// All of `body`, with a pause after each part.
    pub(super) fn paced(body: Bytes, pause: Duration) -> Self {
        let parts = (0..).zip(body.chunks(PART));
        let steps = parts.flat_map(|(before, part)| {
            let pause = Step::Pause(Box::pin(sleep(pause * before)));
            [pause, Step::Data(body.slice_ref(part))]
        });
        Self {
            length: Some(body.len() as u64),
            steps: steps.collect(),
        }
    }

    /// The first half of `body`, then the end of the connection (of the stream, in HTTP/2).
    pub(super) fn half(body: &Bytes) -> Self {
        Self {
            length: Some(body.len() as u64),
            steps: VecDeque::from([
                first_half(body),
                Step::Yield,
                Step::Break(h2::Reason::INTERNAL_ERROR),
            ]),
        }
    }

    /// As [`half`](Self::half), but without a length. In HTTP/2 the stream is reset with a code that
    /// says that nothing is wrong.
    pub(super) fn half_in_order(body: &Bytes) -> Self {
        Self {
            length: None,
            steps: VecDeque::from([
                first_half(body),
                Step::Yield,
                Step::Break(h2::Reason::NO_ERROR),
            ]),
        }
    }

    /// The first half of `body`, then a pause in which it can get far, then the end of the connection.
    /// In HTTP/2 the stream is reset with this code.
    pub(super) fn broken_off(body: &Bytes, code: h2::Reason) -> Self {
        let pause = Step::Pause(Box::pin(sleep(BREAKS_OFF_AFTER)));
        Self {
            length: Some(body.len() as u64),
            steps: VecDeque::from([first_half(body), pause, Step::Break(code)]),
        }
    }

    /// The first half of `body`, then silence.
    pub(super) fn stalled(body: &Bytes) -> Self {
        Self {
            length: Some(body.len() as u64),
            steps: VecDeque::from([first_half(body), Step::Stall]),
        }
    }

    /// A line at this interval, this many times.
    pub(super) fn ticking(every: Duration, times: u32) -> Self {
        let ticks = Step::Ticks {
            left: times,
            every,
            next: Box::pin(sleep(every)),
        };
        Self {
            length: None,
            steps: VecDeque::from([ticks]),
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

    /// Nothing, and no length.
    pub(super) fn none() -> Self {
        Self {
            length: None,
            steps: VecDeque::new(),
        }
    }

    pub(super) fn empty(status: StatusCode) -> Response<Self> {
        let mut response = Response::new(Self {
            length: Some(0),
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
    type Error = InjectedError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, InjectedError>>> {
        match self.steps.pop_front() {
            None => Poll::Ready(None),
            Some(Step::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Step::Trailers(trailers)) => Poll::Ready(Some(Ok(Frame::trailers(trailers)))),
            Some(Step::Yield) => {
                context.waker().wake_by_ref();
                Poll::Pending
            }
            Some(Step::Pause(mut pause)) => match pause.as_mut().poll(context) {
                Poll::Ready(()) => self.poll_frame(context),
                Poll::Pending => {
                    self.steps.push_front(Step::Pause(pause));
                    Poll::Pending
                }
            },
            Some(Step::Break(code)) => Poll::Ready(Some(Err(InjectedError(code.into())))),
            Some(Step::Ticks { left: 0, .. }) => self.poll_frame(context),
            Some(Step::Ticks {
                left,
                every,
                mut next,
            }) => {
                let due = next.as_mut().poll(context);
                let left = left - u32::from(due.is_ready());
                if due.is_ready() {
                    next.as_mut().reset(Instant::now() + every);
                }
                self.steps.push_front(Step::Ticks { left, every, next });
                due.map(|()| Some(Ok(Frame::data(Bytes::from_static(TICK)))))
            }
            Some(Step::Stall) => {
                // No waker is kept: this ends only when the other side closes the connection.
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
            _ => self
                .length
                .map_or_else(SizeHint::default, SizeHint::with_exact),
        }
    }
}
