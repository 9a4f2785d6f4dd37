//! Limits the size of HTTP/2 header blocks before h2 decodes them.
//!
//! If trailers are over h2's limit, h2 drops them and ends the message as complete. So that limit
//! must never be reached: the code that gets a message refuses a header or trailers over a much
//! lower limit, and a block that could hold more than h2 accepts never reaches h2. Such a block
//! ends the connection, because later blocks can't be decoded without it.

use std::io;
use std::sync::Arc;

use cellway_core::http1::HEAD_BYTES_MAX;
use cellway_core::http2::{
    CONTINUATION, FRAME_HEADER_LEN, FrameHeader, Frames, HEADERS, PREFACE_LEN, PUSH_PROMISE, Part,
};

use super::link::Link;
use super::listening::Listen;
use super::peer::Peer;
use crate::settings::AnswerLimits;

/// The most bytes of a header or trailers that h2 accepts on a cell's stream, as it counts them
/// (RFC 9113, section 6.5.2).
pub(super) const HEADER_LIST_MAX: u32 = 4 * AnswerLimits::HEADER_BYTES_MAX;

/// The same for a client's stream.
pub(crate) const REQUEST_LIST_MAX: u32 = 4 * HEAD_BYTES_MAX as u32;

/// The most bytes of a block including its frame headers, if h2 accepts `list_max` and at most a
/// quarter of that is passed on.
///
/// h2 drops a field if it brings the sum over `list_max`. The fields before it are within the
/// quarter; otherwise the message is refused for them. So the dropped field is longer than the
/// difference of the two, which is more than the dynamic table holds, and it takes at least five
/// bits for each of its bytes (RFC 7541, section 5.2).
const fn block_bytes_max(list_max: u32) -> u32 {
    (list_max - list_max / 4) / 8 * 5 - 1024
}

/// Measures the header blocks in one direction of a connection.
#[derive(Debug)]
pub(crate) struct Blocks {
    block_bytes_max: u32,
    frames: Frames,
    /// The size of the current block.
    block_bytes: u32,
    /// Told what came, and what the other side says that it takes.
    link: Option<(Arc<Link>, Peer)>,
    /// How many frames have begun. Counts to 255.
    begun: u8,
}

impl Listen for Blocks {
    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self {
            block_bytes_max,
            frames,
            block_bytes,
            link,
            begun,
        } = self;
        frames.take_parts(bytes, |part| {
            if let Some((link, peer)) = link
                && let Some(limits) = peer.takes(part)
            {
                link.allows(limits);
            }
            let Part::Header(FrameHeader { length, kind, .. }) = part else {
                return Ok(());
            };
            *begun = begun.saturating_add(1);
            let bytes = length + FRAME_HEADER_LEN as u32;
            match kind {
                HEADERS | PUSH_PROMISE => *block_bytes = bytes,
                CONTINUATION => *block_bytes = block_bytes.saturating_add(bytes),
                _ => return Ok(()),
            }
            if *block_bytes > *block_bytes_max {
                let why = format!("a header block of more than {block_bytes_max} bytes");
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            Ok(())
        })?;
        if let Some((link, _)) = link {
            link.hears(*begun > 1 || *begun == 1 && frames.is_between());
        }
        Ok(())
    }
}

impl Blocks {
    /// For frames from a cell.
    pub(super) fn of_answers(link: Arc<Link>) -> Self {
        Self {
            link: Some((link, Peer::default())),
            ..Self::new(HEADER_LIST_MAX, 0)
        }
    }

    /// For frames from a client, which start after its preface.
    pub(crate) fn of_requests() -> Self {
        Self::new(REQUEST_LIST_MAX, PREFACE_LEN)
    }

    fn new(list_max: u32, preface_len: usize) -> Self {
        Self {
            block_bytes_max: block_bytes_max(list_max),
            frames: Frames::after(preface_len),
            block_bytes: 0,
            link: None,
            begun: 0,
        }
    }
}

#[cfg(test)]
mod tests;
