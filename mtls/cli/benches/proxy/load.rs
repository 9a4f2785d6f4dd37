//! Clients that ask again as soon as they are answered.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use bytes::Bytes;
use cellway_testbed::Protocol;
use http::{HeaderValue, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::{http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ClientConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use super::work::Work;
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
    pub(crate) async fn start(
        world: &World,
        work: Work,
        connections: usize,
        streams: usize,
    ) -> Self {
        let progress = Arc::<Progress>::default();
        let mut clients = Vec::new();
        for number in 0..connections {
            for client in Client::connect(world, work, number, streams).await {
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

/// Sends one request at a time.
pub(crate) struct Client {
    place: Arc<Place>,
    sender: Sender,
    turn: usize,
}

impl Client {
    /// Opens the connection of this number. Returns a client for each request that may be in flight
    /// on it.
    pub(crate) async fn connect(
        world: &World,
        work: Work,
        number: usize,
        streams: usize,
    ) -> Vec<Self> {
        let place = Arc::new(Place {
            work,
            address: world.address(work.listener),
            tls: world.client_tls(work, number),
            uri: world.uri(work),
            bearers: world.bearers(work.listener),
        });
        let senders = place.connect(streams).await.into_iter();
        let client = |(stream, sender)| Self {
            place: place.clone(),
            sender,
            // Each starts somewhere else, so that all tenants come all the time.
            turn: (number * streams + stream) * 97,
        };
        senders.enumerate().map(client).collect()
    }

    async fn run(mut self, progress: Arc<Progress>) {
        while !progress.stop.load(Ordering::Relaxed) {
            self.exchange().await;
            progress.answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sends a request and reads its whole answer.
    pub(crate) async fn exchange(&mut self) {
        if self.place.work.reconnects {
            let mut senders = self.place.connect(1).await;
            self.sender = senders.pop().expect("a sender");
        }
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
            super::world::ANSWER_LEN
        );
    }

    fn request(&mut self) -> Request<Empty<Bytes>> {
        let Place { uri, bearers, .. } = &*self.place;
        let mut request = Request::new(Empty::new());
        *request.uri_mut() = uri.clone();
        let headers = request.headers_mut();
        if let Sender::Http1(_) = self.sender {
            headers.insert(header::HOST, HeaderValue::from_static("bench.example"));
        }
        if !bearers.is_empty() {
            let bearer = &bearers[self.turn % bearers.len()];
            headers.insert(header::AUTHORIZATION, bearer.clone());
            self.turn += 1;
        }
        request
    }
}

enum Sender {
    Http1(http1::SendRequest<Empty<Bytes>>),
    Http2(http2::SendRequest<Empty<Bytes>>),
}

/// Where a client's requests go, and with what.
struct Place {
    work: Work,
    address: SocketAddr,
    tls: Option<Arc<ClientConfig>>,
    uri: Uri,
    bearers: Arc<[HeaderValue]>,
}

impl Place {
    /// Opens a connection. Returns a sender for each request that may be in flight on it.
    async fn connect(&self, streams: usize) -> Vec<Sender> {
        let stream = TcpStream::connect(self.address)
            .await
            .expect("a connection");
        stream.set_nodelay(true).expect("a socket");
        match &self.tls {
            None => speak(stream, self.work.protocol, streams).await,
            Some(tls) => {
                let connector = TlsConnector::from(tls.clone());
                let connecting = connector.connect(self.address.ip().into(), stream);
                let stream = connecting.await.expect("a handshake");
                speak(stream, self.work.protocol, streams).await
            }
        }
    }
}

async fn speak(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    protocol: Protocol,
    streams: usize,
) -> Vec<Sender> {
    let io = TokioIo::new(stream);
    match protocol {
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
            std::iter::repeat_with(each).take(streams).collect()
        }
    }
}
