use std::future::poll_fn;
use std::time::Duration;

use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::time::timeout;

use super::*;
use crate::data_plane::http1::testing::{body, request, source};

/// A rest that waits for a cell that doesn't read.
async fn waiting() -> (Rest, Outlasting, DuplexStream) {
    let (here, there) = duplex(16);
    let upload = {
        let (head, body) = request(&[], body(&["hello"]).await).into_parts();
        upload(&head, body, BytesMut::new())
    };
    let (mut rest, outlasting) = Rest::new(upload, Io::new(here));
    let pending = poll_fn(|cx| Poll::Ready(Pin::new(&mut rest).poll(cx).is_pending())).await;
    assert!(pending);
    (rest, outlasting, there)
}

/// Catches: a task that waits forever for a cell, or a connection that is used again although the cell has
/// not got all of the request.
#[tokio::test]
async fn the_rest_ends_with_the_connection_or_tells_that_it_is_whole() {
    let (rest, mut outlasting, cell) = waiting().await;
    assert_eq!(outlasting.is_whole(), None);
    drop(outlasting);
    rest.await;
    drop(cell);

    let (rest, mut outlasting, mut cell) = waiting().await;
    let mut got = [0; 256];
    let reading = async {
        while !String::from_utf8_lossy(&got).contains("0\r\n\r\n") {
            let at = got.iter().position(|byte| *byte == 0).unwrap();
            assert!(cell.read(&mut got[at..]).await.unwrap() > 0);
        }
    };
    tokio::join!(rest, reading);
    assert_eq!(outlasting.is_whole(), Some(true));
}

/// Catches: a cell that waits for the rest of a body that has broken off, and a connection that is used
/// again although its cell takes the next request for that rest.
#[tokio::test(start_paused = true)]
async fn a_rest_that_breaks_off_ends_what_is_sent() {
    let (here, mut cell) = duplex(1024);
    let io = Io::new(here);
    let (body, source) = source().await;
    let upload = {
        let (head, body) = request(&[], body).into_parts();
        upload(&head, body, BytesMut::new())
    };
    let (rest, mut outlasting) = Rest::new(upload, io.clone());
    drop(source);
    rest.await;
    assert_eq!(outlasting.is_whole(), Some(false));
    let mut got = Vec::new();
    let read = timeout(Duration::from_secs(1), cell.read_to_end(&mut got)).await;
    read.expect("the cell sees the end").unwrap();
    assert!(!got.ends_with(b"0\r\n\r\n"));
}

/// Catches: a connection that is used again although its cell reads no more.
#[tokio::test]
async fn a_rest_that_cannot_be_written_is_not_whole() {
    let (rest, mut outlasting, cell) = waiting().await;
    drop(cell);
    rest.await;
    assert_eq!(outlasting.is_whole(), Some(false));
}
