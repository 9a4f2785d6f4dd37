//! Requests that wait for a place at a cell.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::path::PathPattern;
use cellway_router::settings::{
    CellShares, ListenerRoute, Priority, RouterSettings, TrafficSettings,
};
use cellway_testbed::{EchoCell, Protocol, Request, ServerTls};
use http::StatusCode;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cells::played;
use crate::memory::{self, Memory};
use crate::world::{PATIENCE, World, plain, plain_endpoint, reason, registry, start};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

/// A router with a cell that answers one request for each permit of the semaphore.
async fn set_up(change: impl FnOnce(&mut RouterSettings)) -> (World, Arc<Semaphore>) {
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let port = played(move |mut stream: TcpStream| {
        let gate = opens.clone();
        async move {
            let mut read = [0; 4096];
            while stream.read(&mut read).await.is_ok_and(|read| read > 0) {
                gate.acquire().await.unwrap().forget();
                let _ = stream.write_all(OK).await;
            }
        }
    })
    .await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.upstream.limits.queue_timeout = PATIENCE;
    change(&mut settings);
    (start(settings).await, gate)
}

fn send(world: &World) -> JoinHandle<StatusCode> {
    let client = world.client(Protocol::Http1);
    tokio::spawn(async move { client.send(Request::get("/")).await.unwrap().status })
}

/// Waits until so many requests are in flight to the cell, and so many wait.
async fn until(world: &World, requests: usize, waiting: usize) {
    let reached = async {
        loop {
            let loads = world.handle.cell_loads();
            let load = loads.first().map(|load| (load.requests, load.waiting));
            if load == Some((requests, waiting)) {
                return;
            }
            tokio::task::yield_now().await;
        }
    };
    let reached = tokio::time::timeout(PATIENCE, reached).await;
    assert!(reached.is_ok(), "{:?}", world.handle.cell_loads());
}

/// Catches: a limit that refuses at once, a place that nobody gets, and more requests than the
/// limit at one time.
#[tokio::test]
async fn a_request_waits_for_a_place_and_is_served() {
    for by_connections in [false, true] {
        let (world, gate) = set_up(|settings| {
            let limits = &mut settings.upstream.limits;
            match by_connections {
                true => limits.connections_max = 2,
                false => limits.requests_max = 2,
            }
        })
        .await;
        // The router learns that each request needs a connection of its own.
        gate.add_permits(1);
        assert_eq!(send(&world).await.unwrap(), StatusCode::OK);
        until(&world, 0, 0).await;
        let first = send(&world);
        until(&world, 1, 0).await;
        let second = send(&world);
        let third = send(&world);
        // One of these gets the second place if its caller's share leaves it one.
        let held = async {
            loop {
                if world
                    .handle
                    .cell_loads()
                    .first()
                    .is_some_and(|it| it.requests + it.waiting == 3)
                {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, held).await.unwrap();
        gate.add_permits(3);
        for request in [first, second, third] {
            assert_eq!(request.await.unwrap(), StatusCode::OK);
        }
        until(&world, 0, 0).await;
    }
}

#[tokio::test]
async fn who_waits_too_long_is_told_that_the_cell_is_overloaded() {
    let (world, gate) = set_up(|settings| {
        let limits = &mut settings.upstream.limits;
        limits.requests_max = 1;
        limits.queue_timeout = Duration::from_millis(100);
    })
    .await;
    let first = send(&world);
    until(&world, 1, 0).await;
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(reason(&answer), "overloaded");
    assert!(answer.headers.contains_key("retry-after"));
    gate.add_permits(1);
    assert_eq!(first.await.unwrap(), StatusCode::OK);
}

/// Catches: a wait that the total time limit doesn't count.
#[tokio::test]
async fn the_wait_is_part_of_the_total_time() {
    let (world, _gate) = set_up(|settings| {
        settings.upstream.limits.requests_max = 1;
        settings.upstream.timeouts.total = Some(Duration::from_millis(300));
    })
    .await;
    let first = send(&world);
    until(&world, 1, 0).await;
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    // The first may have ended just before the second's time was over.
    assert_eq!(answer.status, StatusCode::GATEWAY_TIMEOUT);
    assert_eq!(reason(&answer), "cell_timeout_total");
    assert_eq!(first.await.unwrap(), StatusCode::GATEWAY_TIMEOUT);
}

#[tokio::test]
async fn a_full_queue_refuses_at_once_and_no_queue_does_too() {
    for (queue_max, waits) in [(1, true), (0, false)] {
        let (world, gate) = set_up(|settings| {
            let limits = &mut settings.upstream.limits;
            limits.requests_max = 1;
            limits.queue_max = queue_max;
            limits.shares.tenant = 100;
            limits.shares.caller = 100;
            limits.shares.connection = 100;
        })
        .await;
        let first = send(&world);
        until(&world, 1, 0).await;
        let second = waits.then(|| send(&world));
        until(&world, 1, usize::from(waits)).await;
        assert_eq!(send(&world).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
        gate.add_permits(2);
        assert_eq!(first.await.unwrap(), StatusCode::OK);
        if let Some(second) = second {
            assert_eq!(second.await.unwrap(), StatusCode::OK);
        }
    }
}

/// Catches: a request that keeps its place in the queue after its client went away, or takes the
/// cell's place with it.
#[tokio::test]
async fn who_goes_away_leaves_the_queue() {
    let (world, gate) = set_up(|settings| settings.upstream.limits.requests_max = 1).await;
    let first = send(&world);
    until(&world, 1, 0).await;
    let client = world.client(Protocol::Http2);
    let gone = tokio::spawn(async move { client.send(Request::get("/")).await });
    until(&world, 1, 1).await;
    gone.abort();
    until(&world, 1, 0).await;
    let last = send(&world);
    until(&world, 1, 1).await;
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), StatusCode::OK);
    assert_eq!(last.await.unwrap(), StatusCode::OK);
    until(&world, 0, 0).await;
}

/// Catches: a probe that waits behind the requests before it, or finds no room in a full queue.
#[tokio::test]
async fn a_request_of_high_priority_comes_first() {
    let (world, gate) = set_up(|settings| {
        let limits = &mut settings.upstream.limits;
        limits.requests_max = 1;
        limits.queue_max = 4;
        limits.shares = CellShares {
            connection: 100,
            caller: 100,
            tenant: 100,
        };
        let listener = &mut settings.listeners[0];
        listener.routes = vec![ListenerRoute {
            path: PathPattern::new("/healthz").unwrap(),
            policy: listener.policy,
            traffic: Arc::new(TrafficSettings {
                priority: Priority::High,
                ..TrafficSettings::default()
            }),
        }];
    })
    .await;
    let first = send(&world);
    until(&world, 1, 0).await;
    let mut others = Vec::new();
    for waiting in 1..=4 {
        others.push(send(&world));
        until(&world, 1, waiting).await;
    }
    // There is no room for another one, but there is for a probe.
    assert_eq!(send(&world).await.unwrap(), StatusCode::SERVICE_UNAVAILABLE);
    let client = world.client(Protocol::Http1);
    let probe = tokio::spawn(async move { client.send(Request::get("/healthz")).await.unwrap() });
    until(&world, 1, 5).await;
    gate.add_permits(2);
    assert_eq!(first.await.unwrap(), StatusCode::OK);
    assert_eq!(probe.await.unwrap().status, StatusCode::OK);
    until(&world, 1, 3).await;
    assert!(others.iter().all(|other| !other.is_finished()));
    gate.add_permits(4);
    for other in others {
        assert_eq!(other.await.unwrap(), StatusCode::OK);
    }
}

/// Catches: a cell that has nothing to do and refuses a request, because connections that nobody uses
/// hold all its places.
#[tokio::test(start_paused = true)]
async fn an_unused_connection_makes_room_for_another_endpoint() {
    for scheme in ["http", "h2c"] {
        let env = Memory::new();
        let (mut cells, mut urls) = (Vec::new(), Vec::new());
        for name in ["a", "b"] {
            let (listener, port) = env.listen().await;
            let cell = EchoCell::new(name, |_| ());
            let (serving, host) = (cell.clone(), env.clone());
            let tls = match scheme {
                "h2c" => ServerTls::plain_h2(),
                _ => ServerTls::plain(),
            };
            tokio::spawn(async move { serving.serve(host, listener, tls).await });
            urls.push(json!({"url": format!("{scheme}://127.0.0.1:{port}")}));
            cells.push(cell);
        }
        let mut settings = plain(registry(urls.into()));
        settings.upstream.limits.connections_max = 1;
        let world = memory::start(&env, settings).await;
        let client = world.client(PATIENCE);
        for _ in 0..20 {
            let answer = client.send(Request::get("/")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK, "{scheme}");
        }
        // Which endpoint is tried first changes from request to request.
        assert!(cells.iter().all(|cell| cell.arrivals() > 0), "{scheme}");
    }
}
