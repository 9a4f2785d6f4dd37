use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

use super::super::{Faults, Requests};
use super::*;

/// Sends the pieces one after the other, and reads each before the next through a small buffer.
/// Returns what was read, and the fault that ended it.
async fn through<S: Side + Unpin>(side: S, pieces: &[&[u8]]) -> (Vec<u8>, Option<MessageError>) {
    let (near, mut far) = duplex(1024);
    let mut guarded = Guarded::new(near, side);
    let mut read = Vec::new();
    for piece in pieces {
        far.write_all(piece).await.unwrap();
        // Read everything that is there. The guard waits for more.
        let mut some = [0; 7];
        loop {
            let polled = once(guarded.read(&mut some)).await;
            match polled {
                Poll::Pending => break,
                Poll::Ready(Ok(n)) => read.extend_from_slice(&some[..n]),
                Poll::Ready(Err(error)) => {
                    let fault = error.get_ref().and_then(|it| it.downcast_ref());
                    return (read, fault.copied());
                }
            }
        }
    }
    (read, None)
}

/// Polls once, without tokio's cooperative budget.
async fn once<F: Future>(future: F) -> Poll<F::Output> {
    let mut future = std::pin::pin!(tokio::task::unconstrained(future));
    std::future::poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await
}

const GOOD: &[u8] = b"POST /1 HTTP/1.1\r\ncontent-length: 2\r\n\r\nhi";

#[tokio::test]
async fn good_bytes_pass_unchanged_however_they_are_cut() {
    let twice = [GOOD, GOOD].concat();
    for cut in 1..twice.len() {
        let (head, tail) = twice.split_at(cut);
        let faults = Arc::new(Faults::default());
        let (read, fault) = through(Requests::new(faults, Arc::default()), &[head, tail]).await;
        assert_eq!((read, fault), (twice.clone(), None), "cut at {cut}");
    }
}

#[tokio::test]
async fn a_malformed_request_is_replaced_and_its_place_noted() {
    for cut in 1..GOOD.len() {
        let faults = Arc::new(Faults::default());
        let bytes = [GOOD, b"GET / HTTP/1.1\nhost: a\r\n\r\nGET /swallowed "].concat();
        let (head, tail) = bytes.split_at(GOOD.len() + cut.min(20));
        let side = Requests::new(faults.clone(), Arc::default());
        let (read, fault) = through(side, &[head, tail]).await;
        let rest = read.strip_prefix(GOOD).expect("what came before");
        assert_eq!((rest, fault), (super::super::requests::GET, None));
        assert_eq!(faults.next_request(), None);
        assert_eq!(faults.next_request(), Some(MessageError::BareLf));
        assert_eq!(faults.next_request(), None);
    }
}

#[tokio::test]
async fn a_fault_in_a_body_is_an_error_and_noted() {
    let faults = Arc::new(Faults::default());
    let good: &[u8] = b"POST / HTTP/1.1\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhi\r\n";
    let side = Requests::new(faults.clone(), Arc::default());
    let (read, fault) = through(side, &[good, b"0;", b"x\r\n\r\n"]).await;
    assert_eq!(read, good);
    assert_eq!(fault, Some(MessageError::ChunkExtension));
    assert_eq!(faults.in_body(), fault);
}
