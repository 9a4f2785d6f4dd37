//! What a client can do to the connection to an HTTP/2 cell, which the requests of others use too.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cellway_testbed::{EchoCell, Protocol, Request, ServerTls};
use http::header::COOKIE;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use tokio::net::TcpStream;

use crate::cells::played;
use crate::frames::{Came, Frames, MAX_HEADER_LIST_SIZE};
use crate::world::{PATIENCE, World, body, cell, plain, plain_endpoint, reason, registry, start};

async fn world() -> (EchoCell, World) {
    let (cell, port) = cell("a", ServerTls::plain_h2()).await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    (cell, world)
}

/// Catches: a malformed request that is forwarded. A cell may close the connection for it, and with it the
/// requests of all other tenants (RFC 9113, sections 8.1.1 and 8.2.1).
#[tokio::test]
async fn a_paddedwith_whitespace_around_it_is_refused() {
    let (cell, world) = world().await;
    let client = world.client(Protocol::Http2);
    for value in [" b", "b ", "\tb", "b\t", " "] {
        let (name, padded) = (
            HeaderName::from_static("x-a"),
            HeaderValue::from_static(value),
        );
        let request = Request::get("/").header(name, padded);
        let answer = client.send(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_REQUEST, "{value:?}");
        assert_eq!(reason(&answer), "bad_request", "{value:?}");
    }
    assert_eq!(cell.arrivals(), 0);
}

/// Catches: the same in trailers.
#[tokio::test]
async fn a_trailer_with_whitespace_around_it_is_not_forwarded() {
    let (_cell, world) = world().await;
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let (mut client, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://a/").header("te", "trailers");
    let (answer, mut sends) = client
        .send_request(request.body(()).unwrap(), false)
        .unwrap();
    sends.send_data(Bytes::from_static(b"body"), false).unwrap();
    let mut trailers = HeaderMap::new();
    trailers.insert("x-a", HeaderValue::from_static("b "));
    sends.send_trailers(trailers).unwrap();
    let status = tokio::time::timeout(PATIENCE, answer).await.unwrap();
    // The cell answers whole requests with 200.
    assert!(!status.is_ok_and(|answer| answer.status().is_success()));
}

/// Catches: an empty `Cookie` among several, which a cell joins with the others.
#[tokio::test]
async fn an_empty_cookie_is_left_out() {
    for scheme in ["http", "h2c"] {
        let tls = match scheme {
            "h2c" => ServerTls::plain_h2(),
            _ => ServerTls::plain(),
        };
        let (_cell, port) = cell("a", tls).await;
        let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
        let request = Request::get("/")
            .header(COOKIE, HeaderValue::from_static("a=1"))
            .header(COOKIE, HeaderValue::from_static(""));
        let answer = world.client(Protocol::Http1).send(request).await.unwrap();
        assert_eq!(body(&answer)["headers"]["cookie"], "a=1", "{scheme}");
    }
}

/// Catches: a header that fits for the router, and with its own fields is over what many HTTP/2 servers
/// take.
#[tokio::test]
async fn a_header_that_is_too_large_with_the_routers_fields_is_refused() {
    let (cell, world) = world().await;
    let mut request = Request::get("/");
    let value = HeaderValue::from_str(&"a".repeat(700)).unwrap();
    // 65,000 bytes as HTTP/2 counts them.
    for at in 0..88 {
        let name = HeaderName::try_from(format!("x-{at:04}")).unwrap();
        request = request.header(name, value.clone());
    }
    let answer = world.client(Protocol::Http2).send(request).await.unwrap();
    assert_eq!(reason(&answer), "headers_too_large");
    assert_eq!(cell.arrivals(), 0);
}

/// How large a header the cell takes, with its pseudo-header fields.
const TAKEN: u32 = 8 * 1024;

/// A request whose header has about this size, as HTTP/2 counts it.
fn sized(bytes: usize) -> Request {
    let value = HeaderValue::from_str(&"a".repeat(bytes)).unwrap();
    Request::get("/").header(HeaderName::from_static("x-a"), value)
}

/// Catches: a header that is larger than the cell takes, and whose fate depends on the cell: some reset the
/// stream, and some close the connection, which others use too.
#[tokio::test]
async fn a_header_that_is_larger_than_the_cell_takes_is_refused() {
    let arrived = Arc::new(AtomicUsize::new(0));
    let counting = arrived.clone();
    let port = played(move |stream| {
        let arrived = counting.clone();
        async move {
            let takes = [(MAX_HEADER_LIST_SIZE, TAKEN)];
            let mut frames = Frames::greet_with(stream, &takes).await;
            while let Some(came) = frames.next().await {
                let Came::End(id) = came else { continue };
                // It takes larger ones after the second request.
                if arrived.fetch_add(1, Ordering::Relaxed) == 1 {
                    frames.settings(&[(MAX_HEADER_LIST_SIZE, 2 * TAKEN)]).await;
                }
                frames.answer(id).await;
            }
        }
    })
    .await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    let client = world.client(Protocol::Http2);
    let large = || client.send(sized(TAKEN as usize));
    // The first request on a connection waits until the cell has said what it takes.
    let answer = large().await.unwrap();
    assert_eq!(answer.status, StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE);
    assert_eq!(reason(&answer), "headers_too_large");
    for _ in 0..2 {
        let answer = client.send(sized(TAKEN as usize - 2048)).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(large().await.unwrap().status, StatusCode::OK);
    assert_eq!(arrived.load(Ordering::Relaxed), 3);
}
