//! What a proxy has to know of WebSocket (RFC 6455): where frames end, how to say that a connection
//! closes, and the answer to a handshake.
//!
//! A proxy passes the bytes on as they are. Only if it closes the connection itself, it adds a Close
//! frame in each direction, and a frame may only start where another one has ended. [`Frames`] finds
//! that place. It doesn't unmask, decompress or validate anything: that is for the two ends.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The longest header of a frame: two bytes, a 64-bit length, and a masking key (section 5.2).
const HEADER_LEN_MAX: usize = 14;

/// The length of a Close frame without a masking key.
const CLOSE_LEN: usize = 4;

/// Appended to a key to make the answer to it (section 1.3).
const ACCEPT_SUFFIX: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// The opcode of a Close frame.
const CLOSE: u8 = 8;

/// Why a proxy closes a connection (section 7.4.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CloseCode {
    /// An endpoint is going away: the proxy drains, or the other end is gone. The client may connect
    /// again.
    GoingAway,
    /// The caller may not use the connection any more.
    PolicyViolation,
}

impl CloseCode {
    /// The number on the wire.
    pub fn number(self) -> u16 {
        match self {
            Self::GoingAway => 1001,
            Self::PolicyViolation => 1008,
        }
    }
}

/// Finds the frames in one direction of a connection, in pieces of any size.
#[derive(Clone, Debug, Default)]
pub struct Frames {
    /// The part of a frame's header that has arrived.
    header: [u8; HEADER_LEN_MAX],
    header_len: usize,
    /// Bytes of the payload that are still to come.
    left: u64,
    closed: bool,
}

impl Frames {
    /// Takes all the bytes.
    pub fn take(&mut self, bytes: &[u8]) {
        let mut rest = bytes;
        while !rest.is_empty() {
            let taken = self.take_frame(rest);
            rest = &rest[taken..];
        }
    }

    /// Takes bytes up to the end of the present frame, and returns how many. If the last frame has
    /// ended, takes the next one.
    pub fn take_frame(&mut self, bytes: &[u8]) -> usize {
        let mut taken = 0;
        while self.left == 0 {
            let Some(byte) = bytes.get(taken) else {
                return taken;
            };
            self.header[self.header_len] = *byte;
            self.closed |= self.header_len == 0 && byte & 0xf == CLOSE;
            self.header_len += 1;
            taken += 1;
            let Some(payload) = self.payload_len() else {
                continue;
            };
            self.header_len = 0;
            self.left = payload;
            if payload == 0 {
                return taken;
            }
        }
        let rest = bytes.len() - taken;
        let pass = usize::try_from(self.left).unwrap_or(rest).min(rest);
        self.left -= pass as u64;
        taken + pass
    }

    /// Whether the last byte was the end of a frame, so that another frame may follow.
    pub fn is_between(&self) -> bool {
        self.left == 0 && self.header_len == 0
    }

    /// Whether a Close frame has begun. Nothing may follow it.
    pub fn has_closed(&self) -> bool {
        self.closed
    }

    /// The length of the payload, if the header is complete.
    fn payload_len(&self) -> Option<u64> {
        let header = &self.header[..self.header_len];
        let [_, second, ..] = *header else {
            return None;
        };
        let mask = if second & 0x80 == 0 { 0 } else { 4 };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        if header.len() < 2 + extended + mask {
            return None;
        }
        let number = |bytes: &[u8]| {
            let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
            bytes.iter().fold(0, add)
        };
        Some(match extended {
            0 => u64::from(second & 0x7f),
            _ => number(&header[2..2 + extended]),
        })
    }
}

/// A Close frame with this code. Frames to a server need a masking key (section 5.3).
pub fn close_frame(code: CloseCode, mask: Option<[u8; 4]>) -> Vec<u8> {
    let [high, low] = code.number().to_be_bytes();
    let mut frame = Vec::with_capacity(CLOSE_LEN + 4);
    match mask {
        None => frame.extend([0x80 | CLOSE, 2, high, low]),
        Some(mask) => {
            frame.extend([0x80 | CLOSE, 0x80 | 2]);
            frame.extend(mask);
            frame.extend([high ^ mask[0], low ^ mask[1]]);
        }
    }
    frame
}

/// The `Sec-WebSocket-Key` of a handshake, from 16 random bytes.
pub fn key(random: [u8; 16]) -> String {
    STANDARD.encode(random)
}

/// The `Sec-WebSocket-Accept` that answers a `Sec-WebSocket-Key` (section 4.2.2). SHA-1 protects
/// nothing here: the value only shows that the server speaks WebSocket.
pub fn accept(key: &[u8]) -> String {
    let mut hash = digest::Context::new(&digest::SHA1_FOR_LEGACY_USE_ONLY);
    hash.update(key);
    hash.update(ACCEPT_SUFFIX);
    STANDARD.encode(hash.finish())
}

#[cfg(test)]
mod tests;
