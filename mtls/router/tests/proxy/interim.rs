//! Interim answers (RFC 9110, section 15.2): `103 Early Hints` and others, and `Expect: 100-continue`.

use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cellway_router::settings::TrafficSettings;
use cellway_testbed::{Protocol, Request, ServerTls};
use h2::client::{ResponseFuture, SendRequest};
use http::header::{CONTENT_LENGTH, EXPECT};
use http::{Response, StatusCode};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::cells::{played, receive};
use crate::raw::Raw;
use crate::suspension::soon;
use crate::world::{World, body, cell, plain, plain_endpoint, registry, start};

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n";
const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

/// A router before a cell that answers each request with these bytes.
async fn before(answer: &str) -> World {
    let answer = answer.to_owned();
    let port = played(move |mut stream| {
        let answer = answer.clone();
        async move {
            while receive(&mut stream).await > 0 {
                if stream.write_all(answer.as_bytes()).await.is_err() {
                    return;
                }
            }
        }
    });
    start(plain(registry(plain_endpoint("http", port.await)))).await
}

/// Catches: hints that wait for the final answer, and names of the router's, or of the connection's,
/// that pass in them.
#[tokio::test]
async fn hints_come_before_the_cell_has_answered_and_without_forbidden_fields() {
    let heard = Arc::new(Notify::new());
    let go_on = heard.clone();
    let port = played(move |mut stream| {
        let go_on = go_on.clone();
        async move {
            receive(&mut stream).await;
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\
                         link: </b.js>; rel=preload\r\nx-cellway-tenant: globex\r\n\
                         x_cellway_reason: forged\r\nconnection: x-hop\r\nx-hop: 1\r\n\
                         content-length: 5\r\nkeep-alive: timeout=5\r\n\r\n";
            stream.write_all(hints.as_bytes()).await.unwrap();
            go_on.notified().await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            while receive(&mut stream).await > 0 {}
        }
    });
    let world = start(plain(registry(plain_endpoint("http", port.await)))).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    let head = client.head().await;
    let expected = "http/1.1 103 early hints\r\nlink: </a.css>; rel=preload\r\n\
                    link: </b.js>; rel=preload";
    assert_eq!(head.trim_end(), expected);
    heard.notify_one();
    assert_eq!(client.statuses().await, [200]);
}

#[tokio::test]
async fn all_interim_answers_pass_in_order_but_100() {
    let others = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n\
                  HTTP/1.1 199 Own\r\nx-progress: half\r\n\r\n";
    let world = before(&[others, HINTS, OK].concat()).await;
    let mut client = Raw::new(&world).await;
    for _ in 0..3 {
        client.send(GET).await;
        assert_eq!(client.statuses().await, [102, 199, 103, 200]);
    }
}

/// Catches: a hint that comes after the answer that it belongs to, or within another.
#[tokio::test]
async fn hints_belong_to_their_own_request() {
    let world = before(&[HINTS, OK].concat()).await;
    let mut client = Raw::new(&world).await;
    client.send(&GET.repeat(8)).await;
    for _ in 0..8 {
        assert_eq!(client.statuses().await, [103, 200]);
    }
}

/// Catches: a cell that fills the router's memory, and one that keeps its client from its answer.
#[tokio::test]
async fn a_flood_of_interim_answers_is_cut_and_the_answer_comes() {
    let world = before(&[&HINTS.repeat(1000), OK].concat()).await;
    let mut client = Raw::new(&world).await;
    for _ in 0..2 {
        client.send(GET).await;
        let statuses = client.statuses().await;
        assert_eq!(statuses.len(), 33, "32 and the answer");
    }
    let large = format!(
        "HTTP/1.1 103 Early Hints\r\nlink: {}\r\n\r\n",
        "x".repeat(9000)
    );
    let world = before(&[&large.repeat(5), OK].concat()).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    assert_eq!(client.statuses().await, [103, 103, 103, 200]);
}

/// Catches: a limit that begins anew when a request is sent again.
#[tokio::test]
async fn the_limit_holds_for_all_attempts() {
    let asked = Arc::new(AtomicUsize::new(0));
    let port = played(move |mut stream| {
        let asked = asked.clone();
        async move {
            while receive(&mut stream).await > 0 {
                let unwilling = "HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n";
                let answer = match asked.fetch_add(1, Ordering::Relaxed) {
                    0 => unwilling,
                    _ => OK,
                };
                let answer = [&HINTS.repeat(20), answer].concat();
                stream.write_all(answer.as_bytes()).await.unwrap();
            }
        }
    });
    let mut settings = plain(registry(plain_endpoint("http", port.await)));
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        retry_statuses: [503].into(),
        ..TrafficSettings::default()
    });
    let world = start(settings).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    let statuses = client.statuses().await;
    assert_eq!((statuses.len(), statuses.last()), (33, Some(&200)));
}

/// Catches: an interim answer to a client that can't read one.
#[tokio::test]
async fn clients_that_cannot_get_them_get_only_the_answer() {
    let world = before(&[HINTS, OK].concat()).await;
    let mut client = Raw::new(&world).await;
    client.send("GET / HTTP/1.0\r\nhost: a\r\n\r\n").await;
    assert_eq!(client.statuses().await, [200]);
}

/// An HTTP/2 client that hears interim answers.
pub(crate) async fn http2(world: &World) -> SendRequest<Bytes> {
    let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let (sender, connection) = h2::client::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

pub(crate) fn get() -> http::Request<()> {
    http::Request::get("http://a/").body(()).unwrap()
}

/// The next interim answer. `None` if the final one comes.
async fn interim(answer: &mut ResponseFuture) -> Option<Response<()>> {
    let interim = soon(poll_fn(|cx| answer.poll_informational(cx))).await;
    interim.map(Result::unwrap)
}

/// The statuses of an answer's heads, the final one last.
pub(crate) async fn statuses(mut answer: ResponseFuture) -> Vec<u16> {
    let mut statuses = Vec::new();
    while let Some(head) = interim(&mut answer).await {
        statuses.push(head.status().as_u16());
    }
    statuses.push(soon(answer).await.unwrap().status().as_u16());
    statuses
}

/// Catches: hints that wait for the final answer, and names of the router's, or of the connection's,
/// that pass in them.
#[tokio::test]
async fn hints_come_to_an_http2_client_before_the_cell_has_answered() {
    let heard = Arc::new(Notify::new());
    let go_on = heard.clone();
    let port = played(move |mut stream| {
        let go_on = go_on.clone();
        async move {
            receive(&mut stream).await;
            let hints = "HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\
                         x-cellway-tenant: globex\r\nconnection: x-hop\r\nx-hop: 1\r\n\
                         content-length: 5\r\nkeep-alive: timeout=5\r\n\r\n";
            stream.write_all(hints.as_bytes()).await.unwrap();
            go_on.notified().await;
            stream.write_all(OK.as_bytes()).await.unwrap();
            while receive(&mut stream).await > 0 {}
        }
    });
    let world = start(plain(registry(plain_endpoint("http", port.await)))).await;
    let mut client = http2(&world).await;
    let (mut answer, _) = client.send_request(get(), true).unwrap();
    let hints = interim(&mut answer).await.unwrap();
    assert_eq!(hints.status(), StatusCode::EARLY_HINTS);
    let fields: Vec<_> = hints.headers().iter().collect();
    let link = (
        &http::header::LINK,
        &"</a.css>; rel=preload".parse().unwrap(),
    );
    assert_eq!(fields, [link]);
    heard.notify_one();
    assert_eq!(statuses(answer).await, [200]);
}

/// Catches: hints in another order or for another stream, and a cell that fills the router's memory.
#[tokio::test]
async fn an_http2_client_gets_as_many_as_any_other() {
    let others = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 102 Processing\r\n\r\n";
    let world = before(&[others, HINTS, OK].concat()).await;
    let mut client = http2(&world).await;
    let answers: Vec<_> = (0..4)
        .map(|_| client.send_request(get(), true).unwrap().0)
        .collect();
    for answer in answers {
        assert_eq!(statuses(answer).await, [102, 103, 200]);
    }
    let world = before(&[&HINTS.repeat(1000), OK].concat()).await;
    let (answer, _) = http2(&world).await.send_request(get(), true).unwrap();
    assert_eq!(statuses(answer).await.len(), 33, "32 and the answer");
}

/// Catches: a request that is sent again although its cell has begun to answer.
#[tokio::test]
async fn a_cell_that_breaks_off_after_hints_is_answered_for() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        stream.write_all(HINTS.as_bytes()).await.unwrap();
    });
    let world = start(plain(registry(plain_endpoint("http", port.await)))).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    assert_eq!(client.statuses().await, [103, 502]);
    world
        .events
        .line("responded 502 router cell_reset whole")
        .await;
}

#[tokio::test]
async fn an_unasked_101_after_hints_is_an_error() {
    let switch = "HTTP/1.1 101 Switching Protocols\r\nupgrade: foo\r\nconnection: upgrade\r\n\r\n";
    let world = before(&[HINTS, switch].concat()).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    assert_eq!(client.statuses().await, [103, 502]);
}

const EXPECTS: &str = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\
                       expect: 100-continue\r\n\r\n";

/// Catches: a client that waits for leave to send its body and never gets it.
#[tokio::test]
async fn the_router_answers_an_expectation_itself() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let mut client = Raw::new(&world).await;
    client.send(EXPECTS).await;
    assert_eq!(client.head().await, "http/1.1 100 continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(client.statuses().await, [200]);
    assert_eq!(cell.arrivals(), 1);
    // A cell's own 100 isn't a second one.
    let world = before(&["HTTP/1.1 100 Continue\r\n\r\n", HINTS, OK].concat()).await;
    let mut client = Raw::new(&world).await;
    client.send(EXPECTS).await;
    assert_eq!(client.head().await, "http/1.1 100 continue\r\n\r\n");
    client.send("hello").await;
    assert_eq!(client.statuses().await, [103, 200]);
}

/// RFC 9110, section 10.1.1, lets a server leave out a 100 if the body has come.
#[tokio::test]
async fn an_http1_client_that_does_not_wait_is_not_told_to_go_on() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let mut client = Raw::new(&world).await;
    client.send(&[EXPECTS, "hello"].concat()).await;
    assert_eq!(client.statuses().await, [200]);
    assert_eq!(cell.arrivals(), 1);
}

fn expects() -> http::Request<()> {
    let request = http::Request::post("http://a/").header(EXPECT, "100-continue");
    request.header(CONTENT_LENGTH, 5).body(()).unwrap()
}

/// Catches: an HTTP/2 client that waits for leave to send its body and never gets it, whatever its cell
/// speaks.
#[tokio::test]
async fn an_http2_client_is_told_to_go_on_too() {
    for protocol in ["http", "h2c"] {
        let tls = match protocol {
            "http" => ServerTls::plain(),
            _ => ServerTls::plain_h2(),
        };
        let (cell, port) = cell("a", tls).await;
        let world = start(plain(registry(plain_endpoint(protocol, port)))).await;
        let mut client = http2(&world).await;
        let (mut answer, mut body) = client.send_request(expects(), false).unwrap();
        let told = interim(&mut answer).await.unwrap();
        assert_eq!(told.status(), StatusCode::CONTINUE, "{protocol}");
        body.send_data("hello".into(), true).unwrap();
        assert_eq!(statuses(answer).await, [200], "{protocol}");
        assert_eq!(cell.arrivals(), 1);
    }
}

/// Catches: a client that is told to send a body that nobody wants.
#[tokio::test]
async fn a_request_that_is_refused_is_not_told_to_go_on() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        body_bytes_max: Some(4),
        ..TrafficSettings::default()
    });
    let world = start(settings).await;
    let mut client = Raw::new(&world).await;
    client.send(EXPECTS).await;
    assert_eq!(client.statuses().await, [413]);
    let (answer, _body) = http2(&world).await.send_request(expects(), false).unwrap();
    assert_eq!(statuses(answer).await, [413]);
}

/// The echo cell answers all else as usual.
#[tokio::test]
async fn a_request_without_interim_answers_is_unchanged() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let answer = world.client(Protocol::Http1).send(Request::get("/x")).await;
    assert_eq!(body(&answer.unwrap())["path"], "/x");
}
