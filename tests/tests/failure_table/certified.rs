//! A client that shows a certificate, over connections that stay open.

use std::fmt::Write;

use cellway_testbed::{Answer, Connection, Credential, Protocol, Request};
use cellway_tests::world::{Running, World};
use http::Method;
use serde_json::json;
use tokio::sync::Mutex;

/// A client that shows a certificate.
pub(crate) struct Certified {
    credential: Credential,
    http1: Mutex<Connection>,
    http2: Mutex<Connection>,
}

impl Certified {
    /// Connects as `acme`.
    pub(crate) async fn connect(world: &World, router: &Running) -> Self {
        let credential = world.authorities.acme();
        let servers = [&world.authorities.servers];
        let connect = async |protocol| {
            let client = router.client(protocol, &servers, Some(&credential));
            Mutex::new(client.connect().await.unwrap())
        };
        Self {
            http1: connect(Protocol::Http1).await,
            http2: connect(Protocol::Http2).await,
            credential,
        }
    }

    pub(crate) async fn send(&self, protocol: Protocol, request: Request) -> Answer {
        let connection = match protocol {
            Protocol::Http1 => &self.http1,
            Protocol::Http2 => &self.http2,
        };
        connection.lock().await.send(request).await.unwrap()
    }

    /// What an Envoy asks about a request of this client.
    pub(crate) fn question(&self) -> Request {
        // Envoy passes it on in PEM, percent-encoded.
        let pem = self
            .credential
            .pem()
            .bytes()
            .fold(String::new(), |mut all, byte| {
                write!(all, "%{byte:02X}").unwrap();
                all
            });
        let http = json!({"method": "GET", "path": "/orders", "host": "shop.example"});
        let attributes = json!({"source": {"certificate": pem}, "request": {"http": http}});
        Request {
            method: Method::POST,
            body: json!({"attributes": attributes}).to_string().into(),
            ..Request::get("/ext_authz/v3/check")
        }
    }
}
