//! The messages of an answer, and the trailers after them.

use std::convert::Infallible;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cellway_envoy::health::ServingStatus;
use http::{HeaderMap, HeaderValue};
use http_body::{Frame, SizeHint};

use super::{Code, GRPC_STATUS, Readiness, message, status};

/// The body of an answer.
pub(crate) struct Body(State);

enum State {
    /// A message, and then the status `OK`.
    Once(Option<Bytes>),
    Watch(Watch),
    Ended,
}

struct Watch {
    is_known: bool,
    readiness: Arc<dyn Readiness>,
    /// What the caller was told last.
    told: Option<ServingStatus>,
    /// What wakes the task at the next change.
    changed: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

/// What a watch says next.
enum Next {
    Status(ServingStatus),
    End,
}

impl Body {
    pub(super) fn once(message: Bytes) -> Self {
        Self(State::Once(Some(message)))
    }

    pub(super) fn watch(is_known: bool, readiness: Arc<dyn Readiness>) -> Self {
        Self(State::Watch(Watch {
            is_known,
            readiness,
            told: None,
            changed: None,
        }))
    }

    pub(super) fn none() -> Self {
        Self(State::Ended)
    }
}

impl Watch {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        loop {
            // Polled before the look, so that no change is missed in between.
            let waiting = self.changed.get_or_insert_with(|| self.readiness.changed());
            let has_changed = waiting.as_mut().poll(cx).is_ready();
            if has_changed {
                self.changed = None;
            }
            let status = status(self.is_known, &*self.readiness);
            if self.told != Some(status) {
                self.told = Some(status);
                return Poll::Ready(Next::Status(status));
            }
            if self.readiness.is_leaving() {
                return Poll::Ready(Next::End);
            }
            if !has_changed {
                return Poll::Pending;
            }
        }
    }
}

fn trailers(code: Code) -> Frame<Bytes> {
    let mut trailers = HeaderMap::with_capacity(1);
    trailers.insert(GRPC_STATUS, HeaderValue::from(code as u16));
    Frame::trailers(trailers)
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let (frame, ends) = match &mut self.0 {
            State::Ended => return Poll::Ready(None),
            State::Once(message) => match message.take() {
                Some(message) => (Frame::data(message), false),
                None => (trailers(Code::Ok), true),
            },
            State::Watch(watch) => match std::task::ready!(watch.poll_next(cx)) {
                Next::Status(status) => (Frame::data(message(status)), false),
                Next::End => (trailers(Code::Unavailable), true),
            },
        };
        if ends {
            self.0 = State::Ended;
        }
        Poll::Ready(Some(Ok(frame)))
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.0, State::Ended)
    }

    fn size_hint(&self) -> SizeHint {
        match self.0 {
            State::Ended => SizeHint::with_exact(0),
            State::Once(_) | State::Watch(_) => SizeHint::default(),
        }
    }
}

impl fmt::Debug for Body {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            State::Ended => "Ended",
            State::Once(_) => "Once",
            State::Watch(_) => "Watch",
        })
    }
}
