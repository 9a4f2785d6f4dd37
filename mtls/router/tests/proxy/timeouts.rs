//! Each time limit ends with its own reason.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::path::PathPattern;
use cellway_router::settings::{ListenerRoute, RouterSettings, TotalTimeout, TrafficSettings};
use cellway_testbed::{CellFault, Protocol, Request, ServerTls};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cells::{played, receive, silent};
use crate::frames::{self, Frames, Outcome};
use crate::world::{World, body, ca, cell, plain, plain_endpoint, reason, registry, start};

/// The head of a cell's answer whose body comes in chunks.
const CHUNKED: &[u8] = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Short enough to wait for, but longer than anything else in a test.
const SHORT: Duration = Duration::from_millis(150);

async fn with(scheme: &str, port: u16, change: impl FnOnce(&mut RouterSettings)) -> World {
    let mut settings = plain(registry(plain_endpoint(scheme, port)));
    change(&mut settings);
    start(settings).await
}

async fn refused(world: &World) -> String {
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    reason(&answer)
}

#[tokio::test]
async fn a_silent_cell_is_told_apart_by_what_it_keeps_waiting() {
    let (port, _asked) = silent().await;
    let header = with("http", port, |s| s.upstream.timeouts.header = SHORT).await;
    assert_eq!(refused(&header).await, "cell_timeout_header");
    let total = with("http", port, |s| s.upstream.timeouts.total = Some(SHORT)).await;
    assert_eq!(refused(&total).await, "cell_timeout_total");
    let tls = with("https", port, |s| {
        s.upstream.timeouts.tls = SHORT;
        s.upstream.bundle = Some(ca(1).pem().into());
    })
    .await;
    assert_eq!(refused(&tls).await, "cell_timeout_tls");
}

/// Catches: a route's limits that aren't used, or that also apply to other paths.
#[tokio::test]
async fn a_route_has_its_own_time_limits() {
    let (port, _asked) = silent().await;
    let world = with("http", port, |s| {
        s.upstream.timeouts.header = SHORT;
        s.upstream.timeouts.total = Some(SHORT * 1000);
        s.listeners[0].routes = vec![ListenerRoute {
            path: PathPattern::new("/slow").unwrap(),
            policy: s.listeners[0].policy,
            traffic: Arc::new(TrafficSettings {
                header_timeout: Some(SHORT * 1000),
                total_timeout: TotalTimeout::After(SHORT),
                ..TrafficSettings::default()
            }),
        }];
    })
    .await;
    let client = world.client(Protocol::Http1);
    for (path, expected) in [
        ("/slow", "cell_timeout_total"),
        ("/", "cell_timeout_header"),
    ] {
        let answer = client.send(Request::get(path)).await.unwrap();
        assert_eq!(reason(&answer), expected, "{path}");
    }
}

#[tokio::test]
async fn a_body_that_stalls_is_cut() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        let (cell, port) = cell("a", tls).await;
        cell.set_fault(CellFault::StallMidBody);
        let world = with(scheme, port, |s| s.upstream.timeouts.idle = SHORT).await;
        let client = world.client(Protocol::Http1);
        assert!(client.send(Request::get("/")).await.is_err());
        world
            .events
            .line("responded 200 cell cell_timeout_idle cut")
            .await;
    }
}

#[tokio::test]
async fn a_stream_that_goes_on_is_cut_by_the_total_time_only() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let _ = stream.write_all(CHUNKED).await;
        while stream.write_all(b"1\r\nx\r\n").await.is_ok() {
            tokio::time::sleep(SHORT / 4).await;
        }
    });
    let world = with("http", port.await, |s| {
        s.upstream.timeouts.idle = SHORT;
        s.upstream.timeouts.total = Some(SHORT * 4);
    })
    .await;
    let client = world.client(Protocol::Http2);
    assert!(client.send(Request::get("/")).await.is_err());
    world
        .events
        .line("responded 200 cell cell_timeout_total cut")
        .await;
}

#[tokio::test]
async fn a_client_that_stops_sending_is_told_so() {
    let (port, _asked) = silent().await;
    let world = with("http", port, |s| s.upstream.timeouts.idle = SHORT).await;
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 10\r\n\r\nhalf";
    stream.write_all(head).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("client_timeout"), "{answer}");
}

#[tokio::test]
async fn a_slow_upload_does_not_use_up_the_cells_time() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = with("http", port, |s| s.upstream.timeouts.header = SHORT).await;
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\ncontent-length: 6\r\n\r\n";
    stream.write_all(head).await.unwrap();
    for _ in 0..6 {
        tokio::time::sleep(SHORT / 2).await;
        stream.write_all(b"x").await.unwrap();
    }
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// Connects, sends these bytes, and waits until the router closes.
async fn until_closed(world: &World, bytes: &[u8]) {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut rest = Vec::new();
    let _ = stream.read_to_end(&mut rest).await;
}

#[tokio::test]
async fn clients_that_say_nothing_or_half_of_it_are_closed() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = with("http", port, |s| {
        let timeouts = &mut s.listeners[0].timeouts;
        timeouts.first_byte = SHORT;
        timeouts.header = SHORT;
        timeouts.idle = SHORT;
    })
    .await;
    until_closed(&world, b"").await;
    world.events.line("closed first_byte_timeout").await;
    until_closed(&world, b"GET / HTTP/1.1\r\nhost: ").await;
    world.events.line("closed header_timeout").await;
    until_closed(&world, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n").await;
    world.events.line("closed idle").await;
}

#[tokio::test]
async fn a_client_slower_than_its_idle_time_within_a_request_is_not_closed() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    cell.set_fault(CellFault::Slow(SHORT * 3));
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = with("http", port, |s| s.listeners[0].timeouts.idle = SHORT).await;
        let client = world.client(protocol);
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(body(&answer)["cell"], json!("a"));
    }
}

/// The preface of a client that gives its streams no flow-control window, and a request on stream
/// 1: `GET`, `http`, `/`, and `localhost` as its authority.
const NO_ROOM: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0\
    \0\0\x0e\x01\x05\0\0\0\x01\x82\x86\x84\x41\x09localhost";

#[tokio::test]
async fn a_client_that_takes_nothing_of_an_answer_is_cut() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n";
        let _ = stream.write_all(head).await;
        while stream.write_all(&[7; 65536]).await.is_ok() {}
    });
    let port = port.await;
    let http1: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    for request in [NO_ROOM, http1] {
        let world = with("http", port, |s| s.listeners[0].timeouts.stall = SHORT).await;
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        stream.write_all(request).await.unwrap();
        let line = "responded 200 cell client_stalled cut";
        world.events.line(line).await;
        drop(stream);
    }
}

#[tokio::test]
async fn a_client_that_waits_for_more_than_the_stall_time_is_not_cut() {
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let head = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n1";
        let _ = stream.write_all(head).await;
        tokio::time::sleep(SHORT * 3).await;
        let _ = stream.write_all(b"2").await;
    });
    let world = with("http", port.await, |s| {
        s.listeners[0].timeouts.stall = SHORT;
    })
    .await;
    let client = world.client(Protocol::Http2);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.body, "12");
}

/// Writes one byte at a time until the router closes the connection, and returns what the router
/// sent.
async fn dribbled(world: &World, head: &str, bytes: usize) -> String {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let mut answer = Vec::new();
    let write = async {
        for _ in 0..bytes {
            tokio::time::sleep(SHORT / 5).await;
            if writing.write_all(b"x").await.is_err() {
                break;
            }
        }
    };
    let read = async {
        let _ = reading.read_to_end(&mut answer).await;
    };
    tokio::join!(write, read);
    String::from_utf8(answer).unwrap()
}

fn paced(settings: &mut RouterSettings) {
    settings.listeners[0].timeouts.body_rate_min = 1000;
    settings.listeners[0].timeouts.body_grace = SHORT;
}

#[tokio::test]
async fn a_body_that_dribbles_is_refused_though_it_is_never_silent() {
    let (port, _asked) = silent().await;
    let world = with("http", port, paced).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";
    let answer = dribbled(&world, head, 100).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert!(answer.contains("client_timeout"), "{answer}");
}

#[tokio::test]
async fn a_body_that_dribbles_is_cut_where_the_answer_has_begun() {
    let port = played(|mut stream| async move {
        let _ = stream.write_all(CHUNKED).await;
        // Read as much of the echo as has arrived.
        while receive(&mut stream).await > 0 {
            let _ = stream.write_all(b"1\r\nx\r\n").await;
        }
    });
    let world = with("http", port.await, paced).await;
    let head = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\n\r\n";
    let answer = dribbled(&world, head, 100).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let line = "responded 200 cell client_timeout cut";
    world.events.line(line).await;
}

#[tokio::test]
async fn streams_of_rpcs_may_be_as_slow_as_they_like() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    for kind in ["application/grpc+proto", "application/connect+json"] {
        let world = with("http", port, paced).await;
        let stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let mut client = Frames::connect(stream).await;
        let head = [
            (":method", "POST"),
            (":scheme", "http"),
            (":path", "/"),
            (":authority", "a"),
            ("content-type", kind),
        ];
        client.fields(1, &frames::trailers_of(&head), false).await;
        for byte in 0..12 {
            tokio::time::sleep(SHORT / 5).await;
            client.data(1, b"x", byte == 11).await;
        }
        assert_eq!(client.outcome(1).await, Outcome::Status(200), "{kind}");
    }
}

/// Catches: a client that avoids the minimum rate with a content type that only looks like a
/// stream's.
#[tokio::test]
async fn nothing_else_may() {
    let (port, _asked) = silent().await;
    // There is no gRPC over HTTP/1.1.
    for kind in [
        "application/grpcx",
        "application/grpc",
        "application/connect+json",
    ] {
        let world = with("http", port, paced).await;
        let head = format!(
            "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 1000\r\ncontent-type: {kind}\r\n\r\n"
        );
        let answer = dribbled(&world, &head, 100).await;
        assert!(answer.contains("client_timeout"), "{kind} {answer}");
    }
}

/// A cell that sends pieces of this length as long as the router takes them.
pub(crate) async fn endless(length: usize) -> u16 {
    played(move |mut stream| async move {
        receive(&mut stream).await;
        let _ = stream.write_all(CHUNKED).await;
        let piece = format!("{length:x}\r\n{}\r\n", "x".repeat(length));
        while stream.write_all(piece.as_bytes()).await.is_ok() {}
    })
    .await
}

#[tokio::test]
async fn a_client_that_takes_a_little_now_and_then_is_cut() {
    let http1: &[u8] = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    // A window of 100 more bytes for stream 1.
    let grant: &[u8] = b"\0\0\x04\x08\0\0\0\0\x01\0\0\0\x64";
    for (request, more, length) in [(NO_ROOM, grant, 100), (http1, &[][..], 65_536)] {
        let world = with("http", endless(length).await, |s| {
            let timeouts = &mut s.listeners[0].timeouts;
            timeouts.stall = SHORT;
            timeouts.read_rate_min = 1 << 30;
        })
        .await;
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        stream.write_all(request).await.unwrap();
        let taking = async {
            // The pause is always shorter than the stall time.
            let mut buffer = vec![0; 16 << 10];
            loop {
                tokio::time::sleep(SHORT / 3).await;
                let _ = stream.write_all(more).await;
                if matches!(stream.read(&mut buffer).await, Ok(0) | Err(_)) {
                    return std::future::pending().await;
                }
            }
        };
        let line = "responded 200 cell client_stalled cut";
        tokio::select! {
            () = taking => {}
            () = world.events.line(line) => {}
        }
    }
}
