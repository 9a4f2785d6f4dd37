//! How a router drains.

use std::time::Duration;

use cellway_testbed::{CellFault, Protocol, Request, ServerTls};
use http::StatusCode;
use tokio::net::TcpStream;

use crate::cells::silent;
use crate::world::{cell, plain, plain_endpoint, registry, start};

#[tokio::test]
async fn what_is_in_flight_finishes_and_nothing_new_begins() {
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let (cell, port) = cell("a", ServerTls::plain()).await;
        cell.set_fault(CellFault::Slow(Duration::from_millis(300)));
        let world = start(plain(registry(plain_endpoint("http", port)))).await;
        let silent = TcpStream::connect(("127.0.0.1", world.port)).await.unwrap();
        let idle = world.client(protocol).connect().await.unwrap();
        let client = world.client(protocol);
        let asking = tokio::spawn(async move { client.send(Request::get("/")).await });
        while cell.arrivals() == 0 {
            tokio::task::yield_now().await;
        }
        let drained = world.handle.drain(Duration::from_secs(20)).await;
        assert_eq!(drained.abandoned, 0, "{protocol:?}");
        assert_eq!(asking.await.unwrap().unwrap().status, StatusCode::OK);
        world.events.line("closed drain").await;
        assert!(TcpStream::connect(("127.0.0.1", world.port)).await.is_err());
        let timed_out = "closed first_byte_timeout".to_owned();
        assert!(
            !world.events.lines().contains(&timed_out),
            "nobody waits for the silent"
        );
        drop((idle, silent));
    }
}

#[tokio::test]
async fn what_is_left_at_the_deadline_is_cut_and_counted() {
    let (port, asked) = silent().await;
    let world = start(plain(registry(plain_endpoint("http", port)))).await;
    let client = world.client(Protocol::Http1);
    let asking = tokio::spawn(async move { client.send(Request::get("/")).await });
    asked.notified().await;
    let drained = world.handle.drain(Duration::from_millis(100)).await;
    assert_eq!(drained.abandoned, 1);
    assert!(asking.await.unwrap().is_err());
}
