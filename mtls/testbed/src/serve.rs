//! The accept loop that all hosts of the testbed share.

use std::future::{self, Future};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cellway_env::{Env, Listener};
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::sync::Semaphore;
use tokio_rustls::TlsAcceptor;

use super::ServerTls;
use super::body::Buffered;
use super::early_hints::{self, Ahead, AheadStream};
use super::ears::{Ears, Hearing};
use super::later::Later;
use super::spawner::Spawner;
use super::tls::Serving;
use super::websocket;
use super::wire::{Opened, Wire, WireStream};

/// The most connections that one host of the testbed serves at once; more wait to be accepted.
const CONNECTIONS_MAX: usize = 1024;
/// What a garbled server says. It is neither HTTP/1.1 nor a frame of HTTP/2.
const GARBAGE: &[u8] =
    b"\x7f\x45\x4c\x46 this is not the protocol that you are looking for\r\n\r\n";
/// The longest that a TLS handshake may take.
const HANDSHAKE_MAX: Duration = Duration::from_secs(10);

/// What a server of the testbed does with connections and requests.
pub(super) trait Handler: Clone + Send + Sync + 'static {
    /// Whether new connections are accepted and never answered: the half-open fault.
    fn is_silent(&self) -> bool {
        false
    }

    /// Whether new connections are answered with bytes that are no HTTP.
    fn is_garbled(&self) -> bool {
        false
    }

    /// Whether it reads from its connections.
    fn ears(&self) -> Ears {
        Ears::default()
    }

    /// A number for a new connection.
    fn connection(&self) -> u64 {
        0
    }

    /// Whether a connection goes away before this request. `nth` requests came on it before.
    fn goes_away(&self, nth: u64) -> bool {
        let _ = nth;
        false
    }

    /// How many streams its HTTP/2 connections may have. `None`: as many as hyper's server allows.
    fn streams(&self) -> Option<u32> {
        None
    }

    /// Waits until it is another number than this one, and returns it.
    fn streams_change(&self, known: Option<u32>) -> impl Future<Output = Option<u32>> + Send {
        let _ = known;
        future::pending()
    }

    /// How many early hints go before an answer.
    fn early_hints(&self) -> u32 {
        0
    }

    /// How this request ends, if it gets no answer.
    fn reject(&self, peer: &Peer, request: &Request<Incoming>) -> Option<Rejected> {
        let _ = request;
        (peer.opened.after_goaway).then_some(Rejected::AfterGoaway)
    }

    /// Whether its HTTP/2 connections take an extended CONNECT (RFC 8441).
    fn takes_connect(&self) -> bool {
        true
    }

    /// Runs a connection that has switched to WebSocket.
    fn talk(&self, upgraded: Upgraded) -> impl Future<Output = ()> + Send {
        drop(upgraded);
        async {}
    }

    /// Answers one request.
    fn answer(
        &self,
        peer: &Peer,
        request: Request<Incoming>,
    ) -> impl Future<Output = Response<Buffered>> + Send;
}

/// The other end of a connection.
#[derive(Clone, Debug, Default)]
pub(super) struct Peer {
    /// The DNS and URI SANs of its verified certificate; empty without one.
    pub(super) sans: Vec<String>,
    /// The connection's number.
    pub(super) connection: u64,
    /// How many requests came on the connection before this one.
    pub(super) nth: u64,
    /// How many early hints go before the answer to this request.
    pub(super) early_hints: u32,
    /// What the frames of an HTTP/2 connection say about this request.
    pub(super) opened: Opened,
    /// What is still to do after the answer to this request.
    pub(super) later: Later,
}

/// How a request without an answer ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Rejected {
    /// Its stream is refused (`REFUSED_STREAM`): it is not processed.
    Refused,
    /// It came after the connection's `GOAWAY`: it is not processed.
    AfterGoaway,
    /// Its stream ends with an error; on HTTP/1.1 its connection does.
    Aborted,
}

/// Serves `host` on `listener` until the listener fails.
pub(super) async fn serve<E: Env, H: Handler>(
    env: E,
    mut listener: E::Listener,
    tls: ServerTls,
    host: H,
) -> io::Result<()> {
    let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else {
            return Ok(());
        };
        let (stream, _) = listener.accept().await?;
        let connection = connection(env.clone(), stream, tls.clone(), host.clone());
        env.spawn(async move {
            connection.await;
            drop(permit);
        });
    }
}

/// Serves a host without TLS on a free port of 127.0.0.1, in its own task. `host` creates it for
/// its address.
pub(super) async fn start<E: Env, H: Handler>(
    env: &E,
    host: impl FnOnce(SocketAddr) -> io::Result<H>,
) -> io::Result<(H, SocketAddr)> {
    let listener = env.bind((Ipv4Addr::LOCALHOST, 0).into(), false).await?;
    let address = listener.local_addr()?;
    let host = host(address)?;
    let (serving, serving_env) = (host.clone(), env.clone());
    env.spawn(async move {
        // This ends with the listener. Connections are then refused, so clients notice.
        let _ = serve(serving_env, listener, ServerTls::plain(), serving).await;
    });
    Ok((host, address))
}

/// Serves one connection to its end. The client notices errors by itself.
async fn connection<E: Env, H: Handler>(env: E, stream: E::Stream, tls: ServerTls, host: H) {
    let mut stream = Hearing::new(stream, host.ears());
    if host.is_silent() {
        discard(&mut stream).await;
        return;
    }
    match tls.get() {
        Serving::Http1 => exchange(env, stream, false, Peer::default(), host).await,
        Serving::Http2 => exchange(env, stream, true, Peer::default(), host).await,
        Serving::Tls(config) => {
            let accept = TlsAcceptor::from(config).accept(stream);
            let Ok(Ok(stream)) = tokio::time::timeout(HANDSHAKE_MAX, accept).await else {
                return;
            };
            let (_, session) = stream.get_ref();
            let http2 = session.alpn_protocol() == Some(b"h2");
            let leaf = session.peer_certificates().and_then(|chain| chain.first());
            let peer = Peer {
                sans: leaf.map(|leaf| super::ca::sans(leaf)).unwrap_or_default(),
                ..Peer::default()
            };
            exchange(env, stream, http2, peer, host).await;
        }
    }
}

async fn exchange<E: Env, H: Handler>(
    env: E,
    mut stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    http2: bool,
    peer: Peer,
    host: H,
) {
    if host.is_garbled() {
        let _ = stream.write_all(GARBAGE).await;
        discard(&mut stream).await;
        return;
    }
    match http2 {
        true => over_http2(env, stream, peer, host).await,
        false => over_http1(env, stream, peer, host).await,
    }
}

async fn over_http1<E: Env, H: Handler>(
    env: E,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    host: H,
) {
    let ahead = Ahead::default();
    let io = TokioIo::new(AheadStream::new(stream, ahead.clone()));
    let (requests, connection) = (AtomicU64::new(0), host.connection());
    let service = service_fn(move |request: Request<Incoming>| {
        let peer = Peer {
            connection,
            nth: requests.fetch_add(1, Ordering::Relaxed),
            early_hints: host.early_hints(),
            later: Later::default(),
            ..peer.clone()
        };
        let ahead = ahead.clone();
        let hint = move |count| ahead.push(&early_hints::http1(count));
        respond(env.clone(), host.clone(), peer, request, hint)
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .auto_date_header(false)
        .serve_connection(io, service)
        .with_upgrades();
    // An error here means that a fault or the peer broke the connection. The other end sees it.
    drop(served.await);
}

async fn over_http2<E: Env, H: Handler>(
    env: E,
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: Peer,
    host: H,
) {
    let streams = host.streams();
    let wire = Wire::new(streams);
    let io = TokioIo::new(WireStream::new(stream, wire.clone()));
    let mut builder = http2::Builder::new(Spawner(env.clone()));
    builder.timer(TokioTimer::new()).auto_date_header(false);
    if host.takes_connect() {
        builder.enable_connect_protocol();
    }
    if streams.is_some() {
        // The host says how many there may be.
        builder.max_concurrent_streams(None);
    }
    let (requests, connection) = (AtomicU64::new(0), host.connection());
    let (serving, its_wire) = (host.clone(), wire.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let nth = requests.fetch_add(1, Ordering::Relaxed);
        let opened = its_wire.next(serving.goes_away(nth));
        let peer = Peer {
            connection,
            nth,
            early_hints: serving.early_hints(),
            opened,
            later: Later::default(),
            ..peer.clone()
        };
        let wire = its_wire.clone();
        let hint = move |count| wire.push(&early_hints::http2(count, opened.stream));
        respond(env.clone(), serving.clone(), peer, request, hint)
    });
    let served = builder.serve_connection(io, service);
    follow(served, &host, streams, &wire).await;
}

/// Answers one request, after its early hints, which `hint` sends. The error ends its stream, or its
/// connection.
async fn respond<E: Env, H: Handler>(
    env: E,
    host: H,
    peer: Peer,
    mut request: Request<Incoming>,
    hint: impl FnOnce(u32),
) -> Result<Response<Buffered>, h2::Error> {
    let asked = websocket::asked(&mut request);
    match host.reject(&peer, &request) {
        None => {}
        Some(Rejected::AfterGoaway) => return future::pending().await,
        Some(Rejected::Refused) => return Err(h2::Reason::REFUSED_STREAM.into()),
        Some(Rejected::Aborted) => return Err(h2::Reason::INTERNAL_ERROR.into()),
    }
    hint(peer.early_hints);
    let answer = host.answer(&peer, request).await;
    if let Some(later) = peer.later.take() {
        env.spawn(later);
    }
    if let Some(asked) = asked.filter(|_| websocket::is_agreement(&answer)) {
        env.spawn(async move {
            if let Ok(upgraded) = asked.await {
                host.talk(upgraded).await;
            }
        });
    }
    Ok(answer)
}

/// Serves an HTTP/2 connection to its end, and says on it whenever the host allows another number of streams.
async fn follow<H: Handler>(served: impl Future, host: &H, mut streams: Option<u32>, wire: &Wire) {
    let mut served = pin!(served);
    loop {
        tokio::select! {
            biased;
            // An error here means that a fault or the peer broke the connection. The other end sees it.
            _ = &mut served => return,
            now = host.streams_change(streams) => {
                streams = now;
                wire.allow(now);
            }
        }
    }
}

/// Reads and answers nothing until the peer gives up.
async fn discard(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 1024];
    while matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {}
}
