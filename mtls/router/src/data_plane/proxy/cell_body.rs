//! The body of a cell's answer: its frames, its time limits, and what it holds until its last byte.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::Reason;
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until, timeout};

use super::trailers::take_end;
use super::unread::REST_AWAITED;
use crate::active_config::ActiveConfig;
use crate::data_plane::body::{Framing, Progress, Turn};
use crate::data_plane::incoming::{HttpError, Incoming};
use crate::data_plane::pool::{Lease, RequestPermit};

/// A cell's answer, with everything that it holds until its last byte.
pub(super) struct CellBody {
    pub(super) first: First,
    pub(super) incoming: Incoming,
    /// The configuration of the request. The trailers are sanitized with its names.
    pub(super) config: Arc<ActiveConfig>,
    pub(super) framing: Framing,
    pub(super) lease: Lease,
    pub(super) permit: RequestPermit,
    pub(super) progress: Option<Arc<Progress>>,
    pub(super) idle: Duration,
    pub(super) total: Option<Instant>,
    /// Set while nothing comes: since when, and the timer for the next check.
    pub(super) timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Whether to stop reading the request's body once the answer is complete.
    pub(super) gives_up: bool,
    /// Whether it is a gRPC answer over HTTP/2. If it breaks off, its trailers say why, because gRPC
    /// clients make a status of a reset that says less.
    pub(super) grpc: bool,
}

/// What of a body came together with its header: its first frame or its end. `None`: nothing.
pub(super) type First = Option<Option<Frame<Bytes>>>;

impl CellBody {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, HttpError>>> {
        match self.first.take() {
            Some(first) => Poll::Ready(first.map(Ok)),
            None => Pin::new(&mut self.incoming).poll_frame(cx),
        }
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        if self.grpc {
            // It would be announced.
            return SizeHint::default();
        }
        let hint = self.incoming.size_hint();
        let first = self.first.iter().flatten().find_map(Frame::data_ref);
        match (hint.exact(), first) {
            (Some(rest), Some(first)) => SizeHint::with_exact(rest + first.len() as u64),
            (Some(_) | None, _) => hint,
        }
    }

    /// The request's body, unless all of it has come.
    pub(super) fn unread(&self) -> Option<&Arc<Progress>> {
        (self.progress.as_ref()).filter(|progress| progress.turn() != Turn::Done)
    }

    /// Whether the exchange goes on after the answer's last byte: an HTTP/2 cell still has to end the stream,
    /// or the last bytes of the request are on their way to an HTTP/1.1 cell.
    pub(super) fn is_outlasted(&mut self) -> bool {
        self.framing.outlasts(&self.incoming) || self.lease.is_sending()
    }

    /// Waits for the end of both messages, for a bounded time, and frees the connection for another exchange.
    pub(super) async fn let_go(mut self) {
        if self.framing.outlasts(&self.incoming) {
            return take_end(self.incoming, (self.lease, self.permit)).await;
        }
        let _ = timeout(REST_AWAITED, self.lease.sent()).await;
        if self.framing.reusable {
            self.lease.done(self.incoming);
        }
    }

    /// Whether nothing more follows.
    pub(super) fn is_over(&self) -> bool {
        self.framing.ended() || self.first.is_none() && self.incoming.is_end_stream()
    }

    /// Whether the rest of the request's body is cut because it is too long.
    pub(super) fn is_too_long(&self) -> bool {
        (self.progress.as_ref()).is_some_and(|progress| progress.was_too_long())
    }

    /// Whether the client broke its request off, so that the router has ended the exchange.
    pub(super) fn is_broken_off(&self) -> bool {
        (self.progress.as_ref()).is_some_and(|progress| progress.turn() == Turn::Broken)
    }

    /// Whether the client can't get the answer any more.
    pub(super) fn has_lost_client(&self) -> bool {
        (self.progress.as_ref()).is_some_and(|progress| progress.has_lost_client())
    }

    /// Whether the client sends the rest of its request too slowly.
    pub(super) fn is_outrun(&self) -> bool {
        let deadline = self.progress.as_ref().and_then(|it| it.client_deadline());
        deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// When to check for a timeout again. `idle` is when the idle timeout ends if nothing moves
    /// until then.
    fn next_look(&self, now: Instant, idle: Instant) -> Instant {
        let progress = self.progress.as_ref();
        let client = progress.and_then(|it| it.client_deadline());
        // The client's turn may start without waking this task.
        let client = client.or_else(|| Some(now + progress?.grace()?));
        let limits = [self.total, client].into_iter().flatten();
        limits.fold(idle, Instant::min)
    }

    /// Checks whether nothing has come for too long.
    pub(super) fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        // The timer is set again after each frame, so that a frame moves the idle deadline. It is
        // kept between polls that bring nothing.
        let (began, mut timer) = self.timer.take().unwrap_or_else(|| {
            let now = Instant::now();
            let limit = self.next_look(now, now + self.idle);
            (now, Box::pin(sleep_until(limit)))
        });
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.total.is_some_and(|total| total <= now) {
                return Poll::Ready(Reason::CellTimeoutTotal);
            }
            if self.is_outrun() {
                return Poll::Ready(Reason::ClientTimeout);
            }
            // A cell that still reads the request's body isn't idle.
            let moved = self.progress.as_ref().map(|progress| progress.last());
            let idle = began.max(moved.unwrap_or(began)) + self.idle;
            if idle <= now {
                return Poll::Ready(Reason::CellTimeoutIdle);
            }
            let limit = self.next_look(now, idle);
            timer.as_mut().reset(limit);
        }
        self.timer = Some((began, timer));
        Poll::Pending
    }
}
