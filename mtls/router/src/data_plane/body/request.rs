//! A request's body, streamed from client to cell, and replayed if the request is sent again.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use cellway_core::policy::Policy;
use http::Version;
use http_body::{Body, Frame, SizeHint};

use super::framing::was_cut;
use super::kept::{Next, Places};
use super::progress::{Progress, Turn};
use super::source::{RequestBodyError, SendBodyError, Source};
use crate::data_plane::activity::Activity;
use crate::data_plane::incoming::Incoming;
use crate::data_plane::streams::Stream;

/// The most bytes of an unneeded body that are read so that the connection can be used again.
pub(crate) const DRAINED_MAX: u64 = 64 * 1024;

/// A body on its way from client to cell.
#[derive(Debug)]
pub(crate) struct RequestBody {
    /// Where the body comes from. `None` if there is no body, or if this body doesn't read it yet.
    source: Option<Source>,
    /// `None` for an empty body, which needs no watching.
    watched: Option<Watched>,
}

#[derive(Debug)]
struct Watched {
    progress: Arc<Progress>,
    http2: bool,
    /// The number of this body. Each time the request is sent again, it gets the next one.
    number: u8,
    /// Whether what is read is kept.
    keeps: bool,
    /// How many kept frames it has replayed. `None` if it reads from the source.
    replayed: Option<u8>,
}

type Polled = Poll<Option<Result<Frame<Bytes>, RequestBodyError>>>;

impl RequestBody {
    pub(crate) fn new(incoming: Incoming, version: Version) -> (Self, Option<Arc<Progress>>) {
        if incoming.is_end_stream() {
            return (Self::empty(), None);
        }
        let http2 = version == Version::HTTP_2;
        let length = incoming.size_hint().exact();
        let drains = !http2 && length.is_some_and(|length| length <= DRAINED_MAX);
        let progress = Arc::new(Progress::new(drains));
        let this = Self {
            source: Some(Source::new(incoming)),
            watched: Some(Watched {
                progress: progress.clone(),
                http2,
                number: 0,
                keeps: false,
                replayed: None,
            }),
        };
        (this, Some(progress))
    }

    pub(crate) fn empty() -> Self {
        Self {
            source: None,
            watched: None,
        }
    }

    /// The body, for code that may discard it; `None` if it is empty.
    pub(crate) fn boxed(mut self) -> Option<Box<Self>> {
        let watched = self.watched.as_ref()?;
        if self.source.is_none() {
            self.source = watched.progress.kept.take_source();
        }
        Some(Box::new(self))
    }

    /// Whether it comes over HTTP/2, where trailers may follow a body with a length.
    pub(crate) fn is_from_http2(&self) -> bool {
        self.watched.as_ref().is_some_and(|watched| watched.http2)
    }

    /// The body as it comes from the client.
    pub(crate) fn into_incoming(mut self) -> Option<Incoming> {
        self.source.take().map(Source::into_incoming)
    }

    /// Called when the request was allowed. Notes the policy that stamped it (until then no
    /// trailers pass), its stream, and how long it may be.
    pub(crate) fn passes(
        &mut self,
        policy: &Arc<Policy>,
        stream: Option<Arc<Stream>>,
        activity: &Arc<Activity>,
        bytes_max: Option<u64>,
    ) {
        if let Some(source) = &mut self.source {
            source.passes(policy, stream, activity, bytes_max);
        }
    }

    /// Starts to keep what is read, because the request is about to be sent and may have to be sent
    /// again.
    pub(crate) fn keep(&mut self, places: impl FnOnce() -> Places) {
        if let Some(watched) = &mut self.watched
            && !watched.keeps
        {
            watched.keeps = true;
            watched.progress.kept.start(places());
        }
    }

    /// Stops keeping: the request won't be sent again after this time.
    pub(crate) fn keep_no_more(&mut self) {
        if let Some(watched) = &mut self.watched
            && watched.keeps
        {
            watched.progress.stop_keeping();
        }
    }

    /// What is needed to make the request's next body.
    pub(crate) fn spare(&self) -> SpareBody {
        let watched = self.watched.as_ref();
        SpareBody(watched.map(|watched| (watched.progress.clone(), watched.http2)))
    }
}

/// Makes the next body of a request.
#[derive(Debug)]
pub(crate) struct SpareBody(Option<(Arc<Progress>, bool)>);

impl SpareBody {
    /// Whether the next body would be complete.
    pub(crate) fn is_complete(&self) -> bool {
        (self.0.as_ref()).is_none_or(|(progress, _)| progress.kept.is_complete())
    }

    /// The next body, which replaces the previous one. `None` if not everything that was read is
    /// kept.
    pub(crate) fn restore(self) -> Option<RequestBody> {
        let Some((progress, http2)) = self.0 else {
            return Some(RequestBody::empty());
        };
        let number = progress.again()?;
        Some(RequestBody {
            source: None,
            watched: Some(Watched {
                progress,
                http2,
                number,
                keeps: true,
                replayed: Some(0),
            }),
        })
    }
}

impl RequestBody {
    /// The next frame: a kept one, or one from the source.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Polled {
        let Some(watched) = &mut self.watched else {
            return Poll::Ready(None);
        };
        let broken = match &self.source {
            Some(source) => source.poll_closed(cx),
            None => Poll::Pending,
        };
        let broken = match broken {
            Poll::Pending if watched.progress.poll_given_up(cx).is_ready() => {
                Poll::Ready(RequestBodyError::GivenUp)
            }
            broken @ (Poll::Ready(_) | Poll::Pending) => broken,
        };
        if let Poll::Ready(broken) = broken {
            watched.progress.moved(0, Turn::Broken);
            return Poll::Ready(Some(Err(broken)));
        }
        if watched.replayed.is_some() {
            match ready!(watched.replay(cx)) {
                Ok(Next::Frame(frame)) => return Poll::Ready(Some(Ok(frame))),
                Ok(Next::End) => return Poll::Ready(None),
                Ok(Next::Source(source)) => self.source = Some(source),
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
        }
        match &mut self.source {
            Some(source) => watched.read(source, cx),
            None => Poll::Ready(None),
        }
    }
}

impl Drop for RequestBody {
    fn drop(&mut self) {
        let Some(watched) = &self.watched else {
            return;
        };
        let source = self.source.take();
        let unused = match watched.keeps {
            true => watched.progress.kept.leave(watched.number, source),
            false => source,
        };
        if let Some(source) = unused {
            watched.progress.leave(source);
        }
    }
}

impl Body for RequestBody {
    type Data = Bytes;
    type Error = SendBodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, SendBodyError>>> {
        self.poll_next(cx).map_err(SendBodyError::from)
    }

    fn is_end_stream(&self) -> bool {
        match (&self.watched, &self.source) {
            (Some(watched), None) => watched.has_replayed_all(),
            (_, Some(source)) => source.incoming.is_end_stream(),
            (None, None) => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match (&self.watched, &self.source) {
            // A request that is sent again already has its length in the header.
            (Some(watched), _) if watched.number > 0 => SizeHint::default(),
            (_, Some(source)) => source.incoming.size_hint(),
            (_, None) => SizeHint::with_exact(0),
        }
    }
}

impl Watched {
    /// Gives the next kept frame, or the source once there are no more.
    fn replay(&mut self, cx: &Context<'_>) -> Poll<Result<Next, RequestBodyError>> {
        let at = self.replayed.unwrap_or_default();
        let Some(mut state) = self.progress.kept.reader(self.number) else {
            return Poll::Ready(Err(RequestBodyError::SentAgain));
        };
        let next = ready!(state.next(at, cx));
        let end = state.ends_at(at.saturating_add(1));
        drop(state);
        self.replayed = match next {
            Next::Source(_) => None,
            Next::Frame(_) | Next::End => Some(at.saturating_add(1)),
        };
        let turn = if end { Turn::Done } else { Turn::Cell };
        // These bytes already counted for the client's pace.
        self.progress.moved(0, turn);
        Poll::Ready(Ok(next))
    }

    fn has_replayed_all(&self) -> bool {
        let state = self.progress.kept.reader(self.number);
        let ends = |at| state.is_some_and(|state| state.ends_at(at));
        self.replayed.is_some_and(ends)
    }

    /// Reads from the source, and keeps what comes while the request may be sent again.
    fn read(&mut self, source: &mut Source, cx: &mut Context<'_>) -> Polled {
        if !self.keeps {
            return poll_read(source, self.http2, &self.progress, cx).0;
        }
        // Locked while it reads, so that no frame is lost when the next body takes over.
        let Some(mut state) = self.progress.kept.reader(self.number) else {
            return Poll::Ready(Some(Err(RequestBodyError::SentAgain)));
        };
        let (polled, ended) = poll_read(source, self.http2, &self.progress, cx);
        match &polled {
            Poll::Ready(Some(Ok(frame))) => state.keep(frame, ended),
            Poll::Ready(None) => state.ends(),
            Poll::Ready(Some(Err(_))) | Poll::Pending => {}
        }
        polled
    }
}

/// The next frame of the source, and whether it is the last.
fn poll_read(
    source: &mut Source,
    http2: bool,
    progress: &Progress,
    cx: &mut Context<'_>,
) -> (Polled, bool) {
    let polled = Pin::new(&mut source.incoming).poll_frame(cx);
    let ended = source.incoming.is_end_stream();
    // `bytes` are those that arrived and don't pass.
    let broken_with = |bytes, broken| {
        progress.moved(bytes, Turn::Broken);
        (Poll::Ready(Some(Err(broken))), false)
    };
    let broken = |broken| broken_with(0, broken);
    match polled {
        Poll::Pending => {
            progress.waits_for_client();
            (Poll::Pending, false)
        }
        Poll::Ready(None) if was_cut(http2, ended) => broken(RequestBodyError::Cut),
        Poll::Ready(None) => {
            progress.moved(0, Turn::Done);
            source.ends();
            (Poll::Ready(None), true)
        }
        Poll::Ready(Some(Err(error))) => {
            if error.other_end_is_gone() {
                progress.loses_client();
            }
            if let Some(fault) = error.malformed_request() {
                progress.is_malformed(fault);
            }
            broken(RequestBodyError::Client(error))
        }
        Poll::Ready(Some(Ok(mut frame))) => {
            if !source.clean_trailers(&mut frame) {
                return broken(RequestBodyError::Trailers);
            }
            // Nothing follows trailers, and nobody asks for more after them.
            let ended = ended || frame.is_trailers();
            let bytes = frame.data_ref().map_or(0, Bytes::len);
            if !source.may_have(bytes) {
                progress.is_too_long();
                return broken_with(bytes, RequestBodyError::TooLong);
            }
            progress.moved(bytes, if ended { Turn::Done } else { Turn::Cell });
            if ended {
                source.ends();
            }
            (Poll::Ready(Some(Ok(frame))), ended)
        }
    }
}
