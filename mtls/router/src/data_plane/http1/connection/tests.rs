use std::future::poll_fn;
use std::io::ErrorKind;
use std::time::Duration;

use http::StatusCode;
use tokio::io::{AsyncReadExt, AsyncWriteExt, BufWriter, DuplexStream, duplex};

use super::*;
use crate::data_plane::http1::testing::{request, source};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n";

/// A connection to a cell that reads nothing beyond this many bytes, and the cell's end of it.
fn connected(unread: usize) -> (Http1Connection, DuplexStream) {
    let (here, there) = duplex(unread);
    let limits = AnswerLimits {
        header_bytes_max: 16 * 1024,
        header_fields_max: 100,
    };
    let until = Instant::now() + Duration::from_secs(60);
    (Http1Connection::new(here, limits, until, ()), there)
}

fn slot() -> Option<Request<RequestBody>> {
    Some(Request::new(RequestBody::empty()))
}

/// Catches: a cell that speaks before it is asked, and is blamed for having closed its connection.
#[tokio::test]
async fn a_request_is_not_sent_to_a_cell_that_speaks_first() {
    let (mut connection, mut cell) = connected(1024);
    cell.write_all(b"220 mail.example ESMTP\r\n").await.unwrap();
    let mut slot = slot();
    let error = connection.begin(&mut slot).unwrap_err();
    let unasked = ReadError::Malformed(MessageError::Unasked);
    assert_eq!(error.to_string(), unasked.to_string());
    assert!(slot.is_some());
}

/// Catches: an answer to an earlier request, or to none, that passes as the answer to this one.
#[tokio::test]
async fn an_answer_before_the_first_byte_of_the_request_is_none() {
    for written in [0, 1] {
        // The cell reads nothing more than this.
        let (mut connection, mut cell) = connected(64);
        if written == 0 {
            connection.io.write_all(&[b'x'; 64]).await.unwrap();
        }
        connection.begin(&mut slot()).unwrap();
        cell.write_all(OK).await.unwrap();
        let head = poll_fn(|cx| connection.poll_answer(cx, |_, _| ())).await;
        match written {
            0 => assert!(head.unwrap_err().is_malformed()),
            _ => assert_eq!(head.unwrap().status, StatusCode::OK),
        }
    }
}

/// Catches: an answer to a request of which the cell has got nothing, because the first write fails.
#[tokio::test]
async fn without_a_byte_of_the_request_there_is_no_answer() {
    let (mut connection, mut cell) = connected(64);
    connection.begin(&mut slot()).unwrap();
    cell.write_all(OK).await.unwrap();
    drop(cell);
    let error = answer(&mut connection).await.unwrap_err();
    let kind = error.io().map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::BrokenPipe), "{error}");
}

/// Catches: a connection that is used again although its answer came before the cell had got all of the
/// request. The cell would take the next request for the rest, or the rest for a request.
#[tokio::test]
async fn a_connection_is_not_reusable_after_an_early_answer() {
    for reads in [false, true] {
        let (mut connection, mut cell) = connected(64);
        let mut slot = slot();
        let field = "x".repeat(100).parse().unwrap();
        slot.as_mut().unwrap().headers_mut().insert("x-a", field);
        connection.begin(&mut slot).unwrap();
        cell.write_all(OK).await.unwrap();
        let head = poll_fn(|cx| connection.poll_answer(cx, |_, _| ())).await;
        assert_eq!(head.unwrap().status, StatusCode::OK);
        let (body, rest) = connection.take_body().unwrap();
        let rest = rest.unwrap();
        assert!(connection.is_sending());
        if reads {
            let mut came = Vec::new();
            let reading = async {
                while !came.ends_with(b"\r\n\r\n") {
                    cell.read_buf(&mut came).await.unwrap();
                }
            };
            tokio::join!(rest, reading, connection.sent());
        }
        assert!(!connection.is_reusable(body));
    }
}

async fn answer(connection: &mut Http1Connection) -> Result<AnswerHead, HttpError> {
    poll_fn(|cx| connection.poll_answer(cx, |_, _| ())).await
}

/// Catches: a request that counts as sent although nobody can have got it.
#[tokio::test]
async fn a_request_stays_in_its_slot_if_the_connection_is_closed() {
    let (mut connection, cell) = connected(1024);
    drop(cell);
    let mut slot = slot();
    let error = connection.begin(&mut slot).unwrap_err();
    assert!(matches!(error, ReadError::Closed), "{error}");
    assert!(slot.is_some());
}

/// Catches: an answer that is lost because its cell closed the connection without reading all of the
/// request, and a further request on that connection.
#[tokio::test]
async fn an_answer_counts_although_the_request_breaks_off() {
    let (mut connection, mut cell) = connected(1024);
    let (body, mut chunks) = source().await;
    connection.begin(&mut Some(request(&[], body))).unwrap();
    let pending = poll_fn(|cx| Poll::Ready(connection.poll_answer(cx, |_, _| ()).is_pending()));
    assert!(pending.await, "the header is sent");
    cell.write_all(OK).await.unwrap();
    drop(cell);
    chunks.write_all(b"2\r\nhi\r\n").await.unwrap();
    assert_eq!(
        answer(&mut connection).await.unwrap().status,
        StatusCode::OK
    );
    let (body, rest) = connection.take_body().unwrap();
    assert!(rest.is_none());
    assert!(!connection.is_reusable(body));
}

#[tokio::test]
async fn without_an_answer_the_error_is_that_of_the_write() {
    let (mut connection, cell) = connected(1024);
    connection.begin(&mut slot()).unwrap();
    drop(cell);
    let error = answer(&mut connection).await.unwrap_err();
    let kind = error.io().map(std::io::Error::kind);
    assert_eq!(kind, Some(ErrorKind::BrokenPipe), "{error}");
    assert!(!connection.has_heard());
}

/// Catches: a connection over TLS that ends without `close_notify`.
#[tokio::test]
async fn a_connection_ends_in_order() {
    let (here, mut there) = duplex(64);
    let mut io = Io::new(BufWriter::new(here));
    io.write_all(b"last").await.unwrap();
    drop(io);
    let mut got = Vec::new();
    there.read_to_end(&mut got).await.unwrap();
    assert_eq!(got, b"last");
}
