//! How large a header block is that comes on HTTP/2, before h2 decodes it.
//!
//! h2 leaves out the trailers that are over its own limit, and ends the message as whole. So that
//! limit must never be reached: whoever gets a message refuses a header or trailers that are much
//! smaller, and a block that could hold more than h2 takes doesn't get as far as h2. Such a block ends
//! the connection, because the ones after it can't be decoded without it.

use std::io;

use cellway_core::http1::HEAD_BYTES_MAX;

use super::listen::Listen;
use crate::frames::{
    CONTINUATION, FRAME_HEADER_LEN, FrameHeader, Frames, HEADERS, PREFACE_LEN, PUSH_PROMISE,
};
use crate::settings::AnswerLimits;

/// The most bytes of header or trailers that h2 takes of a cell's stream, as it counts them (RFC 9113,
/// section 6.5.2).
pub(super) const HEADER_LIST_MAX: u32 = 4 * AnswerLimits::HEADER_BYTES_MAX;

/// The same of a client's stream.
pub(crate) const REQUEST_LIST_MAX: u32 = 4 * HEAD_BYTES_MAX as u32;

/// The most bytes of a block with the headers of its frames, where h2 takes `list_max` and a quarter of
/// that is passed on at most.
///
/// A field that h2 leaves out brings the sum over `list_max`. What came before it is within the quarter,
/// else the message is refused for that. So the field is longer than the difference of the two, which
/// is more than the dynamic table holds, and takes at least five bits for each of its bytes (RFC 7541,
/// section 5.2).
const fn block_bytes_max(list_max: u32) -> u32 {
    (list_max - list_max / 4) / 8 * 5 - 1024
}

/// Counts the header blocks of one direction of a connection.
#[derive(Debug)]
pub(crate) struct Blocks {
    block_bytes_max: u32,
    frames: Frames,
    /// Of the last block.
    block_bytes: u32,
}

impl Listen for Blocks {
    fn came(&mut self, bytes: &[u8]) -> io::Result<()> {
        let Self {
            block_bytes_max,
            frames,
            block_bytes,
        } = self;
        frames.take(bytes, |FrameHeader { length, kind, .. }| {
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
        })
    }
}

impl Blocks {
    /// From a cell.
    pub(super) fn of_answers() -> Self {
        Self::new(HEADER_LIST_MAX, 0)
    }

    /// From a client, whose preface comes before its frames.
    pub(crate) fn of_requests() -> Self {
        Self::new(REQUEST_LIST_MAX, PREFACE_LEN)
    }

    fn new(list_max: u32, preface_len: usize) -> Self {
        Self {
            block_bytes_max: block_bytes_max(list_max),
            frames: Frames::after(preface_len),
            block_bytes: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DATA: u8 = 0;

    fn frame(kind: u8, length: usize) -> Vec<u8> {
        let mut frame = (length as u32).to_be_bytes()[1..].to_vec();
        frame.extend([kind, 0, 0, 0, 0, 1]);
        // Whatever looks like another frame in a payload is none.
        frame.resize(FRAME_HEADER_LEN + length, HEADERS);
        frame
    }

    fn good(frames: &[(u8, usize)], pieces: usize) -> bool {
        let bytes: Vec<u8> = frames.iter().flat_map(|it| frame(it.0, it.1)).collect();
        let mut blocks = Blocks::of_answers();
        bytes.chunks(pieces).all(|piece| blocks.came(piece).is_ok())
    }

    #[test]
    fn a_block_is_counted_over_its_frames_however_they_come() {
        let max = block_bytes_max(HEADER_LIST_MAX) as usize;
        let fits = max - 2 * FRAME_HEADER_LEN - 1_000;
        for pieces in [1, 7, 8, 9, 10, 4_096, usize::MAX] {
            assert!(good(&[(HEADERS, 1_000), (CONTINUATION, fits)], pieces));
            assert!(!good(&[(HEADERS, 1_000), (CONTINUATION, fits + 1)], pieces));
            assert!(!good(
                &[(PUSH_PROMISE, 1_001), (CONTINUATION, fits)],
                pieces
            ));
            let two = [(HEADERS, 1_000), (CONTINUATION, fits), (HEADERS, 1_000)];
            assert!(good(&two, pieces));
            assert!(good(
                &[(DATA, 2 * max), (HEADERS, 1_000), (DATA, 0)],
                pieces
            ));
        }
        let empty = vec![(CONTINUATION, 0); max / FRAME_HEADER_LEN + 1];
        assert!(!good(&[&[(HEADERS, 0)], &*empty].concat(), 4_096));
    }
}
