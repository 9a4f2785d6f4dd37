//! Bodies, streamed: a frame is asked for when the other side has room for it.

use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::policy::Policy;
use cellway_core::{Reason, headers};
use http::{HeaderMap, HeaderValue, Version};
use http_body::{Body, Frame, SizeHint};
use hyper::body::Incoming;
use tokio::time::{Instant, Sleep, sleep_until};

use super::framing::{Framing, trailers_fit, was_cut};
use super::progress::{Progress, Turn};
use super::report::Report;
use super::trailers::take_end;
use super::verdict;
use crate::connection::{Activity, stall};
use crate::env::Env;
use crate::event::Sink;
use crate::pool::{Lease, RequestPermit};
use crate::streams::{Side, Stream};

/// A body broke off. Says so to hyper, which resets the stream or closes the connection: a
/// recipient must never take a cut body for a whole one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BrokenOff(pub(crate) Reason);

impl fmt::Display for BrokenOff {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the body broke off: {}", self.0)
    }
}

impl std::error::Error for BrokenOff {}

/// From client to cell.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// `None`: there is no body. So it is in a request that is sent again.
    incoming: Option<Incoming>,
    /// `None` for an empty body, which costs nothing to watch.
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    progress: Arc<Progress>,
    http2: bool,
    /// Boxed, because the body is moved often on its way to the cell.
    passed: Option<Box<Passed>>,
}

/// What a body has to do with once its request was let through.
#[derive(Debug)]
struct Passed {
    /// By which the request was stamped: its trailers may not have the names of those stamps,
    /// whatever a reload makes of them meanwhile.
    stamped_by: Arc<Policy>,
    stream: Option<Arc<Stream>>,
    activity: Arc<Activity>,
}

impl Drop for Passed {
    fn drop(&mut self) {
        self.activity.body_ends();
    }
}

/// Why a request's body is not passed on to its end.
#[derive(Debug)]
pub(crate) enum RequestBroken {
    /// The client broke it off.
    Client(hyper::Error),
    /// The client ended an HTTP/2 stream and not the body.
    Cut,
    /// The trailers are over the limits of a header.
    Trailers,
    /// The router broke it off.
    Closed(BrokenOff),
    /// The cell has answered without it.
    GivenUp,
}

impl fmt::Display for RequestBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Client(error) => error.fmt(f),
            Self::Cut => f.write_str("the client ended the stream without END_STREAM"),
            Self::Trailers => f.write_str("the request's trailers are too large, or too many"),
            Self::Closed(why) => why.fmt(f),
            Self::GivenUp => f.write_str("the answer is whole without it"),
        }
    }
}

impl std::error::Error for RequestBroken {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Client(error) => error.source(),
            Self::Cut | Self::Trailers | Self::Closed(_) | Self::GivenUp => None,
        }
    }
}

impl RequestBody {
    pub(super) fn new(incoming: Incoming, version: Version) -> (Self, Option<Arc<Progress>>) {
        if incoming.is_end_stream() {
            return (Self::empty(), None);
        }
        let progress = Arc::new(Progress::new());
        let watched = Some(Watched {
            progress: progress.clone(),
            http2: version == Version::HTTP_2,
            passed: None,
        });
        let incoming = Some(incoming);
        (Self { incoming, watched }, Some(progress))
    }

    pub(super) fn empty() -> Self {
        Self {
            incoming: None,
            watched: None,
        }
    }

    /// Whether there never was anything to send.
    pub(super) fn is_empty(&self) -> bool {
        self.incoming.is_none()
    }

    /// The body for those who may discard it; `None` if it is empty.
    pub(super) fn boxed(self) -> Option<Box<Self>> {
        self.watched.is_some().then(|| Box::new(self))
    }

    /// Whether it comes over HTTP/2, where trailers may follow a length.
    pub(super) fn is_from_http2(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| watched.http2)
    }

    /// The body as hyper reads it.
    pub(super) fn into_incoming(self) -> Option<Incoming> {
        self.incoming
    }

    /// The request was let through. Notes whose names its header has (until then no trailers pass),
    /// and the stream that it belongs to.
    pub(super) fn passes(
        &mut self,
        policy: &Arc<Policy>,
        stream: Option<Arc<Stream>>,
        activity: &Arc<Activity>,
    ) {
        if let Some(watched) = &mut self.watched {
            activity.body_begins();
            watched.passed = Some(Box::new(Passed {
                stamped_by: policy.clone(),
                stream,
                activity: activity.clone(),
            }));
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = RequestBroken;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, RequestBroken>>> {
        if let Some(watched) = &self.watched
            && let Some(stream) = watched.passed.as_ref().and_then(|it| it.stream.as_ref())
            && let Poll::Ready(reason) = stream.poll_closed(Side::Request, cx)
        {
            watched.progress.moved(0, Turn::Broken);
            return Poll::Ready(Some(Err(RequestBroken::Closed(BrokenOff(reason)))));
        }
        if let Some(watched) = &self.watched
            && watched.progress.poll_given_up(cx).is_ready()
        {
            watched.progress.moved(0, Turn::Broken);
            return Poll::Ready(Some(Err(RequestBroken::GivenUp)));
        }
        let Some(incoming) = &mut self.incoming else {
            return Poll::Ready(None);
        };
        let mut polled = Pin::new(&mut *incoming).poll_frame(cx);
        let ended = incoming.is_end_stream();
        if let Some(watched) = &self.watched {
            let Watched {
                progress, passed, ..
            } = watched;
            match &mut polled {
                Poll::Pending => progress.waits_for_client(),
                Poll::Ready(None) if was_cut(watched.http2, ended) => {
                    progress.moved(0, Turn::Broken);
                    return Poll::Ready(Some(Err(RequestBroken::Cut)));
                }
                Poll::Ready(None) => progress.moved(0, Turn::Done),
                Poll::Ready(Some(Ok(frame)))
                    if frame.trailers_ref().is_some_and(|it| !trailers_fit(it)) =>
                {
                    progress.moved(0, Turn::Broken);
                    return Poll::Ready(Some(Err(RequestBroken::Trailers)));
                }
                Poll::Ready(Some(Err(_))) => progress.moved(0, Turn::Broken),
                Poll::Ready(Some(Ok(frame))) => {
                    // Nothing follows trailers, and nobody asks whether something does.
                    let ended = ended || frame.is_trailers();
                    if let Some(trailers) = frame.trailers_mut() {
                        match passed {
                            Some(passed) => {
                                headers::sanitise_trailers(&passed.stamped_by.headers, trailers);
                            }
                            None => trailers.clear(),
                        }
                    }
                    let bytes = frame.data_ref().map_or(0, Bytes::len);
                    progress.moved(bytes, if ended { Turn::Done } else { Turn::Cell });
                    if ended && let Some(passed) = passed {
                        passed.activity.body_ends();
                    }
                }
            }
        }
        polled.map_err(RequestBroken::Client)
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        let incoming = self.incoming.as_ref();
        incoming.map_or(SizeHint::with_exact(0), Body::size_hint)
    }
}

/// From cell, or from the router itself, to client.
pub(crate) struct ResponseBody<E: Env, S: Sink> {
    source: Source,
    /// Told when the body ends, or is dropped.
    report: Option<Report<E, S>>,
}

enum Source {
    Router(Option<Bytes>),
    /// A gRPC message; the trailers say that it is all.
    Grpc(Option<Bytes>),
    Cell(CellBody),
    Ended,
}

/// What a cell's answer holds on to until its last byte.
pub(super) struct CellBody {
    pub(super) incoming: Incoming,
    pub(super) framing: Framing,
    pub(super) lease: Lease,
    pub(super) permit: RequestPermit,
    pub(super) progress: Option<Arc<Progress>>,
    pub(super) idle: Duration,
    pub(super) total: Option<Instant>,
    /// While nothing comes: since when, and when to look whether that has lasted too long.
    pub(super) timer: Option<(Instant, Pin<Box<Sleep>>)>,
    /// Once the answer is whole, the rest of the request's body isn't waited for.
    pub(super) gives_up: bool,
}

impl<E: Env, S: Sink> ResponseBody<E, S> {
    pub(crate) fn router(report: Report<E, S>, text: Bytes) -> Self {
        Self {
            source: Source::Router((!text.is_empty()).then_some(text)),
            report: Some(report),
        }
    }

    /// One framed gRPC message, and the status `OK`.
    pub(crate) fn grpc(report: Report<E, S>, message: Bytes) -> Self {
        Self {
            source: Source::Grpc(Some(message)),
            report: Some(report),
        }
    }

    pub(super) fn cell(report: Report<E, S>, body: CellBody) -> Self {
        let ended = body.is_over();
        let mut this = Self {
            source: Source::Cell(body),
            report: Some(report),
        };
        if ended {
            this.finish();
            return this;
        }
        stall::client_has_the_turn(0);
        if let Some(stream) = this.stream() {
            stream.answers();
            stall::carries(stream);
        }
        this
    }

    /// The body is whole: its connection is free for another exchange.
    fn finish(&mut self) {
        stall::client_waits();
        if let Source::Cell(body) = std::mem::replace(&mut self.source, Source::Ended) {
            let sent = |progress: &Arc<Progress>| progress.turn() == Turn::Done;
            // An answer that comes before the request is whole leaves the rest of it on its way.
            let unsent = body.progress.as_ref().filter(|progress| !sent(progress));
            match unsent {
                Some(progress) if body.gives_up => progress.give_up(),
                None if body.framing.outlasts(&body.incoming) => {
                    if let Some(report) = &self.report {
                        let held = (body.lease, body.permit);
                        let env = &report.connection.worker.common.env;
                        env.spawn(take_end(body.incoming, held));
                    }
                }
                None if body.framing.reusable => body.lease.done(),
                Some(_) | None => {}
            }
        }
        if let Some(mut report) = self.report.take() {
            report.complete = true;
        }
    }

    fn break_off(&mut self, reason: Reason, error: &str) -> BrokenOff {
        if let Source::Cell(body) = std::mem::replace(&mut self.source, Source::Ended)
            && let Some(mut report) = self.report.take()
        {
            verdict::failed(&report, &body.lease.pool, reason, error);
            report.reason = Some(reason);
        }
        BrokenOff(reason)
    }

    fn stream(&self) -> Option<&Arc<Stream>> {
        self.report.as_ref()?.stream.as_ref()
    }

    /// The stream is closed. The cell isn't to blame.
    fn close(&mut self, reason: Reason) -> BrokenOff {
        self.source = Source::Ended;
        if let Some(mut report) = self.report.take() {
            report.reason = Some(reason);
        }
        BrokenOff(reason)
    }

    fn passed_on(&mut self, frame: &mut Frame<Bytes>) {
        let Some(report) = &mut self.report else {
            return;
        };
        if let Some(data) = frame.data_ref() {
            report.bytes += data.len() as u64;
        } else if let Some(trailers) = frame.trailers_mut() {
            let snapshot = report.connection.worker.common.shared.snapshot();
            headers::sanitise_trailers(&snapshot.policy.headers, trailers);
        }
    }
}

impl CellBody {
    /// Whether nothing more comes.
    fn is_over(&self) -> bool {
        self.framing.ended() || self.incoming.is_end_stream()
    }

    /// Whether the client sends the rest of its request more slowly than it may.
    fn is_outrun(&self) -> bool {
        let deadline = self.progress.as_ref().and_then(|it| it.client_deadline());
        deadline.is_some_and(|deadline| deadline <= Instant::now())
    }

    /// When to look again whether something has lasted too long, if `idle` is when nothing will
    /// have moved for that long.
    fn next_look(&self, now: Instant, idle: Instant) -> Instant {
        let progress = self.progress.as_ref();
        let client = progress.and_then(|it| it.client_deadline());
        // Its turn may begin without a wake-up here.
        let client = client.or_else(|| Some(now + progress?.grace()?));
        let limits = [self.total, client].into_iter().flatten();
        limits.fold(idle, Instant::min)
    }

    /// While nothing comes: whether that has lasted too long.
    fn overdue(&mut self, cx: &mut Context<'_>) -> Poll<Reason> {
        // Armed anew at each frame, so that a frame pushes the idle deadline away; kept between
        // polls that bring nothing.
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
            // A cell that still takes the request's body isn't idle.
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

impl<E: Env, S: Sink> Body for ResponseBody<E, S> {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let this = &mut *self;
        let body = match &mut this.source {
            Source::Ended => return Poll::Ready(None),
            Source::Router(text) => {
                let text = text.take();
                if let (Some(text), Some(report)) = (&text, &mut this.report) {
                    report.bytes += text.len() as u64;
                }
                this.finish();
                return Poll::Ready(text.map(|text| Ok(Frame::data(text))));
            }
            Source::Grpc(message) => match message.take() {
                Some(message) => {
                    if let Some(report) = &mut this.report {
                        report.bytes += message.len() as u64;
                    }
                    return Poll::Ready(Some(Ok(Frame::data(message))));
                }
                None => {
                    this.finish();
                    let mut trailers = HeaderMap::with_capacity(1);
                    trailers.insert("grpc-status", HeaderValue::from_static("0"));
                    return Poll::Ready(Some(Ok(Frame::trailers(trailers))));
                }
            },
            Source::Cell(body) => body,
        };
        let stream = this.report.as_ref().and_then(|it| it.stream.as_ref());
        if let Some(stream) = stream
            && let Poll::Ready(reason) = stream.poll_closed(Side::Answer, cx)
        {
            return Poll::Ready(Some(Err(this.close(reason))));
        }
        // An answer that goes on doesn't excuse a request that hardly does.
        if body.is_outrun() {
            return Poll::Ready(Some(Err(this.close(Reason::ClientTimeout))));
        }
        match Pin::new(&mut body.incoming).poll_frame(cx) {
            Poll::Ready(Some(Ok(mut frame))) => {
                body.timer = None;
                if let Err((reason, why)) = body.framing.came(&frame) {
                    return Poll::Ready(Some(Err(this.break_off(reason, why))));
                }
                stall::client_has_the_turn(frame.data_ref().map_or(0, Bytes::len));
                // Nothing follows trailers, and nobody asks whether something does.
                let ended = body.is_over() || frame.is_trailers();
                this.passed_on(&mut frame);
                if ended {
                    this.finish();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Poll::Ready(None) => match body.framing.over(&body.incoming) {
                Ok(()) => {
                    this.finish();
                    Poll::Ready(None)
                }
                Err((reason, why)) => Poll::Ready(Some(Err(this.break_off(reason, why)))),
            },
            Poll::Ready(Some(Err(error))) => {
                let reason = verdict::reason(&error);
                Poll::Ready(Some(Err(this.break_off(reason, &error.to_string()))))
            }
            Poll::Pending => match body.overdue(cx) {
                Poll::Pending => {
                    stall::client_waits();
                    Poll::Pending
                }
                Poll::Ready(Reason::ClientTimeout) => {
                    Poll::Ready(Some(Err(this.close(Reason::ClientTimeout))))
                }
                Poll::Ready(reason) => {
                    Poll::Ready(Some(Err(this.break_off(reason, reason.describe()))))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Ended => true,
            Source::Router(text) => text.is_none(),
            Source::Grpc(_) => false,
            Source::Cell(body) => body.is_over(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Ended => SizeHint::with_exact(0),
            Source::Router(text) => {
                SizeHint::with_exact(text.as_ref().map_or(0, |text| text.len() as u64))
            }
            Source::Grpc(_) => SizeHint::default(),
            Source::Cell(body) => body.incoming.size_hint(),
        }
    }
}
