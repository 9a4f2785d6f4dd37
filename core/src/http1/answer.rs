//! The heads of answers, as the router's code sees them.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

use super::octets::token;

/// The fields that a map has room for at first: those of most answers, and what the router adds.
const ROOM: usize = 24;

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
        let version = match version {
            b"HTTP/1.1 " => Version::HTTP_11,
            b"HTTP/1.0 " => Version::HTTP_10,
            _ => return None,
        };
        Some(Self {
            status: StatusCode::from_bytes(rest.get(..3)?).ok()?,
            version,
            headers: read_fields(&head.slice_ref(fields))?,
        })
    }
}

/// Reads a section of fields that the guard has passed: what follows the first line of a head, or a
/// trailer section. `None` for one that isn't well-formed. The values share the section's memory.
pub fn read_fields(section: &Bytes) -> Option<HeaderMap> {
    let mut headers = HeaderMap::new();
    let mut rest = &section[..];
    while let Some(end) = memchr::memchr(b'\n', rest) {
        let line = rest[..end].strip_suffix(b"\r")?;
        rest = &rest[end + 1..];
        if line.is_empty() {
            break;
        }
        let (name, value) = line.split_at_checked(token(line))?;
        let name = HeaderName::from_bytes(name).ok()?;
        let value = value.strip_prefix(b":")?.trim_ascii();
        let value = HeaderValue::from_maybe_shared(section.slice_ref(value)).ok()?;
        if headers.capacity() == 0 {
            headers.reserve(ROOM);
        }
        headers.try_append(name, value).ok()?;
    }
    Some(headers)
}
