//! Sends a request over HTTP/1.1.

use std::fmt;
use std::future::Future;
use std::io::{self, IoSlice, Write};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use cellway_core::headers::elements;
use http::header::{CONTENT_LENGTH, TRAILER, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, HeaderValue};
use http_body::{Body, Frame};
use tokio::io::AsyncWrite;

use crate::data_plane::body::{RequestBody, SendBodyError, expects_body};
use crate::data_plane::incoming::Io;
use crate::data_plane::outlasting::{Outlasting, Tie};
use crate::data_plane::target;

/// The body is asked for more until so many bytes wait to be written.
const WAITING_MAX: usize = 16 * 1024;
/// A frame with fewer bytes is copied behind the bytes that wait. A larger one is written from where it
/// is.
const COPIED_MAX: usize = 4 * 1024;
/// The most memory for the bytes of a header that a connection keeps for its next request.
pub(super) const KEPT_MAX: usize = 16 * 1024;
/// What follows the last chunk without trailers (RFC 9112, section 7.1).
const END: &[u8] = b"0\r\n\r\n";

/// Why a request isn't sent to its end.
#[derive(Debug)]
pub(crate) enum UploadError {
    /// Writing failed. The cell may have answered before.
    Io(io::Error),
    /// The body broke off.
    Body(BodyBroken),
}

/// Why a body breaks off.
#[derive(Debug)]
pub(crate) enum BodyBroken {
    /// It couldn't be read.
    Source(SendBodyError),
    /// It isn't as long as its `Content-Length` says.
    Length,
}

impl fmt::Display for BodyBroken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Source(error) => error.fmt(f),
            Self::Length => f.write_str("the request's body is not as long as its Content-Length"),
        }
    }
}

const LENGTH: UploadError = UploadError::Body(BodyBroken::Length);

/// How the body is framed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Coding {
    /// There is none.
    None,
    /// This many bytes are left.
    Length(u64),
    Chunked,
}

/// A request on its way to a cell.
#[derive(Debug)]
pub(crate) struct Upload {
    body: RequestBody,
    coding: Coding,
    /// The trailers that the header announces. Others are left out.
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

impl Upload {
    /// The request, with its header as the first bytes to be written. `waiting` is empty memory for them.
    pub(super) fn new(head: &Parts, body: RequestBody, mut waiting: BytesMut) -> Self {
        let coding = coding(&head.headers, &body);
        write_head(head, coding, &mut waiting);
        let announced = head.headers.get_all(TRAILER).iter().cloned().collect();
        Self {
            open: coding != Coding::None,
            body,
            coding,
            announced,
            waiting,
            data: Bytes::new(),
            after: b"",
            begun: false,
        }
    }

    /// Whether the cell can have got anything of it.
    pub(super) fn has_begun(&self) -> bool {
        self.begun
    }

    /// Whether the cell can't have got all of it yet.
    pub(super) fn is_owed(&self) -> bool {
        let more = match self.coding {
            Coding::None | Coding::Length(0) => false,
            Coding::Length(_) | Coding::Chunked => self.open,
        };
        more || !self.waiting.is_empty() || !self.data.is_empty()
    }

    /// The memory of an upload that is over. `None` if it is larger than a connection should keep.
    pub(super) fn into_memory(mut self) -> Option<BytesMut> {
        self.waiting.clear();
        // `capacity` doesn't count what was written from the front.
        let large = self.waiting.try_reclaim(KEPT_MAX + 1);
        (!large).then_some(self.waiting)
    }

    /// Writes what there is. Ready once all of the request is written.
    pub(super) fn poll(
        &mut self,
        io: &mut Io,
        cx: &mut Context<'_>,
    ) -> Poll<Result<(), UploadError>> {
        loop {
            if self.open && self.data.is_empty() && self.waiting.len() < WAITING_MAX {
                match Pin::new(&mut self.body).poll_frame(cx) {
                    Poll::Ready(frame) => {
                        let broken = |error| UploadError::Body(BodyBroken::Source(error));
                        self.takes(frame.transpose().map_err(broken)?)?;
                        continue;
                    }
                    Poll::Pending => {}
                }
            }
            if self.waiting.is_empty() && self.data.is_empty() {
                ready!(Pin::new(&mut *io).poll_flush(cx)).map_err(UploadError::Io)?;
                return match self.open {
                    true => Poll::Pending,
                    false => Poll::Ready(Ok(())),
                };
            }
            ready!(self.poll_write(io, cx)).map_err(UploadError::Io)?;
        }
    }

    /// Takes a frame of the body, or its end.
    fn takes(&mut self, frame: Option<Frame<Bytes>>) -> Result<(), UploadError> {
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

    fn sends(&mut self, data: Bytes) -> Result<(), UploadError> {
        let len = data.len();
        if len == 0 {
            return Ok(());
        }
        match &mut self.coding {
            Coding::None => return Err(LENGTH),
            Coding::Length(left) => {
                *left = left.checked_sub(len as u64).ok_or(LENGTH)?;
            }
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

    fn ends(&mut self, trailers: Option<HeaderMap>) -> Result<(), UploadError> {
        self.open = false;
        match self.coding {
            Coding::Length(left) if left > 0 => return Err(LENGTH),
            Coding::None | Coding::Length(_) => return Ok(()),
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

    fn poll_write(&mut self, io: &mut Io, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
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

/// How the body of the request is framed (RFC 9112, section 6.3). Only a chunked body can have trailers.
fn coding(headers: &HeaderMap, body: &RequestBody) -> Coding {
    if body.is_end_stream() {
        return Coding::None;
    }
    let stated = headers.get(CONTENT_LENGTH);
    let stated = stated.and_then(|length| length.to_str().ok()?.parse().ok());
    match stated.filter(|_| !headers.contains_key(TRAILER)) {
        Some(length) => Coding::Length(length),
        None => Coding::Chunked,
    }
}

/// Writes the request line and the fields (RFC 9112, sections 3 and 5). Those that frame the body say what
/// follows, whatever the client's said: the cell must not wait for a body that doesn't come, and take the
/// next request for it.
fn write_head(head: &Parts, coding: Coding, into: &mut BytesMut) {
    let path = target::origin_form(&head.uri);
    for part in [head.method.as_str(), " ", path.as_str(), " HTTP/1.1\r\n"] {
        into.extend_from_slice(part.as_bytes());
    }
    for (name, value) in &head.headers {
        if name != TRANSFER_ENCODING && name != CONTENT_LENGTH {
            write_field(name.as_str(), value.as_bytes(), into);
        }
    }
    match coding {
        Coding::Chunked => write_field(TRANSFER_ENCODING.as_str(), b"chunked", into),
        Coding::Length(length) => {
            let length = HeaderValue::from(length);
            write_field(CONTENT_LENGTH.as_str(), length.as_bytes(), into);
        }
        Coding::None => {
            if head.headers.contains_key(CONTENT_LENGTH) || expects_body(&head.method) {
                write_field(CONTENT_LENGTH.as_str(), b"0", into);
            }
        }
    }
    into.extend_from_slice(b"\r\n");
}

fn write_field(name: &str, value: &[u8], into: &mut BytesMut) {
    into.reserve(name.len() + value.len() + 4);
    into.extend_from_slice(name.as_bytes());
    into.extend_from_slice(b": ");
    into.extend_from_slice(value);
    into.extend_from_slice(b"\r\n");
}

/// The rest of an upload whose answer has begun. It ends with the upload, or when nobody has the
/// connection any more.
pub(crate) struct Rest {
    upload: Upload,
    io: Io,
    tie: Tie,
    /// Whether the body broke off. The cell gets no more, and should not wait for it.
    ends: bool,
}

impl Rest {
    pub(super) fn new(upload: Upload, io: Io) -> (Self, Outlasting) {
        let (tie, outlasting) = Outlasting::new();
        let rest = Self {
            upload,
            io,
            tie,
            ends: false,
        };
        (rest, outlasting)
    }
}

impl Future for Rest {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = &mut *self;
        if this.tie.poll_gone(cx).is_ready() {
            return Poll::Ready(());
        }
        if !this.ends {
            match ready!(this.upload.poll(&mut this.io, cx)) {
                Ok(()) => {
                    this.tie.completes();
                    return Poll::Ready(());
                }
                Err(UploadError::Io(_)) => return Poll::Ready(()),
                Err(UploadError::Body(_)) => this.ends = true,
            }
        }
        Pin::new(&mut this.io).poll_shutdown(cx).map(drop)
    }
}

#[cfg(test)]
mod tests;
