//! A client.

mod error;
mod length;

use std::future::pending;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, Version, header};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::client::conn::{http1, http2};
use hyper::ext::on_informational;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::{TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::time::Instant;
use tokio_rustls::TlsConnector;

pub use self::error::ClientError;
use super::body::Buffered;
use super::protocol::Protocol;
use super::spawner::Spawner;
use super::websocket::{self, WebSocket};

/// The most bytes, and the most fields, of a response's header.
const HEADER_BYTES_MAX: u32 = 1 << 20;
const HEADER_FIELDS_MAX: usize = 1024;

/// The bytes of an HTTP/2 stream that the client takes before it has read them.
const STREAM_WINDOW: u32 = 65_535;

/// The most bytes of a response's body that are kept.
const ANSWER_LEN_MAX: usize = 16 << 20;

/// Where and how a client connects.
#[derive(Clone, Debug)]
pub struct Target {
    /// The host: a name or an address. It is also the name that the server's certificate must have,
    /// and the request's authority.
    pub host: String,
    /// The port.
    pub port: u16,
    /// TLS, with or without a client certificate; `None` for plain HTTP. Its ALPN must agree with
    /// `protocol` ([`TlsProvider::client`](super::TlsProvider::client) makes it so).
    pub tls: Option<Arc<ClientConfig>>,
    /// The protocol to speak.
    pub protocol: Protocol,
}

/// A request to send.
#[derive(Clone, Debug)]
pub struct Request {
    /// The method.
    pub method: Method,
    /// The path and query.
    pub path: String,
    /// Headers, which may be forged. `Host` is set from the target if it isn't given.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// How long the client pauses after each 64 KiB of the body.
    pub pause: Duration,
    /// Whether the body stops halfway, with nothing after it.
    pub unfinished: bool,
    /// Whether the client breaks off a moment after the first half of the body: it closes the
    /// connection, or resets the HTTP/2 stream with this code. With trailers, the body announces no
    /// length.
    pub breaks_off: Option<h2::Reason>,
    /// Whether it reads only the beginning of the answer's body. The connection stays open until the
    /// timeout.
    pub stops_reading: bool,
    /// Trailers. If there are any, an HTTP/1.1 body is sent in chunks.
    pub trailers: HeaderMap,
}

impl Request {
    /// A `GET` without headers.
    pub fn get(path: &str) -> Self {
        Self {
            method: Method::GET,
            path: path.to_owned(),
            headers: HeaderMap::new(),
            body: Bytes::new(),
            pause: Duration::ZERO,
            unfinished: false,
            breaks_off: None,
            stops_reading: false,
            trailers: HeaderMap::new(),
        }
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.append(name, value);
        self
    }

    /// Adds `Authorization: Bearer`. A token that a header can't hold is left out.
    #[must_use]
    pub fn bearer(self, token: &str) -> Self {
        match HeaderValue::try_from(format!("Bearer {token}")) {
            Ok(value) => self.header(header::AUTHORIZATION, value),
            Err(_) => self,
        }
    }
}

/// A complete response.
#[derive(Clone, Debug)]
pub struct Answer {
    /// Its status.
    pub status: StatusCode,
    /// The version that was spoken.
    pub version: Version,
    /// How many interim answers came before it, over HTTP/1.1. hyper's client hides those of HTTP/2.
    pub interim_answers: u32,
    /// Its headers.
    pub headers: HeaderMap,
    /// Its body.
    pub body: Bytes,
    /// Its trailers.
    pub trailers: HeaderMap,
    /// The time from the first byte sent to the last one received, without the connection's setup.
    pub latency: Duration,
}

/// The bytes of a connection, with TLS or without.
trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

/// Sends requests to one target, each within `timeout`.
#[derive(Clone, Debug)]
pub struct Client<E> {
    env: E,
    target: Target,
    timeout: Duration,
    /// The host to connect to, if it isn't the target's.
    through: Option<String>,
    /// Bytes at the start of each connection, before TLS.
    first: Vec<u8>,
}

impl<E: Env> Client<E> {
    /// A client of this address without TLS, over HTTP/1.1, that waits ten seconds for an answer.
    pub fn plain(env: E, address: SocketAddr) -> Self {
        let target = Target {
            host: address.ip().to_string(),
            port: address.port(),
            tls: None,
            protocol: Protocol::Http1,
        };
        Self::new(env, target, Duration::from_secs(10))
    }

    /// A client of `target`.
    pub fn new(env: E, target: Target, timeout: Duration) -> Self {
        Self {
            env,
            target,
            timeout,
            through: None,
            first: Vec::new(),
        }
    }

    /// Connects to this host, which passes the bytes on to the target.
    #[must_use]
    pub fn through(mut self, host: &str) -> Self {
        self.through = Some(host.to_owned());
        self
    }

    /// Starts each connection with these bytes, before TLS and HTTP.
    #[must_use]
    pub fn saying_first(mut self, bytes: Vec<u8>) -> Self {
        self.first = bytes;
        self
    }

    /// Sends one request over a new connection.
    ///
    /// # Errors
    /// [`ClientError`] if no complete answer came in time.
    pub async fn send(&self, request: Request) -> Result<Answer, ClientError> {
        self.connect().await?.send(request).await
    }

    /// Opens a connection to send several requests over.
    ///
    /// # Errors
    /// [`ClientError::Connect`], [`ClientError::Tls`], [`ClientError::Http`] or
    /// [`ClientError::Timeout`], by the step that failed.
    pub async fn connect(&self) -> Result<Connection, ClientError> {
        let (sender, leaf) = tokio::time::timeout(self.timeout, self.open())
            .await
            .map_err(|_| ClientError::Timeout)??;
        let secure = self.target.tls.is_some();
        Ok(Connection {
            sender,
            leaf,
            secure,
            authority: format!("{}:{}", self.target.host, self.target.port),
            timeout: self.timeout,
        })
    }

    /// Also returns the server's certificate.
    async fn open(&self) -> Result<(Sender, Vec<u8>), ClientError> {
        let (stream, leaf) = self.reach().await?;
        Ok((self.handshake(stream).await?, leaf))
    }

    /// Opens a connection that speaks no HTTP yet. Also returns the server's certificate.
    async fn reach(&self) -> Result<(Box<dyn Stream>, Vec<u8>), ClientError> {
        let Target { host, port, .. } = &self.target;
        let reached = self.through.as_ref().unwrap_or(host);
        let stream = self.env.connect(reached, *port).await;
        let mut stream = stream.map_err(ClientError::Connect)?;
        if !self.first.is_empty() {
            let said = stream.write_all(&self.first).await;
            said.map_err(ClientError::Connect)?;
        }
        let Some(config) = &self.target.tls else {
            return Ok((Box::new(stream), Vec::new()));
        };
        let name = ServerName::try_from(host.clone())
            .map_err(|why| ClientError::Tls(io::Error::other(why)))?;
        let connector = TlsConnector::from(config.clone());
        let stream = connector.connect(name, stream).await;
        let stream = stream.map_err(ClientError::Tls)?;
        let chain = stream.get_ref().1.peer_certificates();
        let leaf = chain.and_then(|chain| chain.first());
        let leaf = leaf.map(|leaf| leaf.to_vec()).unwrap_or_default();
        Ok((Box::new(stream), leaf))
    }

    async fn handshake(&self, stream: Box<dyn Stream>) -> Result<Sender, ClientError> {
        let io = TokioIo::new(stream);
        match self.target.protocol {
            Protocol::Http1 => {
                let opened = http1::Builder::new()
                    .max_headers(HEADER_FIELDS_MAX)
                    .handshake(io)
                    .await;
                let (sender, connection) = opened.map_err(ClientError::Http)?;
                self.env
                    .spawn(async { drop(connection.with_upgrades().await) });
                Ok(Sender::Http1(sender))
            }
            Protocol::Http2 => {
                let opened = http2::Builder::new(Spawner(self.env.clone()))
                    .timer(TokioTimer::new())
                    .max_header_list_size(HEADER_BYTES_MAX)
                    // As small as clients may begin with (RFC 9113, section 6.9.2), so that a client
                    // that stops reading is noticed soon.
                    .initial_stream_window_size(STREAM_WINDOW)
                    .handshake(io)
                    .await;
                let (sender, connection) = opened.map_err(ClientError::Http)?;
                self.env.spawn(async { drop(connection.await) });
                Ok(Sender::Http2(sender))
            }
        }
    }
}

/// An open connection. One request at a time.
#[derive(Debug)]
pub struct Connection {
    sender: Sender,
    leaf: Vec<u8>,
    secure: bool,
    authority: String,
    timeout: Duration,
}

#[derive(Debug)]
enum Sender {
    Http1(http1::SendRequest<Buffered>),
    Http2(http2::SendRequest<Buffered>),
}

impl Connection {
    /// The certificate that the server has shown, in DER; empty over plain HTTP.
    pub fn leaf(&self) -> &[u8] {
        &self.leaf
    }

    /// Sets another timeout for requests from now on.
    pub fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// Sends a request and reads the whole answer.
    ///
    /// # Errors
    /// [`ClientError`] if no complete answer came in time. The connection may be of no more use.
    pub async fn send(&mut self, request: Request) -> Result<Answer, ClientError> {
        self.send_and_watch(request, || ()).await
    }

    /// As [`send`](Self::send), and calls `watch` for each frame of the answer's body when it
    /// comes.
    ///
    /// # Errors
    /// As `send`.
    pub async fn send_and_watch(
        &mut self,
        request: Request,
        watch: impl FnMut(),
    ) -> Result<Answer, ClientError> {
        let stops = request.stops_reading;
        let request = self.prepare(request).map_err(ClientError::Path)?;
        let exchange = self.sender.exchange(request, stops, watch);
        tokio::time::timeout(self.timeout, exchange)
            .await
            .map_err(|_| ClientError::Timeout)?
    }

    /// Opens a WebSocket with this request's path and headers. Over HTTP/1.1 it takes the connection,
    /// over HTTP/2 a stream of it.
    ///
    /// # Errors
    /// The answer, if it doesn't agree; [`ClientError`] if none came in time.
    pub async fn websocket(
        &mut self,
        request: Request,
    ) -> Result<(http::response::Parts, WebSocket), Box<Refused>> {
        let timeout = self.timeout;
        let opening = async {
            let mut request = self.prepare(request).map_err(ClientError::Path)?;
            let http2 = matches!(self.sender, Sender::Http2(_));
            websocket::ask(&mut request, http2);
            let response = self.sender.ask(request).await?;
            let agrees = websocket::agrees(response.status(), response.headers(), http2);
            let (mut head, body) = response.into_parts();
            if !agrees {
                let (body, _) = collect(body, || ()).await?;
                return Ok(Err((head, body)));
            }
            let upgraded = head.extensions.remove::<OnUpgrade>();
            let upgraded = match upgraded {
                Some(upgraded) => upgraded.await.map_err(ClientError::Http)?,
                None => return Ok(Err((head, Bytes::new()))),
            };
            Ok(Ok((head, WebSocket::new(upgraded, true))))
        };
        let opened = tokio::time::timeout(timeout, opening).await;
        match opened.unwrap_or(Err(ClientError::Timeout)) {
            Ok(Ok(opened)) => Ok(opened),
            Ok(Err((head, body))) => Err(Box::new(Refused::Answer(head, body))),
            Err(error) => Err(Box::new(Refused::Error(error))),
        }
    }

    fn prepare(&self, request: Request) -> Result<http::Request<Buffered>, http::Error> {
        let Request {
            method,
            path,
            mut headers,
            body,
            pause,
            unfinished,
            breaks_off,
            stops_reading: _,
            trailers,
        } = request;
        let uri = match &self.sender {
            Sender::Http1(_) => {
                if !headers.contains_key(header::HOST) {
                    headers.insert(header::HOST, HeaderValue::try_from(&self.authority)?);
                }
                Uri::try_from(path)?
            }
            Sender::Http2(_) => Uri::builder()
                .scheme(if self.secure { "https" } else { "http" })
                .authority(self.authority.as_str())
                .path_and_query(path)
                .build()?,
        };
        let mut buffered = match breaks_off {
            Some(code) => Buffered::broken_off(&body, code),
            None if unfinished => Buffered::stalled(&body),
            None if !pause.is_zero() => Buffered::paced(body, pause),
            None => Buffered::whole(body),
        };
        if !trailers.is_empty() {
            // hyper writes those trailers that `Trailer` announces.
            for name in trailers.keys() {
                headers.append(header::TRAILER, name.clone().into());
            }
            buffered = buffered.with_trailers(trailers);
        }
        let mut prepared = http::Request::builder()
            .method(method)
            .uri(uri)
            .body(buffered)?;
        *prepared.headers_mut() = headers;
        Ok(prepared)
    }
}

/// Why a WebSocket wasn't opened.
#[derive(Debug)]
pub enum Refused {
    /// The server answered something else.
    Answer(http::response::Parts, Bytes),
    /// There was no answer.
    Error(ClientError),
}

impl Sender {
    /// Sends a request and waits for the head of its answer.
    async fn ask(
        &mut self,
        request: http::Request<Buffered>,
    ) -> Result<http::Response<Incoming>, ClientError> {
        let response = match self {
            Self::Http1(sender) => {
                sender.ready().await.map_err(ClientError::Http)?;
                sender.send_request(request).await
            }
            Self::Http2(sender) => {
                sender.ready().await.map_err(ClientError::Http)?;
                sender.send_request(request).await
            }
        };
        response.map_err(ClientError::Http)
    }

    async fn exchange(
        &mut self,
        mut request: http::Request<Buffered>,
        stops: bool,
        mut watch: impl FnMut(),
    ) -> Result<Answer, ClientError> {
        let started = Instant::now();
        let interim_answers = Arc::new(AtomicU32::new(0));
        let counted = interim_answers.clone();
        on_informational(&mut request, move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
        });
        let (head, mut body) = self.ask(request).await?.into_parts();
        if stops && head.status.is_success() {
            body.frame().await;
            watch();
            // Until the timeout drops it, and the body with it.
            pending::<()>().await;
        }
        let (body, trailers) = collect(body, watch).await?;
        Ok(Answer {
            status: head.status,
            version: head.version,
            interim_answers: interim_answers.load(Ordering::Relaxed),
            headers: head.headers,
            body,
            trailers,
            latency: started.elapsed(),
        })
    }
}

async fn collect(
    body: Incoming,
    mut watch: impl FnMut(),
) -> Result<(Bytes, HeaderMap), ClientError> {
    let body = body.map_frame(|frame| {
        watch();
        frame
    });
    let collected = Limited::new(body, ANSWER_LEN_MAX).collect().await;
    let collected = collected.map_err(ClientError::Body)?;
    let trailers = collected.trailers().cloned().unwrap_or_default();
    Ok((collected.to_bytes(), trailers))
}
