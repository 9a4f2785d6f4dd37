//! Reads the requests of an HTTP/1.1 client.
//!
//! A connection and the body of its present request share the connection's bytes. The body reads them by
//! itself, in the task that wants it, so that no other task has to pass it on. The connection reads on
//! once the body has ended or nobody has it any more.

use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, Waker, ready};

use bytes::{Buf, Bytes, BytesMut};
use cellway_core::http1::{Guard, MessageError, Rest, read_request};
use http::header::EXPECT;
use http::{Method, Request, Version};
use http_body::{Frame, SizeHint};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Incoming;
use super::io::Stream;
use super::messages::{BodyState, Messages, ReadError, keeps};
use crate::lock::lock_uncontended;

/// The bytes of a client's connection.
pub(crate) trait ClientStream: Stream {
    /// Reads ahead while nobody reads. Bytes and the end are kept for the next read. Returns whether
    /// there are any.
    ///
    /// # Errors
    /// The connection is broken.
    fn poll_ahead(&mut self, cx: &mut Context<'_>) -> io::Result<bool>;

    /// Writes and flushes the interim answers that wait, unless an answer is being written.
    fn send_interims(&mut self, cx: &mut Context<'_>);

    /// Notes that bytes of the next request are there already.
    fn notes_read(&self);
}

/// A client's connection: what came, and where its answers go. All clones are of the same connection.
#[derive(Clone)]
pub(crate) struct ClientBytes(Arc<Mutex<Shared>>);

struct Shared {
    /// `None` when the connection has ended.
    io: Option<Box<dyn ClientStream>>,
    messages: Messages,
    /// Whether somebody has the body of the present request, and it has not ended.
    lent: bool,
    /// Whether that body has broken off, or nobody may read it any more.
    broken: bool,
    /// Whether the client waits for `100 Continue` and its body is wanted.
    wanted: bool,
    /// Whether the answer to the present request has begun.
    answered: bool,
    /// The task of the connection, if it waits for the body; and the task that waits for the body's
    /// bytes.
    connection: Option<Waker>,
    body: Option<Waker>,
}

/// A request, and what its connection must know of it.
pub(crate) struct Asked {
    pub(crate) request: Request<Incoming>,
    /// Whether its connection stays open after the answer.
    pub(crate) keeps: bool,
    /// Whether it has an `Upgrade` field and no body.
    pub(crate) upgrades: bool,
}

impl fmt::Debug for ClientBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientBytes")
    }
}

impl ClientBytes {
    pub(crate) fn new(io: impl ClientStream + 'static) -> Self {
        Self(Arc::new(Mutex::new(Shared {
            io: Some(Box::new(io)),
            messages: Messages::new(Guard::requests()),
            lent: false,
            broken: false,
            wanted: false,
            answered: false,
            connection: None,
            body: None,
        })))
    }

    fn shared(&self) -> MutexGuard<'_, Shared> {
        lock_uncontended(&self.0)
    }

    /// Reads the next request. One that the guard refuses is replaced by another that carries the
    /// [`MessageError`] as an extension, so that it is answered like any other. `None` if the client has
    /// closed its side between two requests.
    ///
    /// # Errors
    /// The connection is broken, or it ended in the middle of a head or of the body before.
    pub(crate) fn poll_request(
        &self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<Asked>, ReadError>> {
        let mut shared = self.shared();
        ready!(shared.poll_body_read(cx))?;
        let Shared { io, messages, .. } = &mut *shared;
        let Some(io) = io else {
            return Poll::Ready(Err(ReadError::Closed));
        };
        let head = match ready!(messages.poll_part(io, cx)) {
            Ok(Some((_, head))) => head,
            Ok(None) if messages.has_only_empty_lines() => return Poll::Ready(Ok(None)),
            Ok(None) => return Poll::Ready(Err(ReadError::Cut)),
            // Over TLS without close_notify. A head that is missing is none.
            Err(ReadError::Io(error))
                if error.kind() == io::ErrorKind::UnexpectedEof
                    && messages.has_only_empty_lines() =>
            {
                return Poll::Ready(Ok(None));
            }
            Err(ReadError::Malformed(fault)) => {
                return Poll::Ready(Ok(Some(messages.refused(fault))));
            }
            Err(error) => return Poll::Ready(Err(error)),
        };
        Poll::Ready(Ok(Some(match read_request(&head) {
            Some(request) => shared.asked(request, self),
            // Whatever the guard passes as a head is one.
            None => messages.refused(MessageError::RequestLine),
        })))
    }

    /// Ends the answer to the present request: the next one may follow.
    pub(crate) fn next(&self) {
        let mut shared = self.shared();
        shared.messages.guard.stays();
        shared.messages.rest();
        if !shared.lent
            && !shared.messages.came.is_empty()
            && let Some(io) = &shared.io
        {
            io.notes_read();
        }
    }

    /// Whether nothing of a request is there.
    pub(crate) fn is_quiet(&self) -> bool {
        let shared = self.shared();
        !shared.lent && shared.messages.has_only_empty_lines()
    }

    /// Frees the memory for bytes that don't come.
    pub(crate) fn rest(&self) {
        let mut shared = self.shared();
        if shared.messages.came.is_empty() {
            shared.messages.came = BytesMut::new();
        }
    }

    /// Notes that the answer begins: the client doesn't get `100 Continue` any more.
    pub(crate) fn answers(&self) {
        self.shared().answered = true;
    }

    /// Wakes the task when the present body has been read or is wanted. Returns whether the client has to
    /// be told to send it, once for each request.
    pub(crate) fn awaits_body(&self, cx: &Context<'_>) -> bool {
        let mut shared = self.shared();
        if shared.lent {
            shared.waits_for_body(cx);
        }
        std::mem::take(&mut shared.wanted)
    }

    /// Reads ahead unless somebody waits for the bytes of the body. Returns whether there is something to
    /// read.
    ///
    /// # Errors
    /// The connection is broken.
    pub(crate) fn poll_ahead(&self, cx: &mut Context<'_>) -> io::Result<bool> {
        let mut shared = self.shared();
        if shared.lent && shared.body.is_some() {
            return Ok(false);
        }
        match &mut shared.io {
            Some(io) => io.poll_ahead(cx),
            None => Err(io::ErrorKind::NotConnected.into()),
        }
    }

    /// Writes the interim answers that wait.
    pub(crate) fn send_interims(&self, cx: &mut Context<'_>) {
        if let Some(io) = &mut self.shared().io {
            io.send_interims(cx);
        }
    }

    /// Reads no more messages: what still comes is discarded. Whoever has the body sees that it breaks
    /// off, so that none of its bytes can be missing in the middle.
    pub(crate) fn stops(&self) {
        let body = {
            let mut shared = self.shared();
            shared.broken = true;
            shared.body.take()
        };
        if let Some(body) = body {
            body.wake();
        }
    }

    /// Ends the connection, also for whoever has the body.
    pub(crate) fn close(&self) {
        let (io, body) = {
            let mut shared = self.shared();
            (shared.io.take(), shared.body.take())
        };
        drop(io);
        if let Some(body) = body {
            body.wake();
        }
    }

    fn with_io<R>(
        &self,
        poll: impl FnOnce(Pin<&mut dyn ClientStream>) -> Poll<io::Result<R>>,
    ) -> Poll<io::Result<R>> {
        match &mut self.shared().io {
            Some(io) => poll(Pin::new(&mut **io)),
            None => Poll::Ready(Err(io::ErrorKind::NotConnected.into())),
        }
    }
}

impl Shared {
    /// A request whose head was just read.
    fn asked(&mut self, request: Request<()>, connection: &ClientBytes) -> Asked {
        let headers = request.headers();
        let keeps = keeps(request.version(), headers);
        let state = BodyState::new(&self.messages);
        let body = match state.ended {
            true => Incoming::Empty,
            false => {
                let expects = (headers.get(EXPECT))
                    .is_some_and(|it| it.as_bytes().eq_ignore_ascii_case(b"100-continue"));
                self.lent = true;
                Incoming::Request(Box::new(ClientBody {
                    state,
                    connection: connection.clone(),
                    expects: expects && request.version() == Version::HTTP_11,
                }))
            }
        };
        (self.wanted, self.answered) = (false, false);
        Asked {
            keeps,
            upgrades: self.messages.guard.asks_to_switch(),
            request: request.map(|()| body),
        }
    }

    fn waits_for_body(&mut self, cx: &Context<'_>) {
        register(&mut self.connection, cx);
    }

    /// Waits until nobody reads the body of the request before.
    ///
    /// # Errors
    /// Some of it is missing or malformed, so that no request can follow.
    fn poll_body_read(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), ReadError>> {
        if self.lent {
            self.waits_for_body(cx);
            return Poll::Pending;
        }
        if self.broken {
            return Poll::Ready(Err(ReadError::Cut));
        }
        // What came of it may be all that was missing.
        while self.messages.guard.rest() != Rest::Nothing {
            if self.messages.next()?.is_none() {
                return Poll::Ready(Err(ReadError::Cut));
            }
        }
        Poll::Ready(Ok(()))
    }
}

impl Messages {
    /// Whether nothing came but empty lines, which some clients send after a body (RFC 9112, section
    /// 2.2).
    fn has_only_empty_lines(&self) -> bool {
        self.came.iter().all(is_line_end)
    }

    /// What replaces the request that just failed. Only its method matters: whether the answer may have a
    /// body.
    fn refused(&self, fault: MessageError) -> Asked {
        let start = self.came.iter().position(|byte| !is_line_end(byte));
        let came = &self.came[start.unwrap_or(0)..];
        let mut request = Request::new(Incoming::Empty);
        if came.starts_with(b"HEAD ") {
            *request.method_mut() = Method::HEAD;
        }
        request.extensions_mut().insert(fault);
        Asked {
            request,
            keeps: false,
            upgrades: false,
        }
    }
}

fn is_line_end(byte: &u8) -> bool {
    matches!(byte, b'\r' | b'\n')
}

/// Sets the task that is woken.
fn register(waker: &mut Option<Waker>, cx: &Context<'_>) {
    match waker {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *waker = Some(cx.waker().clone()),
    }
}

/// The body of a client's request.
#[derive(Debug)]
pub(crate) struct ClientBody {
    state: BodyState,
    connection: ClientBytes,
    /// Set until the body is read, if the client waits for `100 Continue` before it sends the body (RFC
    /// 9110, section 10.1.1).
    expects: bool,
}

impl ClientBody {
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        let mut shared = self.connection.shared();
        let Shared {
            io,
            messages,
            broken,
            ..
        } = &mut *shared;
        let Some(io) = io.as_mut().filter(|_| !*broken) else {
            return Poll::Ready(Some(Err(ReadError::Cut)));
        };
        let polled = self.state.poll_frame(messages, io, cx);
        match &polled {
            Poll::Pending => {
                register(&mut shared.body, cx);
                if std::mem::take(&mut self.expects) && !shared.answered {
                    shared.wanted = true;
                    shared.wakes_connection();
                }
            }
            Poll::Ready(Some(Err(_))) => shared.broken = true,
            Poll::Ready(_) if self.state.ended => shared.takes_back(),
            Poll::Ready(_) => {}
        }
        polled
    }

    pub(super) fn is_end_stream(&self) -> bool {
        self.state.is_over()
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.state.size_hint(&self.connection.shared().messages)
    }
}

impl Drop for ClientBody {
    fn drop(&mut self) {
        if !self.state.ended {
            self.connection.shared().takes_back();
        }
    }
}

impl Shared {
    fn wakes_connection(&mut self) {
        if let Some(connection) = self.connection.take() {
            connection.wake();
        }
    }

    /// The connection may read on.
    fn takes_back(&mut self) {
        self.lent = false;
        self.body = None;
        self.wakes_connection();
    }
}

/// The bytes that came come first: those of another protocol after a switch.
impl AsyncRead for ClientBytes {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let mut shared = self.shared();
        let came = &mut shared.messages.came;
        if !came.is_empty() {
            let count = came.len().min(buf.remaining());
            buf.put_slice(&came[..count]);
            came.advance(count);
            return Poll::Ready(Ok(()));
        }
        drop(shared);
        self.with_io(|io| io.poll_read(cx, buf))
    }
}

impl AsyncWrite for ClientBytes {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.with_io(|io| io.poll_write(cx, bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.with_io(|io| io.poll_write_vectored(cx, pieces))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_io(|io| io.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.with_io(|io| io.poll_shutdown(cx))
    }
}

#[cfg(test)]
mod tests;
