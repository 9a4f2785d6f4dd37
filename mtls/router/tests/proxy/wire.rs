//! Cells' answers, and requests over HTTP/2, that other parsers could read differently.

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{EchoCell, Ended, Protocol, Received, Report, Request, ServerTls};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use tokio::time::timeout;

use crate::cells::{http2, scripted};
use crate::frames::{Frames, Outcome, PROTOCOL_ERROR, head_of, trailers_of as block_of};
use crate::malformed::exchange;
use crate::world::{PATIENCE, World, cell, listen, plain, plain_endpoint, registry, start};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n";

/// Catches: an answer's head that a client would read differently.
#[tokio::test]
async fn a_cells_malformed_head_is_502() {
    for answer in [
        "HTTP/1.1 200 OK\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\n\r\nhi",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\nhi",
        "HTTP/1.1 200 O\rK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nx: 1\r2\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nx: 1\r\n 2\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nx: \0\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\nx : 1\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ncontent-length: +2\r\n\r\nhi",
        "HTTP/1.1 200 OK\r\ncontent-length: 2, 3\r\n\r\nhi",
        "HTTP/1.1 204 No Content\r\ncontent-length: abc\r\n\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        "HTTP/1.1 100 Continue\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nhi",
        "HTTP/2.0 200 OK\r\n\r\n",
        "220 mail.internal ESMTP\r\n",
    ] {
        let port = scripted(answer.as_bytes()).await;
        let world = start(plain(registry(plain_endpoint("http", port)))).await;
        let said = exchange(world.port, GET).await;
        assert!(said.starts_with("HTTP/1.1 502 "), "{answer:?}: {said}");
        assert!(
            said.contains("\"cell_protocol_error\""),
            "{answer:?}: {said}"
        );
        world.events.line("cell failed cell_protocol_error").await;
    }
}

const REFUSED: &str = "responded 502 router cell_protocol_error whole";
const CUT: &str = "responded 200 cell cell_protocol_error cut";

/// Catches: a cell's cut body that a client takes for complete.
#[tokio::test]
async fn a_cells_malformed_body_is_refused_or_cut() {
    for (body, line) in [
        ("2;a=b\r\nhi\r\n0\r\n\r\n", REFUSED),
        ("2 \r\nhi\r\n0\r\n\r\n", REFUSED),
        ("2\nhi\r\n0\r\n\r\n", REFUSED),
        ("2\r\nhi\n0\r\n\r\n", CUT),
        ("2\r\nhi\r\n0\n\n", CUT),
        ("2\r\nhi\r\n0\r\nx: 1\n\r\n", CUT),
        ("2\r\nhi\r\n0\r\nx : 1\r\n\r\n", CUT),
        ("2\r\nhijk\r\n0\r\n\r\n", CUT),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n{body}");
        let port = scripted(answer.leak().as_bytes()).await;
        let world = start(plain(registry(plain_endpoint("http", port)))).await;
        let said = exchange(world.port, GET).await;
        assert!(!said.ends_with("0\r\n\r\n"), "{body:?}: {said}");
        assert_eq!(
            said.ends_with("2\r\nhi\r\n"),
            line == CUT,
            "{body:?}: {said}"
        );
        world.events.line(line).await;
    }
}

/// Catches: an unrequested answer that is given to the next request.
#[tokio::test]
async fn what_a_cell_sends_unasked_answers_nothing() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nfirst\
                   HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nstolen";
    let port = scripted(answer).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let client = world.client(Protocol::Http1);
    for _ in 0..3 {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), &answer.body[..]),
            (200, &b"first"[..])
        );
    }
}

/// Catches: a connection that waits for a body because of a length, although the answer has no
/// body.
#[tokio::test]
async fn answers_without_a_body_are_no_less_whole_for_their_length() {
    let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
    let port = scripted(answer).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let said = exchange(world.port, &GET.replace("GET", "HEAD")).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    world.events.line("responded 200 cell - whole").await;
}

async fn frames(port: u16) -> Frames<TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    Frames::connect(stream).await
}

/// Catches: pseudo-header fields that make one target for the decision and another for the cell.
#[tokio::test]
async fn odd_pseudo_headers_get_no_further() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let reset = Outcome::Reset(PROTOCOL_ERROR);
    for (scheme, path, expected) in [
        ("http", "/", Outcome::Status(200)),
        ("http", "x", reset),
        ("http", "", reset),
        ("http", "http://a/", reset),
        ("http", "?x", Outcome::Status(400)),
        ("http", "/\"", Outcome::Status(400)),
        ("http", "/<", reset),
        ("", "/", Outcome::Status(400)),
        ("ftp", "/", Outcome::Status(400)),
        ("h ttp", "/", reset),
    ] {
        let mut frames = frames(world.port).await;
        let fields = [
            (":method", "GET"),
            (":scheme", scheme),
            (":authority", "a"),
            (":path", path),
        ];
        frames.fields(1, &block_of(&fields), true).await;
        let outcome = timeout(PATIENCE, frames.outcome(1)).await.unwrap();
        assert_eq!(outcome, expected, "{scheme:?} {path:?}");
    }
    assert_eq!(cell.arrivals(), 1);
}

/// Catches: an answer in HTTP/1.1 to a client that started HTTP/2.
#[tokio::test]
async fn a_bad_preface_ends_the_connection_without_a_word_of_http1() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    for rest in ["\r\nXX\r\n\r\n", "host: a\r\n\r\n"] {
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let sent = format!("PRI * HTTP/2.0\r\n{rest}");
        stream.write_all(sent.as_bytes()).await.unwrap();
        let mut said = Vec::new();
        let _ = timeout(PATIENCE, stream.read_to_end(&mut said))
            .await
            .expect("it ends");
        assert!(!said.starts_with(b"HTTP/1"), "{said:?}");
    }
    let said = exchange(world.port, "PRI * HTTP/1.1\r\nhost: a\r\n\r\n").await;
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
}

/// A router in front of a cell of this version, and the complete requests that reach the cell.
async fn watched(scheme: &str, tls: ServerTls) -> (World, UnboundedReceiver<(Received, Ended)>) {
    let (came, requests) = unbounded_channel();
    let cell = EchoCell::new("a", move |report| {
        if let Report::Ended(received, ended) = report {
            let _ = came.send((received.clone(), ended.clone()));
        }
    });
    let (listener, address) = listen().await;
    tokio::spawn(async move { cell.serve(TokioEnv::new(), listener, tls).await });
    let settings = plain(registry(plain_endpoint(scheme, address.port())));
    (start(settings).await, requests)
}

fn versions() -> [(&'static str, ServerTls); 2] {
    [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())]
}

/// Catches: a fragment that makes one path for the decision and another for the cell. HTTP/2 allows
/// none; h2 refuses it before the path is read.
#[tokio::test]
async fn a_fragment_over_http2_gets_no_further() {
    for (scheme, tls) in versions() {
        let (world, mut requests) = watched(scheme, tls).await;
        for (path, arrives) in [
            ("/a#b", "/a"),
            ("/a#/../b?c", "/a"),
            ("/a?b#c", "/a?b"),
            ("/#", "/"),
        ] {
            let mut frames = frames(world.port).await;
            let fields = [
                (":method", "GET"),
                (":scheme", "http"),
                (":authority", "a"),
                (":path", path),
            ];
            frames.fields(1, &block_of(&fields), true).await;
            let outcome = timeout(PATIENCE, frames.outcome(1)).await.unwrap();
            assert_eq!(outcome, Outcome::Status(200), "{path}");
            let (received, _) = requests.recv().await.unwrap();
            assert_eq!(received.path, arrives, "{scheme} {path}");
            let named = |(_, value): &(String, String)| value.contains('#');
            assert!(!received.headers.iter().any(named), "{received:?}");
        }
    }
}

/// Catches: pseudo-header fields after the body that change what the request is, or that a cell reads
/// as one of its fields.
#[tokio::test]
async fn pseudo_headers_in_a_requests_trailers_get_no_further() {
    for (scheme, tls) in versions() {
        let (world, mut requests) = watched(scheme, tls).await;
        let mut frames = frames(world.port).await;
        let fields = [
            (":method", "POST"),
            (":scheme", "http"),
            (":authority", "a"),
            (":path", "/good"),
            ("trailer", "x-sum, :path, :method"),
        ];
        frames.fields(1, &block_of(&fields), false).await;
        frames.data(1, b"hi", false).await;
        let trailers = [
            (":method", "DELETE"),
            (":scheme", "http"),
            (":authority", "evil"),
            (":path", "/evil"),
            (":status", "500"),
            ("x-sum", "5"),
        ];
        frames.fields(1, &block_of(&trailers), true).await;
        let outcome = timeout(PATIENCE, frames.outcome(1)).await.unwrap();
        assert_eq!(outcome, Outcome::Status(200), "{scheme}");
        let (received, ended) = requests.recv().await.unwrap();
        assert_eq!(
            (&*received.method, &*received.path),
            ("POST", "/good"),
            "{scheme}"
        );
        let sum = ("x-sum".to_owned(), "5".to_owned());
        assert_eq!(
            (ended.complete, ended.trailers),
            (true, vec![sum]),
            "{scheme}"
        );
        let announced = received.headers.iter().find(|(name, _)| name == "trailer");
        assert_eq!(announced.unwrap().1, "x-sum", "{scheme}");
    }
}

/// Catches: pseudo-header fields after a cell's answer that change its status, or that a client reads
/// as one of its fields.
#[tokio::test]
async fn pseudo_headers_in_an_answers_trailers_get_no_further() {
    let port = http2(|mut frames, id| async move {
        let announced = [("trailer", "x-sum, :status")];
        frames.fields(id, &head_of(&announced), false).await;
        frames.data(id, b"hi", false).await;
        let trailers = [(":status", "500"), (":path", "/evil"), ("x-sum", "5")];
        frames.fields(id, &block_of(&trailers), true).await;
        Some(frames)
    });
    let world = start(plain(registry(plain_endpoint("h2c", port.await)))).await;
    let asked = GET.replace("\r\n\r\n", "\r\nte: trailers\r\n\r\n");
    let said = exchange(world.port, &asked).await;
    assert!(said.starts_with("HTTP/1.1 200 "), "{said}");
    assert!(
        said.ends_with("\r\n2\r\nhi\r\n0\r\nx-sum: 5\r\n\r\n"),
        "{said}"
    );
    let client = world.client(Protocol::Http2);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status.as_u16(), 200);
    assert_eq!(answer.trailers.len(), 1, "{answer:?}");
    assert_eq!(answer.trailers["x-sum"], "5");
}
