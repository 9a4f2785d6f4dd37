//! Requests that a cell didn't serve: which of them are sent again, and how often.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use cellway_router::RETRIES_RESERVE;
use cellway_router::settings::{RouterSettings, TrafficSettings};
use cellway_testbed::{Protocol, Request};
use http::{Method, StatusCode};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::cells::{self, played};
use crate::frames::{Came, Frames, INTERNAL_ERROR, NO_ERROR, REFUSED_STREAM, head_of, interim_of};
use crate::world::{World, plain, plain_endpoint, reason, registry, start};

type Cell = Frames<TcpStream>;

/// Counts the requests that reached a cell.
#[derive(Clone, Default)]
struct Seen(Arc<AtomicUsize>);

impl Seen {
    /// Counts one request, and returns how many came before it.
    fn add(&self) -> usize {
        self.0.fetch_add(1, Ordering::Relaxed)
    }

    fn count(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

/// An HTTP/2 cell that runs `serve` for each request, with the number of requests before it.
async fn http2<F>(
    seen: &Seen,
    serve: impl Fn(Cell, u32, usize) -> F + Copy + Send + Sync + 'static,
) -> u16
where
    F: Future<Output = Cell> + Send + 'static,
{
    let seen = seen.clone();
    cells::http2(move |cell, id| {
        let serving = serve(cell, id, seen.add());
        async move { Some(serving.await) }
    })
    .await
}

/// An HTTP/1.1 cell that serves the first request of each connection. At the next request it sends
/// `last_words` and closes.
async fn closes_kept(seen: &Seen, last_words: &'static [u8]) -> u16 {
    let seen = seen.clone();
    played(move |mut stream| {
        let seen = seen.clone();
        async move {
            let mut buffer = [0; 4096];
            let _ = stream.read(&mut buffer).await;
            seen.add();
            let served = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\nserved";
            let _ = stream.write_all(served).await;
            if matches!(stream.read(&mut buffer).await, Ok(n) if n > 0) {
                seen.add();
                let _ = stream.write_all(last_words).await;
            }
        }
    })
    .await
}

async fn refuses_first(mut cell: Cell, id: u32, before: usize) -> Cell {
    match before {
        0 => cell.reset(id, REFUSED_STREAM).await,
        _ => echo(&mut cell, id).await,
    }
    cell
}

async fn leaves_at_first(mut cell: Cell, id: u32, before: usize) -> Cell {
    match before {
        0 => cell.go_away(0, NO_ERROR).await,
        _ => echo(&mut cell, id).await,
    }
    cell
}

/// Answers with the request's body.
async fn echo(cell: &mut Cell, id: u32) {
    let body = cell.bodies.remove(&id).unwrap_or_default();
    cell.head(id).await;
    cell.data(id, &[b"served ", &*body].concat(), true).await;
}

async fn refuses(mut cell: Cell, id: u32, _: usize) -> Cell {
    cell.reset(id, REFUSED_STREAM).await;
    cell
}

/// Breaks off after the first part of an answer.
async fn hints_and_breaks(mut cell: Cell, id: u32, _: usize) -> Cell {
    let hints = interim_of("103", &[("link", "</a.css>")]);
    cell.fields(id, &hints, false).await;
    cell.reset(id, INTERNAL_ERROR).await;
    cell
}

async fn breaks(mut cell: Cell, id: u32, _: usize) -> Cell {
    cell.reset(id, INTERNAL_ERROR).await;
    cell
}

/// At the second request, sends a GOAWAY that says the request was processed, and closes the
/// connection.
async fn leaves_and_closes(mut cell: Cell, id: u32, before: usize) -> Cell {
    match before {
        1 => {
            cell.go_away(id, NO_ERROR).await;
            cell.close().await;
        }
        _ => cell.answer(id).await,
    }
    cell
}

async fn world(endpoints: serde_json::Value, change: impl FnOnce(&mut RouterSettings)) -> World {
    let mut settings = plain(registry(endpoints));
    change(&mut settings);
    start(settings).await
}

fn request(method: Method) -> Request {
    let mut request = Request::get("/a?b=c");
    request.method = method;
    request
}

async fn answered(world: &World, request: Request) -> (StatusCode, String) {
    let answer = world.client(Protocol::Http2).send(request).await.unwrap();
    let why = match answer.status {
        StatusCode::OK => String::from_utf8(answer.body.to_vec()).unwrap(),
        _ => reason(&answer),
    };
    (answer.status, why)
}

#[tokio::test]
async fn what_the_cell_has_not_processed_is_sent_again_whatever_the_method() {
    for (method, body) in [
        (Method::GET, ""),
        (Method::POST, ""),
        (Method::POST, "an order"),
    ] {
        let (refusing, leaving) = (Seen::default(), Seen::default());
        let ports = [
            ("refused", &refusing, http2(&refusing, refuses_first).await),
            (
                "gone_away",
                &leaving,
                http2(&leaving, leaves_at_first).await,
            ),
        ];
        for (why, seen, port) in ports {
            let world = world(plain_endpoint("h2c", port), |_| ()).await;
            let mut request = request(method.clone());
            request.body = Bytes::from_static(body.as_bytes());
            let answer = answered(&world, request).await;
            assert_eq!(answer, (StatusCode::OK, format!("served {body}")), "{why}");
            assert_eq!(seen.count(), 2, "{why}");
            world.events.line(&format!("retry {why}")).await;
        }
    }
}

#[tokio::test]
async fn what_the_cell_may_have_processed_is_not_sent_again() {
    let reset = (StatusCode::BAD_GATEWAY, "cell_reset".to_owned());
    let seen = Seen::default();
    let port = http2(&seen, breaks).await;
    let broken = world(plain_endpoint("h2c", port), |_| ()).await;
    assert_eq!(answered(&broken, request(Method::GET)).await, reset);
    assert_eq!(seen.count(), 1);
    // After the cell has started to process a request, it is sent again only if it is idempotent.
    for (method, body, status, count) in [
        (Method::POST, "", StatusCode::BAD_GATEWAY, 2),
        (Method::POST, "an order", StatusCode::BAD_GATEWAY, 2),
        (Method::PUT, "", StatusCode::OK, 3),
        (Method::PUT, "an order", StatusCode::OK, 3),
    ] {
        let seen = Seen::default();
        let port = http2(&seen, leaves_and_closes).await;
        let world = world(plain_endpoint("h2c", port), |_| ()).await;
        assert_eq!(
            answered(&world, request(Method::GET)).await.0,
            StatusCode::OK
        );
        let mut request = request(method.clone());
        request.body = Bytes::from_static(body.as_bytes());
        let answer = answered(&world, request).await;
        assert_eq!(answer.0, status, "{method} {body}");
        assert_eq!(seen.count(), count, "{method} {body}");
    }
}

/// Catches: a request that is sent again although a part of its answer came, which may have gone on to the
/// client.
#[tokio::test]
async fn after_the_first_part_of_an_answer_nothing_is_sent_again() {
    let reset = (StatusCode::BAD_GATEWAY, "cell_reset".to_owned());
    let seen = Seen::default();
    let port = http2(&seen, hints_and_breaks).await;
    let world = world(plain_endpoint("h2c", port), |settings| {
        settings.listeners[0].traffic = Arc::new(TrafficSettings {
            retry_resets: true,
            ..TrafficSettings::default()
        });
    })
    .await;
    assert_eq!(answered(&world, request(Method::GET)).await, reset);
    assert_eq!(seen.count(), 1);
}

/// At the second request, sends a header that is larger than the router accepts.
async fn answers_too_much(mut cell: Cell, id: u32, before: usize) -> Cell {
    match before {
        1 => {
            let much = "a".repeat(2 << 20);
            cell.fields(id, &head_of(&[("x-much", &much)]), true).await;
        }
        _ => cell.answer(id).await,
    }
    cell
}

/// Catches: an answer that can't be forwarded but is taken for a connection that broke without an
/// answer.
#[tokio::test]
async fn an_answer_that_is_too_large_is_one() {
    let seen = Seen::default();
    let port = http2(&seen, answers_too_much).await;
    let world = world(plain_endpoint("h2c", port), |_| ()).await;
    assert_eq!(
        answered(&world, request(Method::GET)).await.0,
        StatusCode::OK
    );
    let broken = (StatusCode::BAD_GATEWAY, "cell_protocol_error".to_owned());
    assert_eq!(answered(&world, request(Method::GET)).await, broken);
    assert_eq!(seen.count(), 2);
    world.events.line("cell failed cell_protocol_error").await;
}

#[tokio::test]
async fn another_endpoint_of_the_cell_comes_first() {
    let (refusing, serving) = (Seen::default(), Seen::default());
    let ports = [
        http2(&refusing, refuses).await,
        http2(&serving, |mut cell: Cell, id, _| async move {
            cell.answer(id).await;
            cell
        })
        .await,
    ];
    let endpoints = ports.map(|port| json!({"url": format!("h2c://127.0.0.1:{port}")}));
    let world = world(json!(endpoints), |_| ()).await;
    // The endpoint that a request tries first rotates.
    for _ in 0..2 {
        let (status, _) = answered(&world, request(Method::POST)).await;
        assert_eq!(status, StatusCode::OK);
    }
    assert_eq!([refusing.count(), serving.count()], [1, 2]);
}

#[tokio::test]
async fn a_cell_that_refuses_everything_gets_no_more_than_the_budget() {
    let seen = Seen::default();
    let port = http2(&seen, refuses).await;
    let world = world(plain_endpoint("h2c", port), |_| ()).await;
    const REQUESTS: usize = 40;
    for _ in 0..REQUESTS {
        let refused = (StatusCode::SERVICE_UNAVAILABLE, "cell_refused".to_owned());
        assert_eq!(answered(&world, request(Method::GET)).await, refused);
    }
    // No request was answered, so none has earned a retry.
    assert_eq!(seen.count(), REQUESTS + RETRIES_RESERVE as usize);
    world.events.line("no retry refused").await;
}

#[tokio::test]
async fn with_retries_off_nothing_is_sent_twice() {
    let (refusing, closing) = (Seen::default(), Seen::default());
    let off = |settings: &mut RouterSettings| settings.upstream.retry_percent = 0;
    let port = http2(&refusing, refuses_first).await;
    let refused = world(plain_endpoint("h2c", port), off).await;
    let (status, _) = answered(&refused, request(Method::GET)).await;
    assert_eq!(status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(refusing.count(), 1);
    let port = closes_kept(&closing, b"").await;
    let closed = world(plain_endpoint("http", port), off).await;
    for status in [StatusCode::OK, StatusCode::BAD_GATEWAY] {
        assert_eq!(answered(&closed, request(Method::GET)).await.0, status);
    }
    assert_eq!(closing.count(), 2);
}

#[tokio::test]
async fn a_kept_connection_that_dies_silently_costs_an_idempotent_request_nothing() {
    let table = [
        (Method::GET, &b""[..], StatusCode::OK, 3),
        (Method::DELETE, b"", StatusCode::OK, 3),
        (Method::POST, b"", StatusCode::BAD_GATEWAY, 2),
        // The answer has started.
        (Method::GET, b"HTTP/1.1 2", StatusCode::BAD_GATEWAY, 2),
    ];
    for (method, last_words, status, count) in table {
        let seen = Seen::default();
        let port = closes_kept(&seen, last_words).await;
        let world = world(plain_endpoint("http", port), |_| ()).await;
        for expected in [StatusCode::OK, status] {
            let answer = answered(&world, request(method.clone())).await;
            assert_eq!(answer.0, expected, "{method} {answer:?}");
        }
        assert_eq!(seen.count(), count, "{method}");
    }
}

#[tokio::test]
async fn a_new_connection_that_dies_silently_is_the_cells_failure() {
    let seen = Seen::default();
    let counting = seen.clone();
    let port = played(move |mut stream| {
        let seen = counting.clone();
        async move {
            let _ = stream.read(&mut [0; 4096]).await;
            seen.add();
        }
    })
    .await;
    let world = world(plain_endpoint("http", port), |_| ()).await;
    let reset = (StatusCode::BAD_GATEWAY, "cell_reset".to_owned());
    assert_eq!(answered(&world, request(Method::GET)).await, reset);
    assert_eq!(seen.count(), 1);
}

/// A server may close each connection after a few requests, when the next request may already be
/// sent. These are more requests than the budget has retries.
#[tokio::test]
async fn connections_that_a_cell_closes_in_order_need_no_budget() {
    const REQUESTS: usize = 4 * RETRIES_RESERVE as usize;
    let seen = Seen::default();
    let counting = seen.clone();
    let port = played(move |stream| {
        let seen = counting.clone();
        async move {
            let mut cell = Frames::greet(stream).await;
            let mut served = None;
            while let Some(came) = cell.next().await {
                match (came, served) {
                    (Came::End(id), None) => {
                        seen.add();
                        cell.answer(id).await;
                        served = Some(id);
                    }
                    (Came::End(_), Some(last)) => cell.go_away(last, NO_ERROR).await,
                    _ => {}
                }
            }
        }
    })
    .await;
    let world = world(plain_endpoint("h2c", port), |_| ()).await;
    let mut connection = world.client(Protocol::Http2).connect().await.unwrap();
    for _ in 0..REQUESTS {
        let answer = connection.send(request(Method::POST)).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
    assert_eq!(seen.count(), REQUESTS);
    world.events.line("retry gone_away").await;
}

/// Some servers close each connection after a number of requests.
#[tokio::test]
async fn a_cell_that_closes_each_connection_after_one_answer_loses_nothing() {
    let seen = Seen::default();
    let port = http2(&seen, |mut cell: Cell, id, _| async move {
        cell.answer(id).await;
        cell.go_away(id, NO_ERROR).await;
        cell.close().await;
        cell
    })
    .await;
    let world = world(plain_endpoint("h2c", port), |_| ()).await;
    let mut connection = world.client(Protocol::Http2).connect().await.unwrap();
    for _ in 0..50 {
        let answer = connection.send(request(Method::GET)).await.unwrap();
        assert_eq!(answer.status, StatusCode::OK);
    }
}
