//! Answers of cells whose end is ambiguous, or that are cut.

mod broken;
mod details;
mod http2;
mod limits;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cellway_testbed::{Answer, ClientError, Protocol, Request, bundle_pem};
use http::header::CONTENT_LENGTH;
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio_rustls::TlsAcceptor;

use crate::cells::{http2, played, receive};
use crate::frames::{NO_ERROR, head_of, trailers_of};
use crate::world::{
    World, ca, dns, issue, plain, plain_endpoint, provider, reason, registry, start,
};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

/// How a cell ends its connection after an answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum End {
    /// It stays open.
    Open,
    Closed,
}

/// A cell that sends these bytes as the answer to every request, in HTTP/1.1.
async fn says(answer: &[u8], end: End) -> u16 {
    counted(answer, end).await.0
}

/// The same, with a counter of the connections to it.
async fn counted(answer: &[u8], end: End) -> (u16, Arc<AtomicUsize>) {
    let connections = Arc::new(AtomicUsize::new(0));
    let count = connections.clone();
    let answer = Arc::<[u8]>::from(answer);
    let port = played(move |mut stream| {
        count.fetch_add(1, Ordering::Relaxed);
        let answer = answer.clone();
        async move {
            while receive(&mut stream).await > 0 {
                let _ = stream.write_all(&answer).await;
                if end == End::Closed {
                    return;
                }
            }
        }
    });
    (port.await, connections)
}

/// A step of a cell's answer in HTTP/2.
#[derive(Clone, Debug)]
enum Step {
    Fields(Vec<u8>, bool),
    Data(&'static [u8], bool),
    Reset(u32),
    GoAway(u32),
    Close,
}

/// `:status: 200` and these fields.
fn head(fields: &[(&str, &str)], last: bool) -> Step {
    Step::Fields(head_of(fields), last)
}

fn trailers(fields: &[(&str, &str)]) -> Step {
    Step::Fields(trailers_of(fields), true)
}

/// A cell that takes these steps for every complete request.
async fn does(steps: Vec<Step>) -> u16 {
    http2(move |mut frames, id| {
        let steps = steps.clone();
        async move {
            for step in &steps {
                match step {
                    Step::Fields(block, last) => frames.fields(id, block, *last).await,
                    Step::Data(data, last) => frames.data(id, data, *last).await,
                    Step::Reset(code) => frames.reset(id, *code).await,
                    Step::GoAway(last) => frames.go_away(*last, NO_ERROR).await,
                    Step::Close => return None,
                }
            }
            Some(frames)
        }
    })
    .await
}

async fn before(scheme: &str, port: u16) -> World {
    start(plain(registry(plain_endpoint(scheme, port)))).await
}

/// Sends the request over both protocols.
async fn ask(world: &World, method: Method) -> [(Protocol, Result<Answer, ClientError>); 2] {
    let mut request = Request::get("/");
    request.method = method;
    let [h1, h2] = BOTH.map(|protocol| world.client(protocol));
    [
        (BOTH[0], h1.send(request.clone()).await),
        (BOTH[1], h2.send(request).await),
    ]
}

/// Checks that the answer is complete, with this body and this length.
async fn whole(world: &World, what: &str, method: Method, body: &str, length: Option<&str>) {
    for (protocol, answer) in ask(world, method).await {
        let answer = answer.unwrap_or_else(|error| panic!("{what}, {protocol:?}: {error:?}"));
        assert_eq!(
            answer.headers["x-cellway-owner"], "cell",
            "{what}, {protocol:?}"
        );
        assert_eq!(answer.body, body, "{what}, {protocol:?}");
        let said = answer.headers.get(CONTENT_LENGTH);
        let said = said.map(|length| length.to_str().unwrap());
        assert_eq!(said, length, "{what}, {protocol:?}");
    }
}

async fn refused(world: &World, what: &str) {
    for (protocol, answer) in ask(world, Method::GET).await {
        let answer = answer.unwrap_or_else(|error| panic!("{what}, {protocol:?}: {error:?}"));
        assert_eq!(
            answer.status,
            StatusCode::BAD_GATEWAY,
            "{what}, {protocol:?}"
        );
        assert_eq!(
            reason(&answer),
            "cell_protocol_error",
            "{what}, {protocol:?}"
        );
    }
}

/// Checks that the client gets a part of the answer and notices that it was cut, or is told that it is
/// broken before it gets anything.
async fn broken(world: &World, what: &str) {
    for (protocol, answer) in ask(world, Method::GET).await {
        let error = match answer {
            Ok(answer) if answer.status == StatusCode::BAD_GATEWAY => {
                assert!(reason(&answer).starts_with("cell_"), "{what}, {protocol:?}");
                continue;
            }
            answer => answer.expect_err(&format!("{what}, {protocol:?}")),
        };
        let broke = matches!(error, ClientError::Body(_) | ClientError::Http(_));
        assert!(broke, "{what}, {protocol:?}: {error:?}");
    }
}

/// Catches: a client that takes two of six bytes for the whole answer, and the rest for another
/// answer.
#[tokio::test]
async fn a_length_is_dropped_from_a_chunked_answer_and_the_connection_is_closed() {
    let answer = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 2\r\n\r\n\
                   6\r\nabcdef\r\n0\r\n\r\n";
    let (port, connections) = counted(answer, End::Open).await;
    let world = before("http", port).await;
    for _ in 0..2 {
        whole(&world, "both", Method::GET, "abcdef", None).await;
    }
    let connections = connections.load(Ordering::Relaxed);
    assert_eq!(connections, 4, "one for each request");
}

#[tokio::test]
async fn an_answer_with_an_unclear_end_is_refused() {
    for fields in [
        "content-length: abc",
        "content-length: 2, 2",
        "content-length: 2\r\ncontent-length: 2",
        "content-length: 2\r\ncontent-length: 3",
        "content-length: -2",
        "content-length: +2",
        "content-length: 18446744073709551616",
        "transfer-encoding: gzip, chunked",
        "transfer-encoding: chunked\r\ntransfer-encoding: chunked",
        "transfer-encoding: chunked\r\ncontent-length: x",
        "connection: content-type\r\ncontent-length: 2",
        "connection: x-cellway-tenant\r\ncontent-length: 2",
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ncontent-type: a/b\r\n{fields}\r\n\r\nok");
        let world = before("http", says(answer.as_bytes(), End::Closed).await).await;
        refused(&world, fields).await;
    }
    let old = b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let world = before("http", says(old, End::Closed).await).await;
    refused(&world, "chunks in HTTP/1.0").await;
    for fields in [
        &[("content-length", "abc")] as &[_],
        &[("content-length", "2, 2")],
        &[("content-length", "2"), ("content-length", "2")],
        &[("content-length", "2"), ("content-length", "3")],
        &[("transfer-encoding", "chunked")],
        &[("connection", "close")],
    ] {
        let steps = vec![head(fields, false), Step::Data(b"ok", true)];
        let world = before("h2c", does(steps).await).await;
        refused(&world, &format!("HTTP/2, {fields:?}")).await;
    }
}

/// Catches: a length that is forwarded where it describes no body, or removed where it does.
#[tokio::test]
async fn answers_without_a_body_say_what_they_may() {
    let two = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n";
    let world = before("http", says(two.as_bytes(), End::Open).await).await;
    whole(&world, "HEAD", Method::HEAD, "", Some("2")).await;
    let both = two.replace("\r\n\r\n", "\r\ntransfer-encoding: chunked\r\n\r\n");
    let world = before("http", says(both.as_bytes(), End::Open).await).await;
    whole(&world, "HEAD, chunked", Method::HEAD, "", None).await;
    let empty = two.replace("200 OK", "204 No Content");
    let world = before("http", says(empty.as_bytes(), End::Open).await).await;
    whole(&world, "204", Method::GET, "", None).await;
    let not_modified = two.replace("200 OK", "304 Not Modified");
    let world = before("http", says(not_modified.as_bytes(), End::Open).await).await;
    for (protocol, answer) in ask(&world, Method::GET).await {
        let answer = answer.unwrap();
        assert_eq!((answer.status.as_u16(), answer.body.len()), (304, 0));
        let length = answer.headers.get(CONTENT_LENGTH);
        assert_eq!(length.unwrap(), "2", "{protocol:?}");
    }
    let world = before(
        "h2c",
        does(vec![head(&[("content-length", "2")], true)]).await,
    )
    .await;
    whole(&world, "HEAD, HTTP/2", Method::HEAD, "", Some("2")).await;
}

/// `identity` is RFC 2616's name for no coding. Old servers still send it.
#[tokio::test]
async fn identity_is_no_coding() {
    let with_length =
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 2\r\n\r\nok";
    let world = before("http", says(with_length, End::Open).await).await;
    whole(&world, "with a length", Method::GET, "ok", Some("2")).await;
    let without = b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\nok";
    let world = before("http", says(without, End::Closed).await).await;
    whole(&world, "to the end", Method::GET, "ok", None).await;
    let short = b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\ncontent-length: 3\r\n\r\nok";
    let world = before("http", says(short, End::Closed).await).await;
    broken(&world, "too short").await;
}

/// A router in front of a cell with TLS. The cell answers without a length and then closes the
/// connection, after `close_notify` only if `ends_tls` is set.
async fn until_closed(ends_tls: bool) -> World {
    let cells = ca(2);
    let config = provider().server(&issue(&cells, dns("localhost")), None);
    let mut config = Arc::unwrap_or_clone(config.unwrap());
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let port = played(move |stream| {
        let acceptor = acceptor.clone();
        async move {
            let mut stream = acceptor.accept(stream).await.unwrap();
            let _ = stream.read(&mut [0; 4096]).await;
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nok").await;
            let _ = stream.flush().await;
            if ends_tls {
                let _ = stream.shutdown().await;
            }
        }
    });
    let url = format!("https://127.0.0.1:{}", port.await);
    let mut settings = plain(registry(json!([{"url": url, "san": "localhost"}])));
    settings.upstream.bundle = Some(bundle_pem(&[&cells]).into());
    start(settings).await
}

/// Catches: an answer that an attacker on the network cut but a client takes for complete.
#[tokio::test]
async fn an_answer_to_the_end_of_the_connection_needs_a_clean_end() {
    whole(
        &until_closed(true).await,
        "close_notify",
        Method::GET,
        "ok",
        None,
    )
    .await;
    broken(&until_closed(false).await, "no close_notify").await;
    let plain = b"HTTP/1.1 200 OK\r\n\r\nok";
    let world = before("http", says(plain, End::Closed).await).await;
    whole(&world, "without TLS", Method::GET, "ok", None).await;
}
