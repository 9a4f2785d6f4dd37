use std::task::Waker;

use tokio::io::{AsyncReadExt, DuplexStream, duplex};
use tokio::time::Instant;

use super::*;

const HINTS: &[u8] = b"HTTP/1.1 103 Early Hints\r\n\r\n";

/// A connection whose client is `near`.
fn connection() -> (DuplexStream, ClientIo<DuplexStream>, Arc<Activity>) {
    let (near, far) = duplex(1024);
    let activity = Arc::new(Activity::new(Instant::now(), false, 0));
    let io = ClientIo::new(
        Wire::Plain(far),
        Bytes::new(),
        activity.clone(),
        (|_, _| (), Duration::ZERO),
    );
    (near, io, activity)
}

fn is_done<T>(polled: Poll<io::Result<T>>) -> bool {
    matches!(polled, Poll::Ready(Ok(_)))
}

/// Catches: hints that are written into the answer to the request before, because an earlier hint that
/// was left out made it look as if the answer were over.
#[tokio::test]
async fn hints_never_come_within_an_answer() {
    let (mut near, mut io, activity) = connection();
    let mut cx = Context::from_waker(Waker::noop());
    // A part of an answer is written.
    assert!(is_done(
        Pin::new(&mut io).poll_write(&mut cx, b"first half, ")
    ));
    for _ in 0..2 {
        activity.interims().add(HINTS);
        io.send_interims(&mut cx);
        assert!(!activity.interims().any(), "it is left out");
    }
    assert!(is_done(
        Pin::new(&mut io).poll_write(&mut cx, b"second half\n")
    ));
    assert!(is_done(Pin::new(&mut io).poll_flush(&mut cx)));
    activity.interims().add(HINTS);
    io.send_interims(&mut cx);
    drop(io);
    let mut read = Vec::new();
    near.read_to_end(&mut read).await.unwrap();
    assert_eq!(read, [b"first half, second half\n", HINTS].concat());
}

/// A TLS connection whose client has closed TCP without `close_notify`.
struct Unclosed;

impl AsyncRead for Unclosed {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        _: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()))
    }
}

impl AsyncWrite for Unclosed {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

/// Catches: a request that is given up because its client closes its side while it waits.
#[tokio::test]
async fn an_end_without_close_notify_is_no_reset() {
    let activity = Arc::new(Activity::new(Instant::now(), false, 0));
    let mut io = ClientIo::new(
        Wire::Plain(Unclosed),
        Bytes::new(),
        activity,
        (|_, _| (), Duration::ZERO),
    );
    let mut cx = Context::from_waker(Waker::noop());
    assert!(io.poll_ahead(&mut cx).unwrap());
    let mut buffer = [0; 8];
    let mut buffer = ReadBuf::new(&mut buffer);
    assert!(is_done(Pin::new(&mut io).poll_read(&mut cx, &mut buffer)));
    assert!(buffer.filled().is_empty());
}
