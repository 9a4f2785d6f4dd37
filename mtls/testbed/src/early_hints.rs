//! Early hints (RFC 8297) in front of an answer, which hyper's server can't send.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use cellway_core::http2::HEADERS;

/// The flag of a header block in one frame (RFC 9113, section 6.2).
const END_HEADERS: u8 = 4;

const LINK: &str = "</style.css>; rel=preload; as=style";

/// This many early hints, as HTTP/1.1 has them.
pub(super) fn http1(count: u32) -> Vec<u8> {
    let hint = format!("HTTP/1.1 103 Early Hints\r\nlink: {LINK}\r\n\r\n");
    hint.repeat(count as usize).into_bytes()
}

/// This many early hints on a stream of HTTP/2.
pub(super) fn http2(count: u32, stream: u32) -> Vec<u8> {
    // Without indexing (RFC 7541, section 6.2.2), so that hyper's table stays as it is. 8 is `:status`.
    let mut block = b"\x08\x03103\x00\x04link".to_vec();
    block.push(LINK.len() as u8);
    block.extend(LINK.as_bytes());
    let mut frame = vec![0, 0, block.len() as u8, HEADERS, END_HEADERS];
    frame.extend(stream.to_be_bytes());
    frame.extend(block);
    frame.repeat(count as usize)
}

/// Bytes that go before what hyper writes next, shared by a connection's requests and its byte stream.
#[derive(Clone, Debug, Default)]
pub(super) struct Ahead(Arc<Mutex<Vec<u8>>>);

impl Ahead {
    pub(super) fn push(&self, bytes: &[u8]) {
        self.lock().extend(bytes);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<u8>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn poll_write(
        &self,
        cx: &mut Context<'_>,
        stream: &mut (impl AsyncWrite + Unpin),
    ) -> Poll<io::Result<()>> {
        let mut bytes = self.lock();
        while !bytes.is_empty() {
            let written = ready!(Pin::new(&mut *stream).poll_write(cx, &bytes))?;
            bytes.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

/// The byte stream of an HTTP/1.1 connection.
pub(super) struct AheadStream<S> {
    stream: S,
    ahead: Ahead,
}

impl<S> AheadStream<S> {
    pub(super) fn new(stream: S, ahead: Ahead) -> Self {
        Self { stream, ahead }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for AheadStream<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for AheadStream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        ready!(this.ahead.poll_write(cx, &mut this.stream))?;
        Pin::new(&mut this.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.ahead.poll_write(cx, &mut this.stream))?;
        Pin::new(&mut this.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
