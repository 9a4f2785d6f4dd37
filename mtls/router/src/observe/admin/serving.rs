//! One connection to the admin or the health listener: HTTP/1.1, or HTTP/2 with prior knowledge, which
//! gRPC needs.

use std::convert::Infallible;
use std::io::{self, Cursor};
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use cellway_env::Env;
use http::header::CONTENT_LENGTH;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Either, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{
    Audience, CONNECTION_TIMEOUT, HEADER_TIMEOUT, NOT_AN_OPERATOR, Overview, Pages, TEXT, page,
};
use crate::health_service::{self, Call, Code, QUESTION_BYTES_MAX};
use crate::observe::event::Event;
use crate::tls::HandshakeError;
use crate::to_cell::Spawner;

/// The first bytes of HTTP/2 with prior knowledge (RFC 9113, section 3.4).
const PREFACE_LINE: &[u8] = b"PRI * HTTP/2.0\r\n";
/// The most streams of a connection at a time.
const STREAMS_MAX: u32 = 16;
/// The most bytes of a request's header over HTTP/2.
const HEADER_BYTES_MAX: u32 = 16 * 1024;
/// How long the streams of an HTTP/2 connection may last after `CONNECTION_TIMEOUT`. The client is told
/// to use another connection.
const LEAVE_WITHIN: Duration = Duration::from_secs(10);

type Answer = Response<Either<Full<Bytes>, health_service::Body>>;

/// Serves one connection to its end, after its handshake if it has one.
pub(super) async fn serve<E: Env, R: Overview>(
    env: E,
    (stream, peer): (E::Stream, SocketAddr),
    pages: Arc<Pages<R>>,
) {
    if pages.audience != Audience::Operators {
        return connection(env, stream, pages, true).await;
    }
    let Some(server) = pages.router.admin_server() else {
        return;
    };
    let accepted = timeout(HEADER_TIMEOUT, server.accept(stream)).await;
    match accepted.unwrap_or(Err(HandshakeError::Timeout)) {
        Ok((stream, is_operator)) => {
            if !is_operator {
                pages.router.tell(&Event::AdminDenied { peer });
            }
            connection(env, stream, pages, is_operator).await;
        }
        Err(reason) => pages.router.tell(&Event::TlsRefused {
            listener: "admin",
            peer,
            reason,
        }),
    }
}

/// Serves HTTP. Whoever is not allowed gets no page.
async fn connection<E: Env, S, R: Overview>(
    env: E,
    mut stream: S,
    pages: Arc<Pages<R>>,
    is_allowed: bool,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let Ok(Ok(ahead)) = timeout(HEADER_TIMEOUT, read_ahead(&mut stream)).await else {
        return;
    };
    let http2 = ahead.starts_with(PREFACE_LINE);
    let (reader, writer) = tokio::io::split(stream);
    let io = tokio::io::join(Cursor::new(ahead).chain(reader), writer);
    // A client that asks for many pages and reads none must not make the router keep them all.
    let turn = Arc::new(Semaphore::new(1));
    let service = service_fn(move |request| {
        let (pages, turn) = (Arc::clone(&pages), Arc::clone(&turn));
        async move { Ok::<_, Infallible>(pages.respond(request, is_allowed, turn).await) }
    });
    if http2 {
        let connection = http2::Builder::new(Spawner(env))
            .timer(TokioTimer::new())
            .auto_date_header(false)
            .max_concurrent_streams(STREAMS_MAX)
            .max_header_list_size(HEADER_BYTES_MAX)
            .serve_connection(TokioIo::new(io), service);
        let mut connection = pin!(connection);
        // Nobody here needs to know whether a connection ended well.
        if timeout(CONNECTION_TIMEOUT, connection.as_mut())
            .await
            .is_err()
        {
            connection.as_mut().graceful_shutdown();
            let _ = timeout(LEAVE_WITHIN, connection).await;
        }
        return;
    }
    let connection = http1::Builder::new()
        .auto_date_header(false)
        // An idle connection would take a place that others need.
        .keep_alive(false)
        .timer(TokioTimer::new())
        .header_read_timeout(HEADER_TIMEOUT)
        .serve_connection(TokioIo::new(io), service);
    let _ = timeout(CONNECTION_TIMEOUT, connection).await;
}

/// Reads only as many bytes as it needs to tell HTTP/2 from HTTP/1.1.
async fn read_ahead(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Bytes> {
    let mut ahead = BytesMut::with_capacity(1024);
    while ahead.len() < PREFACE_LINE.len() && PREFACE_LINE.starts_with(&ahead) {
        if stream.read_buf(&mut ahead).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
    }
    Ok(ahead.freeze())
}

/// A page's text, with its turn on its connection. Whoever sends the text may keep it longer than the
/// body it came in: HTTP/2 does so while the client's window is too small for all of it.
struct Held {
    text: Bytes,
    _turn: Option<OwnedSemaphorePermit>,
}

impl Held {
    /// The text. The turn is over when its last byte is sent or dropped.
    fn bytes(text: Bytes, turn: Option<OwnedSemaphorePermit>) -> Bytes {
        Bytes::from_owner(Self { text, _turn: turn })
    }
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.text
    }
}

/// The page as it is sent. An answer to `HEAD` has no text, and only its header says how long the text
/// would be (RFC 9110, section 9.3.2).
fn sent(page: Response<Bytes>, without_text: bool, turn: Option<OwnedSemaphorePermit>) -> Answer {
    let (mut head, text) = page.into_parts();
    let length = HeaderValue::from(text.len());
    head.headers.insert(CONTENT_LENGTH, length);
    let text = match without_text {
        true => Bytes::new(),
        false => Held::bytes(text, turn),
    };
    Response::from_parts(head, Either::Left(Full::new(text)))
}

impl<R: Overview> Pages<R> {
    async fn respond(
        &self,
        request: Request<Incoming>,
        is_allowed: bool,
        turn: Arc<Semaphore>,
    ) -> Answer {
        let (head, body) = request.into_parts();
        let without_text = head.method == Method::HEAD;
        if !is_allowed {
            let refused = page(StatusCode::FORBIDDEN, TEXT, NOT_AN_OPERATOR.into());
            return sent(refused, without_text, None);
        }
        match Call::of(&head) {
            Some(call) => self.health(call, body).await.map(Either::Right),
            None => {
                let turn = turn.acquire_owned().await.ok();
                let request = Request::from_parts(head, body);
                sent(self.answer(&request).await, without_text, turn)
            }
        }
    }

    /// Answers a call of the gRPC health service.
    async fn health(&self, call: Call, body: Incoming) -> Response<health_service::Body> {
        let reading = Limited::new(body, QUESTION_BYTES_MAX).collect();
        match timeout(HEADER_TIMEOUT, reading).await {
            Ok(Ok(body)) => {
                let readiness = self.router.readiness();
                health_service::answer(call, &body.to_bytes(), readiness)
            }
            Ok(Err(_)) => {
                let why = "the request is too long, or it broke off";
                health_service::failed(Code::ResourceExhausted, why)
            }
            Err(_) => health_service::failed(Code::DeadlineExceeded, "the request stopped"),
        }
    }
}
