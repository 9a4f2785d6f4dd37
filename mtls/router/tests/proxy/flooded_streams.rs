//! The streams that an HTTP/2 cell allows, during a flood of one tenant.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cellway_env::tokio::TokioEnv;
use cellway_testbed::{Answer, Client, ClientError, Request};
use http::StatusCode;
use serde_json::json;
use tokio::task::JoinSet;

use crate::shares::{tenant, two_tenants};
use crate::streams::{Act, SHORT, cell, wait};
use crate::world::{PATIENCE, World, body, ca, plain_endpoint, reason, secure, start};

/// A flood of requests.
type Flood = JoinSet<Result<Answer, ClientError>>;

/// How many streams of 10 the flood's caller may hold: up to then it has less than 3.75 for the square of
/// each tenth that is free.
const HELD: usize = 6;
const SENT: usize = 20;

/// A router before a cell that allows 10 streams and one connection, a flood of one tenant, and another
/// tenant.
async fn flooded(
    queue_timeout: Duration,
    act: fn(usize) -> Act,
) -> (World, Flood, Client<TokioEnv>, Arc<AtomicUsize>) {
    let (port, connections) = cell(10, act).await;
    let clients = ca(1);
    let registry = two_tenants(plain_endpoint("h2c", port));
    let mut settings = secure(registry, &clients, &ca(2));
    let limits = &mut settings.upstream.limits;
    limits.connections_max = 1;
    // Only callers have shares here: two of many connections may share their counters by chance.
    (limits.shares.connection, limits.shares.tenant) = (100, 100);
    limits.queue_timeout = queue_timeout;
    settings.upstream.breaker.failures = 1;
    let world = start(settings).await;
    let [acme, quiet] = ["acme", "quiet"].map(|name| tenant(&world, &clients, name));
    // It tells the router how many streams the cell allows.
    let first = quiet.send(Request::get("/")).await.unwrap();
    assert_eq!(first.status, StatusCode::OK);
    let mut flood = JoinSet::new();
    for _ in 0..SENT {
        let acme = acme.clone();
        flood.spawn(async move { acme.send(Request::get("/")).await });
    }
    (world, flood, quiet, connections)
}

/// The cell holds as many of the requests of a flood as come first, after one that it answers.
fn hold_flood(before: usize) -> Act {
    match before {
        1..=HELD => Act::Begin,
        _ => Act::Answer,
    }
}

/// Catches: a quiet tenant whose requests lose places while others wait, or wait behind them.
#[tokio::test]
async fn a_quiet_tenant_gets_a_stream_while_a_flood_waits() {
    let (world, mut flood, quiet, connections) = flooded(2 * PATIENCE, hold_flood).await;
    wait(&world, SENT - HELD).await;
    for _ in 0..10 {
        let answer = quiet.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    wait(&world, SENT - HELD).await;
    assert_eq!(connections.load(Ordering::Relaxed), 1);
    flood.abort_all();
}

/// Catches: a tenant that takes every stream of a cell.
#[tokio::test]
async fn a_quiet_tenant_gets_a_stream_during_a_flood() {
    let (_world, mut flood, quiet, connections) = flooded(SHORT, hold_flood).await;
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
