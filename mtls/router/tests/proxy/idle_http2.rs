//! HTTP/2 connections to cells that are quiet for a long time. Some are alive and some are dead.

use std::time::Duration;

use cellway_env::Listener;
use cellway_router::settings::RouterSettings;
use cellway_testbed::{Client, Request};
use http::StatusCode;
use tokio::sync::oneshot;
use tokio::time::{Instant, sleep};

use crate::frames::{Came, Frames};
use crate::memory::{self, Memory, MemoryListener};
use crate::world::{plain, plain_endpoint, reason, registry};

/// A long time for a stream, but shorter than `idle_timeout_ms`.
const QUIET: Duration = Duration::from_secs(280);

struct World {
    client: Client<Memory>,
    cell: MemoryListener,
}

/// A router in memory, in front of a cell that the test plays.
async fn world(change: impl FnOnce(&mut RouterSettings)) -> World {
    let env = Memory::new();
    let (cell, port) = env.listen().await;
    let mut settings = plain(registry(plain_endpoint("h2c", port)));
    change(&mut settings);
    let client = memory::start(&env, settings).await.client(QUIET * 10);
    World { client, cell }
}

/// Serves one stream that is quiet for a while between two messages, and counts pings.
async fn pings_of_a_quiet_stream(keepalive: Option<Duration>) -> usize {
    let World { client, mut cell } =
        world(|settings| settings.upstream.keepalive = keepalive).await;
    let (counted, pings) = oneshot::channel();
    tokio::spawn(async move {
        let (stream, _) = cell.accept().await.unwrap();
        let mut frames = Frames::greet(stream).await;
        let Some(Came::End(id)) = frames.next().await else {
            panic!("no request");
        };
        frames.head(id).await;
        frames.data(id, b"first", false).await;
        let end = Instant::now() + QUIET;
        while tokio::time::timeout_at(end, frames.next()).await.is_ok() {}
        frames.data(id, b"last", true).await;
        let _ = counted.send(frames.pings);
        frames.serve().await;
    });
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.body, "firstlast");
    pings.await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_not_pinged() {
    assert_eq!(pings_of_a_quiet_stream(None).await, 0);
}

#[tokio::test(start_paused = true)]
async fn a_quiet_stream_is_pinged_as_often_as_the_settings_say() {
    assert_eq!(pings_of_a_quiet_stream(Some(QUIET / 5)).await, 4);
}

/// A connection that takes requests and answers none.
async fn dead(mut frames: Frames<tokio::io::DuplexStream>) {
    while frames.next().await.is_some() {}
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_nothing_in_time_gets_no_more_requests() {
    let World { client, mut cell } = world(|_| ()).await;
    tokio::spawn(async move {
        let (stream, _) = cell.accept().await.unwrap();
        tokio::spawn(dead(Frames::greet(stream).await));
        let (stream, _) = cell.accept().await.unwrap();
        Frames::greet(stream).await.serve().await;
    });
    let unanswered = client.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&unanswered), "cell_timeout_header");
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}

#[tokio::test(start_paused = true)]
async fn a_connection_that_answers_others_is_kept() {
    let World { client, mut cell } = world(|_| ()).await;
    tokio::spawn(async move {
        let (stream, _) = cell.accept().await.unwrap();
        let mut frames = Frames::greet(stream).await;
        let Some(Came::End(_unanswered)) = frames.next().await else {
            panic!("no request");
        };
        frames.serve().await;
        panic!("the connection was given up");
    });
    let slow = client.clone();
    let slow = tokio::spawn(async move { slow.send(Request::get("/slow")).await.unwrap() });
    sleep(Duration::from_secs(1)).await;
    for _ in 0..2 {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(reason(&slow.await.unwrap()), "cell_timeout_header");
    // There is only one connection, because nobody accepts another.
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
}
