//! A cell that answers with what it received.

mod asked;
mod by_fault;
mod call;
mod echo;
mod reading;
mod received;

use std::fmt;
use std::future::Future;
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use cellway_core::Unix;
use cellway_core::envelope::{EnvelopeRefused, Verdict};
use cellway_env::Env;
use cellway_service::{EnvelopeLayer, KeyProvider};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, StatusCode, Version};
use hyper::body::Incoming;
use hyper::upgrade::Upgraded;
use tokio::sync::Semaphore;

use self::asked::bytes_asked;
use self::by_fault::BUSY_WIDTH;
use self::echo::{echo, refusal};
use self::reading::Read;
pub use self::received::{CallEnding, Ended, Received, Report};
use self::received::{authority, pairs};
use super::ServerTls;
use super::body::Buffered;
use super::cell_fault::CellFault;
use super::ears::Ears;
use super::own::OwnService;
use super::protocol::version_name;
use super::serve::{self, Handler, Peer, Rejected};
use super::websocket;
use super::wire::Allowed;

/// A cell that reports each request to a sink and echoes it as JSON. For `/stream/30`, it sends a
/// line every quarter of a second for thirty seconds, and for `/bytes/1000` a body of a thousand
/// bytes. For `/trailers`, it sends the request's trailers back as its own. It sends back what comes
/// over a WebSocket.
///
/// The sink gets the cell's own account of the requests that reached it. A check that only read the
/// router's log would have to trust the router.
#[derive(Clone)]
pub struct EchoCell {
    state: Arc<CellState>,
}

/// What all clones of a cell share.
struct CellState {
    id: String,
    arrivals: AtomicU64,
    connections: AtomicU64,
    /// Messages that came over WebSockets.
    messages: AtomicU64,
    /// Whether its HTTP/2 connections take an extended CONNECT.
    takes_connect: AtomicBool,
    /// Whether it answers gRPC calls as a gRPC server does.
    takes_calls: AtomicBool,
    /// How many streams its HTTP/2 connections may have.
    streams: Allowed,
    /// Whether it reads from its connections.
    ears: Ears,
    behavior: Mutex<Behavior>,
    /// The places of a busy cell.
    work: Semaphore,
    sink: Box<dyn Fn(Report<'_>) + Send + Sync>,
}

#[derive(Clone, Debug, Default)]
struct Behavior {
    fault: CellFault,
    answer_headers: HeaderMap,
    answer_trailers: HeaderMap,
    /// `None` if it doesn't verify envelopes.
    verifier: Option<Verifier>,
    /// What answers instead of an echo.
    own: Option<OwnService>,
}

#[derive(Clone)]
struct Verifier(Arc<dyn EnvelopeVerifier>);

impl fmt::Debug for Verifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Verifier")
    }
}

/// Verifies the envelopes of a cell's requests. An [`EnvelopeLayer`] does.
pub trait EnvelopeVerifier: Send + Sync + 'static {
    /// Verifies the envelope in the head of a request.
    ///
    /// # Errors
    /// The cell refuses to serve it.
    fn verify<'a>(&'a self, head: &'a Parts) -> Verifying<'a>;
}

/// The result of [`EnvelopeVerifier::verify`], once keys are there or can't come in time.
pub type Verifying<'a> =
    Pin<Box<dyn Future<Output = Result<Verdict, EnvelopeRefused>> + Send + 'a>>;

impl<K, C> EnvelopeVerifier for EnvelopeLayer<K, C>
where
    K: KeyProvider,
    C: Fn() -> Unix + Send + Sync + 'static,
{
    fn verify<'a>(&'a self, head: &'a Parts) -> Verifying<'a> {
        Box::pin(self.verify(head))
    }
}

/// The number of requests after which a connection goes away, if they do.
const REQUESTS_A_CONNECTION: u64 = 20;

impl EchoCell {
    /// Creates a cell that reports to `sink` what it receives.
    pub fn new(id: &str, sink: impl Fn(Report<'_>) + Send + Sync + 'static) -> Self {
        Self {
            state: Arc::new(CellState {
                id: id.to_owned(),
                arrivals: AtomicU64::new(0),
                connections: AtomicU64::new(0),
                messages: AtomicU64::new(0),
                takes_connect: AtomicBool::new(true),
                takes_calls: AtomicBool::new(false),
                streams: Allowed::default(),
                ears: Ears::default(),
                behavior: Mutex::default(),
                work: Semaphore::new(BUSY_WIDTH),
                sink: Box::new(sink),
            }),
        }
    }

    /// Starts a cell without TLS on a free port of 127.0.0.1, and returns it with its address.
    ///
    /// # Errors
    /// What the system said when the port was bound.
    pub async fn start<E: Env>(env: &E, id: &str) -> io::Result<(Self, SocketAddr)> {
        serve::start(env, |_| Ok(Self::new(id, |_| ()))).await
    }

    /// Serves until the listener fails. For mutual TLS, `tls` asks for the router's certificate.
    ///
    /// # Errors
    /// What the listener's `accept` returned.
    pub async fn serve<E: Env>(
        &self,
        env: E,
        listener: E::Listener,
        tls: ServerTls,
    ) -> io::Result<()> {
        serve::serve(env, listener, tls, self.clone()).await
    }

    /// The cell's id.
    pub fn id(&self) -> &str {
        &self.state.id
    }

    /// Sets a fault, or repairs it with [`CellFault::None`].
    pub fn set_fault(&self, fault: CellFault) {
        self.behavior().fault = fault;
        self.state.ears.set(fault != CellFault::Deaf);
    }

    /// From now on it allows this many streams on each of its HTTP/2 connections, and refuses those that are
    /// too many. It says so on open connections too. `None`: it allows as many as at first.
    pub fn allow_streams(&self, streams: Option<u32>) {
        self.state.streams.set(streams);
    }

    /// From now on it verifies the envelope of every request before it answers, and refuses requests
    /// that `verifier` refuses.
    pub fn verify_envelopes(&self, verifier: impl EnvelopeVerifier) {
        self.behavior().verifier = Some(Verifier(Arc::new(verifier)));
    }

    /// From now on `service` answers what would be echoed. The cell still reports what it receives, checks
    /// envelopes, and has faults: one that refuses requests keeps them from the service.
    pub fn answer_with(&self, service: OwnService) {
        self.behavior().own = Some(service);
    }

    /// Adds this header to every answer, as a cell does that tries to impersonate the router.
    pub fn add_answer_header(&self, name: HeaderName, value: HeaderValue) {
        self.behavior().answer_headers.append(name, value);
    }

    /// Adds this trailer to every success that it sends over HTTP/2.
    pub fn add_answer_trailer(&self, name: HeaderName, value: HeaderValue) {
        self.behavior().answer_trailers.append(name, value);
    }

    /// From now on its new HTTP/2 connections take no extended CONNECT, so they carry no WebSockets.
    pub fn take_no_connect(&self) {
        self.state.takes_connect.store(false, Ordering::Relaxed);
    }

    /// From now on it answers gRPC calls as a gRPC server does: with one message, its echo, and the
    /// status in trailers. It answers calls of `grpc.health.v1.Health/Check` about itself. Before that, it
    /// echoes all calls like other requests.
    pub fn take_calls(&self) {
        self.state.takes_calls.store(true, Ordering::Relaxed);
    }

    /// How many requests reached it.
    pub fn arrivals(&self) -> u64 {
        self.state.arrivals.load(Ordering::Relaxed)
    }

    /// How many messages came over its WebSockets.
    pub fn messages(&self) -> u64 {
        self.state.messages.load(Ordering::Relaxed)
    }

    fn behavior(&self) -> std::sync::MutexGuard<'_, Behavior> {
        let behavior = self.state.behavior.lock();
        behavior.unwrap_or_else(PoisonError::into_inner)
    }

    fn arrived(&self, received: &mut Received) {
        received.ordinal = self.state.arrivals.fetch_add(1, Ordering::Relaxed);
        (self.state.sink)(Report::Arrived(received));
    }

    fn received(&self, peer: &Peer, request: &Request<Incoming>) -> Received {
        Received {
            cell: self.state.id.clone(),
            ordinal: 0,
            connection: peer.connection,
            on_connection: peer.nth,
            streams_known: peer.opened.streams_known,
            peer: peer.sans.clone(),
            version: version_name(request.version()),
            method: request.method().to_string(),
            authority: authority(request),
            path: request.uri().path_and_query().map_or_else(
                || request.uri().to_string(),
                |path_and_query| path_and_query.to_string(),
            ),
            headers: pairs(request.headers()),
        }
    }
}

/// A cell works on a request. Reports when that is over.
struct Working<'a> {
    cell: &'a EchoCell,
    received: &'a Received,
}

impl Drop for Working<'_> {
    fn drop(&mut self) {
        (self.cell.state.sink)(Report::Left(self.received));
    }
}

impl Handler for EchoCell {
    fn is_silent(&self) -> bool {
        self.behavior().fault == CellFault::HalfOpen
    }

    fn is_garbled(&self) -> bool {
        self.behavior().fault == CellFault::Garbage
    }

    fn streams(&self) -> Option<u32> {
        self.state.streams.get()
    }

    fn streams_change(&self, known: Option<u32>) -> impl Future<Output = Option<u32>> + Send {
        self.state.streams.change_from(known)
    }

    fn early_hints(&self) -> u32 {
        let fault = self.behavior().fault;
        if let CellFault::EarlyHints(count) = fault {
            return count;
        }
        0
    }

    fn connection(&self) -> u64 {
        self.state.connections.fetch_add(1, Ordering::Relaxed)
    }

    fn takes_connect(&self) -> bool {
        self.state.takes_connect.load(Ordering::Relaxed)
    }

    async fn talk(&self, upgraded: Upgraded) {
        // The client sees what breaks.
        let count = || {
            self.state.messages.fetch_add(1, Ordering::Relaxed);
        };
        let _ = websocket::echo(upgraded, count).await;
    }

    fn goes_away(&self, nth: u64) -> bool {
        self.behavior().fault == CellFault::GoAway && nth >= REQUESTS_A_CONNECTION
    }

    fn ears(&self) -> Ears {
        self.state.ears.clone()
    }

    fn reject(&self, peer: &Peer, request: &Request<Incoming>) -> Option<Rejected> {
        let http2 = request.version() == Version::HTTP_2;
        let (how, unserved) = self.rejected_by_fault(peer, http2)?;
        let mut received = self.received(peer, request);
        if !unserved.is_unprocessed() {
            self.arrived(&mut received);
        }
        (self.state.sink)(Report::Unserved(&received, unserved));
        Some(how)
    }

    async fn answer(&self, peer: &Peer, request: Request<Incoming>) -> Response<Buffered> {
        let mut received = self.received(peer, &request);
        self.arrived(&mut received);
        let _working = Working {
            cell: self,
            received: &received,
        };
        let handshake = websocket::handshake(&request);
        let (head, body) = request.into_parts();
        let verifier = self.behavior().verifier.clone();
        let verified = match &verifier {
            Some(verifier) => Some(verifier.0.verify(&head).await),
            None => None,
        };
        let Read {
            ended,
            data,
            trailers,
        } = match self.reads_later(&received, &body) {
            Some(reads) => {
                peer.later
                    .set(self.clone().read_later(received.clone(), body, reads));
                Read::default()
            }
            None => self.read(&received, body).await,
        };
        if let Some(Err(refused)) = verified {
            return refusal(refused);
        }
        let verdict = verified.and_then(Result::ok);
        let Behavior {
            fault,
            answer_headers,
            answer_trailers,
            own,
            ..
        } = self.behavior().clone();
        let declines = matches!(fault, CellFault::Status(_) | CellFault::Unavailable(_));
        if let Some(key) = handshake.filter(|_| !declines) {
            return websocket::agreement(key.as_ref());
        }
        let is_call = call::is_call(&head) && self.state.takes_calls.load(Ordering::Relaxed);
        let body = match bytes_asked(&received.path) {
            Some(bytes) => Bytes::from(vec![b'x'; bytes]),
            None => Bytes::from(echo(peer, &received, &ended, verdict.as_ref())),
        };
        let body = match is_call {
            true => {
                let health = call::health(&received.path, ended.body_bytes, fault);
                health.unwrap_or_else(|| call::message(&body))
            }
            false => body,
        };
        let version = head.version;
        let own = own
            .filter(|_| !is_call)
            .map(|own| (own, Request::from_parts(head, Bytes::from(data.concat()))));
        let mut response = self.by_fault(fault, &received, body, own).await;
        response.headers_mut().extend(answer_headers);
        if is_call {
            return self.call_ended(fault, &received, response, answer_trailers);
        }
        let whole = response.status() == StatusCode::OK && fault != CellFault::StallMidBody;
        match received.path.as_str() {
            "/trailers" => response.map(|body| body.with_trailers(trailers)),
            _ if version == Version::HTTP_2 && whole && !answer_trailers.is_empty() => {
                response.map(|body| body.with_trailers(answer_trailers))
            }
            _ => response,
        }
    }
}
