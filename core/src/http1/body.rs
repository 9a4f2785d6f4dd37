//! The framing inside a chunked body (RFC 9112, section 7.1).

use super::Fault;

/// Most hexadecimal digits of a chunk's size: what 64 bits hold.
const SIZE_DIGITS_MAX: usize = 16;

/// A chunk's size and the length of its size line. `None` if the line isn't complete.
pub(super) fn chunk_size(bytes: &[u8]) -> Result<Option<(u64, usize)>, Fault> {
    let mut size = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, char::from(*byte).to_digit(16)) {
            (_, Some(digit)) if at < SIZE_DIGITS_MAX => size = size << 4 | u64::from(digit),
            (b'\r', _) if at > 0 => {
                return line_end(&bytes[at..], Fault::BareCr)
                    .map(|end| end.map(|end| (size, at + end)));
            }
            (b'\n', _) => return Err(Fault::BareLf),
            (b';', _) if at > 0 => return Err(Fault::ChunkExtension),
            _ => return Err(Fault::ChunkSize),
        }
    }
    Ok(None)
}

/// The line end after a chunk's data. `None` if it isn't complete.
pub(super) fn chunk_end(bytes: &[u8]) -> Result<Option<usize>, Fault> {
    line_end(bytes, Fault::ChunkEnd)
}

/// CR LF, and nothing else.
fn line_end(bytes: &[u8], otherwise: Fault) -> Result<Option<usize>, Fault> {
    match bytes {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\n', ..] => Err(Fault::BareLf),
        _ => Err(otherwise),
    }
}
