//! gRPC callers: their deadlines, and answers that break off.

use std::time::Duration;

use cellway_core::headers::GRPC_TIMEOUT;
use cellway_testbed::{Protocol, Request, ServerTls};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, StatusCode};
use serde_json::Value;

use crate::cells::{http2, silent};
use crate::frames::{INTERNAL_ERROR, trailers_of};
use crate::world::{
    World, body, cell, closed_port, plain, plain_endpoint, reason, registry, start,
};

const GRPC: HeaderValue = HeaderValue::from_static("application/grpc");

fn call(timeout: &'static str) -> Request {
    Request::get("/test.Service/Method")
        .header(CONTENT_TYPE, GRPC)
        .header(GRPC_TIMEOUT, HeaderValue::from_static(timeout))
}

async fn before(scheme: &str, port: u16) -> World {
    start(plain(registry(plain_endpoint(scheme, port)))).await
}

/// Catches: a deadline that the router doesn't keep by itself.
#[tokio::test]
async fn a_deadline_ends_the_call_though_the_cell_is_silent() {
    let (port, _asked) = silent().await;
    let world = before("http", port).await;
    let client = world.client(Protocol::Http2);
    for timeout in ["150m", "0m"] {
        let answer = client.send(call(timeout)).await.unwrap();
        assert_eq!(answer.headers["grpc-status"], "4");
        assert_eq!(answer.headers["grpc-message"], "cell_timeout_total");
    }
}

/// Catches: a cell that is told another deadline than is left, and fields of other requests that
/// are changed.
#[tokio::test]
async fn the_cell_is_told_what_is_left() {
    for (scheme, tls) in [("http", ServerTls::plain()), ("h2c", ServerTls::plain_h2())] {
        let (_cell, port) = cell("a", tls).await;
        let world = before(scheme, port).await;
        let client = world.client(Protocol::Http2);
        let told = async |request| {
            let echo = body(&client.send(request).await.unwrap());
            let told = echo["headers"].get("grpc-timeout").and_then(Value::as_str);
            told.unwrap_or_default().to_owned()
        };
        let left = told(call("50S")).await;
        let micros = left.strip_suffix('u').unwrap().parse().unwrap();
        let left = Duration::from_micros(micros);
        assert!(left < Duration::from_secs(50) && left > Duration::from_secs(20));
        // Not a timeout, so nobody may make one of it.
        assert_eq!(told(call("soon")).await, "soon");
        let other = HeaderValue::from_static("application/json");
        let mut request = call("50S");
        request.headers.insert(CONTENT_TYPE, other);
        assert_eq!(told(request).await, "50S");
    }
}

/// Catches: a gRPC answer that ends with a reset, of which clients make a status that says less.
#[tokio::test]
async fn an_answer_that_breaks_off_ends_with_a_status() {
    // With the length of a whole answer, too.
    for (kind, length, status) in [
        ("application/grpc", None, Some("14")),
        ("application/grpc", Some("9"), Some("14")),
        ("text/plain", None, None),
    ] {
        let port = http2(move |mut frames, id| async move {
            let mut head = vec![(":status", "200"), ("content-type", kind)];
            head.extend(length.map(|length| ("content-length", length)));
            frames.fields(id, &trailers_of(&head), false).await;
            frames.data(id, b"part", false).await;
            frames.reset(id, INTERNAL_ERROR).await;
            Some(frames)
        })
        .await;
        let world = before("h2c", port).await;
        let answer = world.client(Protocol::Http2).send(call("50S")).await;
        match status {
            Some(status) => {
                let answer = answer.unwrap();
                let trailers = &answer.trailers;
                assert!(trailers.contains_key("grpc-status"), "{answer:?}");
                assert_eq!(trailers["grpc-status"], status);
                assert_eq!(trailers["grpc-message"], "cell_reset");
            }
            None => assert!(answer.is_err(), "{answer:?}"),
        }
        let line = "responded 200 cell cell_reset cut";
        world.events.line(line).await;
    }
}

/// Catches: a refusal that says 200 to a client that is no gRPC client, because gRPC needs HTTP/2.
#[tokio::test]
async fn a_refusal_over_http1_has_its_own_status() {
    let (_held, dead) = closed_port();
    let world = before("http", dead).await;
    let answer = world.client(Protocol::Http1).send(call("50S")).await;
    let answer = answer.unwrap();
    assert!(answer.status.is_server_error(), "{}", answer.status);
    assert_eq!(reason(&answer), "cell_unreachable");
    let answer = world.client(Protocol::Http2).send(call("50S")).await;
    let answer = answer.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(answer.headers["grpc-status"], "14");
}
