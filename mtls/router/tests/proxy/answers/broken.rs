//! Answers that are broken as soon as they begin.

use cellway_testbed::{ClientError, Protocol, Request};
use http::Method;

use super::{End, ask, before, refused, says};

const CHUNKED: &str = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";

/// Catches: a client that gets no byte of an answer that the log calls a 200.
#[tokio::test]
async fn an_answer_whose_body_is_broken_from_the_start_is_refused() {
    let answer = [CHUNKED, "x\r\n"].concat();
    let world = before("http", says(answer.as_bytes(), End::Open).await).await;
    refused(&world, "a bad chunk").await;
    world
        .events
        .line("responded 502 router cell_protocol_error whole")
        .await;
    let lines = world.events.lines();
    assert!(
        !lines.iter().any(|line| line.contains(" 200 ")),
        "{lines:?}"
    );
}

/// Catches: a header and good pieces that are discarded together with the bad one after them.
#[tokio::test]
async fn what_came_before_the_bad_piece_reaches_the_client() {
    let answer = [CHUNKED, "4\r\nhalf\r\n", "x\r\n"].concat();
    let world = before("http", says(answer.as_bytes(), End::Open).await).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let error = world.client(protocol).send(Request::get("/")).await;
        let error = error.unwrap_err();
        assert!(matches!(error, ClientError::Body(_)), "{error:?}");
    }
    let lines = world.events.lines();
    for line in [
        "responded 200 cell cell_protocol_error cut",
        "4 bytes to the client",
    ] {
        let count = lines.iter().filter(|logged| *logged == line).count();
        assert_eq!(count, 2, "{line}: {lines:?}");
    }
}

/// Catches: a length that lacks what came with the header, or an answer that seems to be over because
/// all of it came with the header.
#[tokio::test]
async fn an_answer_that_comes_at_once_is_whole() {
    for (fields, body) in [
        ("content-length: 2", "ok"),
        ("transfer-encoding: chunked", "2\r\nok\r\n0\r\n\r\n"),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{fields}\r\n\r\n{body}");
        let world = before("http", says(answer.as_bytes(), End::Open).await).await;
        for (protocol, answer) in ask(&world, Method::GET).await {
            assert_eq!(answer.unwrap().body, "ok", "{fields} {protocol:?}");
        }
    }
}
