//! Wraps a connection so that its reader gets only the bytes that the guard passes.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BytesMut};
use cellway_core::http1::{Found, Guard, MessageError};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The side that the bytes come from: a client or a cell.
pub(crate) trait Side {
    /// A guard for its messages.
    fn guard(&self) -> Guard;
    /// Called when bytes came, to tell the guard what became known since its last check.
    fn prepare(&self, _guard: &mut Guard) {}
    /// What the reader gets instead of the malformed message. `rest` starts with that message.
    fn found(&self, found: Found, guard: &Guard, rest: &[u8]) -> Instead;
}

/// What the reader gets instead of a malformed message.
pub(crate) enum Instead {
    /// These bytes, and nothing after them.
    Request(&'static [u8]),
    /// An error.
    Broken(MessageError),
}

/// A connection whose reader sees only complete and well-formed heads.
pub(crate) struct Guarded<W, S> {
    wire: W,
    side: S,
    guard: Guard,
    /// Bytes that were read but not handed out. The first `good` may be handed out; the others
    /// haven't passed the guard. At most an incomplete head and the bytes of one read.
    held: BytesMut,
    good: usize,
    end: Option<End>,
}

/// What the reader gets after all good bytes.
#[derive(Clone, Copy)]
enum End {
    Silence,
    Broken(MessageError),
}

impl<W, S: Side> Guarded<W, S> {
    pub(crate) fn new(wire: W, side: S) -> Self {
        Self {
            wire,
            guard: side.guard(),
            side,
            held: BytesMut::new(),
            good: 0,
            end: None,
        }
    }

    /// Hands out the good part of the held bytes. `false` if there is none.
    fn hand_out(&mut self, buf: &mut ReadBuf<'_>) -> bool {
        let n = self.good.min(buf.remaining());
        if n == 0 {
            return self.good > 0;
        }
        buf.put_slice(&self.held[..n]);
        self.held.advance(n);
        self.good -= n;
        if self.held.is_empty() {
            // Few heads come in pieces, so the buffer is freed.
            self.held = BytesMut::new();
        }
        true
    }

    /// Checks the bytes that were just read, in the reader's buffer, and keeps only the good ones.
    fn look(&mut self, buf: &mut ReadBuf<'_>, before: usize) {
        self.side.prepare(&mut self.guard);
        if self.held.is_empty() {
            let came = &buf.filled()[before..];
            let scanned = self.guard.scan(came);
            let rest = &came[scanned.pass..];
            match scanned.found {
                Some(found) => self.ends(found, rest),
                None => self.held.extend_from_slice(rest),
            }
            buf.set_filled(before + scanned.pass);
        } else {
            self.held.extend_from_slice(&buf.filled()[before..]);
            buf.set_filled(before);
            let scanned = self.guard.scan(&self.held);
            self.good = scanned.pass;
            if let Some(found) = scanned.found {
                let rest = self.held.split_off(scanned.pass);
                self.ends(found, &rest);
            }
        }
    }

    /// Stops handing out bytes.
    fn ends(&mut self, found: Found, rest: &[u8]) {
        self.end = Some(match self.side.found(found, &self.guard, rest) {
            Instead::Request(bytes) => {
                self.held.extend_from_slice(bytes);
                self.good = self.held.len();
                End::Silence
            }
            Instead::Broken(fault) => End::Broken(fault),
        });
    }
}

impl<W: AsyncRead + Unpin, S: Side + Unpin> AsyncRead for Guarded<W, S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.hand_out(buf) {
                return Poll::Ready(Ok(()));
            }
            match this.end {
                None => {}
                // The answer closes the connection, so a further read waits forever.
                Some(End::Silence) => return Poll::Pending,
                Some(End::Broken(fault)) => {
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
                }
            }
            let before = buf.filled().len();
            ready!(Pin::new(&mut this.wire).poll_read(cx, buf))?;
            if buf.filled().len() == before {
                return Poll::Ready(Ok(()));
            }
            this.look(buf, before);
            if buf.filled().len() > before {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

impl<W: AsyncWrite + Unpin, S: Unpin> AsyncWrite for Guarded<W, S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.wire).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.wire.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.wire).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    use super::super::{Answers, Faults, Requests, fault};
    use super::*;
    use crate::settings::AnswerLimits;

    /// Sends the pieces one after the other, and reads each before the next through a small buffer.
    /// Returns what was read, and the fault that ended it.
    async fn through<S: Side + Unpin>(
        side: S,
        pieces: &[&[u8]],
    ) -> (Vec<u8>, Option<MessageError>) {
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
                    Poll::Ready(Err(error)) => return (read, fault(&error)),
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
            let (read, fault) = through(Requests::new(faults), &[head, tail]).await;
            assert_eq!((read, fault), (twice.clone(), None), "cut at {cut}");
        }
    }

    #[tokio::test]
    async fn a_malformed_request_is_replaced_and_its_place_noted() {
        for cut in 1..GOOD.len() {
            let faults = Arc::new(Faults::default());
            let bytes = [GOOD, b"GET / HTTP/1.1\nhost: a\r\n\r\nGET /swallowed "].concat();
            let (head, tail) = bytes.split_at(GOOD.len() + cut.min(20));
            let side = Requests::new(faults.clone());
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
        let side = Requests::new(faults.clone());
        let (read, fault) = through(side, &[good, b"0;", b"x\r\n\r\n"]).await;
        assert_eq!(read, good);
        assert_eq!(fault, Some(MessageError::ChunkExtension));
        assert_eq!(faults.in_body(), fault);
    }

    #[tokio::test]
    async fn a_cells_malformed_or_unasked_answer_is_an_error() {
        let answers = Answers::new(AnswerLimits::default());
        answers.question().to(&http::Method::HEAD);
        let head: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n";
        let (read, fault) = through(answers, &[head, b"HTTP/1.1 "]).await;
        assert_eq!((&read[..], fault), (head, Some(MessageError::Unasked)));
    }
}
