//! Writes a message over HTTP/1.1: bytes of its head, then its body.

use std::fmt;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cellway_core::headers::elements;
use http::header::TRAILER;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

/// The body is asked for more until so many bytes wait to be written.
const WAITING_MAX: usize = 16 * 1024;
/// A frame with fewer bytes is copied behind the bytes that wait. A larger one is written from where it
/// is.
const COPIED_MAX: usize = 4 * 1024;
/// The most memory for the bytes of a head that a connection keeps for its next message.
pub(super) const KEPT_MAX: usize = 16 * 1024;
/// What follows the last chunk without trailers (RFC 9112, section 7.1).
const END: &[u8] = b"0\r\n\r\n";

/// Why a message isn't sent to its end.
#[derive(Debug)]
pub(crate) enum SendError<E> {
    /// Writing failed. The other end may have answered before.
    Io(io::Error),
    /// The body broke off.
    Body(E),
    /// The body isn't as long as its `Content-Length` says.
    Length,
}

impl<E: fmt::Display> fmt::Display for SendError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Body(error) => error.fmt(f),
            Self::Length => f.write_str("the body is not as long as its Content-Length"),
        }
    }
}

/// How a body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Coding {
    /// There is none.
    None,
    /// This many bytes are left.
    Length(u64),
    Chunked,
    /// It ends with the connection.
    UntilClose,
}

/// A message on its way to the other end.
#[derive(Debug)]
pub(crate) struct Outgoing<B> {
    body: B,
    coding: Coding,
    /// The trailers that the head announces. Others are left out.
    announced: Vec<HeaderValue>,
    /// Whether the body has not ended.
    open: bool,
    /// Bytes that wait to be written: these, then a frame of the body, then these.
    waiting: BytesMut,
    data: Bytes,
    after: &'static [u8],
    /// Whether any byte is written.
    begun: bool,
}

impl<B: Body<Data = Bytes> + Unpin> Outgoing<B> {
    /// A message with this body. `head` has its first bytes, and `headers` its fields.
    pub(super) fn new(head: BytesMut, headers: &HeaderMap, coding: Coding, body: B) -> Self {
        Self {
            open: coding != Coding::None,
            body,
            coding,
            announced: headers.get_all(TRAILER).iter().cloned().collect(),
            waiting: head,
            data: Bytes::new(),
            after: b"",
            begun: false,
        }
    }

    /// Whether the other end can have got anything of it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the other end can't have got all of it yet.
    pub(super) fn is_owed(&self) -> bool {
        let more = match self.coding {
            Coding::None | Coding::Length(0) => false,
            Coding::Length(_) | Coding::Chunked | Coding::UntilClose => self.open,
        };
        more || !self.waiting.is_empty() || !self.data.is_empty()
    }

    /// The memory of a message that is over. `None` if it is larger than a connection should keep.
    pub(crate) fn into_memory(mut self) -> Option<BytesMut> {
        self.waiting.clear();
        // `capacity` doesn't count what was written from the front.
        let large = self.waiting.try_reclaim(KEPT_MAX + 1);
        (!large).then_some(self.waiting)
    }

    /// Writes what there is. Ready once all of the message is written.
    pub(crate) fn poll(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), SendError<B::Error>>> {
        loop {
            if self.open && self.data.is_empty() && self.waiting.len() < WAITING_MAX {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(frame) => {
                        self.takes(frame.transpose().map_err(SendError::Body)?)?;
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            if self.waiting.is_empty() && self.data.is_empty() {
                ready!(Pin::new(&mut *io).poll_flush(cx)).map_err(SendError::Io)?;
                return match self.open {
                    true => Poll::Pending,
                    false => Poll::Ready(Ok(())),
                };
            }
            ready!(self.poll_write(io, cx)).map_err(SendError::Io)?;
        }
    }

    /// Takes a frame of the body, or its end.
    fn takes(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), SendError<B::Error>> {
        let Some(frame) = frame else {
            return self.ends(None);
        };
        match frame.into_data() {
            Ok(data) => {
                self.sends(data)?;
                match self.body.is_end_stream() {
                    true => self.ends(None),
                    false => Ok(()),
                }
            }
            Err(frame) => self.ends(frame.into_trailers().ok()),
        }
    }

    fn sends(&mut self, data: Bytes) -> Result<(), SendError<B::Error>> {
        let len = data.len();
        if len == 0 {
            return Ok(());
        }
        match &mut self.coding {
            Coding::None => return Err(SendError::Length),
            Coding::Length(left) => {
                *left = left.checked_sub(len as u64).ok_or(SendError::Length)?;
            }
            Coding::UntilClose => {}
            Coding::Chunked => {
                // Writing to memory doesn't fail.
                let _ = write!((&mut self.waiting).writer(), "{len:x}\r\n");
                self.after = b"\r\n";
            }
        }
        self.data = data;
        if len < COPIED_MAX {
            let data = std::mem::take(&mut self.data);
            self.waiting.extend_from_slice(&data);
            self.follows();
        }
        Ok(())
    }

    /// The frame is written or copied; what follows it is next.
    fn follows(&mut self) {
        self.waiting.extend_from_slice(self.after);
        self.after = b"";
    }

    fn ends(&mut self, trailers: Option<HeaderMap>) -> Result<(), SendError<B::Error>> {
        self.open = false;
        match self.coding {
            Coding::Length(left) if left > 0 => return Err(SendError::Length),
            Coding::None | Coding::Length(_) | Coding::UntilClose => return Ok(()),
            Coding::Chunked => {}
        }
        match trailers {
            // Its end follows the last frame.
            None if !self.data.is_empty() => self.after = b"\r\n0\r\n\r\n",
            None => self.waiting.extend_from_slice(END),
            Some(trailers) => {
                self.waiting.extend_from_slice(b"0\r\n");
                for (name, value) in &trailers {
                    if self.announces(name.as_str()) {
                        write_field(name.as_str(), value.as_bytes(), &mut self.waiting);
                    }
                }
                self.waiting.extend_from_slice(b"\r\n");
            }
        }
        Ok(())
    }

    fn announces(&self, name: &str) -> bool {
        let mut names = elements(&self.announced);
        names.any(|it| it.eq_ignore_ascii_case(name.as_bytes()))
    }

    fn poll_write(
        &mut self,
        io: &mut (impl AsyncWrite + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<()>> {
        let io = Pin::new(io);
        let written = if self.data.is_empty() {
            ready!(io.poll_write(cx, &self.waiting))?
        } else if self.waiting.is_empty() {
            ready!(io.poll_write(cx, &self.data))?
        } else {
            let pieces = [IoSlice::new(&self.waiting), IoSlice::new(&self.data)];
            ready!(io.poll_write_vectored(cx, &pieces))?
        };
        if written == 0 {
            return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
        }
        self.begun = true;
        let front = written.min(self.waiting.len());
        self.waiting.advance(front);
        if !self.data.is_empty() {
            self.data.advance(written - front);
            if self.data.is_empty() {
                self.follows();
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// Writes a line of a head or of a trailer section.
pub(super) fn write_field(name: &str, value: &[u8], into: &mut BytesMut) {
    into.reserve(name.len() + value.len() + 4);
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

#[cfg(test)]
mod tests;
