//! Idempotent requests that are sent again because `[[traffic]]` says so.

use std::sync::Arc;
use std::time::Duration;

use cellway_router::RETRIES_RESERVE;
use cellway_router::settings::{RouterSettings, TrafficSettings};
use cellway_testbed::{CellFault, EchoCell, Request, ServerTls};
use http::header::RETRY_AFTER;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::memory::{self, Memory, World};
use crate::world::{plain, reason, registry};

const LONG: Duration = Duration::from_secs(600);

/// A router before two endpoints, of which the first has this fault.
async fn world(fault: CellFault, traffic: TrafficSettings) -> (World, [EchoCell; 2]) {
    world_with("http", fault, traffic, |_| ()).await
}

async fn world_over(
    scheme: &str,
    fault: CellFault,
    traffic: TrafficSettings,
) -> (World, [EchoCell; 2]) {
    world_with(scheme, fault, traffic, |_| ()).await
}

async fn world_with(
    scheme: &str,
    fault: CellFault,
    traffic: TrafficSettings,
    change: impl FnOnce(&mut RouterSettings),
) -> (World, [EchoCell; 2]) {
    let env = Memory::new();
    let mut cells = Vec::new();
    let mut urls = Vec::new();
    for fault in [fault, CellFault::None] {
        let (listener, port) = env.listen().await;
        let (cell, host) = (EchoCell::new("a", |_| ()), env.clone());
        cell.set_fault(fault);
        let serving = cell.clone();
        let tls = match scheme {
            "h2c" => ServerTls::plain_h2(),
            _ => ServerTls::plain(),
        };
        tokio::spawn(async move { serving.serve(host, listener, tls).await });
        urls.push(json!({"url": format!("{scheme}://127.0.0.1:{port}")}));
        cells.push(cell);
    }
    let mut settings = plain(registry(urls.into()));
    settings.listeners[0].traffic = Arc::new(traffic);
    // So that the first endpoint is tried each time.
    settings.upstream.breaker.failures = 0;
    settings.upstream.health.outlier.ejected_percent_max = 0;
    change(&mut settings);
    let world = memory::start(&env, settings).await;
    (world, cells.try_into().ok().unwrap())
}

fn on_503() -> TrafficSettings {
    TrafficSettings {
        retry_statuses: vec![503],
        ..TrafficSettings::default()
    }
}

const BUSY: CellFault = CellFault::Status(StatusCode::SERVICE_UNAVAILABLE);

/// Sends requests ten seconds apart, so that the bad endpoint is tried again. Returns their statuses.
async fn statuses(world: &World, method: Method, count: usize) -> Vec<u16> {
    let client = world.client(LONG);
    let mut got = Vec::new();
    for _ in 0..count {
        let request = Request {
            method: method.clone(),
            ..Request::get("/")
        };
        got.push(client.send(request).await.unwrap().status.as_u16());
        tokio::time::sleep(Duration::from_secs(10)).await;
    }
    got
}

/// Catches: a status that is retried without the setting, or for a request that isn't idempotent.
#[tokio::test(start_paused = true)]
async fn a_listed_status_sends_idempotent_requests_to_another_endpoint() {
    let (world, [bad, good]) = world(BUSY, on_503()).await;
    assert_eq!(statuses(&world, Method::GET, 10).await, [200; 10]);
    assert_eq!(good.arrivals(), 10);
    assert!(bad.arrivals() >= 4, "{}", bad.arrivals());
    world.events.line("retry status").await;
    let before = bad.arrivals() + good.arrivals();
    let got = statuses(&world, Method::POST, 10).await;
    assert!(got.contains(&503), "{got:?}");
    assert_eq!(bad.arrivals() + good.arrivals(), before + 10);

    let (world, [bad, good]) = self::world(BUSY, TrafficSettings::default()).await;
    let got = statuses(&world, Method::GET, 10).await;
    assert!(got.contains(&503), "{got:?}");
    assert_eq!(bad.arrivals() + good.arrivals(), 10);
}

fn on_resets() -> TrafficSettings {
    TrafficSettings {
        retry_resets: true,
        ..TrafficSettings::default()
    }
}

/// Catches: a connection that breaks or a stream that is reset before an answer, and that is retried without
/// the setting, for a request that isn't idempotent, or without being a failure of its endpoint.
#[tokio::test(start_paused = true)]
async fn an_exchange_that_breaks_off_is_repeated_at_another_endpoint() {
    for scheme in ["http", "h2c"] {
        let (world, [bad, good]) = world_over(scheme, CellFault::BreakOff, on_resets()).await;
        assert_eq!(statuses(&world, Method::GET, 10).await, [200; 10]);
        assert_eq!(good.arrivals(), 10);
        assert!(bad.arrivals() >= 4, "{}", bad.arrivals());
        world.events.line("retry reset").await;
        let lines = world.events.lines();
        let failed = lines.iter().filter(|it| *it == "cell failed cell_reset");
        assert_eq!(failed.count() as u64, bad.arrivals(), "{scheme}");
        let before = bad.arrivals() + good.arrivals();
        let got = statuses(&world, Method::POST, 10).await;
        assert!(got.contains(&502), "{got:?}");
        assert_eq!(bad.arrivals() + good.arrivals(), before + 10);

        for other in [TrafficSettings::default(), on_503(), on_try_timeout()] {
            let (world, [bad, good]) = world_over(scheme, CellFault::BreakOff, other).await;
            let got = statuses(&world, Method::GET, 10).await;
            assert!(got.contains(&502), "{got:?}");
            assert_eq!(bad.arrivals() + good.arrivals(), 10);
        }
    }
}

/// Catches: an answer that broke off after its first byte, and is asked for again.
#[tokio::test(start_paused = true)]
async fn an_answer_that_has_begun_is_not_repeated() {
    for scheme in ["http", "h2c"] {
        let (world, [bad, good]) = world_over(scheme, CellFault::ResetMidBody, on_resets()).await;
        let client = world.client(LONG);
        for _ in 0..10 {
            let _broken = client.send(Request::get("/")).await;
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
        assert_eq!(bad.arrivals() + good.arrivals(), 10, "{scheme}");
        assert!(bad.arrivals() > 0);
    }
}

/// Catches: a cell that says when to come back and is asked before.
#[tokio::test(start_paused = true)]
async fn an_answer_with_retry_after_is_passed_on() {
    let (world, [bad, good]) = world(BUSY, on_503()).await;
    bad.add_answer_header(RETRY_AFTER, HeaderValue::from_static("7"));
    let got = statuses(&world, Method::GET, 10).await;
    assert!(got.contains(&503), "{got:?}");
    assert_eq!(bad.arrivals() + good.arrivals(), 10);
}

/// Catches: a retry storm. Only the reserve is sent again while nothing is answered well.
#[tokio::test(start_paused = true)]
async fn retries_that_wait_count_against_the_budget() {
    let (world, [_, other]) = world(CellFault::HalfOpen, on_try_timeout()).await;
    other.set_fault(CellFault::HalfOpen);
    let requests = (0..200).map(|_| {
        let client = world.client(LONG);
        tokio::spawn(async move { client.send(Request::get("/")).await.unwrap() })
    });
    let requests: Vec<_> = requests.collect();
    for request in requests {
        let answer = request.await.unwrap();
        assert_ne!(answer.status, StatusCode::OK);
    }
    let retries = world.events.lines();
    let retries = retries.iter().filter(|line| *line == "retry timed_out");
    assert_eq!(retries.count(), RETRIES_RESERVE as usize);
}

fn on_try_timeout() -> TrafficSettings {
    TrafficSettings {
        try_timeout: Some(Duration::from_secs(1)),
        ..TrafficSettings::default()
    }
}

#[tokio::test(start_paused = true)]
async fn a_slow_attempt_is_followed_by_one_at_another_endpoint() {
    let (world, [_, good]) = world(CellFault::HalfOpen, on_try_timeout()).await;
    assert_eq!(statuses(&world, Method::GET, 10).await, [200; 10]);
    assert_eq!(good.arrivals(), 10);
    world.events.line("retry timed_out").await;
    // A POST may have been processed.
    let got = statuses(&world, Method::POST, 10).await;
    assert!(got.contains(&504), "{got:?}");
    assert_eq!(
        good.arrivals() + got.iter().filter(|it| **it == 504).count() as u64,
        20
    );
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_gets_a_slow_request_again() {
    let (world, [_, other]) = world(CellFault::HalfOpen, on_try_timeout()).await;
    other.set_fault(CellFault::HalfOpen);
    let answer = world.client(LONG).send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "cell_timeout_header");
}

/// Catches: a limit of one attempt that cuts the only one there can be, because nothing may be sent
/// again.
#[tokio::test(start_paused = true)]
async fn an_attempt_that_no_other_can_follow_has_the_whole_time() {
    let slow = CellFault::Slow(Duration::from_secs(5));
    let (world, cells) = world_with("http", slow, on_try_timeout(), |settings| {
        settings.upstream.retry_percent = 0;
    })
    .await;
    assert_eq!(statuses(&world, Method::GET, 10).await, [200; 10]);
    assert!(cells.iter().all(|cell| cell.arrivals() > 0));
    // The last of several attempts has it too, and so has the first when the budget is used up.
    let (world, [_, other]) = self::world(slow, on_try_timeout()).await;
    other.set_fault(slow);
    assert_eq!(statuses(&world, Method::GET, 20).await, [200; 20]);
}

/// Catches: an answer that says that nothing was sent, after an attempt that the cell may have
/// processed; and a retry that is taken from the budget and never sent.
#[tokio::test(start_paused = true)]
async fn a_failure_that_leaves_no_endpoint_is_the_answer() {
    let (world, [_, other]) =
        world_with("http", CellFault::HalfOpen, on_try_timeout(), |settings| {
            settings.upstream.breaker.failures = 1;
        })
        .await;
    other.set_fault(CellFault::HalfOpen);
    let answer = world.client(LONG).send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "cell_timeout_header");
    let lines = world.events.lines();
    let retries = lines.iter().filter(|line| line.starts_with("retry"));
    assert_eq!(retries.count(), 1, "to the other endpoint");
}
