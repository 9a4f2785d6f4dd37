//! The circuit breaker of an endpoint: closed, open, half-open with one request.

use std::sync::Arc;
use std::time::Duration;

use cellway_testbed::{CellFault, EchoCell, Request, ServerTls};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep};

use crate::memory::{self, Memory, World};
use crate::world::{plain, reason, registry};

const LONG: Duration = Duration::from_secs(600);
const OPEN: Duration = Duration::from_secs(5);

/// How long the cell may take for a header.
const HEADER: Duration = Duration::from_secs(8);

/// A router before a cell with one endpoint, whose port is returned too.
async fn world() -> (Memory, World, EchoCell, u16) {
    let env = Memory::new();
    let (listener, port) = env.listen().await;
    let (cell, host) = (EchoCell::new("a", |_| ()), env.clone());
    let serving = cell.clone();
    tokio::spawn(async move { serving.serve(host, listener, ServerTls::plain()).await });
    let url = json!([{"url": format!("http://127.0.0.1:{port}")}]);
    let mut settings = plain(registry(url));
    settings.upstream.timeouts.header = HEADER;
    let world = memory::start(&env, settings).await;
    (env, world, cell, port)
}

fn tries(world: &World) -> usize {
    let lines = world.events.lines();
    let failed = lines.iter().filter(|line| line.starts_with("cell failed"));
    failed.count()
}

async fn ask(world: &World) -> String {
    let answer = world.client(LONG).send(Request::get("/")).await.unwrap();
    match answer.status {
        StatusCode::OK => "ok".to_owned(),
        _ => reason(&answer),
    }
}

/// Catches: requests that wait for an endpoint that is known to be down, and a breaker that lets
/// more than one through, or never closes.
#[tokio::test(start_paused = true)]
async fn opens_after_failures_and_closes_after_one_good_answer() {
    let (env, world, cell, port) = world().await;
    env.refuse(port, true);
    for _ in 0..5 {
        assert_eq!(ask(&world).await, "cell_unreachable");
    }
    world.events.line("circuit opened").await;
    let answer = world.client(LONG).send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reason(&answer), "circuit_open");
    assert_eq!(answer.headers["retry-after"], "5");
    assert_eq!(tries(&world), 5, "nothing was tried");

    tokio::time::advance(OPEN).await;
    assert_eq!(ask(&world).await, "cell_unreachable");
    assert_eq!(ask(&world).await, "circuit_open");
    assert_eq!(tries(&world), 6);

    env.refuse(port, false);
    assert_eq!(ask(&world).await, "circuit_open");
    tokio::time::advance(OPEN).await;
    assert_eq!(ask(&world).await, "ok");
    world.events.line("circuit closed").await;
    assert_eq!(ask(&world).await, "ok");
    assert_eq!(cell.arrivals(), 2);
}

/// Catches: a second request that passes beside the first, and a place that stays taken when the
/// first one's client goes away.
#[tokio::test(start_paused = true)]
async fn one_request_at_a_time_tries_and_frees_its_place() {
    let (env, world, cell, port) = world().await;
    env.refuse(port, true);
    for _ in 0..5 {
        ask(&world).await;
    }
    env.refuse(port, false);
    cell.set_fault(CellFault::HalfOpen);
    tokio::time::advance(OPEN).await;
    let client = world.client(LONG);
    let first = tokio::spawn(async move { client.send(Request::get("/")).await });
    world.events.line("circuit probing").await;
    for _ in 0..20 {
        assert_eq!(ask(&world).await, "circuit_open");
    }
    first.abort();
    world.events.line("circuit freed").await;
    cell.set_fault(CellFault::None);
    assert_eq!(ask(&world).await, "ok");
    world.events.line("circuit closed").await;
}

/// An answer is an answer: the cell speaks for itself.
#[tokio::test(start_paused = true)]
async fn answers_never_open_it() {
    let (_, world, cell, _) = world().await;
    cell.set_fault(CellFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let client = world.client(LONG);
    for _ in 0..50 {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.headers["x-cellway-owner"], "cell");
    }
    assert_eq!(cell.arrivals(), 50);
}

/// The header of a request whose body is `bytes` long.
fn upload(bytes: usize) -> String {
    format!("POST / HTTP/1.1\r\nhost: a\r\ncontent-length: {bytes}\r\n\r\n")
}

/// A router whose breaker is about to let one request pass, and its cell works again.
async fn half_open() -> World {
    let (env, world, _, port) = world().await;
    env.refuse(port, true);
    for _ in 0..5 {
        ask(&world).await;
    }
    env.refuse(port, false);
    tokio::time::advance(OPEN).await;
    world
}

/// Catches: an upload that holds the only place of a half-open breaker, so that nobody else is served
/// until it ends.
#[tokio::test(start_paused = true)]
async fn a_slow_upload_gives_its_place_to_the_next_request() {
    let world = half_open().await;
    let mut stream = world.connect().await;
    stream
        .write_all(upload(100_000_000).as_bytes())
        .await
        .unwrap();
    tokio::spawn(async move {
        while stream.write_all(&[b'x'; 1000]).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    world.events.line("circuit probing").await;
    assert_eq!(ask(&world).await, "circuit_open");
    world.events.line("circuit freed").await;
    assert_eq!(ask(&world).await, "ok");
    world.events.line("circuit closed").await;
}

/// Catches: uploads that never end and hand the place on among themselves, so that everybody else gets
/// 503 from a cell that works.
#[tokio::test(start_paused = true)]
async fn many_unfinished_uploads_keep_nobody_out() {
    const UPLOADS: usize = 50;
    let world = Arc::new(half_open().await);
    let tries = (0..UPLOADS).map(|_| {
        let world = world.clone();
        tokio::spawn(async move {
            loop {
                let mut stream = world.connect().await;
                stream.write_all(upload(1).as_bytes()).await.unwrap();
                // Until the router refuses it.
                let _ = stream.read(&mut [0; 1000]).await;
                sleep(Duration::from_millis(5)).await;
            }
        })
    });
    let tries: Vec<_> = tries.collect();
    world.events.line("circuit probing").await;
    let until = Instant::now() + Duration::from_secs(1);
    while ask(&world).await != "ok" {
        assert!(Instant::now() < until, "nobody else is served");
        sleep(Duration::from_millis(10)).await;
    }
    for uploading in tries {
        uploading.abort();
    }
}

/// Catches: a cell that gets only slow uploads, serves them, and stays known as down.
#[tokio::test(start_paused = true)]
async fn an_upload_that_gave_its_place_up_still_closes_it() {
    let world = half_open().await;
    let mut stream = world.connect().await;
    stream.write_all(upload(1).as_bytes()).await.unwrap();
    world.events.line("circuit freed").await;
    stream.write_all(b"x").await.unwrap();
    world.events.line("circuit closed").await;
    assert_eq!(ask(&world).await, "ok");
}
