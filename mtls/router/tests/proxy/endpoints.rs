//! Cells with endpoints that can't be reached.

use std::time::Duration;

use cellway_testbed::{EchoCell, Protocol, Request, ServerTls};
use http::StatusCode;
use serde_json::{Value, json};

use crate::cells::silent;
use crate::memory::{self, Memory, World};
use crate::world::{ca, plain, reason, registry, start};

/// Five endpoints without a listener, and endpoints at these ports.
fn dead_but(ports: &[u16]) -> Value {
    let all = (60_001..=60_005).chain(ports.iter().copied());
    let urls = all.map(|port| json!({"url": format!("http://127.0.0.1:{port}")}));
    urls.collect()
}

/// How often an endpoint couldn't be reached.
fn failures(world: &World) -> usize {
    let lines = world.events.lines();
    let failed = (lines.iter()).filter(|line| *line == "cell failed cell_unreachable");
    failed.count()
}

/// The clock stands still, so one request tries each dead endpoint and all others avoid it.
#[tokio::test(start_paused = true)]
async fn one_endpoint_of_six_serves_every_request() {
    let env = Memory::new();
    let (listener, port) = env.listen().await;
    let (cell, host) = (EchoCell::new("a", |_| ()), env.clone());
    tokio::spawn(async move { cell.serve(host, listener, ServerTls::plain()).await });
    let world = memory::start(&env, plain(registry(dead_but(&[port])))).await;
    let client = world.client(Duration::from_secs(60));
    // The endpoint that a request tries first rotates.
    for _ in 0..60 {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(failures(&world), 5);
}

#[tokio::test(start_paused = true)]
async fn each_endpoint_is_tried_before_the_cell_is_given_up() {
    let env = Memory::new();
    let world = memory::start(&env, plain(registry(dead_but(&[])))).await;
    let client = world.client(Duration::from_secs(60));
    for tries in [5, 10] {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(reason(&answer), "cell_unreachable");
        assert_eq!(failures(&world), tries);
    }
}

/// Catches: an endpoint that counts as failed because earlier endpoints used up the time.
#[tokio::test(start_paused = true)]
async fn an_endpoint_that_had_less_than_its_time_is_not_blamed() {
    let env = Memory::new();
    let mut endpoints = Vec::new();
    let mut held = Vec::new();
    for _ in 0..6 {
        // These accept connections and never answer the TLS handshake.
        let (listener, port) = env.listen().await;
        held.push(listener);
        endpoints.push(json!({"url": format!("https://127.0.0.1:{port}")}));
    }
    let mut settings = plain(registry(endpoints.into()));
    settings.upstream.bundle = Some(ca(1).pem().into());
    settings.upstream.timeouts.tls = Duration::from_secs(2);
    settings.upstream.timeouts.failover = Duration::from_secs(5);
    let world = memory::start(&env, settings).await;
    let client = world.client(Duration::from_secs(60));
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "cell_timeout_connect");
    // They time out at 2, 4 and 6 s. The fourth has one second left, because the whole time ends at
    // 7 s.
    let lines = world.events.lines();
    let failed = lines.iter().filter(|line| line.starts_with("cell failed"));
    let failed: Vec<_> = failed.collect();
    assert_eq!(failed, ["cell failed cell_timeout_tls"; 3]);
}

#[tokio::test]
async fn no_further_endpoint_is_tried_when_the_time_for_it_is_over() {
    let mut endpoints = Vec::new();
    for _ in 0..6 {
        // These accept connections and never answer the TLS handshake.
        let (port, _) = silent().await;
        endpoints.push(json!({"url": format!("https://127.0.0.1:{port}")}));
    }
    let mut settings = plain(registry(endpoints.into()));
    settings.upstream.bundle = Some(ca(1).pem().into());
    settings.upstream.timeouts.tls = Duration::from_millis(100);
    settings.upstream.timeouts.failover = Duration::from_millis(150);
    let world = start(settings).await;
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    let failed = world.events.lines();
    let failed = failed.iter().filter(|line| line.starts_with("cell failed"));
    assert!(failed.count() < 6, "{:?}", world.events.lines());
}
