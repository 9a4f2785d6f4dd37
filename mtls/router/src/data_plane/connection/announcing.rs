//! Tells an HTTP/1.1 client that its connection closes, if the router drains.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use http::{HeaderValue, Response, StatusCode, header};
use pin_project_lite::pin_project;

use crate::data_plane::drain::Drain;

pin_project! {
    /// Answers a request, and announces in the answer that the connection closes if the router drains
    /// by then.
    ///
    /// This is not an `async` block, because the future of an `async` block that waits for a captured
    /// future holds it twice. hyper moves this future several times for each request.
    pub(super) struct Announcing<F> {
        #[pin]
        answering: F,
        drain: Arc<Drain>,
    }
}

impl<F> Announcing<F> {
    pub(super) fn new(answering: F, drain: Arc<Drain>) -> Self {
        Self { answering, drain }
    }
}

impl<F: Future<Output = Response<B>>, B> Future for Announcing<F> {
    type Output = Result<Response<B>, Infallible>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let mut answer = ready!(this.answering.poll(cx));
        if this.drain.is_draining() {
            announce_close(&mut answer);
        }
        Poll::Ready(Ok(answer))
    }
}

/// Announces that the connection closes after this answer (RFC 9112, section 9.6). After a switch of
/// protocols, this header would belong to the new one.
fn announce_close<B>(answer: &mut Response<B>) {
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        let close = HeaderValue::from_static("close");
        answer.headers_mut().insert(header::CONNECTION, close);
    }
}
