//! Interim answers (RFC 9110, section 15.2): `103 Early Hints` and other heads of the class 1xx that come
//! before the final answer.

use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE};
use http::{HeaderMap, StatusCode};

/// An interim answer that a proxy passes on.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Interim {
    /// Its status: 102 to 199.
    pub status: StatusCode,
    /// Its fields.
    pub headers: HeaderMap,
}

impl Interim {
    /// One with this status and these fields. `None` if a proxy doesn't pass it on: 100 is the answer to
    /// an expectation that the proxy itself expresses, and 101 is no interim answer.
    pub fn new(status: StatusCode, mut headers: HeaderMap) -> Option<Self> {
        if !matches!(status.as_u16(), 102..200) {
            return None;
        }
        // It has no body (RFC 9110, section 8.6; RFC 9112, section 6.1).
        for name in [CONTENT_LENGTH, TRANSFER_ENCODING, UPGRADE] {
            headers.remove(name);
        }
        Some(Self { status, headers })
    }

    /// Appends the head as HTTP/1.1.
    pub fn write(&self, into: &mut Vec<u8>) {
        let reason = match self.status.as_u16() {
            103 => "Early Hints",
            _ => self.status.canonical_reason().unwrap_or_default(),
        };
        into.extend_from_slice(b"HTTP/1.1 ");
        into.extend_from_slice(self.status.as_str().as_bytes());
        into.push(b' ');
        into.extend_from_slice(reason.as_bytes());
        into.extend_from_slice(b"\r\n");
        for (name, value) in &self.headers {
            into.extend_from_slice(name.as_str().as_bytes());
            into.extend_from_slice(b": ");
            into.extend_from_slice(value.as_bytes());
            into.extend_from_slice(b"\r\n");
        }
        into.extend_from_slice(b"\r\n");
    }
}
