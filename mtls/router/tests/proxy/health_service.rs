//! The gRPC health service that the router answers about itself.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use cellway_env::Env;
use cellway_env::fetch::SourceUrl;
use cellway_env::tokio::TokioEnv;
use cellway_envoy::grpc;
use cellway_envoy::health::{
    CHECK_PATH, HealthCheckRequest, HealthCheckResponse, ServingStatus, WATCH_PATH,
};
use cellway_router::admin::{Admin, Audience};
use cellway_router::metrics::Metrics;
use cellway_router::settings::{
    Callers, DrainTimes, ListenerSettings, RegistryLocation, RouterSettings, Serves, Sources,
};
use cellway_router::{Drained, Handle, Router};
use cellway_testbed::{Answer, Client, ControlPlane, Protocol, Request, ServerTls, Target};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use serde_json::json;
use tokio::net::TcpStream;

use crate::frames::{Frames, Outcome, Told, trailers_of as block_of};
use crate::malformed::exchange;
use crate::suspension::soon;
use crate::world::{
    EventLog, PATIENCE, World, body, cell, listen, plain, plain_endpoint, provider, registry, start,
};

const AUTHORIZER: &str = "envoy.service.auth.v3.Authorization";

/// Plain settings with a listener for external authorization too.
fn asked(mut settings: RouterSettings) -> RouterSettings {
    let policy = settings.listeners[0].policy;
    let envoy = ListenerSettings::new("envoy", "127.0.0.1:0".parse().unwrap(), policy);
    settings.listeners.push(ListenerSettings {
        serves: Serves::ExtAuthz(Callers::Loopback),
        ..envoy
    });
    settings
}

/// The address of a health listener for this router.
async fn health(handle: &Handle<TokioEnv, EventLog>) -> SocketAddr {
    pages(handle, Audience::Everybody).await
}

/// The address of a listener for this router's pages.
pub(crate) async fn pages(handle: &Handle<TokioEnv, EventLog>, audience: Audience) -> SocketAddr {
    let any = "127.0.0.1:0".parse().unwrap();
    let admin = Admin::bind(TokioEnv::new(), any, audience).await.unwrap();
    let (address, handle) = (admin.address(), handle.clone());
    TokioEnv::new().spawn(async move { match admin.serve(handle, Metrics::new()).await {} });
    address
}

pub(crate) fn client(at: SocketAddr, protocol: Protocol) -> Client<TokioEnv> {
    let target = Target {
        host: at.ip().to_string(),
        port: at.port(),
        tls: None,
        protocol,
    };
    Client::new(TokioEnv::new(), target, PATIENCE)
}

fn call(path: &str, service: &str) -> Request {
    let service = service.to_owned();
    Request {
        method: Method::POST,
        body: grpc::write(&HealthCheckRequest { service }),
        ..Request::get(path)
    }
    .header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"))
}

/// The statuses in an answer, and the status of the call.
fn said(answer: &Answer) -> (Vec<ServingStatus>, String) {
    assert_eq!(answer.status, StatusCode::OK);
    let (mut rest, mut statuses) = (&answer.body[..], Vec::new());
    while !rest.is_empty() {
        let length = 5 + usize::from(rest[4]);
        let message: HealthCheckResponse = grpc::read(&rest[..length]).unwrap();
        statuses.push(message.status());
        rest = &rest[length..];
    }
    let trailers = match answer.trailers.is_empty() {
        true => &answer.headers,
        false => &answer.trailers,
    };
    (
        statuses,
        trailers["grpc-status"].to_str().unwrap().to_owned(),
    )
}

async fn ask(at: SocketAddr, path: &str, service: &str) -> (Vec<ServingStatus>, String) {
    let answer = client(at, Protocol::Http2).send(call(path, service)).await;
    said(&answer.unwrap())
}

async fn world() -> (World, [SocketAddr; 2]) {
    let (_cell, port) = cell("a", ServerTls::plain_h2()).await;
    let world = start(asked(plain(registry(plain_endpoint("h2c", port))))).await;
    let at = [world.handle.addresses()[1].1, health(&world.handle).await];
    (world, at)
}

#[tokio::test]
async fn the_router_answers_about_itself_where_nobody_is_proxied() {
    let (world, at) = world().await;
    for at in at {
        let serving = (vec![ServingStatus::Serving], "0".to_owned());
        assert_eq!(ask(at, CHECK_PATH, "").await, serving);
        assert_eq!(ask(at, CHECK_PATH, AUTHORIZER).await, serving);
        assert_eq!(
            ask(at, CHECK_PATH, "orders").await,
            (vec![], "5".to_owned())
        );
        let list = "/grpc.health.v1.Health/List";
        assert_eq!(ask(at, list, "").await, (vec![], "12".to_owned()));
    }
    // On other listeners it is a call like any other.
    let public = world.client(Protocol::Http2);
    let answer = public.send(call(CHECK_PATH, "")).await.unwrap();
    assert_eq!(body(&answer)["path"], CHECK_PATH);
}

/// Catches: a health listener that speaks only one version, or whose pages need gRPC's.
#[tokio::test]
async fn the_health_listener_answers_its_pages_over_both_versions() {
    let (_world, [_, at]) = world().await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let client = client(at, protocol);
        let ready = client.send(Request::get("/readyz")).await.unwrap();
        assert_eq!(ready.status, StatusCode::OK, "{protocol:?}");
        assert_eq!(body(&ready)["status"], "ready");
        let wrong = client.send(call("/orders.Orders/Put", "")).await.unwrap();
        assert_eq!(wrong.status, StatusCode::METHOD_NOT_ALLOWED, "{protocol:?}");
    }
    let long = Request {
        body: Bytes::from(vec![0; 1 << 16]),
        ..call(CHECK_PATH, "")
    };
    let answer = client(at, Protocol::Http2).send(long).await.unwrap();
    assert_eq!(said(&answer), (vec![], "8".to_owned()));
}

fn asks(path: &str, authority: &str) -> Vec<u8> {
    block_of(&[
        (":method", "GET"),
        (":scheme", "http"),
        (":authority", authority),
        (":path", path),
    ])
}

/// Catches: a client that makes the router keep many pages, because it reads none of them.
#[tokio::test]
async fn a_client_that_reads_nothing_gets_one_page_at_a_time() {
    let (_world, [_, at]) = world().await;
    let mut frames = Frames::connect(TcpStream::connect(at).await.unwrap()).await;
    frames.takes_nothing().await;
    for id in [1, 3, 5] {
        frames.fields(id, &asks("/metrics", "a"), true).await;
    }
    let call = block_of(&[
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "a"),
        (":path", "/grpc.health.v1.Health/List"),
        ("content-type", "application/grpc"),
    ]);
    frames.fields(7, &call, true).await;
    assert_eq!(soon(frames.told()).await, Told::Answered(1));
    assert_eq!(soon(frames.told()).await, Told::Answered(7));
    // The router has handed the whole page to HTTP/2 then, but most of it is still there.
    frames.takes(1, 1).await;
    frames.fields(9, &call, true).await;
    assert_eq!(soon(frames.told()).await, Told::Answered(9));
    for (read, next) in [(1, 3), (3, 5)] {
        frames.takes(read, 1 << 20).await;
        assert_eq!(soon(frames.told()).await, Told::Answered(next));
    }
}

/// Catches: a web page that reads the loopback listener through a name of its own.
#[tokio::test]
async fn loopback_pages_are_only_for_who_asks_this_machine() {
    let (world, [_, health]) = world().await;
    let admin = pages(&world.handle, Audience::Machine).await;
    let ask = async |at: SocketAddr, host: &str| {
        let said = exchange(at.port(), &format!("GET /readyz HTTP/1.1\r\n{host}\r\n")).await;
        said[9..12].to_owned()
    };
    for (host, status) in [
        ("host: localhost\r\n", "200"),
        ("host: LOCALHOST:9901\r\n", "200"),
        ("host: 127.1.2.3:9901\r\n", "200"),
        ("host: [::1]:9901\r\n", "200"),
        ("", "200"),
        ("host: rebound.example\r\n", "421"),
        ("host: rebound.example:9901\r\n", "421"),
        ("host: localhost.rebound.example\r\n", "421"),
        ("host: 127.0.0.1.rebound.example\r\n", "421"),
        ("host: 192.0.2.1:9901\r\n", "421"),
        ("host: localhost\r\nhost: rebound.example\r\n", "421"),
    ] {
        assert_eq!(ask(admin, host).await, status, "{host:?}");
        assert_eq!(ask(health, host).await, "200", "{host:?}");
    }
    for (authority, outcome) in [("127.0.0.1:1", 200), ("rebound.example", 0)] {
        let mut frames = Frames::connect(TcpStream::connect(admin).await.unwrap()).await;
        frames.fields(1, &asks("/readyz", authority), true).await;
        assert_eq!(soon(frames.outcome(1)).await, Outcome::Status(outcome));
    }
}

/// Drains a router while its service is watched, and checks that the watch is told these statuses and ends
/// with the drain, which begins once the first one has come. On each listener.
async fn watched(drain: impl AsyncFn(&World) -> Drained, statuses: &[ServingStatus]) {
    for which in 0..2 {
        let (world, at) = world().await;
        let mut connection = client(at[which], Protocol::Http2).connect().await.unwrap();
        let (told, seen) = tokio::sync::oneshot::channel();
        let mut told = Some(told);
        let watch = connection.send_and_watch(call(WATCH_PATH, ""), || {
            if let Some(told) = told.take() {
                told.send(()).unwrap();
            }
        });
        let drain = async {
            soon(seen).await.unwrap();
            drain(&world).await
        };
        let (answer, drained) = tokio::join!(watch, drain);
        assert_eq!(said(&answer.unwrap()), (statuses.to_vec(), "14".to_owned()));
        assert_eq!(drained.abandoned, 0);
    }
}

/// Catches: a watch that isn't told, and one that holds the drain up until its deadline.
#[tokio::test]
async fn a_watch_is_told_of_a_drain_and_ends_with_it() {
    let drain = async |world: &World| {
        let times = DrainTimes {
            delay: Duration::from_millis(200),
            ..Duration::from_secs(60).into()
        };
        world.handle.drain(times).await
    };
    watched(drain, &[ServingStatus::Serving, ServingStatus::NotServing]).await;
}

/// Catches: a client that takes the service for lost, although the next process serves it already.
#[tokio::test]
async fn a_watch_of_a_replaced_router_ends_so_that_its_client_asks_the_next_one() {
    let drain = async |world: &World| {
        world.handle.replaced();
        world.handle.drain(Duration::from_secs(60)).await
    };
    watched(drain, &[ServingStatus::Serving]).await;
}

#[tokio::test]
async fn a_router_that_is_not_ready_does_not_serve_until_it_is() {
    // No registry, so the router isn't ready.
    let plane = ControlPlane::new("{}");
    let (listener, address) = listen().await;
    let serving = plane.clone();
    tokio::spawn(async move {
        serving
            .serve(TokioEnv::new(), listener, ServerTls::plain())
            .await
    });
    let mut settings = asked(plain(registry(json!([]))));
    settings.sources = Sources::new(RegistryLocation::Http {
        url: SourceUrl::parse(&format!("http://{address}/manage/cells")).unwrap(),
        token_file: None,
    });
    let tls = provider();
    let events = EventLog::default();
    let router = Router::builder(TokioEnv::new(), settings, tls.crypto, tls.time, events);
    let handle = router.open_wait(Duration::ZERO).start().await.unwrap();
    soon(handle.opened()).await.unwrap();
    let at = [handle.addresses()[1].1, health(&handle).await];
    for at in at {
        let (statuses, code) = ask(at, CHECK_PATH, "").await;
        assert_eq!(
            (statuses, code.as_str()),
            (vec![ServingStatus::NotServing], "0")
        );
    }
    let watches = at.map(|at| async move {
        let mut connection = client(at, Protocol::Http2).connect().await.unwrap();
        connection.send(call(WATCH_PATH, "")).await.unwrap()
    });
    let [first, second] = watches;
    let changes = async {
        plane.set_document(registry(plain_endpoint("http", 1)));
        handle.reload().await.unwrap();
        soon(handle.ready()).await;
        for at in at {
            while ask(at, CHECK_PATH, "").await.0 != [ServingStatus::Serving] {}
        }
        handle.drain(Duration::from_secs(60)).await
    };
    let (first, second, drained) = tokio::join!(first, second, changes);
    assert_eq!(drained.abandoned, 0);
    for answer in [first, second] {
        let (statuses, code) = said(&answer);
        // A watch that begins late sees no more than the end of it.
        assert_eq!(statuses.last(), Some(&ServingStatus::NotServing));
        assert_eq!(code, "14");
    }
}
