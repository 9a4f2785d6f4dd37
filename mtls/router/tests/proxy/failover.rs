//! Requests that go to another cell, because their own one can't be reached.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::health::{CheckKind, CheckSettings};
use cellway_env::Listener;
use cellway_router::settings::{RouterSettings, TrafficSettings};
use cellway_testbed::{Answer, CellFault, EchoCell, Request, ServerTls};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use serde_json::{Value, json};
use tokio::time::sleep;

use crate::explained::explains;
use crate::frames::{Came, Frames, REFUSED_STREAM};
use crate::memory::{self, Memory, World};
use crate::world::{body, plain, reason};

const LONG: Duration = Duration::from_secs(600);
const OPEN: Duration = Duration::from_secs(5);

/// Cells `a` and `b`, which have an endpoint each. Nobody listens at the port of `dead`.
struct Cells {
    env: Memory,
    a: EchoCell,
    b: EchoCell,
    ports: [u16; 2],
}

impl Cells {
    async fn new() -> Self {
        let env = Memory::new();
        let mut ports = [0; 2];
        let mut cells = Vec::new();
        for (id, port) in ["a", "b"].into_iter().zip(&mut ports) {
            let (listener, at) = env.listen().await;
            let (cell, host) = (EchoCell::new(id, |_| ()), env.clone());
            let serving = cell.clone();
            tokio::spawn(async move { serving.serve(host, listener, ServerTls::plain()).await });
            *port = at;
            cells.push(cell);
        }
        let [a, b] = cells.try_into().ok().unwrap();
        Self { env, a, b, ports }
    }

    /// Settings of a router before these cells, which is for this tenant's target.
    fn settings(&self, target: (&str, &str), urls_of_a: Option<Value>) -> RouterSettings {
        let [a, b] = self.ports.map(|port| format!("http://127.0.0.1:{port}"));
        let cell = |id: &str, endpoints: Value| json!({"id": id, "tier": "t", "region": "r", "state": "active", "endpoints": endpoints});
        let mut tenant = json!({"id": "acme"});
        tenant[target.0] = target.1.into();
        let document = json!({
            "version": 1,
            "cells": [
                cell("a", urls_of_a.unwrap_or(json!([{"url": a}]))),
                cell("b", json!([{"url": b}])),
            ],
            "placements": [
                {"id": "home", "tier": "t", "cells": ["a"], "fallback": "spare", "failover": true},
                {"id": "still", "tier": "t", "cells": ["a"], "fallback": "spare"},
                {"id": "spare", "tier": "t", "cells": ["b"]},
            ],
            "tenants": [tenant],
        });
        let mut settings = plain(document.to_string().into());
        settings.listeners[0].explain_headers = true;
        settings
    }

    async fn world(&self, target: (&str, &str)) -> World {
        memory::start(&self.env, self.settings(target, None)).await
    }

    /// Refuses connections to a cell, or accepts them again.
    fn refuse(&self, cell: usize, refused: bool) {
        self.env.refuse(self.ports[cell], refused);
    }
}

async fn send(world: &World, request: Request) -> Answer {
    world.client(LONG).send(request).await.unwrap()
}

/// The cell that answers a request, and why it is another one; or the router's reason.
async fn ask(world: &World) -> String {
    let answer = send(world, Request::get("/")).await;
    if answer.status != StatusCode::OK {
        return reason(&answer);
    }
    let echo = body(&answer);
    let header = |name: &str| answer.headers.get(name).map(|it| it.to_str().unwrap());
    let (cell, why) = (
        header("x-cellway-cell").unwrap(),
        header("x-cellway-failover"),
    );
    // The cell is told the same as the client.
    assert_eq!(echo["cell"], cell);
    assert_eq!(echo["headers"]["x-cellway-cell"], cell);
    let told = echo["headers"].get("x-cellway-failover");
    assert_eq!(told.and_then(Value::as_str), why);
    match why {
        Some(why) => format!("{cell}: {why}"),
        None => cell.to_owned(),
    }
}

fn tries(world: &World) -> usize {
    let lines = world.events.lines();
    let failed = lines.iter().filter(|line| line.starts_with("cell failed"));
    failed.count()
}

/// Catches: a cell that is down and whose placement's other cell gets nothing, a cell that is tried
/// although it is known to be down, and one that gets no requests after it is back.
#[tokio::test(start_paused = true)]
async fn another_cell_serves_until_the_first_one_is_back() {
    let cells = Cells::new().await;
    let world = cells.world(("placement", "home")).await;
    assert_eq!(ask(&world).await, "a");
    cells.refuse(0, true);
    // The kept connection still works, and the request that ends it may have been processed.
    cells.a.set_fault(CellFault::BreakOff);
    assert_eq!(ask(&world).await, "cell_reset");
    assert_eq!(cells.b.arrivals(), 0);
    cells.a.set_fault(CellFault::None);
    while tries(&world) < 5 {
        assert_eq!(ask(&world).await, "b: cell_unreachable");
    }
    world.events.line("circuit opened").await;
    assert_eq!(ask(&world).await, "b: circuit_open");
    assert_eq!(tries(&world), 5, "nothing was tried");
    world.events.line("failed over a to b circuit_open").await;

    // One request tries the cell, and is served all the same.
    tokio::time::advance(OPEN).await;
    assert_eq!(ask(&world).await, "b: cell_unreachable");
    assert_eq!(ask(&world).await, "b: circuit_open");
    cells.refuse(0, false);
    tokio::time::advance(OPEN).await;
    assert_eq!(ask(&world).await, "a");
}

/// Catches: a failover to a cell that is down too and is tried again and again.
#[tokio::test(start_paused = true)]
async fn both_cells_may_be_down() {
    let cells = Cells::new().await;
    let world = cells.world(("placement", "home")).await;
    for cell in [0, 1] {
        cells.refuse(cell, true);
    }
    for _ in 0..5 {
        assert_eq!(ask(&world).await, "cell_unreachable");
    }
    assert_eq!(tries(&world), 10);
    assert_eq!(ask(&world).await, "circuit_open");
    assert_eq!(tries(&world), 10);
}

/// Catches: a failover of a placement that doesn't allow it, or of a tenant with a cell of its own.
#[tokio::test(start_paused = true)]
async fn no_other_cell_serves_without_the_flag() {
    for target in [("placement", "still"), ("cell", "a")] {
        let cells = Cells::new().await;
        let world = cells.world(target).await;
        cells.refuse(0, true);
        for _ in 0..5 {
            assert_eq!(ask(&world).await, "cell_unreachable");
        }
        assert_eq!(ask(&world).await, "circuit_open");
        assert_eq!(cells.b.arrivals(), 0);
    }
}

/// Catches: a body that is lost or sent twice.
#[tokio::test(start_paused = true)]
async fn a_body_goes_to_the_other_cell() {
    let cells = Cells::new().await;
    let world = cells.world(("placement", "home")).await;
    cells.refuse(0, true);
    let request = Request {
        method: Method::POST,
        body: Bytes::from_static(&[7; 40_000]),
        ..Request::get("/orders")
    };
    let answer = send(&world, request).await;
    assert_eq!(body(&answer)["cell"], "b");
    assert_eq!(body(&answer)["body_bytes"], 40_000);
    assert_eq!([cells.a.arrivals(), cells.b.arrivals()], [0, 1]);
}

/// Catches: a request that one cell has received and that another one gets too.
#[tokio::test(start_paused = true)]
async fn a_request_that_a_cell_received_stays() {
    let cells = Cells::new().await;
    // The first endpoint receives requests and answers them too late. Nobody listens at the second one.
    let port = cells.ports[0];
    let urls = json!([{"url": format!("http://127.0.0.1:{port}")},
                      {"url": "http://127.0.0.1:60001"}]);
    let mut settings = cells.settings(("placement", "home"), Some(urls));
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        try_timeout: Some(Duration::from_secs(1)),
        ..TrafficSettings::default()
    });
    settings.upstream.breaker.failures = 1;
    let world = memory::start(&cells.env, settings).await;
    cells.a.set_fault(CellFault::Slow(LONG));
    // Whichever endpoint is tried first, the request was at the first one when none is left.
    let answer = ask(&world).await;
    assert!(answer.starts_with("cell_"), "{answer}");
    assert_eq!([cells.a.arrivals(), cells.b.arrivals()], [1, 0]);
    // Now both breakers are open, and nothing is tried.
    assert_eq!(ask(&world).await, "b: circuit_open");
    assert_eq!([cells.a.arrivals(), cells.b.arrivals()], [1, 1]);
}

/// Catches: a request that its cell hands back unprocessed, and that no other cell gets because the breaker
/// has opened meanwhile.
#[tokio::test(start_paused = true)]
async fn a_request_that_the_cell_hands_back_moves_on() {
    const HEADER: Duration = Duration::from_secs(8);
    let cells = Cells::new().await;
    let (mut listener, port) = cells.env.listen().await;
    tokio::spawn(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut cell = Frames::greet(stream).await;
        let mut ended = Vec::new();
        while let Some(came) = cell.next().await {
            if let Came::End(id) = came {
                ended.push(id);
            }
            if let [_, second] = ended[..] {
                // The first request has timed out then, and the second hasn't.
                sleep(HEADER - OPEN / 10).await;
                cell.reset(second, REFUSED_STREAM).await;
                ended.clear();
            }
        }
    });
    let urls = json!([{"url": format!("h2c://127.0.0.1:{port}")}]);
    let mut settings = cells.settings(("placement", "home"), Some(urls));
    settings.upstream.timeouts.header = HEADER;
    settings.upstream.breaker.failures = 1;
    let world = memory::start(&cells.env, settings).await;
    let client = world.client(LONG);
    let first = tokio::spawn(async move { client.send(Request::get("/")).await.unwrap() });
    sleep(OPEN / 5).await;
    assert_eq!(ask(&world).await, "b: circuit_open");
    assert_eq!(reason(&first.await.unwrap()), "cell_timeout_header");
    let lines = world.events.lines();
    let retries = lines.iter().filter(|line| line.starts_with("retry"));
    assert_eq!(retries.count(), 0, "no retry is taken from the budget");
}

/// Catches: an answer that says that nothing was sent, after the cell has answered.
#[tokio::test(start_paused = true)]
async fn a_request_that_the_cell_answered_stays() {
    let cells = Cells::new().await;
    let mut settings = cells.settings(("placement", "home"), None);
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        retry_statuses: vec![503],
        ..TrafficSettings::default()
    });
    let world = memory::start(&cells.env, settings).await;
    // It leaves a connection behind. The retry needs a new one.
    assert_eq!(ask(&world).await, "a");
    cells.refuse(0, true);
    let busy = CellFault::Status(StatusCode::SERVICE_UNAVAILABLE);
    cells.a.set_fault(busy);
    assert_eq!(ask(&world).await, "cell_declined");
    assert_eq!([cells.a.arrivals(), cells.b.arrivals()], [2, 0]);
}

/// Catches: a cell that is full and whose load goes to the next one.
#[tokio::test(start_paused = true)]
async fn a_cell_at_its_limit_keeps_its_load() {
    let cells = Cells::new().await;
    let mut settings = cells.settings(("placement", "home"), None);
    settings.upstream.limits.connections_max = 0;
    settings.upstream.limits.queue_max = 0;
    let world = memory::start(&cells.env, settings).await;
    assert_eq!(ask(&world).await, "overloaded");
    assert_eq!(cells.b.arrivals(), 0);
}

/// Catches: a request that waits for a place at the other cell and still holds one at its own, so that
/// others wait there for a cell that can't be reached.
#[tokio::test(start_paused = true)]
async fn a_request_that_waits_for_the_other_cell_has_left_its_own() {
    let cells = Cells::new().await;
    cells.refuse(0, true);
    cells.b.set_fault(CellFault::Slow(LONG));
    let mut settings = cells.settings(("placement", "home"), None);
    settings.upstream.limits.requests_max = 1;
    let world = memory::start(&cells.env, settings).await;
    // The first is at `b`, and the others wait for its place.
    let waiting = async { tokio::join!(ask(&world), ask(&world), ask(&world)) };
    let looking = async {
        sleep(Duration::from_millis(10)).await;
        tries(&world)
    };
    tokio::select! {
        _ = waiting => unreachable!("the other cell doesn't answer"),
        tried = looking => assert_eq!(tried, 3),
    }
}

/// Catches: health that is not asked before a request is sent.
#[tokio::test(start_paused = true)]
async fn a_cell_whose_checks_fail_is_not_tried() {
    let cells = Cells::new().await;
    let mut settings = cells.settings(("placement", "home"), None);
    settings.upstream.health.checks = vec![Arc::new(CheckSettings {
        kind: CheckKind::Http {
            path: "/health".into(),
            host: None,
            statuses: vec![200],
        },
        interval: Duration::from_secs(1),
        healthy_threshold: 1,
        unhealthy_threshold: 1,
        ..CheckSettings::default()
    })];
    cells
        .a
        .set_fault(CellFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let world = memory::start(&cells.env, settings).await;
    world.events.line("unhealthy status").await;
    let before = cells.a.arrivals();
    assert_eq!(ask(&world).await, "b: no_endpoint_healthy");
    assert!(cells.a.arrivals() <= before + 1, "a check at most");
    cells.a.set_fault(CellFault::None);
    world.events.line("healthy").await;
    assert_eq!(ask(&world).await, "a");
}

/// Catches: an explanation that leaves out which cell served in the end.
#[tokio::test(start_paused = true)]
async fn an_explained_answer_names_the_cell_that_served() {
    let cells = Cells::new().await;
    let mut settings = cells.settings(("placement", "home"), None);
    settings.listeners[0].explain_headers = false;
    settings.explain = Some(explains("operator"));
    let world = memory::start(&cells.env, settings).await;
    cells.refuse(0, true);
    let ask = HeaderName::from_static("x-cellway-explain");
    let request = Request::get("/").header(ask, HeaderValue::from_static("operator"));
    let answer = send(&world, request).await;
    let header = |name: &str| answer.headers[name].to_str().unwrap();
    assert!(header("x-cellway-explanation").ends_with("detail=\"insecure, cell a\""));
    assert_eq!(header("x-cellway-cell"), "b");
    assert_eq!(header("x-cellway-failover"), "cell_unreachable");
}
