//! Open streams of clients whose certificates are no longer trusted, or revoked.

use bytes::Bytes;
use cellway_router::settings::Pem;
use cellway_testbed::{Ca, Credential, Protocol, bundle_pem};
use http::StatusCode;
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http2::SendRequest;
use hyper_util::rt::{TokioExecutor, TokioIo};
use rustls::ProtocolVersion;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::{ACME, Aged, list, start};
use crate::suspension::{LongCell, soon};
use crate::world::{
    DAY, ca, dns, issue, issue_numbered, now, pair, plain_endpoint, provider, registry, secure, uri,
};

async fn http2(world: &Aged, trusted: &Ca, shown: &Credential) -> SendRequest<Empty<Bytes>> {
    let tls = provider().client(Ca::roots(&[trusted]).unwrap(), Some(shown), Protocol::Http2);
    let stream = TcpStream::connect(("127.0.0.1", world.port()))
        .await
        .unwrap();
    let host = ServerName::try_from("localhost").unwrap();
    let connector = TlsConnector::from(tls.unwrap());
    let stream = connector.connect(host, stream).await.unwrap();
    assert_eq!(
        stream.get_ref().1.protocol_version(),
        Some(ProtocolVersion::TLSv1_3)
    );
    let opened = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(stream));
    let (sender, connection) = opened.await.unwrap();
    tokio::spawn(connection);
    sender
}

async fn ask(sender: &mut SendRequest<Empty<Bytes>>) -> http::Response<hyper::body::Incoming> {
    let request = http::Request::get("https://localhost/").body(Empty::new());
    soon(sender.send_request(request.unwrap())).await.unwrap()
}

/// Two clients, each with an open stream to a cell: one certificate is of the old authority and one
/// of the new one.
struct OpenStreams {
    world: Aged,
    cell: LongCell,
    new: Ca,
    one: SendRequest<Empty<Bytes>>,
    two: SendRequest<Empty<Bytes>>,
    first: http::Response<hyper::body::Incoming>,
    second: http::Response<hyper::body::Incoming>,
}

impl OpenStreams {
    async fn open() -> Self {
        let (old, new) = (ca(1), ca(4));
        let cell = LongCell::new();
        let endpoints = plain_endpoint("http", cell.start().await);
        let mut settings = secure(registry(endpoints), &old, &ca(2));
        settings.trust_bundle = Some(bundle_pem(&[&old, &new]).into());
        settings.listeners[0].tls.as_mut().unwrap().identity = pair(&issue(&old, dns("localhost")));
        let world = start(settings).await;
        let until = now().after(DAY);
        let lagging = issue_numbered(&old, uri(ACME), until, 8);
        let renewed = issue_numbered(&new, uri(ACME), until, 9);
        let mut one = http2(&world, &old, &lagging).await;
        let mut two = http2(&world, &old, &renewed).await;
        let (mut first, mut second) = (ask(&mut one).await, ask(&mut two).await);
        cell.arrivals(2).await;
        for answer in [&mut first, &mut second] {
            assert!(
                soon(answer.frame()).await.unwrap().is_ok(),
                "the first byte"
            );
        }
        Self {
            world,
            cell,
            new,
            one,
            two,
            first,
            second,
        }
    }

    /// Trusts only the new authority, with these revocation lists.
    async fn trust_new(&self, lists: Vec<Pem>) {
        self.world
            .apply(|settings| {
                settings.trust_bundle = Some(bundle_pem(&[&self.new]).into());
                settings.revocation.lists = lists.clone();
            })
            .await;
    }

    /// Checks that the second stream gets the cell's next byte.
    async fn second_continues(&mut self) {
        self.cell.more.notify_waiters();
        assert!(soon(self.second.frame()).await.unwrap().is_ok());
    }
}

#[tokio::test]
async fn a_stream_is_closed_when_its_authority_is_removed() {
    let mut streams = OpenStreams::open().await;
    // A reload that removes nothing.
    streams.world.apply(|_| ()).await;
    streams.second_continues().await;
    assert!(soon(streams.first.frame()).await.unwrap().is_ok());

    streams.trust_new(Vec::new()).await;
    let closed = "stream closed certificate_untrusted";
    streams.world.events.line(closed).await;
    assert!(soon(streams.first.frame()).await.unwrap().is_err());
    streams.cell.losses(1).await;
    let status = ask(&mut streams.one).await.status();
    assert_eq!(status, StatusCode::UNAUTHORIZED, "a new request on it");
    streams.second_continues().await;
}

#[tokio::test]
async fn a_stream_is_closed_when_its_certificate_is_revoked_and_not_when_that_is_unknown() {
    let mut streams = OpenStreams::open().await;
    // The list expires, so nobody knows whether the certificate is revoked: new requests are refused
    // until there is a new list, and open streams continue.
    let lists = vec![list(&streams.new, &[], streams.world.env.now(), 100)];
    streams.trust_new(lists.clone()).await;
    streams.world.env.step(100);
    streams.trust_new(lists).await;
    let status = ask(&mut streams.two).await.status();
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    streams.second_continues().await;

    let revoked = list(&streams.new, &[9], streams.world.env.now(), 100);
    streams.trust_new(vec![revoked]).await;
    let closed = "stream closed certificate_revoked";
    streams.world.events.line(closed).await;
    assert!(soon(streams.second.frame()).await.unwrap().is_err());
}
