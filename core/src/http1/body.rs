//! The framing inside a chunked body (RFC 9112, section 7.1).

use super::MessageError;

/// Most hexadecimal digits of a chunk's size: what 64 bits hold.
const SIZE_DIGITS_MAX: usize = 16;

/// A chunk's size and the length of its size line. `None` if the line isn't complete.
pub(super) fn chunk_size(bytes: &[u8]) -> Result<Option<(u64, usize)>, MessageError> {
    let mut size = 0;
    for (at, byte) in bytes.iter().enumerate() {
        match (byte, char::from(*byte).to_digit(16)) {
            (_, Some(digit)) if at < SIZE_DIGITS_MAX => size = size << 4 | u64::from(digit),
            (b'\r', _) if at > 0 => {
                return line_end(&bytes[at..], MessageError::BareCr)
                    .map(|end| end.map(|end| (size, at + end)));
            }
            (b'\n', _) => return Err(MessageError::BareLf),
            (b';', _) if at > 0 => return Err(MessageError::ChunkExtension),
            _ => return Err(MessageError::ChunkSize),
        }
    }
    Ok(None)
}

/// The line end after a chunk's data. `None` if it isn't complete.
pub(super) fn chunk_end(bytes: &[u8]) -> Result<Option<usize>, MessageError> {
    line_end(bytes, MessageError::ChunkEnd)
}

/// CR LF, and nothing else.
fn line_end(bytes: &[u8], otherwise: MessageError) -> Result<Option<usize>, MessageError> {
    match bytes {
        [] | [b'\r'] => Ok(None),
        [b'\r', b'\n', ..] => Ok(Some(2)),
        [b'\n', ..] => Err(MessageError::BareLf),
        _ => Err(otherwise),
    }
}
