//! The router's own answers that have no body: to `HEAD`, to preflights, and to gRPC callers.

use cellway_router::admin::Audience;
use cellway_testbed::{Protocol, Request};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderValue, Method, StatusCode};

use crate::answer_before_body::refusing;
use crate::health_service::{client, pages};

fn head(path: &str) -> Request {
    Request {
        method: Method::HEAD,
        ..Request::get(path)
    }
}

/// Catches: text after an answer to `HEAD`, which makes an HTTP/2 client reset the stream, and an access
/// log that calls the answer cut.
#[tokio::test]
async fn an_answer_to_head_has_only_the_length_of_its_text() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let world = refusing().await;
        let answer = world.client(protocol).send(head("/")).await.unwrap();
        assert_eq!(answer.status, StatusCode::UNAUTHORIZED);
        assert_ne!(answer.headers[CONTENT_LENGTH], "0");
        assert!(answer.body.is_empty(), "{protocol:?}");
        let whole = "responded 401 router missing_certificate whole";
        world.events.line(whole).await;

        let at = pages(&world.handle, Audience::Everybody).await;
        for path in ["/healthz", "/readyz", "/no-page"] {
            let whole = client(at, protocol).send(Request::get(path)).await.unwrap();
            let answer = client(at, protocol).send(head(path)).await.unwrap();
            assert_eq!(answer.status, whole.status, "{path}");
            let length = whole.body.len().to_string();
            assert_eq!(answer.headers[CONTENT_LENGTH], length, "{path}");
            assert!(answer.body.is_empty(), "{protocol:?} {path}");
        }
    }
}

/// Catches: an access log that calls an answer without a body cut.
#[tokio::test]
async fn an_answer_without_a_body_is_whole() {
    let world = refusing().await;
    let call = Request {
        method: Method::POST,
        ..Request::get("/a.B/C")
    };
    let call = call.header(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    let answer = world.client(Protocol::Http2).send(call).await.unwrap();
    assert_eq!(answer.headers["grpc-status"], "16");
    let whole = "responded 200 router missing_certificate whole";
    world.events.line(whole).await;
}
