//! How a router drains.

use std::io::Write;
use std::time::Duration;

use cellway_router::settings::DrainTimes;
use cellway_testbed::{CellFault, EchoCell, Protocol, Request, ServerTls};
use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::{JoinHandle, yield_now};

use crate::cells::silent;
use crate::frames::{Frames, LAST_STREAM, Told, trailers_of};
use crate::world::{PATIENCE, World, cell, plain, plain_endpoint, registry, start};

/// A drain that closes connections without a request soon.
const IMPATIENT: DrainTimes = DrainTimes {
    delay: Duration::ZERO,
    idle: Duration::from_millis(100),
    deadline: PATIENCE,
};

/// A drain that waits for each connection's next request.
const PATIENT: DrainTimes = DrainTimes {
    idle: PATIENCE,
    ..IMPATIENT
};

const GET: &[u8] = b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n";

async fn world() -> (EchoCell, World) {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    (
        cell,
        start(plain(registry(plain_endpoint("http", port)))).await,
    )
}

impl World {
    async fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).await;
        stream.unwrap()
    }

    fn drains(&self, times: DrainTimes) -> JoinHandle<usize> {
        let handle = self.handle.clone();
        tokio::spawn(async move { handle.drain(times).await.abandoned })
    }

    /// Waits until a drain has begun to close the listeners.
    async fn closed(&self) {
        self.events.line("listeners closed").await;
    }
}

/// The header block of a request.
fn request() -> Vec<u8> {
    trailers_of(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", "localhost"),
        (":path", "/"),
    ])
}

/// Reads the head of one answer, and what it says about the connection.
async fn answer(stream: &mut TcpStream) -> String {
    let mut read = Vec::new();
    let end = b"\r\n\r\n";
    while !read.windows(end.len()).any(|bytes| bytes == end) {
        let byte = stream.read_u8().await;
        read.push(byte.expect("the whole head of an answer"));
    }
    String::from_utf8(read).unwrap().to_ascii_lowercase()
}

/// Reads the last answer of a connection.
async fn last_answer(stream: &mut TcpStream) -> String {
    let mut said = Vec::new();
    stream.read_to_end(&mut said).await.unwrap();
    String::from_utf8(said).unwrap().to_ascii_lowercase()
}

/// Catches: a router that refuses connections which its load balancer still sends, or that tells
/// clients to leave while new connections may still come back to it.
#[tokio::test]
async fn connections_are_taken_while_the_drain_is_announced() {
    let (_cell, world) = world().await;
    let delay = Duration::from_secs(3600);
    let announced = world.drains(DrainTimes { delay, ..PATIENT });
    while world.handle.status().status != "draining" {
        yield_now().await;
    }
    assert!(world.handle.is_draining());
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = world.client(protocol).send(Request::get("/")).await;
        assert_eq!(answer.unwrap().status, StatusCode::OK, "{protocol:?}");
    }
    let mut kept = world.connect().await;
    kept.write_all(GET).await.unwrap();
    let first = answer(&mut kept).await;
    assert!(!first.contains("connection: close"), "{first}");
    drop(kept);

    let drained = world.handle.drain(IMPATIENT).await;
    assert_eq!(drained.abandoned, 0);
    assert_eq!(announced.await.unwrap(), 0);
    assert!(TcpStream::connect(("127.0.0.1", world.port)).await.is_err());
}

/// Catches: connections that the system has accepted, and that are reset because the router closes
/// its socket without a look at the queue.
#[tokio::test]
async fn what_waits_in_the_socket_s_queue_is_served() {
    let (_cell, world) = world().await;
    // The router runs on this thread, so it accepts nothing until this test waits.
    let queued: Vec<_> = (0..8)
        .map(|_| {
            let mut stream = std::net::TcpStream::connect(("127.0.0.1", world.port)).unwrap();
            stream.write_all(GET).unwrap();
            stream.set_nonblocking(true).unwrap();
            stream
        })
        .collect();
    let drained = world.handle.drain(PATIENT).await;
    assert_eq!(drained.abandoned, 0);
    for stream in queued {
        let mut stream = TcpStream::from_std(stream).unwrap();
        let answer = last_answer(&mut stream).await;
        assert!(answer.starts_with("http/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
}

/// Catches: a connection that is closed while its next request may be on the way. HTTP/1.1 can
/// announce that only in an answer.
#[tokio::test]
async fn an_http1_connection_closes_after_an_answer_that_says_so() {
    let (_cell, world) = world().await;
    let mut used = world.connect().await;
    used.write_all(GET).await.unwrap();
    let first = answer(&mut used).await;
    assert!(!first.contains("connection: close"), "{first}");
    let mut unused = world.connect().await;
    // A request that has begun.
    let mut begun = world.connect().await;
    begun.write_all(&GET[..10]).await.unwrap();
    let draining = world.drains(PATIENT);
    world.closed().await;
    for (stream, request) in [
        (&mut used, GET),
        (&mut unused, GET),
        (&mut begun, &GET[10..]),
    ] {
        stream.write_all(request).await.unwrap();
        let answer = last_answer(stream).await;
        assert!(answer.contains("http/1.1 200 "), "{answer}");
        assert!(answer.contains("\r\nconnection: close\r\n"), "{answer}");
    }
    assert_eq!(draining.await.unwrap(), 0);
}

/// RFC 9113, section 6.8: first a GOAWAY that refuses nothing, and the real one only when the client
/// must have read that.
#[tokio::test]
async fn an_http2_client_is_told_twice_and_its_streams_between_are_served() {
    let (_cell, world) = world().await;
    let mut client = Frames::connect(world.connect().await).await;
    client.fields(1, &request(), true).await;
    assert_eq!(client.told().await, Told::Answered(1));
    let draining = world.drains(PATIENT);
    assert_eq!(client.told().await, Told::GoAway(LAST_STREAM));
    let Told::Ping(payload) = client.told().await else {
        panic!("no ping after the first GOAWAY");
    };
    client.fields(3, &request(), true).await;
    assert_eq!(client.told().await, Told::Answered(3));
    client.pong(&payload).await;
    assert_eq!(client.told().await, Told::GoAway(3));
    assert_eq!(client.told().await, Told::Closed);
    assert_eq!(draining.await.unwrap(), 0);
}

/// Catches: a new connection that is told to go away before its first request can be there, so that
/// its client must connect again.
#[tokio::test]
async fn an_http2_client_is_told_after_its_first_request() {
    let (_cell, world) = world().await;
    let mut client = Frames::connect(world.connect().await).await;
    let draining = world.drains(PATIENT);
    world.closed().await;
    client.ping().await;
    assert_eq!(client.told().await, Told::Pong);
    client.fields(1, &request(), true).await;
    let told = [client.told().await, client.told().await];
    assert!(told.contains(&Told::GoAway(LAST_STREAM)), "{told:?}");
    client.close().await;
    assert_eq!(draining.await.unwrap(), 0);
}

#[tokio::test]
async fn what_is_in_flight_finishes_and_nothing_new_begins() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (cell, port) = cell("a", ServerTls::plain()).await;
        cell.set_fault(CellFault::Slow(Duration::from_millis(300)));
        let world = start(plain(registry(plain_endpoint("http", port)))).await;
        let silent = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let idle = world.client(protocol).connect().await.unwrap();
        let client = world.client(protocol);
        let asking = tokio::spawn(async move { client.send(Request::get("/")).await });
        while cell.arrivals() == 0 {
            tokio::task::yield_now().await;
        }
        let drained = world.handle.drain(IMPATIENT).await;
        assert_eq!(drained.abandoned, 0, "{protocol:?}");
        assert_eq!(asking.await.unwrap().unwrap().status, StatusCode::OK);
        world.events.line("closed drain").await;
        assert!(TcpStream::connect(("127.0.0.1", world.port)).await.is_err());
        let timed_out = "closed first_byte_timeout".to_owned();
        assert!(
            !world.events.lines().contains(&timed_out),
            "nobody waits for the silent"
        );
        drop((idle, silent));
    }
}

#[tokio::test]
async fn what_is_left_at_the_deadline_is_cut_and_counted() {
    let (port, asked) = silent().await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let client = world.client(Protocol::Http1);
    let asking = tokio::spawn(async move { client.send(Request::get("/")).await });
    asked.notified().await;
    let drained = world.handle.drain(Duration::from_millis(100)).await;
    assert_eq!(drained.abandoned, 1);
    assert!(asking.await.unwrap().is_err());
}
