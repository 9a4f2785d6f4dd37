//! Fields and versions that the guard has passed, as the router's code sees them.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Version};

use super::octets::token;

/// The fields that a map has room for at first: those of most messages, and what the router adds.
const ROOM: usize = 24;

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

/// The version of a message. `None` for one that isn't HTTP/1.1 or HTTP/1.0.
pub(super) fn read_version(version: &[u8]) -> Option<Version> {
    match version {
        b"HTTP/1.1" => Some(Version::HTTP_11),
        b"HTTP/1.0" => Some(Version::HTTP_10),
        _ => None,
    }
}
