//! Clients that ask without a pause, and one that takes its time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Ca, Client, Protocol, Request};
use cellway_tests::world::{PATIENCE, Running, World, provider, until};
use http::StatusCode;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

/// Requests that every client must have got answered before it counts as going on.
const ROUNDS: u64 = 3;

/// Clients that send good requests one after another, each of which must be served: over new
/// connections, and over standing ones of both protocols.
pub(crate) struct Traffic {
    served: Vec<Arc<AtomicU64>>,
    stop: Arc<AtomicBool>,
    clients: Vec<JoinHandle<()>>,
}

impl Traffic {
    pub(crate) fn start(world: &World, router: &Running, trusted: &[&Ca]) -> Self {
        let mut traffic = Self {
            served: Vec::new(),
            stop: Arc::default(),
            clients: Vec::new(),
        };
        let request = Request::get("/").bearer(&world.token());
        for (protocol, stays) in [
            (Protocol::Http1, false),
            (Protocol::Http1, true),
            (Protocol::Http2, true),
        ] {
            let client = router.client(protocol, trusted, None);
            traffic.add(client, request.clone(), stays);
        }
        traffic
    }

    fn add(&mut self, client: Client<TokioEnv>, request: Request, stays: bool) {
        let served = Arc::new(AtomicU64::new(0));
        self.served.push(served.clone());
        let stop = self.stop.clone();
        self.clients.push(tokio::spawn(async move {
            let mut connection = client.connect().await.unwrap();
            while !stop.load(Ordering::Relaxed) {
                if !stays {
                    connection = client.connect().await.unwrap();
                }
                let answer = connection.send(request.clone()).await.unwrap();
                assert_eq!(answer.status, StatusCode::OK, "{answer:?}");
                served.fetch_add(1, Ordering::Relaxed);
                // On one thread, whoever else is ready comes first.
                tokio::task::yield_now().await;
            }
        }));
    }

    /// Waits until every client has been served some more.
    pub(crate) async fn goes_on(&self) {
        let served = || -> Vec<u64> {
            let counts = self.served.iter();
            counts.map(|count| count.load(Ordering::Relaxed)).collect()
        };
        let before = served();
        until("requests have gone on", async || {
            let failed = self.clients.iter().any(JoinHandle::is_finished);
            assert!(!failed, "a client wasn't served");
            served()
                .iter()
                .zip(&before)
                .all(|(now, before)| *now >= before + ROUNDS)
        })
        .await;
    }

    /// Ends it. Panics if one request failed.
    pub(crate) async fn end(self) {
        self.stop.store(true, Ordering::Relaxed);
        for client in self.clients {
            client.await.expect("every request is served");
        }
    }
}

/// A request of which the second half of the body comes later.
pub(crate) struct Upload(TlsStream<TcpStream>);

impl Upload {
    /// Sends a head and half a body.
    pub(crate) async fn begin(router: &Running, trusted: &Ca, token: &str) -> Self {
        let roots = Ca::roots(&[trusted]).unwrap();
        let config = provider().client(roots, None, Protocol::Http1).unwrap();
        let address = router.address();
        let stream = TcpStream::connect(address).await.unwrap();
        let connector = TlsConnector::from(config);
        let name = ServerName::from(address.ip());
        let mut stream = connector.connect(name, stream).await.unwrap();
        let head = format!(
            "PUT /upload HTTP/1.1\r\nhost: a\r\nauthorization: Bearer {token}\r\n\
             connection: close\r\ncontent-length: 10\r\n\r\nhello"
        );
        stream.write_all(head.as_bytes()).await.unwrap();
        Self(stream)
    }

    /// Sends the rest, and returns the answer.
    pub(crate) async fn finish(mut self) -> String {
        self.0.write_all(b"world").await.unwrap();
        let mut answer = Vec::new();
        let reading = self.0.read_to_end(&mut answer);
        let _ = timeout(PATIENCE, reading).await.expect("it ends");
        String::from_utf8(answer).unwrap()
    }
}
