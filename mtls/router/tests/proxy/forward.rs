//! What the router forwards, and what it doesn't.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cellway_core::headers::HeaderSpec;
use cellway_router::settings::RouterSettings;
use cellway_testbed::{CellFault, Protocol, Request, ServerTls};
use http::header::{self, HeaderName, HeaderValue};
use http::{Method, StatusCode};
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;

use crate::cells::{played, receive, scripted, silent};
use crate::world::{
    body, cell, closed_port, open_policy_with, plain, plain_endpoint, reason, registry, start,
};

const BOTH: [Protocol; 2] = [Protocol::Http1, Protocol::Http2];

fn cells() -> [(&'static str, ServerTls); 2] {
    [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())]
}

fn header(name: &'static str, value: &'static str) -> (HeaderName, HeaderValue) {
    (
        HeaderName::from_static(name),
        HeaderValue::from_static(value),
    )
}

/// A request with all the fields that only the router may set.
fn spoofed() -> Request {
    let mut request = Request::get("/path?query=1");
    request.method = Method::POST;
    request.body = Bytes::from_static(b"hello");
    for (name, value) in [
        header("x-cellway-tenant", "evil"),
        header("x_cellway_cell", "evil"),
        header("x-routing-key", "evil"),
        header("x-own", "kept"),
    ] {
        request = request.header(name, value);
    }
    for (name, value) in [
        header("x-cellway-roles", "admin"),
        header("x-checksum", "kept"),
    ] {
        request.trailers.insert(name, value);
    }
    request
}

#[tokio::test]
async fn every_pair_of_protocols_carries_bodies_and_only_the_routers_word() {
    for (scheme, tls) in cells() {
        let (cell, port) = cell("a", tls).await;
        let (name, value) = header("x-cellway-owner", "evil");
        cell.add_answer_header(name, value);
        let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
        for protocol in BOTH {
            let answer = world.client(protocol).send(spoofed()).await.unwrap();
            let at = format!("{protocol:?} to {scheme}");
            assert_eq!(answer.status, StatusCode::OK, "{at}");
            let echo = body(&answer);
            assert_eq!(echo["method"], "POST", "{at}");
            assert_eq!(echo["path"], "/path?query=1", "{at}");
            assert_eq!(
                echo["authority"],
                format!("localhost:{}", world.port),
                "{at}"
            );
            assert_eq!(echo["body_bytes"], 5, "{at}");
            let headers = &echo["headers"];
            assert_eq!(headers["x-cellway-tenant"], "acme", "{at}");
            assert_eq!(headers["x-cellway-cell"], "a", "{at}");
            assert_eq!(headers["x-cellway-auth"], "insecure", "{at}");
            assert_eq!(headers["x-cellway-roles"], "", "{at}");
            assert_eq!(headers["x-own"], "kept", "{at}");
            assert!(headers.get("x_cellway_cell").is_none(), "{at}");
            assert!(headers.get("x-routing-key").is_none(), "{at}");
            let trailers = &echo["trailers"];
            assert!(
                trailers.get("x-cellway-roles").is_none(),
                "{at}: {trailers}"
            );
            assert_eq!(trailers["x-checksum"], "kept", "{at}");
            let owner: Vec<_> = answer.headers.get_all("x-cellway-owner").iter().collect();
            assert_eq!(owner, ["cell"], "{at}");
            assert!(answer.headers.contains_key(header::DATE), "{at}");
            assert_eq!(
                headers["x-cellway-request-id"],
                answer.headers["x-cellway-request-id"].to_str().unwrap(),
                "{at}"
            );
        }
    }
}

/// Catches: a request that is sent under the host of an earlier one, or an invalid host that passes
/// because an earlier one was valid.
#[tokio::test]
async fn each_request_of_a_connection_has_its_own_host() {
    for (scheme, tls) in cells() {
        let (_cell, port) = cell("a", tls).await;
        let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
        let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        for host in ["a.example", "a.example", "b.example:80", "a.example", "a/b"] {
            let request = format!("GET / HTTP/1.1\r\nhost: {host}\r\n\r\n");
            stream.write_all(request.as_bytes()).await.unwrap();
        }
        let mut answers = String::new();
        stream.read_to_string(&mut answers).await.unwrap();
        let hosts: Vec<_> = answers
            .split("\"authority\": \"")
            .skip(1)
            .map(|rest| rest.split('"').next().unwrap())
            .collect();
        let expected = ["a.example", "a.example", "b.example:80", "a.example"];
        assert_eq!(hosts, expected, "{scheme}: {answers}");
        assert!(answers.contains("HTTP/1.1 400"), "{scheme}: {answers}");
    }
}

#[tokio::test]
async fn trailers_may_not_have_the_names_by_which_their_request_was_stamped() {
    let (cell, port) = cell("a", ServerTls::plain_h2()).await;
    let settings = plain(registry(plain_endpoint("h2c", port)));
    let world = start(settings.clone()).await;
    let mut stream = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
    let head = b"POST / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\
                 transfer-encoding: chunked\r\n\r\n1\r\nx\r\n";
    stream.write_all(head).await.unwrap();
    while cell.arrivals() == 0 {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    // A reload changes the names of the router's headers in the middle of the body.
    let prefix = "x-other-".to_owned();
    let spec = HeaderSpec {
        prefix,
        ..HeaderSpec::default()
    };
    let policy = open_policy_with(spec);
    world
        .handle
        .apply(RouterSettings { policy, ..settings })
        .await
        .unwrap();
    tokio::time::sleep(Duration::from_millis(200)).await;
    let rest = b"0\r\nx-cellway-roles: admin\r\nx-checksum: kept\r\n\r\n";
    stream.write_all(rest).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.contains("\"x-checksum\": \"kept\""), "{answer}");
    assert!(!answer.contains("admin"), "{answer}");
}

#[tokio::test]
async fn a_large_body_passes_both_ways() {
    for (scheme, tls) in cells() {
        let (_cell, port) = cell("a", tls).await;
        let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
        for protocol in BOTH {
            let mut request = Request::get("/");
            request.method = Method::PUT;
            request.body = vec![7; 3 << 20].into();
            let answer = world.client(protocol).send(request).await.unwrap();
            assert_eq!(
                body(&answer)["body_bytes"],
                3 << 20,
                "{protocol:?} to {scheme}"
            );
        }
    }
}

#[tokio::test]
async fn cookies_that_http2_split_reach_an_http1_cell_as_one() {
    let (_cell, port) = cell("a", ServerTls::plain()).await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let (name, one) = header("cookie", "a=1");
    let (_, two) = header("cookie", "b=2");
    let request = Request::get("/")
        .header(name.clone(), one)
        .header(name, two);
    let answer = world.client(Protocol::Http2).send(request).await.unwrap();
    assert_eq!(body(&answer)["headers"]["cookie"], "a=1; b=2");
}

#[tokio::test]
async fn a_cells_own_error_is_the_cells() {
    let (cell, port) = cell("a", ServerTls::plain()).await;
    cell.set_fault(CellFault::Status(StatusCode::SERVICE_UNAVAILABLE));
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let answer = world
        .client(Protocol::Http1)
        .send(Request::get("/"))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers["x-cellway-owner"], "cell");
    assert!(!answer.headers.contains_key("x-cellway-reason"));
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_never_whole() {
    for (scheme, tls) in cells() {
        let (cell, port) = cell("a", tls).await;
        cell.set_fault(CellFault::ResetMidBody);
        let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
        for protocol in BOTH {
            let answer = world.client(protocol).send(Request::get("/")).await;
            assert!(answer.is_err(), "{protocol:?} to {scheme}: {answer:?}");
        }
        world.events.line("responded 200 cell cell_reset cut").await;
    }
}

#[tokio::test]
async fn the_next_endpoint_serves_when_one_refuses() {
    let (_cell, good) = cell("a", ServerTls::plain()).await;
    let (_socket, dead) = closed_port();
    let endpoints = serde_json::json!([
        {"url": format!("http://127.0.0.1:{dead}")},
        {"url": format!("http://127.0.0.1:{good}")},
    ]);
    let world = start(plain(registry(endpoints))).await;
    let client = world.client(Protocol::Http1);
    // The order rotates, so two requests see both orders.
    for _ in 0..2 {
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    world.events.line("cell failed cell_unreachable").await;
}

#[tokio::test]
async fn a_cell_that_refuses_connections_is_unreachable() {
    let (_socket, dead) = closed_port();
    for scheme in ["http", "h2c"] {
        let world = start(plain(registry(plain_endpoint(scheme, dead)))).await;
        let client = world.client(Protocol::Http2);
        let answer = client.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
        assert_eq!(reason(&answer), "cell_unreachable");
    }
}

#[tokio::test]
async fn connections_to_a_cell_are_used_again() {
    for (scheme, tls) in cells() {
        let (counted, port) = counted(tls).await;
        let world = start(plain(registry(plain_endpoint(scheme, port)))).await;
        let mut connection = world.client(Protocol::Http1).connect().await.unwrap();
        for _ in 0..5 {
            let answer = connection.send(Request::get("/")).await.unwrap();
            assert_eq!(answer.status, StatusCode::OK);
        }
        assert_eq!(
            counted.load(std::sync::atomic::Ordering::Relaxed),
            1,
            "{scheme}"
        );
    }
}

#[tokio::test]
async fn concurrent_requests_share_one_http2_connection() {
    let (counted, port) = counted(ServerTls::plain_h2()).await;
    let world = start(plain(registry(plain_endpoint("h2c", port)))).await;
    let requests: Vec<_> = (0..20)
        .map(|_| {
            let client = world.client(Protocol::Http1);
            tokio::spawn(async move { client.send(Request::get("/")).await.unwrap().status })
        })
        .collect();
    for request in requests {
        assert_eq!(request.await.unwrap(), StatusCode::OK);
    }
    assert_eq!(counted.load(std::sync::atomic::Ordering::Relaxed), 1);
}

/// A cell behind a relay that counts connections.
async fn counted(tls: ServerTls) -> (Arc<AtomicUsize>, u16) {
    let (_cell, cell_port) = cell("a", tls).await;
    let count = Arc::new(AtomicUsize::new(0));
    let counting = count.clone();
    let port = played(move |mut near| {
        counting.fetch_add(1, Ordering::Relaxed);
        async move {
            let cell = TcpStream::connect(("127.0.0.1", cell_port)).await;
            let _ = copy_bidirectional(&mut near, &mut cell.unwrap()).await;
        }
    });
    (count, port.await)
}

#[tokio::test]
async fn a_pooled_connection_that_closed_costs_no_request() {
    // Answers one request on each connection, and then closes without announcing it.
    let port = played(|mut stream| async move {
        receive(&mut stream).await;
        let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";
        let _ = stream.write_all(answer).await;
    });
    let world = start(plain(registry(plain_endpoint("http", port.await)))).await;
    let mut connection = world.client(Protocol::Http1).connect().await.unwrap();
    for _ in 0..4 {
        let answer = connection.send(Request::get("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
}

#[tokio::test]
async fn grpc_is_refused_in_its_own_terms() {
    let (_socket, dead) = closed_port();
    let world = start(plain(registry(plain_endpoint("h2c", dead)))).await;
    let (name, value) = header("content-type", "application/grpc+proto");
    let mut request = Request::get("/service/method").header(name, value);
    request.method = Method::POST;
    let answer = world.client(Protocol::Http2).send(request).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["grpc-status"], "14");
    assert_eq!(answer.headers["content-type"], "application/grpc");
    assert!(answer.body.is_empty());
}

#[tokio::test]
async fn a_full_cell_refuses_at_once() {
    let (port, asked) = silent().await;
    let mut settings = plain(registry(plain_endpoint("http", port)));
    settings.upstream.limits.requests_max = 1;
    let world = start(settings).await;
    let stuck = world.client(Protocol::Http2);
    let first = tokio::spawn(async move { stuck.send(Request::get("/")).await });
    asked.notified().await;
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&answer), "overloaded");
    assert_eq!(answer.headers["retry-after"], "5");
    // The place is free again when its holder is gone, even without an answer.
    first.abort();
    world.events.line("responded none client - cut").await;
    let again = tokio::spawn(async move { client.send(Request::get("/")).await });
    asked.notified().await;
    again.abort();
}

#[tokio::test]
async fn a_cell_may_not_switch_protocols_unasked() {
    let port = scripted(b"HTTP/1.1 101 Switching Protocols\r\n\r\n").await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let client = world.client(Protocol::Http1);
    let (name, value) = header("upgrade", "websocket");
    let (connection, upgrade) = header("connection", "upgrade");
    let request = Request::get("/")
        .header(name, value)
        .header(connection, upgrade);
    assert_eq!(
        reason(&client.send(request).await.unwrap()),
        "cell_protocol_error"
    );
}

#[tokio::test]
async fn what_is_not_http_is_the_cells_fault() {
    let port = scripted(b"SSH-2.0-OpenSSH_9.2\r\n").await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let answer = world
        .client(Protocol::Http1)
        .send(Request::get("/"))
        .await
        .unwrap();
    assert_eq!(reason(&answer), "cell_protocol_error");
    assert_eq!(answer.status, StatusCode::BAD_GATEWAY);
}
