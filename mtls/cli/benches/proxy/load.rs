//! Clients that ask again as soon as they are answered.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use cellway_testbed::Protocol;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::Shape;
use super::world::World;

/// Clients at work, until they are stopped.
pub(crate) struct Load {
    progress: Arc<Progress>,
    clients: Vec<JoinHandle<()>>,
}

#[derive(Default)]
struct Progress {
    answers: AtomicU64,
    stop: AtomicBool,
}

impl Load {
    /// Opens the connections and begins.
    pub(crate) async fn start(world: &World, shape: &Shape) -> Self {
        let progress = Arc::<Progress>::default();
        let bearers = world.bearers(shape.listener);
        let uri = world.uri(shape.listener, shape.protocol);
        let mut clients = Vec::new();
        for _ in 0..shape.connections {
            for sender in connect(world, shape).await {
                let client = Client {
                    sender,
                    uri: uri.clone(),
                    bearers: bearers.clone(),
                    // Each begins somewhere else, so that all tenants come all the time.
                    turn: clients.len() * 97,
                };
                clients.push(tokio::spawn(client.run(progress.clone())));
            }
        }
        Self { progress, clients }
    }

    /// How many requests have been answered.
    pub(crate) fn answers(&self) -> u64 {
        self.progress.answers.load(Ordering::Relaxed)
    }

    /// Ends when the requests in flight have.
    pub(crate) async fn stop(self) {
        self.progress.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every answer is as it should be");
        }
    }
}

/// Opens a connection; a sender for each request that may be in flight on it.
async fn connect(world: &World, shape: &Shape) -> Vec<Sender> {
    let address = world.address(shape.listener);
    let stream = TcpStream::connect(address).await.expect("a connection");
    stream.set_nodelay(true).expect("a socket");
    match world.client_tls(shape.listener, shape.protocol) {
        None => speak(stream, shape).await,
        Some(tls) => {
            let connecting = TlsConnector::from(tls).connect(address.ip().into(), stream);
            speak(connecting.await.expect("a handshake"), shape).await
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    shape: &Shape,
) -> Vec<Sender> {
    let io = TokioIo::new(stream);
    match shape.protocol {
        Protocol::Http1 => {
            let (sender, connection) = http1::handshake(io).await.expect("HTTP/1.1");
            tokio::spawn(connection);
            vec![Sender::Http1(sender)]
        }
        Protocol::Http2 => {
            let opened = http2::handshake(TokioExecutor::new(), io).await;
            let (sender, connection) = opened.expect("HTTP/2");
            tokio::spawn(connection);
            let each = || Sender::Http2(sender.clone());
            std::iter::repeat_with(each).take(shape.streams).collect()
        }
    }
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// Sends one request at a time.
struct Client {
    sender: Sender,
    uri: Uri,
    bearers: Arc<[HeaderValue]>,
    turn: usize,
}

impl Client {
    async fn run(mut self, progress: Arc<Progress>) {
        while !progress.stop.load(Ordering::Relaxed) {
            self.exchange().await;
            progress.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    async fn exchange(&mut self) {
        let request = self.request();
        let response = match &mut self.sender {
            Sender::Http1(sender) => {
                sender.ready().await.expect("an open connection");
                sender.send_request(request).await
            }
            Sender::Http2(sender) => {
                sender.ready().await.expect("an open connection");
                sender.send_request(request).await
            }
        };
        let response = response.expect("an answer");
        assert_eq!(response.status(), StatusCode::OK);
        let body = response.into_body().collect().await;
        assert_eq!(
            body.expect("a whole answer").to_bytes().len(),
            super::ANSWER_LEN
        );
    }

    fn request(&mut self) -> Request<Empty<Bytes>> {
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = self.uri.clone();
        let headers = request.headers_mut();
        if let Sender::Http1(_) = self.sender {
            headers.insert(header::HOST, HeaderValue::from_static("bench.example"));
        }
        if !self.bearers.is_empty() {
            let bearer = &self.bearers[self.turn % self.bearers.len()];
            headers.insert(header::AUTHORIZATION, bearer.clone());
            self.turn += 1;
        }
        request
    }
}
