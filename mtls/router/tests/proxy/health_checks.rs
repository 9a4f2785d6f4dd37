//! The router checks endpoints by itself, and sends requests only to those that are healthy.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use cellway_core::health::{CheckKind, CheckSettings};
use cellway_core::rate_limit::{RateLimit, RateLimitSpec};
use cellway_router::settings::{
    RateRule, RateScope, RegistryLocation, RouterSettings, Sources, TrafficSettings,
};
use cellway_testbed::{CellFault, EchoCell, Folder, Report, Request, ServerTls};
use http::StatusCode;
use serde_json::{Value, json};

use crate::cells::{self, says};
use crate::frames::trailers_of;
use crate::memory::{self, Memory};
use crate::world::{ca, dns, issue, listen, plain, plain_endpoint, provider, registry, start};

const LONG: Duration = Duration::from_secs(600);

/// The requests that reached a cell: each with its path and its headers.
type Came = Arc<Mutex<Vec<(String, Vec<(String, String)>)>>>;

fn http(path: &str) -> CheckKind {
    CheckKind::Http {
        path: path.into(),
        host: None,
        statuses: vec![200],
    }
}

fn grpc(service: &str) -> CheckKind {
    CheckKind::Grpc {
        service: service.into(),
        host: None,
    }
}

/// Settings with a check each second, which judges at once.
fn checking(endpoints: Value, kind: CheckKind) -> RouterSettings {
    let mut settings = plain(registry(endpoints));
    settings.upstream.health.checks = vec![Arc::new(CheckSettings {
        kind,
        interval: Duration::from_secs(1),
        healthy_threshold: 1,
        unhealthy_threshold: 1,
        ..CheckSettings::default()
    })];
    settings
}

async fn cell(env: &Memory) -> (EchoCell, u16, Came) {
    let (listener, port) = env.listen().await;
    let came = Came::default();
    let telling = came.clone();
    let cell = EchoCell::new("a", move |report| {
        if let Report::Arrived(request) = report {
            let request = (request.path.clone(), request.headers.clone());
            telling.lock().unwrap().push(request);
        }
    });
    let (serving, host) = (cell.clone(), env.clone());
    tokio::spawn(async move { serving.serve(host, listener, ServerTls::plain()).await });
    (cell, port, came)
}

fn urls(ports: &[u16]) -> Value {
    let url = |port: &u16| json!({"url": format!("http://127.0.0.1:{port}")});
    ports.iter().map(url).collect()
}

fn count(came: &Came, path: &str) -> usize {
    let came = came.lock().unwrap();
    came.iter().filter(|(asked, _)| asked == path).count()
}

/// Catches: a request to an endpoint whose checks fail, a check that carries an identity header, and
/// an endpoint that never comes back.
#[tokio::test(start_paused = true)]
async fn only_healthy_endpoints_get_requests() {
    let env = Memory::new();
    let (_, first, good) = cell(&env).await;
    let (sick, second, bad) = cell(&env).await;
    sick.set_fault(CellFault::Status(StatusCode::IM_A_TEAPOT));
    let settings = checking(urls(&[first, second]), http("/healthz?deep"));
    let world = memory::start(&env, settings).await;
    world.events.line("unhealthy status").await;
    let client = world.client(LONG);
    for _ in 0..20 {
        client.send(Request::get("/app")).await.unwrap();
    }
    assert_eq!((count(&good, "/app"), count(&bad, "/app")), (20, 0));
    assert!(count(&good, "/healthz?deep") > 0);
    for (path, headers) in good.lock().unwrap().iter() {
        if path == "/healthz?deep" {
            let own = |(name, _): &(String, String)| name.starts_with("x-cellway-");
            assert!(!headers.iter().any(own), "{headers:?}");
            let agent = headers.iter().find(|(name, _)| name == "user-agent");
            assert!(agent.unwrap().1.starts_with("cellway/"), "{headers:?}");
        }
    }
    sick.set_fault(CellFault::None);
    world.events.line("healthy").await;
    for _ in 0..200 {
        client.send(Request::get("/app")).await.unwrap();
    }
    assert!(count(&bad, "/app") > 0);
}

/// Catches: an endpoint that accepts connections and never answers, and counts as healthy.
#[tokio::test(start_paused = true)]
async fn a_check_ends_in_time() {
    let env = Memory::new();
    let (sick, port, _) = cell(&env).await;
    sick.set_fault(CellFault::HalfOpen);
    let world = memory::start(&env, checking(urls(&[port]), http("/"))).await;
    world.events.line("unhealthy timeout").await;
    env.refuse(port, true);
    sick.set_fault(CellFault::None);
    tokio::time::sleep(Duration::from_secs(10)).await;
    let lines = world.events.lines();
    assert!(!lines.iter().any(|line| line == "healthy"), "{lines:?}");
    env.refuse(port, false);
    world.events.line("healthy").await;
}

#[tokio::test(start_paused = true)]
async fn a_tcp_check_wants_a_connection_only() {
    let env = Memory::new();
    let (sick, port, _) = cell(&env).await;
    sick.set_fault(CellFault::HalfOpen);
    let world = memory::start(&env, checking(urls(&[port]), CheckKind::Tcp)).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert!(
        !world
            .events
            .lines()
            .iter()
            .any(|it| it.starts_with("unhealthy"))
    );
    env.refuse(port, true);
    world.events.line("unhealthy unreachable").await;
}

#[tokio::test]
async fn an_answer_that_is_no_http_is_a_failure() {
    for (answer, failure) in [
        ("SMTP ready\r\n\r\n", "unhealthy protocol"),
        (
            "HTTP/1.1 301 Elsewhere\r\ncontent-length: 0\r\n\r\n",
            "unhealthy status",
        ),
    ] {
        let port = says(answer.to_owned()).await;
        let world = start(checking(plain_endpoint("http", port), http("/"))).await;
        world.events.line(failure).await;
    }
}

/// A gRPC server that answers each call with this message and this status.
async fn grpc_server(message: &'static [u8], status: &'static str) -> u16 {
    cells::http2(move |mut cell, id| async move {
        cell.head(id).await;
        cell.data(id, message, false).await;
        cell.fields(id, &trailers_of(&[("grpc-status", status)]), true)
            .await;
        Some(cell)
    })
    .await
}

#[tokio::test]
async fn a_grpc_check_asks_the_health_service() {
    const SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 1];
    const NOT_SERVING: &[u8] = &[0, 0, 0, 0, 2, 8, 2];
    for (message, status) in [(NOT_SERVING, "0"), (SERVING, "5")] {
        let port = grpc_server(message, status).await;
        let world = start(checking(plain_endpoint("h2c", port), grpc("orders"))).await;
        world.events.line("unhealthy not_serving").await;
    }
    let port = grpc_server(SERVING, "0").await;
    let world = start(checking(plain_endpoint("h2c", port), grpc("orders"))).await;
    world.events.line("checked").await;
    // HTTP/1.1 can't carry gRPC.
    let port = says("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".to_owned()).await;
    let world = start(checking(plain_endpoint("http", port), grpc(""))).await;
    world.events.line("unhealthy protocol").await;
}

/// Catches: a check that trusts more certificates than requests do.
#[tokio::test]
async fn a_check_wants_the_san_of_the_endpoint() {
    let ca = ca(1);
    for (san, expected) in [
        ("a.internal", "checked"),
        ("b.internal", "unhealthy untrusted"),
    ] {
        let credential = issue(&ca, dns("a.internal"));
        let tls = ServerTls::new(provider().server(&credential, None).unwrap());
        let (listener, address) = listen().await;
        let cell = EchoCell::new("a", |_| ());
        tokio::spawn(async move {
            let env = cellway_env::tokio::TokioEnv::new();
            let _ = cell.serve(env, listener, tls).await;
        });
        let url = format!("https://127.0.0.1:{}", address.port());
        let mut settings = checking(json!([{"url": url, "san": san}]), http("/"));
        settings.upstream.bundle = Some(ca.pem().into());
        let world = start(settings).await;
        world.events.line(expected).await;
    }
}

/// Catches: checks, rate limits or requests that stop while a large registry is parsed.
#[tokio::test(start_paused = true)]
async fn checks_and_limits_go_on_while_a_registry_loads() {
    let env = Memory::new();
    let (_, port, came) = cell(&env).await;
    let folder = Folder::generate();
    folder.write("registry.json", registry(urls(&[port])));
    let path = folder.path("registry.json");
    let mut settings = checking(urls(&[port]), http("/healthz"));
    settings.sources = Sources::new(RegistryLocation::File(path));
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        rates: vec![a_minute(2)],
        ..TrafficSettings::default()
    });
    let world = memory::start(&env, settings).await;
    world.events.line("registry 1").await;
    env.hold_heavy_work();
    let text = String::from_utf8(registry(urls(&[port])).to_vec()).unwrap();
    let second = text.replace("\"version\":1", "\"version\":2");
    folder.write("registry.json", second);
    env.heavy_work_is_held().await;
    let before = count(&came, "/healthz");
    tokio::time::sleep(Duration::from_secs(60)).await;
    let checks = count(&came, "/healthz") - before;
    assert!((50..=70).contains(&checks), "{checks} in a minute");
    let client = world.client(LONG);
    let mut answers = Vec::new();
    for _ in 0..3 {
        answers.push(client.send(Request::get("/")).await.unwrap().status);
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let [ok, limited] = [StatusCode::OK, StatusCode::TOO_MANY_REQUESTS];
    assert_eq!(answers, [ok, ok, limited]);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let again = client.send(Request::get("/")).await.unwrap();
    assert_eq!(again.status, ok, "the requests have come back");
    assert!(!world.events.lines().contains(&"registry 2".to_owned()));
}

fn a_minute(requests: u32) -> RateRule {
    let spec = RateLimitSpec {
        requests,
        window_secs: Some(60),
        burst: None,
    };
    RateRule {
        per: RateScope::Tenant,
        limit: RateLimit::new(spec).unwrap(),
        always: false,
    }
}

/// Catches: a router whose workers all check each endpoint.
#[tokio::test(start_paused = true)]
async fn a_router_with_many_workers_checks_once() {
    let mut checks = Vec::new();
    for workers in [1, 4] {
        let env = Memory::new();
        let (_, port, came) = cell(&env).await;
        let settings = checking(urls(&[port]), http("/healthz"));
        let world = memory::start_with(&env, settings, workers).await;
        world.events.line("checked").await;
        let before = count(&came, "/healthz");
        tokio::time::sleep(Duration::from_secs(60)).await;
        checks.push(count(&came, "/healthz") - before);
    }
    let once = |checks: &usize| (50..=70).contains(checks);
    assert!(checks.iter().all(once), "{checks:?} in a minute");
}
