//! The heads of answers, as the router's code sees them.

use bytes::Bytes;
use http::{HeaderMap, StatusCode, Version};

use super::fields::{read_fields, read_version};

/// The head of an answer that the guard has passed.
#[derive(Clone, Debug)]
pub struct AnswerHead {
    /// Its status.
    pub status: StatusCode,
    /// HTTP/1.1 or HTTP/1.0.
    pub version: Version,
    /// Its fields. Their values share the head's memory.
    pub headers: HeaderMap,
}

impl AnswerHead {
    /// Reads a head that the [`Guard`](super::Guard) has passed. `None` for any other that isn't one.
    pub fn read(head: &Bytes) -> Option<Self> {
        let (line, fields) = head.split_at_checked(memchr::memchr(b'\n', head)? + 1)?;
        let (version, rest) = line.split_at_checked(b"HTTP/1.1 ".len())?;
        let version = read_version(version.strip_suffix(b" ")?)?;
        Some(Self {
            status: StatusCode::from_bytes(rest.get(..3)?).ok()?,
            version,
            headers: read_fields(&head.slice_ref(fields))?,
        })
    }
}
