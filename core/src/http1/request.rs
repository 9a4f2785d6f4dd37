//! The heads of requests, as the router's code sees them.

use bytes::Bytes;
use http::{Method, Request, Uri};

use super::fields::{read_fields, read_version};

/// Reads the head of a request that the [`Guard`](super::Guard) has passed. `None` for any other that isn't
/// one. The target and the values of the fields share the head's memory.
pub fn read_request(head: &Bytes) -> Option<Request<()>> {
    // Empty lines may come before it (RFC 9112, section 2.2).
    let start = head
        .iter()
        .position(|byte| !matches!(byte, b'\r' | b'\n'))?;
    let (line, fields) =
        head[start..].split_at_checked(memchr::memchr(b'\n', &head[start..])? + 1)?;
    let line = line.strip_suffix(b"\r\n")?;
    let (method, rest) = line.split_at_checked(memchr::memchr(b' ', line)?)?;
    let rest = &rest[1..];
    let (target, version) = rest.split_at_checked(memchr::memchr(b' ', rest)?)?;
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::from_maybe_shared(head.slice_ref(target)).ok()?;
    *request.version_mut() = read_version(&version[1..])?;
    *request.headers_mut() = read_fields(&head.slice_ref(fields))?;
    Some(request)
}
