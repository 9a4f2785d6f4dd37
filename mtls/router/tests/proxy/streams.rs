//! The streams that an HTTP/2 cell allows on its connections, which its requests share.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cellway_router::settings::{CellShares, RouterSettings};
use cellway_testbed::{Protocol, Request};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::cells::played;
use crate::frames::{Came, Frames, MAX_CONCURRENT_STREAMS};
use crate::shares::{tenant, two_tenants};
use crate::world::{
    PATIENCE, World, body, ca, plain, plain_endpoint, reason, registry, secure, start,
};

/// Every holder may have all places.
const NO_SHARES: CellShares = CellShares {
    connection: 100,
    caller: 100,
    tenant: 100,
};

/// How long requests wait if they are to get nothing.
const SHORT: Duration = Duration::from_millis(200);

/// What the cell does with a request.
#[derive(Clone, Copy)]
enum Act {
    Answer,
    /// It begins an answer and never ends it.
    Begin,
    /// It allows no more streams on the connection, and answers.
    Forbid,
}

/// An HTTP/2 cell that allows this many streams on each connection, and does this with each request, by the
/// number of requests before it. Returns its port and the number of its connections.
async fn cell(streams: u32, act: fn(usize) -> Act) -> (u16, Arc<AtomicUsize>) {
    let (connections, requests) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(0)));
    let counting = connections.clone();
    let port = played(move |stream| {
        counting.fetch_add(1, Ordering::Relaxed);
        let requests = requests.clone();
        async move {
            let allowed = [(MAX_CONCURRENT_STREAMS, streams)];
            let mut frames = Frames::greet_with(stream, &allowed).await;
            while let Some(came) = frames.next().await {
                let Came::End(id) = came else { continue };
                match act(requests.fetch_add(1, Ordering::Relaxed)) {
                    Act::Answer => frames.answer(id).await,
                    Act::Begin => frames.head(id).await,
                    Act::Forbid => {
                        frames.settings(&[(MAX_CONCURRENT_STREAMS, 0)]).await;
                        frames.answer(id).await;
                    }
                }
            }
        }
    });
    (port.await, connections)
}

async fn world(port: u16, change: impl FnOnce(&mut RouterSettings)) -> World {
    let mut settings = plain(registry(plain_endpoint("h2c", port)));
    settings.upstream.limits.shares = NO_SHARES;
    settings.upstream.breaker.failures = 1;
    change(&mut settings);
    start(settings).await
}

/// Begins a request, and reads the header of its answer. The request lasts as long as the connection.
async fn begun(world: &World) -> TcpStream {
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let request = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n";
    stream.write_all(request).await.unwrap();
    let mut start = [0; 12];
    let reading = tokio::time::timeout(PATIENCE, stream.read_exact(&mut start));
    reading.await.unwrap().unwrap();
    assert_eq!(&start, b"HTTP/1.1 200");
    stream
}

/// Checks that a request is refused because the cell allows no more streams, and that this costs the
/// endpoint nothing.
async fn is_refused(world: &World) {
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reason(&answer), "overloaded");
    assert_eq!(answer.headers["retry-after"], "5");
    let detail = "the cell has as many streams as it allows on its connections, and no more connections may \
                  be opened";
    assert_eq!(body(&answer)["error"]["detail"], json!(detail));
    let lines = world.events.lines();
    let failed = |line: &&String| line.starts_with("cell failed") || line.starts_with("circuit");
    assert_eq!(lines.iter().find(failed), None);
}

/// Catches: a request that waits for a stream although another connection could have it.
#[tokio::test]
async fn another_connection_is_opened_when_the_cell_allows_no_more_streams() {
    let (port, connections) = cell(2, |_| Act::Begin).await;
    let world = world(port, |settings| {
        settings.upstream.limits.queue_timeout = SHORT;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..8 {
        held.push(begun(&world).await);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 4);
    is_refused(&world).await;
    // A stream that ends makes room.
    held.pop();
    begun(&world).await;
    assert_eq!(connections.load(Ordering::Relaxed), 4);
}

/// Catches: requests that wait for a stream and count as failures of the endpoint, so that its breaker opens,
/// although the cell is only at its limit; and a wait that nobody sees.
#[tokio::test]
async fn a_request_waits_for_a_stream_as_for_a_place_at_the_cell() {
    let (port, connections) = cell(1, |_| Act::Begin).await;
    let world = world(port, |settings| {
        settings.upstream.limits.connections_max = 1;
        settings.upstream.limits.queue_timeout = PATIENCE;
    })
    .await;
    let held = begun(&world).await;
    let next = async {
        let stream = begun(&world).await;
        assert_eq!(world.handle.cell_loads()[0].waiting, 0);
        stream
    };
    let waits = async {
        while world.handle.cell_loads()[0].waiting == 0 {
            tokio::task::yield_now().await;
        }
        drop(held);
    };
    tokio::join!(next, tokio::time::timeout(PATIENCE, waits))
        .1
        .unwrap();
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

/// Catches: a wait for a stream that has another time limit than `queue_timeout`, or none with
/// `queue_max = 0`.
#[tokio::test]
async fn a_request_that_finds_no_stream_costs_the_endpoint_nothing() {
    for queue_max in [0, 1024] {
        let (port, _connections) = cell(1, |_| Act::Begin).await;
        let world = world(port, |settings| {
            let limits = &mut settings.upstream.limits;
            limits.connections_max = 1;
            limits.queue_max = queue_max;
            limits.queue_timeout = SHORT;
        })
        .await;
        let held = begun(&world).await;
        is_refused(&world).await;
        drop(held);
        while world.handle.cell_loads()[0].requests > 0 {
            tokio::task::yield_now().await;
        }
        begun(&world).await;
    }
}

/// Catches: an open connection on which the cell allows no more streams, and on which every request waits
/// although a new connection would serve.
#[tokio::test]
async fn a_connection_that_takes_no_more_requests_is_not_the_last() {
    let (port, connections) = cell(100, |before| match before {
        0 => Act::Forbid,
        _ => Act::Answer,
    })
    .await;
    let world = world(port, |_| {}).await;
    let client = world.client(Protocol::Http1);
    for _ in 0..4 {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

/// Catches: a tenant that takes every stream of a cell.
#[tokio::test]
async fn a_quiet_tenant_gets_a_stream_during_a_flood() {
    // A caller may hold 6 of 10 streams: up to then it has less than 3.75 for the square of each tenth that
    // is free.
    const HELD: usize = 6;
    const SENT: usize = 20;
    let (port, connections) = cell(10, |before| match before {
        // The first one tells the router how many streams the cell allows.
        0 => Act::Answer,
        1..=HELD => Act::Begin,
        _ => Act::Answer,
    })
    .await;
    let clients = ca(1);
    let registry = two_tenants(plain_endpoint("h2c", port));
    let mut settings = secure(registry, &clients, &ca(2));
    let limits = &mut settings.upstream.limits;
    limits.connections_max = 1;
    limits.queue_timeout = SHORT;
    settings.upstream.breaker.failures = 1;
    let world = start(settings).await;
    let [acme, quiet] = ["acme", "quiet"].map(|name| tenant(&world, &clients, name));
    let first = quiet.send(Request::get("/")).await.unwrap();
    assert_eq!(first.status, StatusCode::OK);
    let mut flood = JoinSet::new();
    for _ in 0..SENT {
        let acme = acme.clone();
        flood.spawn(async move { acme.send(Request::get("/")).await });
    }
    for _ in HELD..SENT {
        let answer = flood.join_next().await.unwrap().unwrap().unwrap();
        assert_eq!(reason(&answer), "overloaded");
        let detail = "this caller has used up its share of the streams that the cell allows";
        assert_eq!(body(&answer)["error"]["detail"], json!(detail));
    }
    for _ in 0..3 {
        let answer = quiet.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(flood.len(), HELD, "what is held stays open");
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    flood.abort_all();
}
