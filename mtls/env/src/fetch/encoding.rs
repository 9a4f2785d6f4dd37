//! Decodes the body of an answer: undoes its `Content-Encoding` (RFC 9110, section 8.4).
//!
//! We prefer documents without encoding, but some caches and file servers send gzip anyway. A
//! document that is small on the wire may be huge, so the limit counts the decoded bytes.

use std::io::{self, Write};

use bytes::Bytes;
use flate2::write::MultiGzDecoder;
use http::HeaderMap;
use http::header::CONTENT_ENCODING;

use super::error::FetchError;

/// Most characters of an encoding's name that a message shows.
const SHOWN_MAX: usize = 64;

/// Collects a body piece by piece.
pub(super) enum Collector {
    /// Without an encoding.
    Plain(Bounded),
    /// One or several gzip members (RFC 1952, section 2.2).
    Gzip(Box<MultiGzDecoder<Bounded>>),
}

/// Bytes up to a limit.
pub(super) struct Bounded {
    bytes: Vec<u8>,
    limit: usize,
}

impl Collector {
    /// For a body of at most `limit` decoded bytes.
    ///
    /// # Errors
    /// [`FetchError::Encoded`] for an encoding other than gzip.
    pub(super) fn new(headers: &HeaderMap, limit: usize) -> Result<Self, FetchError> {
        let bounded = Bounded {
            bytes: Vec::new(),
            limit,
        };
        Ok(match is_gzip(headers)? {
            false => Self::Plain(bounded),
            true => Self::Gzip(Box::new(MultiGzDecoder::new(bounded))),
        })
    }

    /// Whether the length of the answer is also the length of the document.
    pub(super) fn is_plain(&self) -> bool {
        matches!(self, Self::Plain(_))
    }

    /// Adds the next piece.
    ///
    /// # Errors
    /// [`FetchError::TooLarge`], or [`FetchError::Http`] if it isn't gzip.
    pub(super) fn push(&mut self, piece: &[u8]) -> Result<(), FetchError> {
        let (written, limit) = match self {
            Self::Plain(bounded) => (bounded.write_all(piece), bounded.limit),
            Self::Gzip(decoder) => (decoder.write_all(piece), decoder.get_ref().limit),
        };
        written.map_err(|error| refused(&error, limit))
    }

    /// The whole document.
    ///
    /// # Errors
    /// As [`push`](Self::push), and for truncated gzip.
    pub(super) fn finish(self) -> Result<Bytes, FetchError> {
        let bounded = match self {
            Self::Plain(bounded) => bounded,
            Self::Gzip(decoder) => {
                let limit = decoder.get_ref().limit;
                decoder.finish().map_err(|error| refused(&error, limit))?
            }
        };
        Ok(bounded.bytes.into())
    }
}

fn refused(error: &io::Error, limit: usize) -> FetchError {
    if error.kind() == io::ErrorKind::FileTooLarge {
        return FetchError::TooLarge { limit };
    }
    FetchError::Http(format!("the gzip encoding can't be read: {error}"))
}

impl Write for Bounded {
    fn write(&mut self, piece: &[u8]) -> io::Result<usize> {
        if piece.len() > self.limit - self.bytes.len() {
            return Err(io::ErrorKind::FileTooLarge.into());
        }
        self.bytes.extend_from_slice(piece);
        Ok(piece.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whether gzip is the only encoding. Names are case-insensitive; `identity` and an empty name
/// don't count.
fn is_gzip(headers: &HeaderMap) -> Result<bool, FetchError> {
    let mut gzip = false;
    for value in headers.get_all(CONTENT_ENCODING) {
        let encodings = String::from_utf8_lossy(value.as_bytes()).to_ascii_lowercase();
        for encoding in encodings.split(',').map(str::trim) {
            match encoding {
                "" | "identity" => {}
                "gzip" | "x-gzip" if !gzip => gzip = true,
                other => {
                    let encoding = other.chars().take(SHOWN_MAX).collect();
                    return Err(FetchError::Encoded { encoding });
                }
            }
        }
    }
    Ok(gzip)
}
