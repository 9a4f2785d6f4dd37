//! Bodies that are longer than their route allows.

use std::sync::Arc;

use bytes::Bytes;
use cellway_router::settings::{AccessLog, TrafficSettings};
use cellway_testbed::{Protocol, Request, ServerTls};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use crate::cells::played;
use crate::world::{World, cell, plain, plain_endpoint, reason, registry, start};
/// The most bytes of a body in these tests.
const MOST: usize = 100_000;

async fn limited(scheme: &str, port: u16) -> World {
    let mut settings = plain(registry(plain_endpoint(scheme, port)));
    settings.access_log = AccessLog::Full;
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        body_bytes_max: Some(MOST as u64),
        ..TrafficSettings::default()
    });
    start(settings).await
}

/// A `POST` of this many bytes. With trailers, an HTTP/1.1 body is sent in chunks and its length
/// isn't announced.
fn post(length: usize, announced: bool) -> Request {
    let mut trailers = HeaderMap::new();
    if !announced {
        trailers.insert("x-end", HeaderValue::from_static("1"));
    }
    Request {
        method: Method::POST,
        body: Bytes::from(vec![b'x'; length]),
        trailers,
        ..Request::get("/")
    }
}

#[tokio::test]
async fn a_body_of_an_announced_length_never_reaches_the_cell() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        let (cell, port) = cell("a", tls).await;
        let world = limited(scheme, port).await;
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let client = world.client(protocol);
            let answer = client.send(post(MOST + 1, true)).await.unwrap();
            assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
            assert_eq!(reason(&answer), "body_too_large");
        }
        assert_eq!(cell.arrivals(), 0);
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let answer = world.client(protocol).send(post(MOST, true)).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "the limit itself passes");
        }
    }
}

#[tokio::test]
async fn a_body_of_unknown_length_is_cut_at_the_limit() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        let (_cell, port) = cell("a", tls).await;
        let world = limited(scheme, port).await;
        for protocol in [Protocol::Http1, Protocol::Http2] {
            let client = world.client(protocol);
            let answer = client.send(post(MOST, false)).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{scheme} {protocol:?}");
            let answer = client.send(post(MOST * 3, false)).await.unwrap();
            assert_eq!(
                answer.status,
                StatusCode::PAYLOAD_TOO_LARGE,
                "{scheme} {protocol:?}"
            );
            assert_eq!(reason(&answer), "body_too_large");
        }
        // It is the client's fault, so nothing is held against the cell.
        let told = world.events.lines();
        assert!(
            !told.iter().any(|line| line.starts_with("cell failed")),
            "{told:?}"
        );
        assert!(
            !told.iter().any(|line| line.starts_with("retry")),
            "{told:?}"
        );
    }
}

/// Catches: an access log without the bytes that are one too many, which says 0 if they come first.
#[tokio::test]
async fn the_access_log_counts_the_bytes_that_are_too_many() {
    const LENGTH: usize = MOST + 1;
    for (scheme, tls, spoken) in [
        ("http", ServerTls::plain(), "HTTP/1.1"),
        ("h2c", ServerTls::plain_h2(), "HTTP/2.0"),
    ] {
        let (_cell, port) = cell("a", tls).await;
        let world = limited(scheme, port).await;
        for (protocol, version) in [(Protocol::Http1, "HTTP/1.1"), (Protocol::Http2, "HTTP/2.0")] {
            let answer = world.client(protocol).send(post(LENGTH, false)).await;
            assert_eq!(answer.unwrap().status, StatusCode::PAYLOAD_TOO_LARGE);
            let line = format!(
                "logged POST / {version} of acme -, 1 attempts, {scheme}://127.0.0.1:{port} \
                 Some({spoken}), {LENGTH} bytes"
            );
            world.events.line(&line).await;
        }
    }
}

/// Reads until these bytes have come.
async fn read_to(stream: &mut TcpStream, end: &[u8]) {
    let mut read = Vec::new();
    while !read.windows(end.len()).any(|bytes| bytes == end) {
        assert_ne!(stream.read_buf(&mut read).await.unwrap(), 0, "{read:?}");
    }
}

/// Catches: an answer that looks whole although the cell didn't get the whole request.
#[tokio::test]
async fn an_answer_that_has_begun_is_cut() {
    let (came, mut cells) = mpsc::unbounded_channel();
    let port = played(move |stream| {
        let _ = came.send(stream);
        std::future::ready(())
    })
    .await;
    let world = limited("http", port).await;
    let mut client = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = "POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n5\r\nhello\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let mut cell = cells.recv().await.unwrap();
    read_to(&mut cell, b"hello").await;
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nfirst";
    cell.write_all(answer).await.unwrap();
    read_to(&mut client, b"first").await;
    let chunk = format!("{:x}\r\n{}\r\n", MOST, "x".repeat(MOST));
    client.write_all(chunk.as_bytes()).await.unwrap();
    world
        .events
        .line("responded 200 cell body_too_large cut")
        .await;
    let mut rest = Vec::new();
    let _ = client.read_to_end(&mut rest).await;
    assert_eq!(rest, b"", "nothing more of the answer");
}
