//! Requests that go to a second endpoint while the first one takes long: which of them, and when not.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_router::RETRIES_RESERVE;
use cellway_router::settings::{AccessLog, RouterSettings, TrafficSettings};
use cellway_testbed::{CellFault, EchoCell, Request, ServerTls};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;

use crate::memory::{self, Memory, World};
use crate::world::{plain, reason, registry};

const LONG: Duration = Duration::from_secs(600);
const AFTER: Duration = Duration::from_millis(200);
/// Longer than that, so that both attempts are under way.
const SLOW: CellFault = CellFault::Slow(Duration::from_millis(300));
/// Longer than the router waits.
const STUCK: CellFault = CellFault::Slow(LONG);

pub(crate) fn on() -> TrafficSettings {
    TrafficSettings {
        hedge_after: Some(AFTER),
        ..TrafficSettings::default()
    }
}

/// A router before a cell whose endpoints have these schemes and faults.
async fn world_with<const N: usize>(
    endpoints: [(&str, CellFault); N],
    traffic: TrafficSettings,
    change: impl FnOnce(&mut RouterSettings),
) -> (World, [EchoCell; N]) {
    let env = Memory::new();
    let mut cells = Vec::new();
    let mut urls = Vec::new();
    for (scheme, fault) in endpoints {
        let (listener, port) = env.listen().await;
        let (cell, host) = (EchoCell::new("a", |_| ()), env.clone());
        cell.set_fault(fault);
        let (serving, tls) = match scheme {
            "h2c" => (cell.clone(), ServerTls::plain_h2()),
            _ => (cell.clone(), ServerTls::plain()),
        };
        tokio::spawn(async move { serving.serve(host, listener, tls).await });
        urls.push(json!({"url": format!("{scheme}://127.0.0.1:{port}")}));
        cells.push(cell);
    }
    let mut settings = plain(registry(urls.into()));
    settings.listeners[0].traffic = Arc::new(traffic);
    change(&mut settings);
    let world = memory::start(&env, settings).await;
    (world, cells.try_into().ok().unwrap())
}

async fn world(faults: [CellFault; 2], traffic: TrafficSettings) -> (World, [EchoCell; 2]) {
    world_with(faults.map(|fault| ("h2c", fault)), traffic, |_| ()).await
}

/// Sends the request so often, one after the other, and returns the statuses of the answers. The endpoint
/// that is tried first rotates.
async fn statuses(world: &World, request: &Request, count: usize) -> Vec<u16> {
    let client = world.client(LONG);
    let mut got = Vec::new();
    for _ in 0..count {
        let answer = client.send(request.clone()).await.unwrap();
        got.push(answer.status.as_u16());
    }
    got
}

/// Sends a request, and returns the endpoint that the next one tries first, and the other one.
async fn next<'a>(world: &World, cells: &'a [EchoCell; 2]) -> [&'a EchoCell; 2] {
    let [one, other] = cells;
    let before = one.arrivals();
    assert_eq!(statuses(world, &Request::get("/"), 1).await, [200]);
    match one.arrivals() > before {
        true => [other, one],
        false => [one, other],
    }
}

fn hedges(world: &World) -> Vec<String> {
    let mut lines = world.events.lines();
    lines.retain(|line| line.starts_with("hedge"));
    lines
}

fn failures(world: &World) -> usize {
    let lines = world.events.lines();
    let failed = lines.iter().filter(|line| line.starts_with("cell failed"));
    failed.count()
}

/// Waits until the requests that were cancelled are gone.
async fn nothing_is_left(world: &World) {
    let left = || {
        let load = &world.handle.cell_loads()[0];
        load.requests + load.retries + load.waiting
    };
    while left() > 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Catches: a request that waits for a slow endpoint although another one would answer, a cancelled
/// attempt that counts against its endpoint or is never over, and a second attempt in the wrong form for
/// its connection.
#[tokio::test(start_paused = true)]
async fn a_slow_endpoint_costs_no_more_than_the_wait_for_another() {
    for schemes in [
        ["http", "http"],
        ["h2c", "h2c"],
        ["http", "h2c"],
        ["h2c", "http"],
    ] {
        let [first, second] = schemes;
        let faults = [(first, STUCK), (second, CellFault::None)];
        let (world, [slow, good]) = world_with(faults, on(), |_| ()).await;
        // Over HTTP/2, the test's cells answer a HEAD with a body.
        let other = match schemes {
            ["http", "http"] => Method::HEAD,
            _ => Method::OPTIONS,
        };
        for method in [Method::GET, other] {
            let request = Request {
                method,
                ..Request::get("/a?b=c")
            };
            assert_eq!(statuses(&world, &request, 4).await, [200; 4], "{schemes:?}");
        }
        assert_eq!(good.arrivals(), 8, "{schemes:?}");
        assert_eq!(slow.arrivals(), 4, "{schemes:?}");
        assert_eq!(hedges(&world), ["hedge won"; 4], "{schemes:?}");
        assert_eq!(failures(&world), 0);
        nothing_is_left(&world).await;
    }
}

/// Catches: a second attempt that wins although the first one is answered before.
#[tokio::test(start_paused = true)]
async fn the_first_answer_counts() {
    let (world, cells) = world([SLOW, SLOW], on()).await;
    assert_eq!(statuses(&world, &Request::get("/"), 4).await, [200; 4]);
    assert_eq!(cells.map(|cell| cell.arrivals()), [4, 4]);
    assert_eq!(hedges(&world), ["hedge lost"; 4]);
    nothing_is_left(&world).await;
}

/// Catches: a third attempt.
#[tokio::test(start_paused = true)]
async fn a_request_has_two_attempts_at_most() {
    let endpoints = [("h2c", STUCK), ("h2c", STUCK), ("h2c", STUCK)];
    let (world, cells) = world_with(endpoints, on(), |_| ()).await;
    let answer = world.client(LONG).send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "cell_timeout_header");
    let mut arrivals = cells.map(|cell| cell.arrivals());
    arrivals.sort_unstable();
    assert_eq!(arrivals, [0, 1, 1]);
    assert_eq!(hedges(&world), ["hedge failed"]);
}

/// Catches: a second attempt that nobody asked for.
#[tokio::test(start_paused = true)]
async fn without_the_setting_there_is_one_attempt() {
    let (world, cells) = world([SLOW, SLOW], TrafficSettings::default()).await;
    assert_eq!(statuses(&world, &Request::get("/"), 4).await, [200; 4]);
    assert_eq!(cells.map(|cell| cell.arrivals()), [2, 2]);
    assert_eq!(hedges(&world), [""; 0]);
    // Nor without retries.
    let without = |settings: &mut RouterSettings| settings.upstream.retry_percent = 0;
    let (world, cells) = world_with([("h2c", SLOW), ("h2c", SLOW)], on(), without).await;
    assert_eq!(statuses(&world, &Request::get("/"), 4).await, [200; 4]);
    assert_eq!(cells.map(|cell| cell.arrivals()), [2, 2]);
}

/// Catches: a request that changes something and is served twice, and a body that is sent twice.
#[tokio::test(start_paused = true)]
async fn only_safe_requests_without_a_body_have_two_attempts() {
    let (world, cells) = world([SLOW, SLOW], on()).await;
    let mut grpc = Request::get("/");
    let kind = HeaderValue::from_static("application/grpc");
    grpc.headers.insert(CONTENT_TYPE, kind);
    let mut requests = vec![grpc];
    for (method, body) in [
        (Method::POST, ""),
        (Method::PUT, ""),
        (Method::DELETE, ""),
        (Method::TRACE, ""),
        (Method::PATCH, "a change"),
        (Method::GET, "a body"),
    ] {
        requests.push(Request {
            method,
            body: Bytes::from_static(body.as_bytes()),
            ..Request::get("/")
        });
    }
    for request in &requests {
        assert_eq!(statuses(&world, request, 2).await, [200; 2], "{request:?}");
    }
    let arrivals: u64 = cells.iter().map(EchoCell::arrivals).sum();
    assert_eq!(arrivals, 2 * requests.len() as u64);
    assert_eq!(hedges(&world), [""; 0]);
}

/// Catches: a second attempt at the same endpoint, or at one that fails.
#[tokio::test(start_paused = true)]
async fn only_an_endpoint_that_works_gets_a_second_attempt() {
    let (world, [only]) = world_with([("h2c", SLOW)], on(), |_| ()).await;
    assert_eq!(statuses(&world, &Request::get("/"), 2).await, [200; 2]);
    assert_eq!(only.arrivals(), 2);
    assert_eq!(hedges(&world), ["hedge no_endpoint"; 2]);

    // A failed exchange makes an endpoint suspect, and more of them open its breaker.
    for failures in [0, 1] {
        let change = |settings: &mut RouterSettings| {
            settings.upstream.breaker.failures = failures;
            settings.upstream.health.outlier.ejected_percent_max = 0;
        };
        let faults = [("http", CellFault::BreakOff), ("http", SLOW)];
        let (world, [bad, good]) = world_with(faults, on(), change).await;
        let post = Request {
            method: Method::POST,
            ..Request::get("/")
        };
        while bad.arrivals() == 0 {
            statuses(&world, &post, 1).await;
        }
        let before = good.arrivals();
        assert_eq!(statuses(&world, &Request::get("/"), 4).await, [200; 4]);
        assert_eq!(bad.arrivals(), 1);
        assert_eq!(good.arrivals(), before + 4);
        assert_eq!(hedges(&world), ["hedge no_endpoint"; 4]);
    }
}

/// Catches: twice the load on a cell that is slow as a whole, and more than two attempts.
#[tokio::test(start_paused = true)]
async fn second_attempts_stay_within_the_retry_budget() {
    const REQUESTS: usize = 40;
    let (world, cells) = world([STUCK, STUCK], on()).await;
    let requests = (0..REQUESTS).map(|_| {
        let client = world.client(LONG);
        tokio::spawn(async move { client.send(Request::get("/")).await.unwrap() })
    });
    let requests: Vec<_> = requests.collect();
    let reserve = RETRIES_RESERVE as usize;
    let over_budget = REQUESTS - reserve;
    world
        .events
        .lines_of("hedge over_budget", over_budget)
        .await;
    let load = &world.handle.cell_loads()[0];
    assert_eq!((load.retries, load.requests), (reserve, REQUESTS + reserve));
    for request in requests {
        assert_eq!(reason(&request.await.unwrap()), "cell_timeout_header");
    }
    let arrivals: u64 = cells.iter().map(EchoCell::arrivals).sum();
    assert_eq!(arrivals as usize, REQUESTS + reserve);
    world.events.lines_of("hedge failed", reserve).await;
    assert_eq!(hedges(&world).len(), REQUESTS);
    nothing_is_left(&world).await;
}

/// Catches: more requests at a cell than its limit allows.
#[tokio::test(start_paused = true)]
async fn a_second_attempt_needs_a_free_place() {
    for (most, hedge) in [(1, "hedge no_place"), (10, "hedge lost")] {
        let change = |settings: &mut RouterSettings| settings.upstream.limits.requests_max = most;
        let (world, _) = world_with([("h2c", SLOW), ("h2c", SLOW)], on(), change).await;
        assert_eq!(statuses(&world, &Request::get("/"), 2).await, [200; 2]);
        assert_eq!(hedges(&world), [hedge; 2]);
    }
}

/// Catches: a request that takes longer with two attempts than with one.
#[tokio::test(start_paused = true)]
async fn the_time_limits_are_those_of_the_first_attempt() {
    let timeout = Duration::from_secs(1);
    let traffic = TrafficSettings {
        header_timeout: Some(timeout),
        ..on()
    };
    let (world, _) = world([STUCK, STUCK], traffic).await;
    let client = world.client(timeout + Duration::from_millis(1));
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "cell_timeout_header");
    world.events.line("hedge failed").await;
    // Only the first attempt had its time.
    assert_eq!(failures(&world), 1);
}

/// Catches: a failing endpoint whose quick answer takes the place of a slow good one.
#[tokio::test(start_paused = true)]
async fn a_second_attempt_that_fails_changes_nothing() {
    let busy = CellFault::Status(StatusCode::SERVICE_UNAVAILABLE);
    let (world, cells) = world([CellFault::None; 2], on()).await;
    let [first, second] = next(&world, &cells).await;
    first.set_fault(SLOW);
    second.set_fault(busy);
    assert_eq!(statuses(&world, &Request::get("/"), 1).await, [200]);
    assert_eq!(hedges(&world), ["hedge failed"]);
    assert_eq!(second.arrivals(), 2);
}

/// Catches: an access log that names the endpoint that didn't answer, or not the one that took too long, or
/// one attempt.
#[tokio::test(start_paused = true)]
async fn the_access_log_names_the_endpoint_that_answered() {
    let endpoints = [("http", CellFault::None), ("h2c", CellFault::None)];
    let change = |settings: &mut RouterSettings| settings.access_log = AccessLog::Full;
    let (world, cells) = world_with(endpoints, on(), change).await;
    for _ in 0..2 {
        let [first, second] = next(&world, &cells).await;
        first.set_fault(STUCK);
        assert_eq!(statuses(&world, &Request::get("/"), 1).await, [200]);
        first.set_fault(CellFault::None);
        let lines = world.events.lines();
        let logged = lines.iter().rfind(|line| line.starts_with("logged"));
        let expected = match std::ptr::eq(second, &cells[0]) {
            true => ["2 attempts, http://", "Some(HTTP/1.1) hedged from h2c://"],
            false => ["2 attempts, h2c://", "Some(HTTP/2.0) hedged from http://"],
        };
        for part in expected {
            assert!(logged.unwrap().contains(part), "{logged:?}");
        }
        // So that the next one tries the other endpoint first.
        statuses(&world, &Request::get("/"), 1).await;
    }
    assert_eq!(hedges(&world), ["hedge won"; 2]);
}
