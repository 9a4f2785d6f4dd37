//! Streams an answer's body: it polls the cell for a frame when the client has room for one.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use cellway_core::{Reason, headers};
use cellway_env::Env;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame, SizeHint};
use tokio::time::{Instant, timeout_at};

use super::cell_body::CellBody;
use super::health_report::Scope;
use super::report::Report;
use super::{grpc, health_report, unread};
use crate::data_plane::activity::Activity;
use crate::data_plane::body::{BodyError, End, Progress};
use crate::data_plane::streams::Side;
use crate::health_service;
use crate::observe::event::Sink;

/// A body from the cell or from the router itself to the client. Boxed, because it is moved often.
pub(crate) struct ResponseBody<E: Env, S: Sink>(Box<Answering<E, S>>);

struct Answering<E: Env, S: Sink> {
    source: Source,
    /// Emitted when the body ends or is dropped.
    report: Option<Report<E, S>>,
}

#[expect(
    clippy::large_enum_variant,
    reason = "nearly all bodies are cells', and each is boxed with its report"
)]
enum Source {
    Router(Option<Bytes>),
    /// A gRPC message. The trailers after it end the answer.
    Grpc(Option<Bytes>),
    /// An answer of the router's own health service, which may last.
    Health(Box<health_service::Body>),
    Cell(CellBody),
    /// It has broken off. What came before is sent first: whoever sends the body discards that with the
    /// error.
    Broken(BodyError),
    Ended,
}

impl<E: Env, S: Sink> ResponseBody<E, S> {
    /// The router's own answer. One to `HEAD` has no body (RFC 9110, section 9.3.2), and only its header
    /// says how long the body would be.
    pub(crate) fn router(report: Report<E, S>, text: Bytes) -> Self {
        let text = Some(text).filter(|text| !text.is_empty() && !report.head);
        let ended = text.is_none();
        let mut this = Self::new(report, Source::Router(text));
        if ended {
            this.0.finish();
        }
        this
    }

    /// One framed gRPC message, and the status `OK`.
    pub(crate) fn grpc(report: Report<E, S>, message: Bytes) -> Self {
        Self::new(report, Source::Grpc(Some(message)))
    }

    /// An answer of the router's own health service.
    pub(crate) fn health(report: Report<E, S>, body: health_service::Body) -> Self {
        let ended = body.is_end_stream();
        let mut this = Self::new(report, Source::Health(Box::new(body)));
        if ended {
            this.0.finish();
        }
        this
    }

    /// No body, and no end to report: a tunnel follows, or nobody gets it.
    pub(super) fn none() -> Self {
        Self(Box::new(Answering {
            source: Source::Ended,
            report: None,
        }))
    }

    pub(super) fn cell(report: Report<E, S>, body: CellBody) -> Self {
        let ended = body.is_over();
        let mut this = Self::new(report, Source::Cell(body));
        if ended {
            this.0.finish();
            return this;
        }
        this.0.begins();
        this
    }

    fn new(report: Report<E, S>, source: Source) -> Self {
        Self(Box::new(Answering {
            source,
            report: Some(report),
        }))
    }
}

impl<E: Env, S: Sink> Answering<E, S> {
    /// Handles the end of a complete body: its connection is free for another exchange.
    fn finish(&mut self) {
        if let Some(report) = &self.report {
            report.turns.client_waits();
        }
        let mut complete = true;
        if let Source::Cell(mut body) = std::mem::replace(&mut self.source, Source::Ended)
            && let Some(report) = &self.report
        {
            complete = !body.has_lost_client();
            let env = &report.connection.worker.env;
            // If the answer ends before the request, the rest of the request is still arriving.
            match body.unread().cloned() {
                Some(progress) if body.gives_up => progress.give_up(),
                Some(progress) => {
                    let activity = report.connection.activity.clone();
                    env.spawn(take_rest(body, progress, activity));
                }
                None if body.is_outlasted() => env.spawn(body.let_go()),
                None if body.framing.reusable => body.lease.done(body.incoming),
                None => {}
            }
        }
        if let Some(mut report) = self.report.take() {
            report.complete = complete;
        }
    }

    fn break_off(&mut self, reason: Reason, error: &str) -> BodyError {
        self.breaks_off((reason, Scope::Exchange), error)
    }

    fn breaks_off(&mut self, (reason, scope): (Reason, Scope), error: &str) -> BodyError {
        if let Source::Cell(body) = std::mem::replace(&mut self.source, Source::Ended)
            && let Some(mut report) = self.report.take()
        {
            health_report::failed(&report, &body.lease.pool, (reason, scope), error);
            report.reason = Some(reason);
        }
        BodyError(reason)
    }

    /// The answer's header is on its way to the client.
    fn begins(&self) {
        if let Some(report) = &self.report {
            report.turns.client_has_the_turn(0);
            if let Some(stream) = &report.stream {
                stream.answers();
                report.turns.carries(stream);
            }
        }
    }

    /// Ends the body because the stream is closed. This isn't the cell's fault.
    fn close(&mut self, reason: Reason) -> BodyError {
        self.source = Source::Ended;
        if let Some(mut report) = self.report.take() {
            report.reason = Some(reason);
        }
        BodyError(reason)
    }

    fn passed_on(&mut self, frame: &mut Frame<Bytes>) {
        let Some(report) = &mut self.report else {
            return;
        };
        if let Some(data) = frame.data_ref() {
            report.bytes += data.len() as u64;
        } else if let (Some(trailers), Source::Cell(body)) = (frame.trailers_mut(), &self.source) {
            headers::sanitize_trailers(body.config.header_rules(), trailers);
        }
    }

    /// A frame of the router's own answer.
    fn own(&mut self, data: Bytes) -> Frame<Bytes> {
        if let Some(report) = &mut self.report {
            report.bytes += data.len() as u64;
        }
        Frame::data(data)
    }

    /// Ends an answer to a gRPC caller with the status `OK`.
    fn grpc_ok(&mut self) -> Frame<Bytes> {
        self.finish();
        let mut trailers = HeaderMap::with_capacity(1);
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        Frame::trailers(trailers)
    }

    /// The next frame of the health service's answer.
    fn poll_health(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Source::Health(body) = &mut self.source else {
            return Poll::Ready(None);
        };
        let polled = Pin::new(&mut **body).poll_frame(cx);
        let frame = match polled {
            Poll::Ready(Some(Ok(frame))) => frame,
            Poll::Ready(Some(Err(never))) => match never {},
            Poll::Ready(None) => {
                self.finish();
                return Poll::Ready(None);
            }
            Poll::Pending => {
                if let Some(report) = &self.report {
                    report.turns.client_waits();
                }
                return Poll::Pending;
            }
        };
        let frame = match frame.into_data() {
            Ok(data) => {
                if let Some(report) = &self.report {
                    report.turns.client_has_the_turn(data.len());
                }
                self.own(data)
            }
            Err(trailers) => {
                self.finish();
                trailers
            }
        };
        Poll::Ready(Some(Ok(frame)))
    }

    /// The next frame of a cell's answer.
    fn poll_cell(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Source::Cell(body) = &mut self.source else {
            return Poll::Ready(None);
        };
        let grpc = body.grpc;
        let polled = self.poll_source(cx);
        match polled {
            Poll::Ready(Some(Err(BodyError(reason)))) if grpc => {
                Poll::Ready(Some(Ok(Frame::trailers(grpc::broken(reason)))))
            }
            Poll::Ready(Some(Err(error))) => {
                self.source = Source::Broken(error);
                cx.waker().wake_by_ref();
                Poll::Pending
            }
            polled @ (Poll::Ready(_) | Poll::Pending) => polled,
        }
    }

    /// The next frame of a cell's answer, or why it breaks off.
    fn poll_source(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let Source::Cell(body) = &mut self.source else {
            return Poll::Ready(None);
        };
        let stream = self.report.as_ref().and_then(|it| it.stream.as_ref());
        if let Some(stream) = stream
            && let Poll::Ready(reason) = stream.poll_closed(Side::Answer, cx)
        {
            return Poll::Ready(Some(Err(self.close(reason))));
        }
        // The cell doesn't get the rest of such a body, so its answer can't be trusted to the end.
        if body.is_too_long() {
            return Poll::Ready(Some(Err(self.close(Reason::BodyTooLarge))));
        }
        // A request body that is too slow ends the exchange even while the answer makes progress.
        if body.is_outrun() {
            return Poll::Ready(Some(Err(self.close(Reason::ClientTimeout))));
        }
        match body.poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                body.timer = None;
                if let Err((reason, why)) = body.framing.came(&frame) {
                    return Poll::Ready(Some(Err(self.break_off(reason, why))));
                }
                if let Some(report) = &self.report {
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    report.turns.client_has_the_turn(bytes);
                }
                // Nothing follows trailers, and nobody asks for more after them.
                let ended = body.is_over() || frame.is_trailers();
                self.passed_on(&mut frame);
                if ended {
                    self.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => match body.framing.over(&body.incoming) {
                Ok(()) => {
                    self.finish();
                    Poll::Ready(None)
                }
                Err((reason, why)) => Poll::Ready(Some(Err(self.break_off(reason, why)))),
            },
            Poll::Ready(Some(Err(_))) if body.is_too_long() => {
                Poll::Ready(Some(Err(self.close(Reason::BodyTooLarge))))
            }
            // The router has reset the stream, which says nothing about the cell.
            Poll::Ready(Some(Err(_))) if body.is_broken_off() => {
                Poll::Ready(Some(Err(self.close(Reason::BadRequest))))
            }
            Poll::Ready(Some(Err(error))) => {
                let scope = Scope::of(&error, &body.lease);
                let what = (health_report::reason(&error), scope);
                Poll::Ready(Some(Err(self.breaks_off(what, &error.to_string()))))
            }
            Poll::Pending => match body.overdue(cx) {
                Poll::Pending => {
                    if let Some(report) = &self.report {
                        report.turns.client_waits();
                    }
                    Poll::Pending
                }
                Poll::Ready(reason) => Poll::Ready(Some(Err(self.time_out(reason)))),
            },
        }
    }

    /// Ends the body because nothing came for too long.
    fn time_out(&mut self, reason: Reason) -> BodyError {
        match reason == Reason::ClientTimeout {
            true => self.close(reason),
            false => self.break_off(reason, reason.describe()),
        }
    }
}

impl<E: Env, S: Sink> Body for ResponseBody<E, S> {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self.0;
        match &mut this.source {
            Source::Ended => Poll::Ready(None),
            Source::Broken(error) => {
                let error = *error;
                this.source = Source::Ended;
                Poll::Ready(Some(Err(error)))
            }
            Source::Router(text) => {
                let text = text.take();
                let frame = text.map(|text| this.own(text));
                this.finish();
                Poll::Ready(frame.map(Ok))
            }
            Source::Grpc(message) => {
                let message = message.take();
                let frame = message.map(|message| this.own(message));
                Poll::Ready(Some(Ok(frame.unwrap_or_else(|| this.grpc_ok()))))
            }
            Source::Health(_) => this.poll_health(cx),
            Source::Cell(_) => this.poll_cell(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.0.source {
            Source::Ended => true,
            Source::Router(text) => text.is_none(),
            Source::Grpc(_) | Source::Broken(_) => false,
            Source::Health(body) => body.is_end_stream(),
            Source::Cell(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0.source {
            Source::Ended => SizeHint::with_exact(0),
            Source::Router(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Source::Grpc(_) | Source::Health(_) | Source::Broken(_) => SizeHint::default(),
            Source::Cell(body) => body.size_hint(),
        }
    }
}

/// Lets the cell read the rest of a short body after its answer, for a bounded time. Meanwhile the
/// request keeps its places. Otherwise a client that announces bodies and never sends them could
/// hold the cell's connections without being counted.
async fn take_rest(body: CellBody, progress: Arc<Progress>, activity: Arc<Activity>) {
    let until = Instant::now() + unread::REST_AWAITED;
    match timeout_at(until, poll_fn(|cx| progress.poll_end(cx))).await {
        Ok(End::Whole) => {
            activity.has_read_all();
            body.let_go().await;
        }
        // The cell has closed the connection. The client's connection can stay open.
        Ok(End::Left(rest)) => {
            drop(body);
            let left = until.saturating_duration_since(Instant::now());
            unread::ends_within(left, rest.into_incoming(), &activity).await;
        }
        Ok(End::Broken) => {}
        Err(_) => progress.give_up(),
    }
}
