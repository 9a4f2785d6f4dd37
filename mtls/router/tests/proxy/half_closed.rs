//! Clients that close their sending side or their connection, above and below TLS.

use std::sync::Arc;

use cellway_router::settings::RouterSettings;
use cellway_testbed::{CellFault, Protocol, ServerTls};
use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsConnector;

use crate::answer_before_body::connected;
use crate::cells::silent;
use crate::suspension::soon;
use crate::world::{World, ca, cell, plain, plain_endpoint, provider, registry, secure, start};

/// A router that refuses requests without a token, and how to connect to it.
pub(crate) async fn behind_tls() -> (World, Arc<rustls::ClientConfig>) {
    let clients = ca(1);
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let settings = secure(registry(plain_endpoint("http", port)), &clients, &ca(2));
    let world = start(settings).await;
    let roots = cellway_testbed::Ca::roots(&[&clients]).unwrap();
    let config = provider().client(roots, None, Protocol::Http1).unwrap();
    (world, config)
}

#[tokio::test]
async fn a_client_that_closes_its_side_gets_its_answer() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    cell.set_fault(CellFault::Slow(std::time::Duration::from_millis(100)));
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    for request in [
        &b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"[..],
        b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello",
    ] {
        let mut stream = connected(&world).await;
        stream.write_all(request).await.unwrap();
        stream.shutdown().await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
        assert!(answer.contains("\"cell\""), "{answer}");
    }
}

/// Catches: a request that is dropped because its client, like many, closes TCP without TLS's
/// `close_notify`.
#[tokio::test]
async fn a_client_that_closes_its_side_below_tls_gets_its_answer() {
    let (world, config) = behind_tls().await;
    for request in ["GET / HTTP/1.1\r\nhost: a\r\n\r\n", "GET / HT"] {
        let name = ServerName::try_from("localhost").unwrap();
        let stream = connected(&world).await;
        let connecting = TlsConnector::from(config.clone()).connect(name, stream);
        let mut stream = connecting.await.unwrap();
        stream.write_all(request.as_bytes()).await.unwrap();
        stream.flush().await.unwrap();
        stream.get_mut().0.shutdown().await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        let whole = request.ends_with("\r\n\r\n");
        assert_eq!(answer.starts_with("HTTP/1.1 401 "), whole, "{answer}");
    }
}

#[tokio::test]
async fn a_client_that_closes_its_side_within_a_body_is_told_so() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let mut stream = connected(&world).await;
    let half = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
    stream.write_all(half).await.unwrap();
    stream.shutdown().await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(!answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn a_client_that_resets_the_connection_gives_its_place_back() {
    let (port, asked) = silent().await;
    let mut settings: RouterSettings = plain(registry(plain_endpoint("http", port)));
    settings.upstream.limits.requests_max = 1;
    let world = start(settings).await;
    let ask = async || {
        let mut stream = connected(&world).await;
        let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
        stream.write_all(request).await.unwrap();
        soon(asked.notified()).await;
        stream
    };
    let stream = ask().await;
    stream.set_zero_linger().unwrap();
    drop(stream);
    world.events.line("closed error").await;
    world.events.line("responded none client - cut").await;
    // The cell's only place is free again.
    ask().await;
}

#[tokio::test]
async fn a_client_that_offers_http_1_0_alone_is_served() {
    let (world, config) = behind_tls().await;
    for (offers, served) in [("http/1.0", true), ("spdy/3", false)] {
        let mut config = rustls::ClientConfig::clone(&config);
        config.alpn_protocols = vec![offers.into()];
        let name = ServerName::try_from("localhost").unwrap();
        let connecting = TlsConnector::from(Arc::new(config))
            .connect(name, connected(&world).await)
            .await;
        assert_eq!(connecting.is_ok(), served, "{offers}");
        if let Ok(mut stream) = connecting {
            let request = b"GET / HTTP/1.0\r\n\r\n";
            stream.write_all(request).await.unwrap();
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            assert!(answer.contains(" 401 "), "{answer}");
        }
    }
}
