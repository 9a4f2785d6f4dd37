#![expect(
    clippy::disallowed_methods,
    reason = "a test's tasks end with its runtime"
)]

use h2::{client, server};
use http::{Request, Response};
use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::*;

/// Both ends of a stream whose windows have this size: the client's, and the server's.
async fn both(window: u32) -> (StreamBytes, StreamBytes) {
    let (near, far) = duplex(1 << 16);
    let (sender, bytes) = tokio::sync::oneshot::channel();
    tokio::spawn(async move {
        let mut builder = server::Builder::new();
        let opening = builder
            .initial_window_size(window)
            .handshake::<_, Bytes>(far);
        let mut connection = opening.await.unwrap();
        let (request, mut respond) = connection.accept().await.unwrap().unwrap();
        let to = respond.send_response(Response::new(()), false).unwrap();
        let _ = sender.send(StreamBytes::new(request.into_body(), to));
        // It would keep the stream open.
        drop(respond);
        while connection.accept().await.is_some() {}
    });
    let mut builder = client::Builder::new();
    let opening = builder
        .initial_window_size(window)
        .handshake::<_, Bytes>(near);
    let (mut sender, connection) = opening.await.unwrap();
    tokio::spawn(connection);
    let request = Request::get("http://localhost/").body(()).unwrap();
    let (answer, to) = sender.send_request(request, false).unwrap();
    let from = answer.await.unwrap().into_body();
    (StreamBytes::new(from, to), bytes.await.unwrap())
}

/// Catches: bytes that are lost or stuck because the window is full, and an end that never comes.
#[tokio::test]
async fn bytes_pass_both_ways_and_so_do_the_ends() {
    let (mut near, mut far) = both(1000).await;
    let sent = vec![7; 50_000];
    tokio::spawn(async move {
        let mut came = Vec::new();
        far.read_to_end(&mut came).await.unwrap();
        far.write_all(&came).await.unwrap();
        far.shutdown().await.unwrap();
        // A second time does nothing.
        far.shutdown().await.unwrap();
    });
    near.write_all(&sent).await.unwrap();
    near.shutdown().await.unwrap();
    let mut came = Vec::new();
    near.read_to_end(&mut came).await.unwrap();
    assert!(came == sent, "{} bytes", came.len());
}

/// Catches: an end that takes more bytes than the other can read.
#[tokio::test]
async fn no_more_is_taken_than_the_other_end_has_a_window_for() {
    let (mut near, _far) = both(1000).await;
    let mut cx = Context::from_waker(std::task::Waker::noop());
    let mut taken = 0;
    while let Poll::Ready(count) = Pin::new(&mut near).poll_write(&mut cx, &[7; 300]) {
        taken += count.unwrap();
    }
    assert_eq!(taken, 1000);
}

/// A server needs no more once it has ended, and says so with a reset (RFC 9113, section 8.1). Catches: an
/// end in order that counts as a failure of the server.
#[tokio::test]
async fn a_server_that_needs_no_more_has_ended_in_order() {
    for writes in [false, true] {
        let (mut near, mut far) = both(1000).await;
        far.write_all(b"bye").await.unwrap();
        far.shutdown().await.unwrap();
        let mut came = Vec::new();
        near.read_to_end(&mut came).await.unwrap();
        far.to.send_reset(h2::Reason::NO_ERROR);
        std::future::poll_fn(|cx| near.to.poll_reset(cx))
            .await
            .unwrap();
        if writes {
            near.write_all(b"more").await.unwrap();
        }
        near.shutdown().await.unwrap();
        assert_eq!(came, b"bye");
    }
}

/// A reset may overtake the server's end inside h2. Whoever knows from the bytes that they were whole can end
/// the other direction in order too.
#[tokio::test]
async fn after_a_reset_without_an_error_nothing_more_can_break() {
    let (mut near, mut far) = both(1000).await;
    far.to.send_reset(h2::Reason::NO_ERROR);
    let mut came = Vec::new();
    let error = near.read_to_end(&mut came).await.unwrap_err();
    assert!(is_without_error(&error), "{error}");
    near.write_all(b"more").await.unwrap();
    near.shutdown().await.unwrap();
}

/// Catches: any other reset that counts as an end in order.
#[tokio::test]
async fn any_other_reset_breaks_both_directions() {
    let (mut near, mut far) = both(1000).await;
    far.to.send_reset(h2::Reason::CANCEL);
    let mut came = Vec::new();
    let error = near.read_to_end(&mut came).await.unwrap_err();
    assert!(!is_without_error(&error), "{error}");
    near.write_all(b"more").await.unwrap_err();
    near.shutdown().await.unwrap_err();
}

/// Catches: a tunnel that is cut and looks as if it had ended, to the end that still writes.
#[tokio::test]
async fn an_end_that_is_dropped_breaks_the_other_one() {
    let (mut near, far) = both(1000).await;
    drop(far);
    let written = async {
        while near.write_all(&[7; 100]).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    written.await;
}
