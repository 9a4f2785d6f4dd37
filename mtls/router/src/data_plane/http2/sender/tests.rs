#![expect(
    clippy::disallowed_methods,
    reason = "a test's tasks end with its runtime"
)]

use std::pin::pin;

use h2::server;
use http::Uri;
use tokio::io::{DuplexStream, duplex};
use tokio::task::JoinHandle;

use super::*;

/// A connection to a cell that allows this many streams, and the tasks that run the two sides of it.
async fn connected(streams_max: u32) -> (Http2Sender, JoinHandle<()>, JoinHandle<()>) {
    let (here, there) = duplex(64 * 1024);
    let cell = tokio::spawn(serve(there, streams_max));
    let (sender, running) = Http2Sender::connect(here, None, (100, Arc::default()))
        .await
        .unwrap();
    let running = tokio::spawn(running);
    sender.link.greeted().await;
    (sender, running, cell)
}

/// Takes requests, and answers none.
async fn serve(stream: DuplexStream, streams_max: u32) {
    let mut builder = server::Builder::new();
    let builder = builder.max_concurrent_streams(streams_max);
    let mut connection = builder.handshake::<_, Bytes>(stream).await.unwrap();
    let mut asked = Vec::new();
    while let Some(Ok(request)) = connection.accept().await {
        asked.push(request);
    }
}

fn request() -> Option<Request<RequestBody>> {
    let mut request = Request::new(RequestBody::empty());
    *request.uri_mut() = Uri::from_static("http://cell/");
    Some(request)
}

async fn is_pending<F: Future>(mut future: Pin<&mut F>) -> bool {
    poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx).is_pending())).await
}

/// Catches: requests that are lost with a connection although the cell got nothing of them.
#[tokio::test]
async fn requests_that_wait_for_a_stream_are_kept_if_the_connection_ends() {
    let (sender, running, _cell) = connected(1).await;
    let first = sender.send(&mut request()).await.unwrap();
    // h2 holds one request more than the cell allows.
    let (mut held, mut waiting) = (request(), request());
    {
        let mut held = pin!(sender.send(&mut held));
        assert!(is_pending(held.as_mut()).await);
        let mut waiting = pin!(sender.send(&mut waiting));
        assert!(is_pending(waiting.as_mut()).await);
        running.abort();
        assert!(held.await.is_err());
        assert!(waiting.await.is_err());
    }
    assert!(held.is_none());
    assert!(waiting.is_some());
    assert!(sender.has_ended());
    drop(first);
}

/// Catches: a request that waits for good because the one before it was given up.
#[tokio::test]
async fn the_next_request_is_sent_when_a_stream_has_ended() {
    let (sender, _running, _cell) = connected(1).await;
    let first = sender.send(&mut request()).await.unwrap();
    {
        let mut second = request();
        let mut second = pin!(sender.send(&mut second));
        assert!(is_pending(second.as_mut()).await);
    }
    let mut third = request();
    let third = sender.send(&mut third);
    drop(first);
    assert!(third.await.is_ok());
}

/// Catches: connections that stay open when nobody can send on them any more.
#[tokio::test]
async fn the_connection_closes_when_nobody_can_send_on_it() {
    let (sender, running, cell) = connected(100).await;
    let exchange = sender.send(&mut request()).await.unwrap();
    drop(sender);
    tokio::task::yield_now().await;
    assert!(!running.is_finished());
    drop(exchange);
    running.await.unwrap();
    cell.await.unwrap();
}
