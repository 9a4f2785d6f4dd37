//! Guards a cell's answers.

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering::Relaxed};
use std::task::Poll;
use std::time::Duration;

use cellway_core::http1::{Found, Guard, Limits, RequestKind};
use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1};
use tokio::sync::oneshot;
use tokio::time::{Instant, timeout};

use super::guarded::{Instead, Side};
use super::interims::Heads;
use crate::data_plane::body::RequestBody;
use crate::settings::AnswerLimits;

/// How long a kept connection may take to get ready for the next request.
const READY_WITHIN: Duration = Duration::from_millis(100);

const NOTHING: u8 = 0;
const HEAD: u8 = 1;
const OTHER: u8 = 2;

/// The request on a connection that isn't answered yet. There is only one at a time.
#[derive(Debug, Default)]
pub(crate) struct Question {
    asked: AtomicU8,
    /// Whether any byte of an answer has come since.
    heard: AtomicBool,
    /// The interim answers that have come since and were not taken.
    interims: Heads,
}

impl Question {
    /// Notes that a request with this method is about to be sent.
    pub(super) fn to(&self, method: &Method) {
        let asked = if method == Method::HEAD { HEAD } else { OTHER };
        self.asked.store(asked, Relaxed);
        self.heard.store(false, Relaxed);
        self.interims.forget();
    }

    /// The interim answers to the request.
    pub(crate) fn interims(&self) -> &Heads {
        &self.interims
    }
}

/// The cell's side of a connection. Holds `P` as long as the connection's bytes are read, also after
/// a switch to another protocol.
#[derive(Debug)]
pub(crate) struct Answers<P> {
    question: Arc<Question>,
    limits: Limits,
    _held: P,
}

impl<P> Answers<P> {
    pub(crate) fn new(limits: AnswerLimits, held: P) -> Self {
        let limits = Limits {
            bytes: limits.header_bytes_max as usize,
            fields: limits.header_fields_max as usize,
        };
        Self {
            question: Arc::default(),
            limits,
            _held: held,
        }
    }

    /// The place where requests are noted.
    pub(crate) fn question(&self) -> Arc<Question> {
        self.question.clone()
    }
}

impl<P> Side for Answers<P> {
    fn guard(&self) -> Guard {
        Guard::answers(self.limits)
    }

    fn prepare(&self, guard: &mut Guard) {
        let Question { asked, heard, .. } = &*self.question;
        heard.store(true, Relaxed);
        match asked.load(Relaxed) {
            NOTHING => return,
            HEAD => guard.expect_answer_to(RequestKind::Head),
            _ => guard.expect_answer_to(RequestKind::Other),
        }
        asked.store(NOTHING, Relaxed);
    }

    fn interim(&self, head: &[u8]) {
        self.question.interims.add(head);
    }

    fn found(&self, found: Found, _: &Guard, _: &[u8]) -> Instead {
        let (Found::InHead(fault) | Found::InBody(fault)) = found;
        Instead::Broken(fault.of_answer())
    }
}

/// A kept connection has ended, or doesn't get ready for the next request.
#[derive(Clone, Copy, Debug)]
pub(crate) struct NotReady;

/// Sends requests on a connection with guarded answers.
#[derive(Debug)]
pub(crate) struct Http1Sender {
    sender: http1::SendRequest<RequestBody>,
    question: Arc<Question>,
    /// When the connection should be replaced.
    until: Instant,
    /// Dropped together with the sender, when nobody sends on the connection any more.
    _used: oneshot::Sender<Infallible>,
}

impl Http1Sender {
    /// Boxed once per connection, because it is part of each request's future. The receiver
    /// resolves when the sender is dropped.
    pub(crate) fn new(
        sender: http1::SendRequest<RequestBody>,
        question: Arc<Question>,
        until: Instant,
    ) -> (Box<Self>, oneshot::Receiver<Infallible>) {
        let (_used, unused) = oneshot::channel();
        let this = Self {
            sender,
            question,
            until,
            _used,
        };
        (Box::new(this), unused)
    }

    /// When the connection should be replaced.
    pub(crate) fn until(&self) -> Instant {
        self.until
    }

    pub(crate) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    /// Waits until the last exchange has ended. The connection's task may not have seen its end yet. It
    /// never does if the cell has answered and leaves the rest of the request unread.
    ///
    /// # Errors
    /// The connection can't be used.
    pub(crate) async fn ready(&mut self) -> Result<(), NotReady> {
        let mut ready = pin!(self.sender.ready());
        let at_once = poll_fn(|cx| Poll::Ready(ready.as_mut().poll(cx))).await;
        let ready = match at_once {
            Poll::Ready(ready) => ready.is_ok(),
            // Boxed, because few requests wait.
            Poll::Pending => matches!(Box::pin(timeout(READY_WITHIN, ready)).await, Ok(Ok(()))),
        };
        if ready { Ok(()) } else { Err(NotReady) }
    }

    /// Whether any byte came from the cell since the last request was sent. hyper's error is the
    /// same whether a connection ends before the first byte of an answer or in the middle of its
    /// head, and only in the first case may the request be sent again.
    pub(crate) fn has_heard(&self) -> bool {
        self.question.heard.load(Relaxed)
    }

    /// The request that is being sent.
    pub(crate) fn question(&self) -> &Question {
        &self.question
    }

    /// The same as hyper's method.
    pub(crate) fn try_send_request(
        &mut self,
        request: Request<RequestBody>,
    ) -> impl Future<Output = Result<Response<Incoming>, TrySendError<Request<RequestBody>>>> + use<>
    {
        self.question.to(request.method());
        self.sender.try_send_request(request)
    }
}
