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
use tokio::sync::Notify;

use crate::cells::played;
use crate::frames::{Came, Frames, MAX_CONCURRENT_STREAMS};
use crate::raw::Raw;
use crate::world::{PATIENCE, World, body, plain, plain_endpoint, reason, registry, start};

/// Every holder may have all places.
const NO_SHARES: CellShares = CellShares {
    connection: 100,
    caller: 100,
    tenant: 100,
};

/// How long requests wait if they are to get nothing.
pub(crate) const SHORT: Duration = Duration::from_millis(200);

/// What the cell does with a request.
#[derive(Clone, Copy)]
pub(crate) enum Act {
    Answer,
    /// It begins an answer and never ends it.
    Begin,
    /// It answers nothing.
    Hold,
    /// It allows no more streams on the connection, and answers.
    Forbid,
}

/// An HTTP/2 cell that allows this many streams on each connection, and does this with each request, by the
/// number of requests before it. Returns its port and the number of its connections.
pub(crate) async fn cell(streams: u32, act: fn(usize) -> Act) -> (u16, Arc<AtomicUsize>) {
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
                    Act::Hold => {}
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

/// Waits until something holds.
async fn until(mut holds: impl FnMut() -> bool) {
    let holding = async {
        while !holds() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, holding).await.unwrap();
}

/// Waits until as many requests wait for a stream.
pub(crate) async fn wait(world: &World, requests: usize) {
    until(|| world.handle.cell_loads()[0].waiting == requests).await;
}

/// Waits until a request is served.
async fn until_served(world: &World) {
    let client = world.client(Protocol::Http1);
    let serving =
        async { while client.send(Request::get("/")).await.unwrap().status != StatusCode::OK {} };
    tokio::time::timeout(PATIENCE, serving).await.unwrap();
}

/// Catches: an HTTP/2 connection that carries all requests, if the cell allows any number of streams.
#[tokio::test]
async fn another_connection_is_opened_for_many_requests() {
    let (port, connections) = cell(u32::MAX, |_| Act::Begin).await;
    let world = world(port, |_| {}).await;
    let mut held = Vec::new();
    for _ in 0..100 {
        held.push(begun(&world).await);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    held.push(begun(&world).await);
    until(|| connections.load(Ordering::Relaxed) == 2).await;
}

/// Catches: another connection that is only opened for requests that wait, although none may wait.
#[tokio::test]
async fn another_connection_is_opened_although_no_request_may_wait() {
    let (port, connections) = cell(1, |before| match before {
        0 => Act::Begin,
        _ => Act::Answer,
    })
    .await;
    let world = world(port, |settings| {
        settings.upstream.limits.queue_max = 0;
    })
    .await;
    let _held = begun(&world).await;
    until_served(&world).await;
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

/// Catches: a request that waits on although the cell allows more streams by now.
#[tokio::test]
async fn a_cell_that_allows_more_streams_wakes_those_that_wait() {
    let more = Arc::new(Notify::new());
    let allowing = more.clone();
    let port = played(move |stream| {
        let more = allowing.clone();
        async move {
            let mut frames = Frames::greet_with(stream, &[(MAX_CONCURRENT_STREAMS, 1)]).await;
            loop {
                tokio::select! {
                    came = frames.next() => match came {
                        Some(Came::End(id)) => frames.head(id).await,
                        Some(Came::Head(_)) => {}
                        None => return,
                    },
                    () = more.notified() => frames.settings(&[(MAX_CONCURRENT_STREAMS, 2)]).await,
                }
            }
        }
    })
    .await;
    let world = world(port, |settings| {
        settings.upstream.limits.queue_timeout = 2 * PATIENCE;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..4 {
        held.push(begun(&world).await);
    }
    let waits = async {
        wait(&world, 1).await;
        more.notify_one();
    };
    tokio::join!(begun(&world), waits);
}

/// Catches: a request that waits until a new connection's cell has said how many streams it allows.
#[tokio::test]
async fn a_new_connection_wakes_those_that_wait() {
    let (connections, greets) = (Arc::new(AtomicUsize::new(0)), Arc::new(Notify::new()));
    let (counting, greeting) = (connections.clone(), greets.clone());
    let port = played(move |stream| {
        let first = counting.fetch_add(1, Ordering::Relaxed) == 0;
        let greets = greeting.clone();
        async move {
            let mut frames = Frames::greeted(stream).await;
            if !first {
                greets.notified().await;
            }
            frames.settings(&[(MAX_CONCURRENT_STREAMS, 1)]).await;
            while let Some(came) = frames.next().await {
                if let Came::End(id) = came {
                    frames.head(id).await;
                }
            }
        }
    })
    .await;
    let world = world(port, |settings| {
        settings.upstream.limits.queue_timeout = 2 * PATIENCE;
    })
    .await;
    let _held = begun(&world).await;
    let goes_on = async {
        until(|| connections.load(Ordering::Relaxed) == 2).await;
        wait(&world, 0).await;
        greets.notify_one();
    };
    tokio::join!(begun(&world), goes_on);
}

/// Catches: requests on a connection that gets no more, which take places of those on the others.
#[tokio::test]
async fn streams_of_a_connection_that_leaves_take_no_other_place() {
    let (port, connections) = cell(2, |before| match before {
        1 => Act::Hold,
        _ => Act::Begin,
    })
    .await;
    let world = world(port, |settings| {
        settings.upstream.timeouts.header = SHORT;
        settings.upstream.limits.connections_max = 2;
        settings.upstream.limits.queue_timeout = SHORT;
        settings.upstream.breaker.failures = 2;
    })
    .await;
    let mut held = vec![begun(&world).await];
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "cell_timeout_header");
    for _ in 0..2 {
        held.push(begun(&world).await);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

/// Catches: a cell that closes each further connection at once, and gets one after another. Each costs a
/// request that waits.
#[tokio::test]
async fn a_further_connection_that_serves_nothing_is_not_opened_again_at_once() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counting = connections.clone();
    let port = played(move |stream| {
        let first = counting.fetch_add(1, Ordering::Relaxed) == 0;
        async move {
            let allowed = [(MAX_CONCURRENT_STREAMS, 1)];
            let mut frames = Frames::greet_with(stream, &allowed).await;
            while first && let Some(came) = frames.next().await {
                if let Came::End(id) = came {
                    frames.head(id).await;
                }
            }
        }
    })
    .await;
    let world = world(port, |settings| {
        settings.upstream.limits.queue_timeout = SHORT;
        settings.upstream.breaker.failures = 100;
    })
    .await;
    let _held = begun(&world).await;
    let client = world.client(Protocol::Http1);
    let mut reasons = Vec::new();
    for _ in 0..3 {
        let answer = client.send(Request::get("/")).await.unwrap();
        reasons.push(reason(&answer));
    }
    assert_eq!(reasons[1..], ["overloaded", "overloaded"]);
    assert_eq!(connections.load(Ordering::Relaxed), 2);
}

/// Catches: a stream that counts no more once its answer has ended, although its body is still being sent.
/// The next request would get its place, and wait inside the connection.
#[tokio::test]
async fn a_stream_counts_until_all_of_its_body_is_sent() {
    let takes = Arc::new(Notify::new());
    let taking = takes.clone();
    let port = played(move |stream| {
        let takes = taking.clone();
        async move {
            let allowed = [(MAX_CONCURRENT_STREAMS, 1)];
            let mut frames = Frames::greet_with(stream, &allowed).await;
            frames.takes_nothing().await;
            let mut first = None;
            loop {
                tokio::select! {
                    came = frames.next() => match came {
                        Some(Came::Head(id)) => {
                            first = Some(id);
                            frames.answer(id).await;
                        }
                        Some(Came::End(id)) if first == Some(id) => {}
                        Some(Came::End(id)) => frames.answer(id).await,
                        None => return,
                    },
                    () = takes.notified() => frames.takes(first.unwrap(), 5).await,
                }
            }
        }
    })
    .await;
    let world = world(port, |settings| {
        settings.upstream.limits.connections_max = 1;
        settings.upstream.limits.queue_timeout = SHORT;
    })
    .await;
    // Until this one is answered, the router may not know that the cell takes nothing.
    until_served(&world).await;
    let mut client = Raw::new(&world).await;
    let whole = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 5\r\n\r\nhello";
    client.send(whole).await;
    let head = client.head().await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    is_refused(&world).await;
    takes.notify_one();
    until_served(&world).await;
}

/// Catches: connections on which requests waited in vain that are not replaced for a while, so that all other
/// requests have to share the one that is left.
#[tokio::test]
async fn connections_that_a_silent_cell_leaves_are_replaced() {
    // The connections on which these wait leave one after the other, and have answered nothing.
    let (port, connections) = cell(1, |before| match before {
        0..8 => Act::Hold,
        _ => Act::Begin,
    })
    .await;
    let world = world(port, |settings| {
        settings.upstream.timeouts.header = SHORT;
        settings.upstream.breaker.failures = 0;
    })
    .await;
    let mut held = Vec::new();
    for _ in 0..2 {
        let waiting: Vec<_> = (0..4)
            .map(|_| {
                let client = world.client(Protocol::Http1);
                tokio::spawn(async move { client.send(Request::get("/")).await })
            })
            .collect();
        for request in waiting {
            let answer = request.await.unwrap().unwrap();
            assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
        }
    }
    let before = connections.load(Ordering::Relaxed);
    for _ in 0..4 {
        held.push(begun(&world).await);
    }
    assert_eq!(connections.load(Ordering::Relaxed), before + 4);
}

/// Catches: the time for opening a connection that is told more than once, or never.
#[tokio::test]
async fn a_connection_is_told_once() {
    let (port, _connections) = cell(100, |_| Act::Answer).await;
    let world = world(port, |_| {}).await;
    for _ in 0..3 {
        until_served(&world).await;
    }
    let lines = world.events.lines();
    let connected = lines.iter().filter(|line| *line == "cell connected");
    assert_eq!(connected.count(), 1);
}
