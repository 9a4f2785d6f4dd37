//! The bytes of an HTTP/2 stream after a switch to another protocol (RFC 8441, section 5).

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, Bytes};
use h2::{RecvStream, SendStream};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The bytes of one stream in both directions. If it is dropped before both have ended, the stream is
/// reset.
pub(crate) struct StreamBytes {
    from: RecvStream,
    /// Bytes that came and weren't read yet.
    came: Bytes,
    to: SendStream<Bytes>,
    /// Whether the other end has ended: in order, or with a reset without an error.
    ended_first: bool,
    /// Whether the end of what is written was sent.
    ended: bool,
}

impl StreamBytes {
    pub(crate) fn new(from: RecvStream, to: SendStream<Bytes>) -> Self {
        Self {
            from,
            came: Bytes::new(),
            to,
            ended_first: false,
            ended: false,
        }
    }

    /// Whether the other end has ended and needs no more, so that what is written to it can be dropped.
    fn is_released(&mut self, cx: &mut Context<'_>) -> bool {
        let reset = self.to.poll_reset(cx);
        self.ended_first && matches!(reset, Poll::Ready(Ok(h2::Reason::NO_ERROR)))
    }

    /// Sends as many of the bytes as the other end has a window for.
    fn poll_send(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        // Only for bytes that are there: what is reserved is missing to other streams.
        self.to.reserve_capacity(bytes.len());
        while self.to.capacity() == 0 {
            match ready!(self.to.poll_capacity(cx)) {
                Some(Ok(_)) => {}
                Some(Err(error)) => return Poll::Ready(Err(broken(error))),
                None => return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            }
        }
        let count = self.to.capacity().min(bytes.len());
        let data = Bytes::copy_from_slice(&bytes[..count]);
        self.to.send_data(data, false).map_err(broken)?;
        Poll::Ready(Ok(count))
    }

    /// Waits for bytes. `false` if no more come.
    fn poll_came(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        while self.came.is_empty() {
            match ready!(self.from.poll_data(cx)) {
                Some(Ok(data)) => self.came = data,
                // A reset is what a TCP reset is, whatever its code (RFC 8441, section 5).
                Some(Err(error)) => {
                    let error = broken(error);
                    self.ended_first = is_without_error(&error);
                    return Poll::Ready(Err(error));
                }
                None => {
                    self.ended_first = true;
                    return Poll::Ready(Ok(false));
                }
            }
        }
        Poll::Ready(Ok(true))
    }
}

/// Whether a stream broke because the other end has reset it without an error. A server does that after its
/// end if it needs no more bytes (RFC 9113, section 8.1). If both come at once, h2 only tells of the reset,
/// so only what the bytes themselves say can tell whether they were whole.
pub(crate) fn is_without_error(error: &io::Error) -> bool {
    let error = error
        .get_ref()
        .and_then(|it| it.downcast_ref::<h2::Error>());
    error.is_some_and(|error| {
        error.is_reset() && error.is_remote() && error.reason() == Some(h2::Reason::NO_ERROR)
    })
}

/// The error of a stream that the other end has reset, or whose connection has ended.
fn broken(error: h2::Error) -> io::Error {
    match error.is_io() {
        true => (error.into_io()).unwrap_or_else(|| io::ErrorKind::BrokenPipe.into()),
        false => io::Error::other(error),
    }
}

impl AsyncRead for StreamBytes {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !ready!(self.poll_came(cx))? {
            return Poll::Ready(Ok(()));
        }
        let count = self.came.len().min(buf.remaining());
        buf.put_slice(&self.came[..count]);
        self.came.advance(count);
        // It fails only if more is released than came.
        let _ = self.from.flow_control().release_capacity(count);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for StreamBytes {
    /// Takes as many bytes as the other end has a window for, so that no more are buffered.
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        match ready!(self.poll_send(cx, bytes)) {
            Err(_) if self.is_released(cx) => Poll::Ready(Ok(bytes.len())),
            sent => Poll::Ready(sent),
        }
    }

    /// The connection sends what h2 has.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.ended {
            return Poll::Ready(Ok(()));
        }
        self.ended = true;
        match self.to.send_data(Bytes::new(), true) {
            Err(_) if self.is_released(cx) => Poll::Ready(Ok(())),
            sent => Poll::Ready(sent.map_err(broken)),
        }
    }
}

#[cfg(test)]
mod tests;
