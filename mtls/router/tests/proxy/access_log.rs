//! What the access log says, and about which requests.

use std::sync::Arc;

use cellway_core::path::PathPattern;
use cellway_router::settings::{AccessLog, ListenerRoute, RouterSettings, TrafficSettings};
use cellway_testbed::{CellFault, Protocol, Request, ServerTls};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::net::TcpStream;

use crate::cells::silent;
use crate::frames::{CANCEL, Frames};
use crate::raw::Raw;
use crate::suspension::soon;
use crate::world::{
    World, ca, cell, closed_port, issue, plain, plain_endpoint, registry, secure, start, uri,
};

/// So few requests are sampled that a test never sees one.
const HARDLY_ANY: AccessLog = AccessLog::Sampled { one_in: u32::MAX };

/// The header of `POST / HTTP/2` to the host `a` (RFC 7541).
const POST_BLOCK: &[u8] = b"\x83\x84\x86\x41\x01a";

fn logged(world: &World) -> Vec<String> {
    let lines = world.events.lines();
    let logged = lines.into_iter().filter(|line| line.starts_with("logged"));
    logged.collect()
}

fn with(access_log: AccessLog, settings: RouterSettings) -> RouterSettings {
    RouterSettings {
        access_log,
        ..settings
    }
}

#[tokio::test]
async fn a_line_has_the_caller_the_endpoint_and_the_body() {
    let (clients, cells) = (ca(1), ca(2));
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let settings = secure(registry(plain_endpoint("http", port)), &clients, &cells);
    let world = start(with(AccessLog::Full, settings)).await;
    let credential = issue(&clients, uri("spiffe://corp.example/tenant/acme"));
    let client = world.secure_client(Protocol::Http2, &clients, Some(&credential));
    let mut connection = client.connect().await.unwrap();
    for path in ["/orders?token=secret", "/more"] {
        let request = Request::get(path);
        let request = Request {
            method: Method::POST,
            body: "12345".into(),
            ..request
        };
        let answer = connection.send(request).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    let rest = format!(
        "of acme spiffe://corp.example/tenant/acme, 1 attempts, \
         http://127.0.0.1:{port} Some(HTTP/1.1), 5 bytes"
    );
    let expected = [
        format!("logged POST /orders HTTP/2.0 {rest}, first"),
        format!("logged POST /more HTTP/2.0 {rest}"),
    ];
    for line in expected {
        world.events.line(&line).await;
    }
}

/// Catches: an operator who can't see which of the settings a request got; and one who sees those of
/// another route.
#[tokio::test]
async fn a_line_says_which_route_policy_and_traffic_apply() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    let listener = &mut settings.listeners[0];
    listener.routes = vec![ListenerRoute {
        path: PathPattern::new("/orders/**").unwrap(),
        policy: listener.policy,
        traffic: Arc::new(TrafficSettings {
            name: "slow".into(),
            ..TrafficSettings::default()
        }),
    }];
    let world = start(with(AccessLog::Full, settings)).await;
    let client = world.client(Protocol::Http1);
    for (path, route, traffic) in [
        ("/orders/7?all", "/orders/**", "slow"),
        ("/", "-", "default"),
    ] {
        client.send(Request::get(path)).await.unwrap();
        let line = format!("applied route {route}, policy default, traffic {traffic}");
        world.events.line(&line).await;
    }
    // Servers could read it in two ways, so no route applies.
    client.send(Request::get("/a/%2e%2e/orders")).await.unwrap();
    world.events.line("applied -").await;
}

/// Catches: a client that asks to switch, gets a plain answer, and nobody can see why.
#[tokio::test]
async fn a_line_says_that_an_upgrade_was_ignored() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let settings = plain(registry(plain_endpoint("http", port)));
    let world = start(with(AccessLog::Full, settings)).await;
    let mut client = Raw::new(&world).await;
    let line = "applied route -, policy default, traffic default";
    for (protocol, ignored) in [("tcp", ", without its upgrade"), ("websocket", "")] {
        let request = format!(
            "GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: {protocol}\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
        );
        client.send(&request).await;
        client.answer().await;
        // The tunnel ends with its client.
        client = Raw::new(&world).await;
        world.events.line(&format!("{line}{ignored}")).await;
    }
}

/// Catches: a second endpoint that isn't counted, or the first one's name.
#[tokio::test]
async fn the_last_endpoint_is_named_and_each_is_counted() {
    let (_held, dead) = closed_port();
    let (_cell, port) = cell("a", ServerTls::plain_h2()).await;
    let endpoints = json!([
        {"url": format!("http://127.0.0.1:{dead}")},
        {"url": format!("h2c://127.0.0.1:{port}")},
    ]);
    let world = start(with(AccessLog::Full, plain(registry(endpoints)))).await;
    let client = world.client(Protocol::Http1);
    // Which endpoint is tried first changes from request to request.
    for _ in 0..2 {
        client.send(Request::get("/")).await.unwrap();
    }
    let line = format!(
        "logged GET / HTTP/1.1 of acme -, 2 attempts, http://127.0.0.1:{port} Some(HTTP/2.0), 0 bytes"
    );
    world.events.line(&line.replace("http://", "h2c://")).await;
}

/// Catches: a sampled log without the good requests, or with all of them.
#[tokio::test]
async fn a_sample_has_one_in_so_many_good_requests() {
    const SENT: usize = 400;
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    for (one_in, expected) in [(1, SENT..=SENT), (4, 50..=150)] {
        let settings = plain(registry(plain_endpoint("http", port)));
        let world = start(with(AccessLog::Sampled { one_in }, settings)).await;
        let mut client = world.client(Protocol::Http2).connect().await.unwrap();
        for _ in 0..SENT {
            client.send(Request::get("/good")).await.unwrap();
        }
        // A line is written after its answer has gone.
        world
            .events
            .lines_of("responded 200 cell - whole", SENT)
            .await;
        let count = logged(&world).len();
        assert!(
            expected.contains(&count),
            "one in {one_in}: {count} of {SENT}"
        );
    }
}

/// Catches: a sampled log or one of failures without the failures, and one with everything.
#[tokio::test]
async fn a_sample_has_all_failures() {
    for access_log in [HARDLY_ANY, AccessLog::Errors] {
        let (cell, port) = cell("a", ServerTls::plain()).await;
        let settings = plain(registry(plain_endpoint("http", port)));
        let world = start(with(access_log, settings)).await;
        let client = world.client(Protocol::Http1);
        client.send(Request::get("/good")).await.unwrap();
        cell.set_fault(CellFault::Status(StatusCode::INTERNAL_SERVER_ERROR));
        client.send(Request::get("/fails")).await.unwrap();
        cell.set_fault(CellFault::ResetMidBody);
        assert!(client.send(Request::get("/cut")).await.is_err());
        world.events.line("responded 200 cell cell_reset cut").await;
        let lines = logged(&world);
        assert_eq!(lines.len(), 2, "{access_log:?}: {lines:#?}");
        assert!(lines[0].contains("GET /fails"), "{lines:#?}");
        assert!(lines[1].contains("GET /cut"), "{lines:#?}");
    }
}

#[tokio::test]
async fn a_denial_is_logged_without_an_endpoint_and_nothing_if_it_is_off() {
    let (clients, cells) = (ca(1), ca(2));
    for (access_log, count) in [(HARDLY_ANY, 1), (AccessLog::Errors, 1), (AccessLog::Off, 0)] {
        let settings = secure(registry(plain_endpoint("http", 1)), &clients, &cells);
        let world = start(with(access_log, settings)).await;
        let client = world.secure_client(Protocol::Http1, &clients, None);
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        world
            .events
            .line("responded 401 router missing_certificate whole")
            .await;
        let lines = logged(&world);
        assert_eq!(lines.len(), count, "{lines:#?}");
        for line in lines {
            let expected = "logged GET / HTTP/1.1 of - -, 0 attempts, - None, 0 bytes, first";
            assert_eq!(line, expected);
        }
    }
}

/// Catches: a method and a path that the client didn't send, but that stand for what can't be read.
#[tokio::test]
async fn a_request_that_cannot_be_read_is_logged_without_a_method_and_a_path() {
    let settings = plain(registry(plain_endpoint("http", 1)));
    let world = start(with(AccessLog::Errors, settings)).await;
    let mut client = Raw::new(&world).await;
    let request =
        "POST /secret HTTP/1.1\r\nhost: a\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n";
    client.send(request).await;
    assert_eq!(client.statuses().await, [400]);
    let expected = "logged - - HTTP/1.1 of - -, 0 attempts, - None, 0 bytes";
    world.events.line(expected).await;
}

/// Catches: a log that says the router has answered 400, in whole, to a client that wasn't there any more.
#[tokio::test]
async fn a_client_that_resets_its_upload_is_logged_as_gone() {
    let (port, asked) = silent().await;
    let (over_http1, over_http2) = (
        start(plain(registry(plain_endpoint("http", port)))).await,
        start(plain(registry(plain_endpoint("http", port)))).await,
    );
    let mut http1 = Raw::new(&over_http1).await;
    let half = "POST / HTTP/1.1\r\nhost: a\r\ncontent-length: 9\r\n\r\nhalf";
    http1.send(half).await;
    soon(asked.notified()).await;
    http1.io.set_zero_linger().unwrap();
    drop(http1);
    let stream = TcpStream::connect(("127.0.0.1", over_http2.port)).await;
    let mut http2 = Frames::connect(stream.unwrap()).await;
    http2.fields(1, POST_BLOCK, false).await;
    http2.data(1, b"half", false).await;
    soon(asked.notified()).await;
    http2.reset(1, CANCEL).await;
    for world in [&over_http1, &over_http2] {
        world.events.line("responded none client - cut").await;
    }
}

/// Catches: a refusal by a limit whose line doesn't say which tenant has reached it.
#[tokio::test]
async fn a_request_that_a_limit_refuses_is_logged_with_its_tenant() {
    let (clients, cells) = (ca(1), ca(2));
    let mut settings = secure(registry(plain_endpoint("http", 1)), &clients, &cells);
    settings.listeners[0].traffic = Arc::new(TrafficSettings {
        body_bytes_max: Some(3),
        ..TrafficSettings::default()
    });
    let world = start(with(AccessLog::Full, settings)).await;
    let credential = issue(&clients, uri("spiffe://corp.example/tenant/acme"));
    let client = world.secure_client(Protocol::Http1, &clients, Some(&credential));
    let request = Request {
        method: Method::POST,
        body: "long".into(),
        ..Request::get("/orders")
    };
    let answer = client.send(request).await.unwrap();
    assert_eq!(answer.status, StatusCode::PAYLOAD_TOO_LARGE);
    let line = "logged POST /orders HTTP/1.1 of acme spiffe://corp.example/tenant/acme, \
                0 attempts, - None, 0 bytes, first";
    world.events.line(line).await;
}
