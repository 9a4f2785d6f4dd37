//! What fails with an HTTP/2 connection, and what with one of its streams.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cellway_env::Listener;
use cellway_testbed::{Protocol, Request, bundle_pem};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::task::JoinHandle;

use crate::cells::played;
use crate::frames::{Came, Frames, INTERNAL_ERROR};
use crate::memory::{self, Memory, MemoryListener};
use crate::world::{World, ca, plain, plain_endpoint, reason, registry, start};

/// More requests than may fail in a row before a breaker opens.
const MANY: usize = 8;

/// What the cell does with a request.
#[derive(Clone, Copy)]
enum Act {
    Answer,
    /// It begins an answer and never ends it.
    Begin,
    Hold,
    Reset,
    /// It ends the connection.
    Close,
}

#[derive(Clone, Default)]
struct Count(Arc<AtomicUsize>);

impl Count {
    /// Counts one more. Returns how many there were.
    fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn get(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// A router before an HTTP/2 cell that does this with each request, by the number of requests before
/// it. Counts the cell's connections.
async fn world(act: fn(usize) -> Act) -> (World, Count) {
    let (connections, requests) = (Count::default(), Count::default());
    let counting = connections.clone();
    let port = played(move |stream| {
        counting.add();
        let requests = requests.clone();
        async move {
            let mut cell = Frames::greet(stream).await;
            while let Some(came) = cell.next().await {
                let Came::End(id) = came else { continue };
                match act(requests.add()) {
                    Act::Answer => cell.answer(id).await,
                    Act::Begin => cell.head(id).await,
                    Act::Hold => {}
                    Act::Reset => cell.reset(id, INTERNAL_ERROR).await,
                    Act::Close => return,
                }
            }
        }
    })
    .await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    (world, connections)
}

fn post() -> Request {
    Request {
        method: Method::POST,
        ..Request::get("/")
    }
}

/// The status of an answer, and the reason if it is the router's.
async fn ask(world: &World, request: Request) -> (u16, String) {
    let answer = world.client(Protocol::Http2).send(request).await.unwrap();
    match answer.status {
        StatusCode::OK => (200, "-".to_owned()),
        status => (status.as_u16(), reason(&answer)),
    }
}

/// Catches: a connection whose end counts once for each request on it, so that it opens the breaker of
/// an endpoint that works.
#[tokio::test]
async fn a_connection_that_ends_fails_once() {
    let (world, connections) = world(|before| match before {
        0..4 => Act::Begin,
        4..MANY => Act::Hold,
        MANY => Act::Close,
        _ => Act::Answer,
    })
    .await;
    let requests = (0..=MANY).map(|_| {
        let client = world.client(Protocol::Http2);
        tokio::spawn(async move { client.send(post()).await })
    });
    for request in requests.collect::<Vec<_>>() {
        let answer = request.await.unwrap();
        assert!(answer.is_err() || answer.unwrap().status == StatusCode::BAD_GATEWAY);
    }
    assert_eq!(ask(&world, post()).await, (200, "-".to_owned()));
    assert_eq!(connections.get(), 2);
}

/// A router before an endpoint that gets connections from this listener, and answers no handshake.
async fn silent() -> (memory::World, MemoryListener) {
    let env = Memory::new();
    let (listener, port) = env.listen().await;
    let url = json!([{"url": format!("https://127.0.0.1:{port}")}]);
    let mut settings = plain(registry(url));
    settings.upstream.bundle = Some(bundle_pem(&[&ca(1)]).into());
    (memory::start(&env, settings).await, listener)
}

/// Many requests at the same time.
fn many(world: &memory::World) -> Vec<JoinHandle<String>> {
    let request = || {
        let client = world.client(Duration::from_secs(600));
        tokio::spawn(async move { reason(&client.send(post()).await.unwrap()) })
    };
    (0..MANY).map(|_| request()).collect()
}

/// Catches: an attempt to connect that is refused, and counts once for each request that waits for it.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_is_refused_fails_once() {
    let (world, mut listener) = silent().await;
    tokio::spawn(async move {
        loop {
            let (_stream, _) = listener.accept().await.unwrap();
            // With the clock paused, this is over when all tasks wait.
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    });
    for _ in 0..2 {
        for request in many(&world) {
            assert_eq!(request.await.unwrap(), "cell_unreachable");
        }
    }
    let lines = world.events.lines();
    let failed = lines.iter().filter(|line| line.starts_with("cell failed"));
    assert_eq!(failed.count(), 2 * MANY, "all waited for the same attempts");
}

/// Catches: an endpoint that answers nothing, and whose requests run into the timeout again and again
/// because they share an attempt to connect.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_times_out_fails_for_all_that_waited() {
    let (world, _listener) = silent().await;
    for request in many(&world) {
        assert_eq!(request.await.unwrap(), "cell_timeout_tls");
    }
    for request in many(&world) {
        assert_eq!(request.await.unwrap(), "circuit_open");
    }
}

/// Catches: a request that makes the cell reset its stream, and costs the other callers the connection,
/// or opens the breaker.
#[tokio::test]
async fn a_stream_that_the_cell_resets_leaves_its_connection_alone() {
    let (world, connections) = world(|before| match before {
        0..MANY => Act::Reset,
        _ => Act::Answer,
    })
    .await;
    for _ in 0..MANY {
        let reset = (502, "cell_reset".to_owned());
        assert_eq!(ask(&world, Request::get("/")).await, reset);
    }
    assert_eq!(ask(&world, post()).await, (200, "-".to_owned()));
    assert_eq!(connections.get(), 1);
}

/// Catches: a kept connection that has died meanwhile, as a load balancer lets it die, and costs an
/// idempotent request its answer.
#[tokio::test]
async fn a_kept_connection_that_dies_silently_costs_an_idempotent_request_nothing() {
    for (method, expected) in [
        (Method::GET, (200, "-".to_owned())),
        (Method::POST, (502, "cell_reset".to_owned())),
    ] {
        let (world, connections) = world(|before| match before {
            1 => Act::Close,
            _ => Act::Answer,
        })
        .await;
        assert_eq!(ask(&world, post()).await.0, 200);
        let request = Request {
            method,
            ..Request::get("/")
        };
        assert_eq!(ask(&world, request).await, expected);
        assert!(connections.get() <= 2);
    }
}
