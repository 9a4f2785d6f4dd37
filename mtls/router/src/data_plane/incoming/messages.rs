//! Reads the messages of one direction of an HTTP/1.1 connection.
//!
//! The guard of [`cellway_core::http1`] follows the framing and checks each part of a message before the
//! router uses it. No other parser looks for the end of a message. What the fields about it say is checked
//! once more before they are passed on ([`Framing`](crate::data_plane::body::Framing)).

use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};
use cellway_core::headers::elements;
use cellway_core::http1::{Found, Guard, MessageError, Part, Rest, read_fields};
use http::header::CONNECTION;
use http::{HeaderMap, Version};
use http_body::{Frame, SizeHint};
use tokio::io::AsyncRead;
use tokio_util::io::poll_read_buf;

/// The room for a read, in bytes: at first, and at most if each read fills it.
pub(super) const ROOM_FIRST: usize = 8 * 1024;
pub(super) const ROOM_MAX: usize = 128 * 1024;

/// Why a message breaks off.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// Reading or writing failed.
    Io(io::Error),
    /// The connection ended before the message.
    Closed,
    /// The connection ended in the middle of the message's body.
    Cut,
    /// The guard refuses what came.
    Malformed(MessageError),
}

impl fmt::Display for ReadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => error.fmt(f),
            Self::Closed => f.write_str("the connection ended before the message"),
            Self::Cut => f.write_str("the connection ended in the middle of the message"),
            Self::Malformed(fault) => fault.fmt(f),
        }
    }
}

impl std::error::Error for ReadError {}

/// What came from one side of a connection, as far as it has not been used.
#[derive(Debug)]
pub(super) struct Messages {
    pub(super) guard: Guard,
    /// Bytes that came and have not passed.
    pub(super) came: BytesMut,
    /// How many bytes the next read may bring.
    pub(super) room: usize,
}

impl Messages {
    pub(super) fn new(guard: Guard) -> Self {
        Self {
            guard,
            came: BytesMut::new(),
            room: ROOM_FIRST,
        }
    }

    /// Gives back memory that a large message took, unless bytes of the next one are in it.
    pub(super) fn rest(&mut self) {
        if self.room > ROOM_FIRST && self.came.is_empty() {
            self.room = ROOM_FIRST;
            self.came = BytesMut::new();
        }
    }

    /// The next part that passes. `None` at the end of the connection.
    pub(super) fn poll_part(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<(Part, Bytes)>, ReadError>> {
        loop {
            if let Some(part) = self.next()? {
                return Poll::Ready(Ok(Some(part)));
            }
            if ready!(self.poll_read(io, cx)).map_err(ReadError::Io)? == 0 {
                return Poll::Ready(Ok(None));
            }
        }
    }

    /// The next part of what came, if it is complete.
    pub(super) fn next(&mut self) -> Result<Option<(Part, Bytes)>, ReadError> {
        match self.guard.next(&self.came) {
            Ok(Some((part, len))) => Ok(Some((part, self.came.split_to(len).freeze()))),
            Ok(None) => Ok(None),
            Err(Found::InHead(fault) | Found::InBody(fault)) => Err(ReadError::Malformed(fault)),
        }
    }

    /// Reads what there is. Returns how many bytes.
    pub(super) fn poll_read(
        &mut self,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<io::Result<usize>> {
        self.came.reserve(self.room);
        let room = self.came.capacity() - self.came.len();
        let read = ready!(poll_read_buf(Pin::new(io), cx, &mut self.came))?;
        if read == room {
            self.room = (room * 2).min(ROOM_MAX);
        }
        Poll::Ready(Ok(read))
    }
}

/// Whether a connection stays open after a message with this version and these fields (RFC 9112, section
/// 9.3).
pub(super) fn keeps(version: Version, headers: &HeaderMap) -> bool {
    if !headers.contains_key(CONNECTION) {
        return version != Version::HTTP_10;
    }
    let says = |option: &[u8]| {
        let mut options = elements(headers.get_all(CONNECTION));
        options.any(|it| it.eq_ignore_ascii_case(option))
    };
    match version {
        Version::HTTP_10 => says(b"keep-alive") && !says(b"close"),
        _ => !says(b"close"),
    }
}

/// How far the body of a message has been read.
#[derive(Debug)]
pub(super) struct BodyState {
    /// Trailers that came with the last bytes.
    trailers: Option<Box<HeaderMap>>,
    /// Why it breaks off after the bytes that were passed on.
    broken: Option<ReadError>,
    /// Whether its length is known from its header.
    sized: bool,
    pub(super) ended: bool,
}

impl BodyState {
    /// That of the body after the head that was just read.
    pub(super) fn new(messages: &Messages) -> Self {
        let rest = messages.guard.rest();
        Self {
            ended: rest == Rest::Nothing,
            sized: matches!(rest, Rest::Nothing | Rest::Length(_)),
            trailers: None,
            broken: None,
        }
    }

    /// The next frame. [`Cut`](ReadError::Cut) at the end of the connection.
    pub(super) fn poll_frame(
        &mut self,
        messages: &mut Messages,
        io: &mut (impl AsyncRead + Unpin),
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, ReadError>>> {
        loop {
            if let Some(trailers) = self.trailers.take() {
                return Poll::Ready(Some(Ok(Frame::trailers(*trailers))));
            }
            if let Some(broken) = self.broken.take() {
                return Poll::Ready(Some(Err(broken)));
            }
            if self.ended {
                return Poll::Ready(None);
            }
            match ready!(messages.poll_part(io, cx))? {
                Some((Part::Data, data)) => {
                    // The bytes came before what is wrong.
                    self.broken = self.look_ahead(messages).err();
                    return Poll::Ready(Some(Ok(Frame::data(data))));
                }
                Some((part, bytes)) => self.frames(part, &bytes)?,
                None => return Poll::Ready(Some(Err(ReadError::Cut))),
            }
        }
    }

    /// Reads the framing that came together with the last bytes, so that the end of the body is known
    /// as soon as it is there.
    fn look_ahead(&mut self, messages: &mut Messages) -> Result<(), ReadError> {
        loop {
            match messages.guard.rest() {
                Rest::Nothing => self.ended = true,
                Rest::Framing => {
                    if let Some((part, bytes)) = messages.next()? {
                        self.frames(part, &bytes)?;
                        continue;
                    }
                }
                Rest::Length(_) | Rest::Chunk | Rest::UntilClose => {}
            }
            return Ok(());
        }
    }

    /// Takes a part of the framing.
    fn frames(&mut self, part: Part, bytes: &Bytes) -> Result<(), ReadError> {
        if part == Part::Trailers {
            let trailers = read_fields(bytes);
            let trailers = trailers.ok_or(ReadError::Malformed(MessageError::Name))?;
            self.trailers = (!trailers.is_empty()).then(|| Box::new(trailers));
            self.ended = true;
        }
        Ok(())
    }

    pub(super) fn is_over(&self) -> bool {
        self.ended && self.trailers.is_none() && self.broken.is_none()
    }

    pub(super) fn size_hint(&self, messages: &Messages) -> SizeHint {
        match messages.guard.rest() {
            _ if self.ended && self.sized => SizeHint::with_exact(0),
            Rest::Length(left) if !self.ended => SizeHint::with_exact(left),
            Rest::Nothing | Rest::Length(_) | Rest::Chunk | Rest::Framing | Rest::UntilClose => {
                SizeHint::default()
            }
        }
    }
}
