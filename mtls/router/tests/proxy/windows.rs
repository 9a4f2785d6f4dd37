//! Streams of an HTTP/2 connection don't wait for each other: if one side of some streams reads
//! nothing, the others go on.

use std::time::Duration;

use bytes::Bytes;
use cellway_env::Listener;
use cellway_testbed::{ClientError, EchoCell, Request, ServerTls};
use http::StatusCode;
use http_body_util::Full;
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::task::JoinSet;

use crate::memory::{self, Memory};
use crate::world::{plain, plain_endpoint, registry};

/// How many streams stand still.
const STILL: usize = 20;

/// How long the others may take. The clock is paused, so this passes only while all tasks wait.
const PATIENCE: Duration = Duration::from_secs(5);

/// Catches: a window of the connection to a cell that a few clients which read nothing use up, so
/// that nobody gets an answer over it.
#[tokio::test(start_paused = true)]
async fn clients_that_read_nothing_do_not_hold_up_answers_to_others() {
    let env = Memory::new();
    let (listener, port) = env.listen().await;
    let cell = EchoCell::new("a", |_| ());
    tokio::spawn({
        let (cell, env) = (cell.clone(), env.clone());
        async move { cell.serve(env, listener, ServerTls::plain_h2()).await }
    });
    let settings = plain(registry(plain_endpoint("h2c", port)));
    let world = memory::start(&env, settings).await;

    let mut still = JoinSet::new();
    for _ in 0..STILL {
        let client = world.client(PATIENCE * 2);
        let request = Request {
            stops_reading: true,
            ..Request::get("/bytes/8000000")
        };
        still.spawn(async move { client.send(request).await });
    }
    tokio::time::sleep(PATIENCE).await;
    let answer = world
        .client(PATIENCE)
        .send(Request::get("/"))
        .await
        .unwrap();
    assert_eq!(answer.status, StatusCode::OK);
    assert_eq!(still.len(), STILL, "none has ended");
    while let Some(ended) = still.join_next().await {
        assert!(matches!(ended.unwrap(), Err(ClientError::Timeout)));
    }
}

/// Catches: a window of the connection to a client that a few uploads to a cell which reads nothing
/// use up. A proxy in front of the router sends the requests of many tenants over one connection.
#[tokio::test(start_paused = true)]
async fn uploads_that_a_cell_does_not_read_do_not_hold_up_others() {
    let env = Memory::new();
    let (mut listener, port) = env.listen().await;
    let settings = plain(registry(plain_endpoint("http", port)));
    let world = memory::start(&env, settings).await;
    let io = TokioIo::new(world.connect().await);
    let opened = http2::handshake(TokioExecutor::new(), io).await;
    let (sender, connection) = opened.unwrap();
    tokio::spawn(connection);
    let upload = |bytes: usize| {
        let body = Full::new(Bytes::from(vec![b'x'; bytes]));
        let request = http::Request::post("http://localhost/").body(body);
        sender.clone().send_request(request.unwrap())
    };

    let mut still = JoinSet::new();
    let mut unread = Vec::new();
    for _ in 0..STILL {
        still.spawn(upload(1 << 20));
        unread.push(listener.accept().await.unwrap());
    }
    tokio::spawn({
        let env = env.clone();
        let cell = EchoCell::new("a", |_| ());
        async move { cell.serve(env, listener, ServerTls::plain()).await }
    });
    tokio::time::sleep(PATIENCE).await;
    let answer = tokio::time::timeout(PATIENCE, upload(100_000)).await;
    assert_eq!(answer.unwrap().unwrap().status(), StatusCode::OK);
    assert_eq!(still.len(), STILL, "none has ended");
}
