//! Interim answers (RFC 9110, section 15.2) of HTTP/2 cells.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cellway_testbed::{Protocol, Request};
use http::StatusCode;
use tokio::net::TcpStream;
use tokio::sync::Notify;

use crate::cells::http2;
use crate::frames::{Frames, head_of, interim_of};
use crate::interim;
use crate::raw::Raw;
use crate::world::{World, plain, plain_endpoint, reason, registry, start};

const GET: &str = "GET / HTTP/1.1\r\nhost: a\r\n\r\n";

async fn world(port: u16) -> World {
    start(plain(registry(plain_endpoint("h2c", port)))).await
}

async fn answer(cell: &mut Frames<TcpStream>, id: u32) {
    let head = head_of(&[("content-length", "2")]);
    cell.fields(id, &head, false).await;
    cell.data(id, b"ok", true).await;
}

/// A router before a cell that answers each request with these heads, and then with 200.
async fn before(heads: Vec<Vec<u8>>) -> World {
    let heads = Arc::new(heads);
    let port = http2(move |mut cell: Frames<TcpStream>, id| {
        let heads = heads.clone();
        async move {
            for head in &*heads {
                cell.fields(id, head, false).await;
            }
            answer(&mut cell, id).await;
            Some(cell)
        }
    });
    world(port.await).await
}

fn hints() -> Vec<u8> {
    interim_of("103", &[("link", "</a.css>; rel=preload")])
}

/// Catches: hints that are lost, or wait for the final answer, and names of the router's that pass in
/// them.
#[tokio::test]
async fn hints_come_before_the_cell_has_answered_and_without_forbidden_fields() {
    let heard = Arc::new(Notify::new());
    let go_on = heard.clone();
    let port = http2(move |mut cell: Frames<TcpStream>, id| {
        let go_on = go_on.clone();
        async move {
            let hints = interim_of(
                "103",
                &[
                    ("link", "</a.css>; rel=preload"),
                    ("link", "</b.js>; rel=preload"),
                    ("x-cellway-tenant", "globex"),
                    ("x_cellway_reason", "forged"),
                ],
            );
            cell.fields(id, &hints, false).await;
            go_on.notified().await;
            answer(&mut cell, id).await;
            Some(cell)
        }
    });
    let world = world(port.await).await;
    let mut client = Raw::new(&world).await;
    client.send(GET).await;
    let head = client.head().await;
    let expected = "http/1.1 103 early hints\r\nlink: </a.css>; rel=preload\r\n\
                    link: </b.js>; rel=preload";
    assert_eq!(head.trim_end(), expected);
    heard.notify_one();
    assert_eq!(client.statuses().await, [200]);
}

#[tokio::test]
async fn all_pass_in_order_but_100() {
    let [first, second, third] = ["100", "102", "199"].map(|status| interim_of(status, &[]));
    let world = before(vec![first, second, third, hints()]).await;
    let mut client = Raw::new(&world).await;
    for _ in 0..3 {
        client.send(GET).await;
        assert_eq!(client.statuses().await, [102, 199, 103, 200]);
    }
}

/// Catches: hints that reach only one of the client's streams, or the wrong one.
#[tokio::test]
async fn http2_clients_get_them_too() {
    let [first, second] = ["100", "102"].map(|status| interim_of(status, &[]));
    let world = before(vec![first, second, hints()]).await;
    let mut client = interim::http2(&world).await;
    let answers: Vec<_> = (0..3)
        .map(|_| client.send_request(interim::get(), true).unwrap().0)
        .collect();
    for answer in answers {
        assert_eq!(interim::statuses(answer).await, [102, 103, 200]);
    }
}

/// Catches: a cell that fills the router's memory, and one that keeps its client from its answer.
#[tokio::test]
async fn a_flood_is_cut_and_the_answer_comes() {
    let large = interim_of("103", &[("link", &"x".repeat(9000))]);
    for (head, count, passed) in [(hints(), 500, 32), (large, 5, 3)] {
        let world = before(vec![head; count]).await;
        let mut client = Raw::new(&world).await;
        for _ in 0..2 {
            client.send(GET).await;
            let statuses = client.statuses().await;
            assert_eq!(statuses.len(), passed + 1, "{passed} and the answer");
        }
    }
}

/// RFC 9113, section 8.6.
#[tokio::test]
async fn a_101_is_an_error() {
    let world = before(vec![interim_of("101", &[])]).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let answer = world
            .client(protocol)
            .send(Request::get("/"))
            .await
            .unwrap();
        assert_eq!(answer.status, StatusCode::BAD_GATEWAY, "{protocol:?}");
        assert_eq!(reason(&answer), "cell_protocol_error", "{protocol:?}");
    }
}

/// Catches: a request that is sent again although its cell has begun to answer.
#[tokio::test]
async fn a_cell_that_breaks_off_after_hints_is_not_asked_again() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    let port = http2(move |mut cell: Frames<TcpStream>, id| {
        let before = counted.fetch_add(1, Ordering::Relaxed);
        async move {
            if before == 1 {
                cell.fields(id, &hints(), false).await;
                return None;
            }
            answer(&mut cell, id).await;
            Some(cell)
        }
    });
    let world = world(port.await).await;
    let client = world.client(Protocol::Http1);
    let answer = client.send(Request::get("/")).await.unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    let broken = client.send(Request::get("/")).await.unwrap();
    assert_eq!(reason(&broken), "cell_reset");
    assert_eq!(asked.load(Ordering::Relaxed), 2);
}
