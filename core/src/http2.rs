//! Follows the frames of one direction of an HTTP/2 connection.

/// The length of a frame header: length, type, flags and stream (RFC 9113, section 4.1).
pub const FRAME_HEADER_LEN: usize = 9;

/// The length of the client's preface (RFC 9113, section 3.4).
pub const PREFACE_LEN: usize = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".len();

/// A frame that carries a part of a body (RFC 9113, section 6.1).
pub const DATA: u8 = 0;
/// A frame that starts a header or trailers (RFC 9113, section 6.2).
pub const HEADERS: u8 = 1;
/// A frame that ends a stream at once (RFC 9113, section 6.4).
pub const RST_STREAM: u8 = 3;
/// A frame that says what its sender takes (RFC 9113, section 6.5).
pub const SETTINGS: u8 = 4;
/// A frame that announces a pushed answer (RFC 9113, section 6.6).
pub const PUSH_PROMISE: u8 = 5;
/// A frame that continues a header (RFC 9113, section 6.10).
pub const CONTINUATION: u8 = 9;

/// The flag of a `SETTINGS` frame that acknowledges another (RFC 9113, section 6.5).
pub const ACK: u8 = 1;
/// The flag of the last frame that its sender sends on a stream (RFC 9113, sections 6.1 and 6.2).
pub const END_STREAM: u8 = 1;

/// How many streams the sender takes at a time (RFC 9113, section 6.5.2).
pub const MAX_CONCURRENT_STREAMS: u16 = 3;
/// How large a header the sender takes (RFC 9113, section 6.5.2).
pub const MAX_HEADER_LIST_SIZE: u16 = 6;

/// A frame header.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct FrameHeader {
    /// The length of the payload.
    pub length: u32,
    /// Its type.
    pub kind: u8,
    /// Its flags, which depend on the type.
    pub flags: u8,
    /// The stream that it belongs to; 0 for the connection.
    pub stream: u32,
}

/// A part of a frame, as it arrives.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Part<'a> {
    /// A frame begins.
    Header(FrameHeader),
    /// Some of the payload of the frame that began last.
    Payload(&'a [u8]),
}

/// Finds the frames in a stream of bytes, in pieces of any size.
#[derive(Debug)]
pub struct Frames {
    /// The part of a frame's header that has arrived.
    header: [u8; FRAME_HEADER_LEN],
    header_len: usize,
    /// Bytes of the payload that are still to come.
    left: usize,
    /// Whether the first frame has begun.
    has_begun: bool,
}

impl Frames {
    /// The first frame starts after this many bytes.
    pub fn after(preface_len: usize) -> Self {
        Self {
            header: [0; FRAME_HEADER_LEN],
            header_len: 0,
            left: preface_len,
            has_begun: false,
        }
    }

    /// Takes the next bytes, and calls `frame` for each frame whose header they complete.
    ///
    /// # Errors
    /// What `frame` returned.
    pub fn take<E>(
        &mut self,
        bytes: &[u8],
        mut frame: impl FnMut(FrameHeader) -> Result<(), E>,
    ) -> Result<(), E> {
        self.take_parts(bytes, |part| match part {
            Part::Header(header) => frame(header),
            Part::Payload(_) => Ok(()),
        })
    }

    /// Takes the next bytes, and calls `part` for each part of a frame in them. What comes before the first
    /// frame is no part.
    ///
    /// # Errors
    /// What `part` returned.
    pub fn take_parts<E>(
        &mut self,
        mut bytes: &[u8],
        mut part: impl FnMut(Part<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while !bytes.is_empty() {
            let (payload, rest) = bytes.split_at(self.left.min(bytes.len()));
            self.left -= payload.len();
            bytes = rest;
            if self.has_begun && !payload.is_empty() {
                part(Part::Payload(payload))?;
            }
            let wanted = FRAME_HEADER_LEN - self.header_len;
            let (taken, rest) = bytes.split_at(wanted.min(bytes.len()));
            self.header[self.header_len..][..taken.len()].copy_from_slice(taken);
            self.header_len += taken.len();
            bytes = rest;
            if self.header_len == FRAME_HEADER_LEN {
                self.header_len = 0;
                let [a, b, c, kind, flags, s, t, u, v] = self.header;
                let length = u32::from_be_bytes([0, a, b, c]);
                self.left = length as usize;
                // The first bit is reserved.
                let stream = u32::from_be_bytes([s & 0x7f, t, u, v]);
                self.has_begun = true;
                part(Part::Header(FrameHeader {
                    length,
                    kind,
                    flags,
                    stream,
                }))?;
            }
        }
        Ok(())
    }

    /// Whether the last byte was the end of a frame.
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.header_len == 0
    }
}
