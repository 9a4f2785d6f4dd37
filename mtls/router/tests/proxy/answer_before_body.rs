//! Answers that come before the request ends, and clients that close their side before the answer.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;

use bytes::Bytes;
use cellway_core::policy::{Policy, PolicySpecs};
use cellway_env::Listener;
use cellway_testbed::{Protocol, Request, ServerTls};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use rustls::pki_types::ServerName;
use serde_json::json;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio_rustls::TlsConnector;

use crate::cells::{played, receive, until_closed};
use crate::frames::{CANCEL, Came, Frames, Outcome};
use crate::half_closed::behind_tls;
use crate::memory::{self, BUFFER, Memory};
use crate::world::{
    PATIENCE, World, cell, listen, mtls_policy, plain, plain_endpoint, registry, set_policy, start,
};

/// More than the sockets between client and router hold.
const UPLOAD: usize = 16 << 20;

/// A plain router that refuses all requests, because it requires a certificate.
pub(crate) async fn refusing() -> World {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    set_policy(&mut settings, mtls_policy());
    start(settings).await
}

pub(crate) async fn connected(world: &World) -> TcpStream {
    TcpStream::connect(("127.0.0.1", world.port)).await.unwrap()
}

/// Sends a whole upload before it reads the answer, as simple clients do.
async fn upload(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> String {
    upload_by(stream, "POST / HTTP/1.1\r\nhost: a\r\n").await
}

async fn upload_by(stream: &mut (impl AsyncRead + AsyncWrite + Unpin), head: &str) -> String {
    let head = format!("{head}content-length: {UPLOAD}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    for _ in 0..UPLOAD / 65536 {
        stream.write_all(&[7; 65536]).await.unwrap();
    }
    let mut answer = String::new();
    let reading = stream.read_to_string(&mut answer);
    tokio::time::timeout(PATIENCE, reading)
        .await
        .unwrap()
        .unwrap();
    answer
}

/// Reads one answer, which has a length.
async fn one_answer(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    let reading = async {
        loop {
            let text = String::from_utf8_lossy(&answer);
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|it| it.strip_prefix("content-length: "));
                if length.is_none_or(|length| body.len() >= length.parse().unwrap()) {
                    return text.into_owned();
                }
            }
            assert_ne!(stream.read_buf(&mut answer).await.unwrap(), 0, "closed");
        }
    };
    tokio::time::timeout(PATIENCE, reading).await.unwrap()
}

#[tokio::test]
async fn a_refused_upload_is_heard_of_over_plain_tcp_and_tls() {
    let world = refusing().await;
    let answer = upload(&mut connected(&world).await).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");

    let (world, config) = behind_tls().await;
    let name = ServerName::try_from("localhost").unwrap();
    let stream = connected(&world).await;
    let mut stream = TlsConnector::from(config)
        .connect(name, stream)
        .await
        .unwrap();
    let answer = upload(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

#[tokio::test]
async fn a_short_body_that_comes_late_does_not_cost_the_connection() {
    let world = refusing().await;
    let mut stream = connected(&world).await;
    for _ in 0..3 {
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\n";
        stream.write_all(head).await.unwrap();
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
        stream.write_all(b"hello").await.unwrap();
        let head = b"POST / HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream.write_all(b"5\r\nhello\r\n0\r\n\r\n").await.unwrap();
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

/// Catches: the router answers without reading the body, and doesn't announce that it closes the
/// connection.
#[tokio::test]
async fn a_preflight_with_a_body_is_heard_of_and_a_short_body_costs_no_connection() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    let specs: PolicySpecs = serde_json::from_value(json!({
        "policy": [{"name": "default", "any_of": ["mtls"],
                    "cors": {"origins": ["https://app.example"], "methods": ["PUT"]}}],
        "trust": {"bundle": "inline", "trust_domains": ["corp.example"],
                  "san": ["spiffe://{trust_domain}/tenant/{tenant}"]},
    }))
    .unwrap();
    settings.policy = Arc::new(Policy::build(&specs).unwrap());
    let world = start(settings).await;
    let head = "OPTIONS / HTTP/1.1\r\nhost: a\r\norigin: https://app.example\r\n\
                access-control-request-method: PUT\r\n";
    let answer = upload_by(&mut connected(&world).await, head).await;
    assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");

    let mut stream = connected(&world).await;
    for _ in 0..3 {
        let short = format!("{head}content-length: 5\r\n\r\n");
        stream.write_all(short.as_bytes()).await.unwrap();
        let answer = one_answer(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 204 "), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
        stream.write_all(b"hello").await.unwrap();
    }
}

#[tokio::test]
async fn a_body_without_an_end_costs_the_connection_and_says_so() {
    let world = refusing().await;
    for head in [
        "transfer-encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "content-length: 5\r\nexpect: 100-continue\r\n\r\n",
        "content-length: 1000000\r\n\r\n",
    ] {
        let mut stream = connected(&world).await;
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\n{head}");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        let _ = stream.read_to_string(&mut answer).await;
        assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

/// A cell that refuses every upload as soon as it has the header, then closes its side and discards
/// the rest.
async fn too_large() -> u16 {
    played(|mut stream| async move {
        receive(&mut stream).await;
        let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\
                       connection: close\r\n\r\n";
        let _ = stream.write_all(answer).await;
        let _ = stream.shutdown().await;
        until_closed(&mut stream).await;
    })
    .await
}

#[tokio::test]
async fn a_cells_early_answer_is_heard_of() {
    let world = start(plain(registry(plain_endpoint("http", too_large().await)))).await;
    let answer = upload(&mut connected(&world).await).await;
    assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
    assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
}

/// Sends half a request over HTTP/2. Returns the answer's status, and the code of the reset that
/// follows.
async fn reset_after_answer(world: &World) -> (StatusCode, h2::Reason) {
    let (mut client, connection) = h2::client::handshake(connected(world).await).await.unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://a/").body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"half"), false).unwrap();
    let exchange = async {
        let (head, mut answer) = answer.await.unwrap().into_parts();
        while let Some(data) = answer.data().await {
            data.unwrap();
        }
        assert!(answer.is_end_stream(), "the answer is whole");
        let reset = poll_fn(|cx| body.poll_reset(cx)).await;
        (head.status, reset.unwrap())
    };
    tokio::time::timeout(PATIENCE, exchange).await.unwrap()
}

/// Sends half a request over HTTP/2, and the rest after the answer. Returns how the router has reset the
/// stream, if it has.
async fn reset_after_the_rest(world: &World, length: Option<&str>) -> Option<h2::Reason> {
    let (mut client, mut connection) = h2::client::handshake(connected(world).await).await.unwrap();
    let mut pings = connection.ping_pong().unwrap();
    tokio::spawn(connection);
    let mut request = http::Request::post("http://a/");
    if let Some(length) = length {
        request = request.header("content-length", length);
    }
    let request = request.body(()).unwrap();
    let (answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"half "), false).unwrap();
    let mut answer = answer.await.unwrap();
    assert!(answer.status().is_client_error(), "{answer:?}");
    while let Some(data) = answer.body_mut().data().await {
        data.unwrap();
    }
    // What the router has sent before it answers this has come, too.
    pings.ping(h2::Ping::opaque()).await.unwrap();
    let reset = poll_fn(|cx| Poll::Ready(body.poll_reset(cx))).await;
    assert!(body.send_data(Bytes::from_static(b"rest"), true).is_ok());
    match reset {
        Poll::Pending => None,
        Poll::Ready(reset) => Some(reset.unwrap()),
    }
}

/// Catches: a stream that is reset right after the answer, although its request ends soon. Some clients
/// (curl 7) lose the answer then.
#[tokio::test]
async fn over_http2_a_short_rest_is_awaited_before_a_reset() {
    let refusing = refusing().await;
    assert_eq!(reset_after_the_rest(&refusing, None).await, None);
    assert_eq!(reset_after_the_rest(&refusing, Some("9")).await, None);
    let cell = played(|mut stream| async move {
        receive(&mut stream).await;
        let answer = b"HTTP/1.1 413 Content Too Large\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
        until_closed(&mut stream).await;
    });
    let early = start(plain(registry(plain_endpoint("http", cell.await)))).await;
    assert_eq!(reset_after_the_rest(&early, Some("9")).await, None);
}

#[tokio::test]
async fn http2_is_told_to_stop_without_an_error() {
    let refused = (StatusCode::UNAUTHORIZED, h2::Reason::NO_ERROR);
    assert_eq!(reset_after_answer(&refusing().await).await, refused);
    let world = start(plain(registry(plain_endpoint("http", too_large().await)))).await;
    let early = (StatusCode::PAYLOAD_TOO_LARGE, h2::Reason::NO_ERROR);
    assert_eq!(reset_after_answer(&world).await, early);
}

/// An HTTP/2 cell that reads the header of one request, and may answer it. Returns its port, a
/// notification for that moment, and how the stream ends after it.
async fn one_upload(answers: bool) -> (u16, Arc<Notify>, JoinHandle<Outcome>) {
    let (mut listener, address) = listen().await;
    let began = Arc::new(Notify::new());
    let tell = began.clone();
    let outcome = tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut cell = Frames::greet(stream).await;
        let Some(Came::Head(id)) = cell.next().await else {
            panic!("no upload");
        };
        if answers {
            cell.answer(id).await;
        }
        tell.notify_one();
        cell.outcome(id).await
    });
    (address.port(), began, outcome)
}

/// Catches: a stream that stays open for as long as the connection, because a cell that has answered
/// takes none of the body. A cell allows only so many streams.
#[tokio::test]
async fn an_upload_that_an_http2_cell_does_not_take_ends_with_its_answer() {
    for length in [64 * 1024, 2_000_000] {
        let (mut listener, address) = listen().await;
        let outcome = tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            // It takes 65,535 bytes (RFC 9113, section 6.9.2).
            let mut cell = Frames::greet(stream).await;
            let Some(Came::Head(id)) = cell.next().await else {
                panic!("no upload");
            };
            cell.answer(id).await;
            cell.outcome(id).await
        });
        let port = address.port();
        let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
        let (mut reading, mut writing) = connected(&world).await.into_split();
        let head = format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {length}\r\n\r\n");
        tokio::spawn(async move {
            let _ = writing.write_all(head.as_bytes()).await;
            let _ = writing.write_all(&vec![7; length]).await;
            std::future::pending::<()>().await;
        });
        let mut start = [0; 12];
        reading.read_exact(&mut start).await.unwrap();
        assert_eq!(&start, b"HTTP/1.1 200");
        let outcome = tokio::time::timeout(PATIENCE, outcome).await;
        let outcome = outcome.expect("the stream is never reset").unwrap();
        assert_eq!(outcome, Outcome::Reset(CANCEL), "{length} bytes");
    }
}

/// Catches: a cell that sees an error (INTERNAL_ERROR) or the client's own code, although the rest
/// of the upload is just not needed or won't come.
#[tokio::test]
async fn an_http2_cell_is_told_that_the_rest_of_an_upload_is_cancelled() {
    let cancelled = Outcome::Reset(CANCEL);
    let (port, _, outcome) = one_upload(true).await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    let early = (StatusCode::OK, h2::Reason::NO_ERROR);
    assert_eq!(reset_after_answer(&world).await, early);
    let outcome = tokio::time::timeout(PATIENCE, outcome).await.unwrap();
    assert_eq!(outcome.unwrap(), cancelled, "answered early");

    let (port, began, outcome) = one_upload(false).await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    let mut stream = connected(&world).await;
    let half = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
    stream.write_all(half).await.unwrap();
    began.notified().await;
    stream.shutdown().await.unwrap();
    let outcome = tokio::time::timeout(PATIENCE, outcome).await.unwrap();
    assert_eq!(
        outcome.unwrap(),
        cancelled,
        "an HTTP/1.1 client closes the connection"
    );

    let (port, began, outcome) = one_upload(false).await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    let (mut client, connection) = h2::client::handshake(connected(&world).await)
        .await
        .unwrap();
    tokio::spawn(connection);
    let request = http::Request::post("http://a/").body(()).unwrap();
    let (_answer, mut body) = client.send_request(request, false).unwrap();
    body.send_data(Bytes::from_static(b"half"), false).unwrap();
    began.notified().await;
    body.send_reset(h2::Reason::PROTOCOL_ERROR);
    let outcome = tokio::time::timeout(PATIENCE, outcome).await.unwrap();
    assert_eq!(
        outcome.unwrap(),
        cancelled,
        "an HTTP/2 client resets the stream"
    );
}

#[tokio::test]
async fn a_client_reads_its_refusal_while_it_still_sends() {
    let world = refusing().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let request = Request {
            method: Method::POST,
            body: vec![7; UPLOAD].into(),
            ..Request::get("/")
        };
        let answer = world.client(protocol).send(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
    }
}

/// Catches: a request that the cell gets cut, although the client has sent it whole and the answer has
/// come. Its last bytes are still on their way through the router then.
#[tokio::test(start_paused = true)]
async fn a_cell_gets_all_of_a_short_body_after_its_answer() {
    const BODY: usize = 16 * 1024;
    let env = Memory::new();
    let (mut cell, port) = env.listen().await;
    let world = memory::start(&env, plain(registry(plain_endpoint("http", port)))).await;
    let client = world.client(PATIENCE);
    // With this field the request is longer than what the cell's connection holds.
    let field = HeaderValue::try_from("x".repeat(BUFFER - BODY / 2)).unwrap();
    let post = Request {
        method: Method::POST,
        body: vec![7; BODY].into(),
        ..Request::get("/").header(HeaderName::from_static("x-a"), field)
    };
    let mut came = Vec::new();
    let answering = async {
        let (mut stream, _) = cell.accept().await.unwrap();
        let ok = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
        came.push(stream.read_u8().await.unwrap());
        stream.write_all(ok).await.unwrap();
        stream
    };
    let (answer, mut stream) = tokio::join!(client.send(post), answering);
    assert_eq!(answer.unwrap().body, "ok");
    let head_end = |came: &[u8]| came.windows(4).position(|it| it == b"\r\n\r\n");
    while head_end(&came).is_none_or(|at| came.len() < at + 4 + BODY) {
        let read = stream.read_buf(&mut came).await.unwrap();
        assert!(read > 0, "the request is cut after {} bytes", came.len());
    }
    // A cell that answers early may not read the body, so another connection serves the next request.
    let next = tokio::spawn(async move { client.send(Request::get("/next")).await });
    let another = tokio::time::timeout(PATIENCE, cell.accept()).await;
    let (mut another, _) = another.expect("the connection is used again").unwrap();
    assert_eq!(another.read_u8().await.unwrap(), b'G');
    next.abort();
}
