//! The registry's limits on requests in flight, of tenants and placements.

use std::sync::Arc;

use bytes::Bytes;
use cellway_env::tokio::TokioEnv;
use cellway_router::settings::{RegistryLocation, RouterSettings, Sources};
use cellway_testbed::{Answer, Ca, Client, Folder, Protocol, Request};
use http::header::CONTENT_TYPE;
use http::{HeaderMap, HeaderValue, StatusCode};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::cells::played;
use crate::world::{
    PATIENCE, World, ca, closed_port, issue, plain_endpoint, reason, secure, start, uri,
};

/// A registry with the cells `a` and `b`. `acme` and `quiet` are in the placement `shared`, whose cell is
/// `a`, or `b` if that can't be reached. `own` has a cell of its own.
fn document(version: u64, ports: [u16; 2], acme: &Value, shared: &Value) -> Bytes {
    let cell = |id: &str, port| {
        json!({"id": id, "tier": "t", "region": "r", "state": "active",
               "endpoints": plain_endpoint("http", port)})
    };
    let mut document = json!({
        "version": version,
        "cells": [cell("a", ports[0]), cell("b", ports[1])],
        "placements": [{"id": "shared", "tier": "t", "cells": ["a"],
                        "fallback": "spare", "failover": true},
                       {"id": "spare", "tier": "t", "cells": ["b"]}],
        "tenants": [{"id": "acme", "placement": "shared"}, {"id": "quiet", "placement": "shared"},
                    {"id": "own", "cell": "a"}],
    });
    for (limits, at) in [(acme, "/tenants/0"), (shared, "/placements/0")] {
        if !limits.is_null() {
            document.pointer_mut(at).unwrap()["limits"] = limits.clone();
        }
    }
    document.to_string().into()
}

/// Answers. A request to `/held` is answered after it got a permit of the gate, and the answer to
/// `/stream` ends then.
async fn serve(mut stream: TcpStream, gate: Arc<Semaphore>) {
    let mut read = [0; 4096];
    while let Ok(length) = stream.read(&mut read).await
        && length > 0
    {
        let text = String::from_utf8_lossy(&read[..length]).into_owned();
        if text.contains(" /held ") {
            gate.acquire().await.unwrap().forget();
        }
        let begin = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\no";
        let _ = stream.write_all(begin).await;
        if text.contains(" /stream ") {
            gate.acquire().await.unwrap().forget();
        }
        let _ = stream.write_all(b"k").await;
    }
}

struct Setup {
    world: World,
    clients: Ca,
    gate: Arc<Semaphore>,
    ports: [u16; 2],
    folder: Folder,
}

async fn set_up(acme: Value, shared: Value, change: impl FnOnce(&mut RouterSettings)) -> Setup {
    set_up_at(None, acme, shared, change).await
}

/// `a` is the port of the cell of that name, if nobody answers there.
async fn set_up_at(
    a: Option<u16>,
    acme: Value,
    shared: Value,
    change: impl FnOnce(&mut RouterSettings),
) -> Setup {
    let clients = ca(1);
    let gate = Arc::new(Semaphore::new(0));
    let opens = gate.clone();
    let port = played(move |stream: TcpStream| serve(stream, opens.clone())).await;
    let ports = [a.unwrap_or(port), port];
    let folder = Folder::generate();
    folder.write("registry.json", document(1, ports, &acme, &shared));
    let mut settings = secure(Bytes::new(), &clients, &ca(2));
    settings.sources = Sources::new(RegistryLocation::File(folder.path("registry.json")));
    settings.upstream.limits.queue_timeout = PATIENCE;
    change(&mut settings);
    Setup {
        world: start(settings).await,
        clients,
        gate,
        ports,
        folder,
    }
}

impl Setup {
    fn client(&self, tenant: &str) -> Client<TokioEnv> {
        let san = uri(&format!("spiffe://corp.example/tenant/{tenant}"));
        let credential = issue(&self.clients, san);
        (self.world).secure_client(Protocol::Http2, &self.clients, Some(&credential))
    }

    async fn ask(&self, tenant: &str) -> Answer {
        self.client(tenant).send(Request::get("/")).await.unwrap()
    }

    fn send(&self, tenant: &str, path: &str) -> JoinHandle<StatusCode> {
        let (client, request) = (self.client(tenant), Request::get(path));
        tokio::spawn(async move { client.send(request).await.unwrap().status })
    }

    /// Waits until so many requests are in flight to the cell, and so many wait.
    async fn until(&self, requests: usize, waiting: usize) {
        let reached = async {
            loop {
                let loads = self.world.handle.cell_loads();
                let load = loads.first().map(|load| (load.requests, load.waiting));
                if load == Some((requests, waiting)) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        };
        let reached = tokio::time::timeout(PATIENCE, reached).await;
        assert!(reached.is_ok(), "{:?}", self.world.handle.cell_loads());
    }

    /// Applies the next version of the registry.
    async fn apply(&self, version: u64, acme: Value) {
        let document = document(version, self.ports, &acme, &Value::Null);
        self.folder.write("registry.json", document);
        self.world.handle.reload().await.unwrap();
        self.world.events.line(&format!("registry {version}")).await;
    }
}

fn most(requests: u32) -> Value {
    json!({"requests_max": requests})
}

/// Catches: a limit that isn't counted, a request over it that is refused at once or that nobody lets go
/// on, and one that holds other tenants up.
#[tokio::test]
async fn a_request_over_its_tenants_limit_waits_and_is_served() {
    let setup = set_up(most(2), Value::Null, |_| {}).await;
    let mut held: Vec<_> = (0..3).map(|_| setup.send("acme", "/held")).collect();
    setup.until(2, 1).await;
    for tenant in ["quiet", "own"] {
        assert_eq!(setup.ask(tenant).await.status, StatusCode::OK);
    }
    setup.gate.add_permits(1);
    setup.until(2, 0).await;
    setup.gate.add_permits(2);
    for held in held.drain(..) {
        assert_eq!(held.await.unwrap(), StatusCode::OK);
    }
    setup.until(0, 0).await;
}

#[tokio::test]
async fn without_a_queue_it_is_refused_and_the_event_names_the_limit() {
    let no_queue = |settings: &mut RouterSettings| settings.upstream.limits.queue_max = 0;
    for (acme, shared, line) in [
        (most(1), Value::Null, "share refused tenant_requests tenant"),
        (
            Value::Null,
            most(1),
            "share refused placement_requests placement",
        ),
    ] {
        let setup = set_up(acme, shared, no_queue).await;
        let held = setup.send("acme", "/held");
        setup.until(1, 0).await;
        let refused = setup.ask("acme").await;
        assert_eq!(refused.status, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(reason(&refused), "overloaded");
        assert!(refused.headers.contains_key("retry-after"));
        setup.world.events.line(line).await;
        let grpc = HeaderValue::from_static("application/grpc");
        let call = Request {
            headers: HeaderMap::from_iter([(CONTENT_TYPE, grpc)]),
            ..Request::get("/svc/Method")
        };
        let answer = setup.client("acme").send(call).await.unwrap();
        assert_eq!(answer.headers["grpc-status"], "14");
        assert_eq!(setup.ask("own").await.status, StatusCode::OK);
        setup.gate.add_permits(1);
        assert_eq!(held.await.unwrap(), StatusCode::OK);
        assert_eq!(setup.ask("acme").await.status, StatusCode::OK);
    }
}

/// Catches: a placement's limit that counts each tenant apart, or a tenant with a cell of its own.
#[tokio::test]
async fn a_placements_limit_is_for_all_its_tenants_together() {
    let setup = set_up(Value::Null, most(1), |_| {}).await;
    let first = setup.send("acme", "/held");
    setup.until(1, 0).await;
    let second = setup.send("quiet", "/held");
    setup.until(1, 1).await;
    assert_eq!(setup.ask("own").await.status, StatusCode::OK);
    assert!(!second.is_finished());
    setup.gate.add_permits(1);
    assert_eq!(first.await.unwrap(), StatusCode::OK);
    setup.until(1, 0).await;
    setup.gate.add_permits(1);
    assert_eq!(second.await.unwrap(), StatusCode::OK);
}

/// Catches: a request that stops counting when its answer begins.
#[tokio::test]
async fn a_stream_counts_until_its_end() {
    let setup = set_up(most(1), Value::Null, |_| {}).await;
    let stream = setup.send("acme", "/stream");
    setup.until(1, 0).await;
    let next = setup.send("acme", "/");
    setup.until(1, 1).await;
    setup.gate.add_permits(1);
    assert_eq!(stream.await.unwrap(), StatusCode::OK);
    assert_eq!(next.await.unwrap(), StatusCode::OK);
    setup.until(0, 0).await;
}

/// Catches: a raised limit that waiting requests don't see, and a lowered one that lets requests pass
/// before enough have ended.
#[tokio::test]
async fn a_new_registry_changes_the_limit_at_once() {
    let setup = set_up(most(1), Value::Null, |_| {}).await;
    let mut held: Vec<_> = (0..3).map(|_| setup.send("acme", "/held")).collect();
    setup.until(1, 2).await;
    setup.apply(2, most(3)).await;
    setup.until(3, 0).await;
    setup.apply(3, most(1)).await;
    held.push(setup.send("acme", "/held"));
    setup.until(3, 1).await;
    setup.gate.add_permits(2);
    setup.until(1, 1).await;
    setup.gate.add_permits(1);
    setup.until(1, 0).await;
    held.push(setup.send("acme", "/held"));
    setup.until(1, 1).await;
    setup.apply(4, Value::Null).await;
    setup.until(2, 0).await;
    setup.gate.add_permits(2);
    for held in held {
        assert_eq!(held.await.unwrap(), StatusCode::OK);
    }
}

/// Catches: a request that waits for the place which it has itself.
#[tokio::test]
async fn a_request_that_fails_over_keeps_its_place() {
    let (_socket, closed) = closed_port();
    let setup = set_up_at(Some(closed), most(1), most(1), |_| {}).await;
    assert_eq!(setup.ask("acme").await.status, StatusCode::OK);
    let stream = setup.send("acme", "/held");
    let at_b = || setup.world.handle.cell_loads().get(1).map(|it| it.requests);
    let arrived = async {
        while at_b() != Some(1) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(PATIENCE, arrived).await.unwrap();
    let next = setup.send("acme", "/");
    setup.until(0, 1).await;
    setup.gate.add_permits(1);
    assert_eq!(stream.await.unwrap(), StatusCode::OK);
    assert_eq!(next.await.unwrap(), StatusCode::OK);
}
