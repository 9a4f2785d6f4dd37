//! A client's HTTP/2 connection: takes its requests, and answers each in a task of its own.

mod answering;

use std::error::Error;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use h2::ext::Protocol;
use h2::server::{Builder, Connection, Handshake, SendResponse};
use h2::{Reason, RecvStream};
use http::header::EXPECT;
use http::{HeaderMap, Request, Response};
use http_body::Body;
use tokio::io::{AsyncRead, AsyncWrite};

use self::answering::{Answering, Asks};
use super::watch::{Broken, Serving};
use crate::data_plane::activity::Activity;
use crate::data_plane::http2::{CONNECTION_WINDOW, KeepAlive, REQUEST_LIST_MAX, STREAM_WINDOW};
use crate::data_plane::incoming::{Incoming, Received};
use crate::data_plane::switch::StreamSwitch;
use crate::data_plane::turns::Turns;
use crate::settings::ListenerSettings;

/// How often an HTTP/2 client is pinged while nothing comes from it, and how long it may take to
/// answer. Otherwise a client that vanished would keep its places in the cells' bulkheads. Clients
/// don't count pings, unlike gRPC servers (gRFC A8 limits only clients), so pings are always sent.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(20);

/// Runs a connection.
pub(super) struct Http2<E, W, M> {
    state: State<W>,
    /// Whether it was told to close before its handshake was done.
    closes: bool,
    /// Whether the client has not answered a ping.
    vanished: bool,
    activity: Arc<Activity>,
    /// How often bytes had come when it was last polled.
    reads: u32,
    env: E,
    /// The listener's limits on streams that stall.
    stall: Duration,
    rate_min: u32,
    /// Answers a request.
    serve: M,
}

// There is one for each connection, in the connection's own allocation.
enum State<W> {
    Greets(Handshake<W, Bytes>),
    Serves {
        connection: Connection<W, Bytes>,
        /// `None` when the client has not answered.
        pings: Option<KeepAlive>,
    },
}

impl<E, W: AsyncRead + AsyncWrite + Unpin, M> Http2<E, W, M> {
    pub(super) fn new(
        env: E,
        wire: W,
        activity: Arc<Activity>,
        settings: &ListenerSettings,
        serve: M,
    ) -> Self {
        Self {
            state: State::Greets(builder(settings).handshake(wire)),
            closes: false,
            vanished: false,
            activity,
            reads: 0,
            env,
            stall: settings.timeouts.stall,
            rate_min: settings.timeouts.read_rate_min,
            serve,
        }
    }

    /// The handshake is done.
    fn greeted(&mut self, mut connection: Connection<W, Bytes>) {
        if self.closes {
            connection.graceful_shutdown();
        }
        let pings = connection.ping_pong();
        let pings = pings.map(|pings| KeepAlive::new(pings, [PING_INTERVAL, PING_TIMEOUT]));
        self.state = State::Serves { connection, pings };
    }

    /// Notes whether bytes have come since the last time.
    fn notes_reads(&mut self) {
        let reads = self.activity.reads();
        if let State::Serves { pings, .. } = &mut self.state
            && self.reads != reads
            && let Some(pings) = pings
        {
            self.reads = reads;
            pings.heard();
        }
    }
}

/// h2 under the router's limits.
fn builder(settings: &ListenerSettings) -> Builder {
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(settings.streams_max)
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_header_list_size(REQUEST_LIST_MAX);
    if settings.announces_connect() {
        builder.enable_connect_protocol();
    }
    builder
}

impl<E, W, M, F, B> Http2<E, W, M>
where
    E: Env,
    W: AsyncRead + AsyncWrite + Unpin,
    M: Fn(Request<Incoming>, Turns) -> F,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    /// Takes the requests that have come.
    fn poll_serve(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        loop {
            let State::Serves { connection, .. } = &mut self.state else {
                return Poll::Ready(Ok(()));
            };
            match ready!(connection.poll_accept(cx)) {
                Some(Ok((request, respond))) => self.begin(request, respond),
                Some(Err(_)) => return Poll::Ready(Err(Broken)),
                None if self.vanished => return Poll::Ready(Err(Broken)),
                None => return Poll::Ready(Ok(())),
            }
        }
    }

    /// Starts to answer a request.
    fn begin(&self, request: Request<RecvStream>, respond: SendResponse<Bytes>) {
        let (mut parts, stream) = request.into_parts();
        let turns = Turns::watched(self.rate_min);
        let mut asks = Asks::default();
        let mut body = Received::new(stream, &parts.headers);
        if parts.extensions.get::<Protocol>().is_some() {
            let switch = Arc::new(StreamSwitch::default());
            parts.extensions.insert(switch.clone());
            asks.switch = Some(switch);
        } else if expects_continue(&parts.headers) {
            body = body.expecting(&turns);
            asks.expects = true;
        }
        let request = Request::from_parts(parts, Incoming::from(body));
        let answer = (self.serve)(request, turns.clone());
        let answering = Answering::new(answer, respond, asks, turns, self.stall);
        self.env.spawn(answering);
    }
}

/// Whether the client waits for `100 Continue` before it sends the body.
fn expects_continue(headers: &HeaderMap) -> bool {
    let expects = headers.get(EXPECT);
    expects.is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"))
}

impl<E, W, M, F, B> Future for Http2<E, W, M>
where
    E: Env,
    W: AsyncRead + AsyncWrite + Unpin,
    M: Fn(Request<Incoming>, Turns) -> F + Unpin,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    type Output = Result<(), Broken>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Result<(), Broken>> {
        let this = &mut *self;
        if let State::Greets(handshake) = &mut this.state {
            let connection = ready!(Pin::new(handshake).poll(cx)).map_err(|_| Broken)?;
            this.greeted(connection);
        }
        if let State::Serves { connection, pings } = &mut this.state
            && pings
                .as_mut()
                .is_some_and(|pings| pings.poll(cx).is_ready())
        {
            *pings = None;
            this.vanished = true;
            connection.abrupt_shutdown(Reason::NO_ERROR);
        }
        let served = this.poll_serve(cx);
        this.notes_reads();
        served
    }
}

impl<E, W, M, F, B> Serving for Http2<E, W, M>
where
    E: Env,
    W: AsyncRead + AsyncWrite + Unpin,
    M: Fn(Request<Incoming>, Turns) -> F + Unpin,
    F: Future<Output = Response<B>> + Send + 'static,
    B: Body<Data = Bytes, Error: Into<Box<dyn Error + Send + Sync>>> + Send + 'static,
{
    fn finish(mut self: Pin<&mut Self>) {
        match &mut self.state {
            State::Greets(_) => self.closes = true,
            State::Serves { connection, .. } => connection.graceful_shutdown(),
        }
    }
}

#[cfg(test)]
mod tests;
