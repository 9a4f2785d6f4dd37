//! Headers that ask for another method or path than the request line.

use http::header::HeaderName;

/// Frameworks that obey these would run another route or method than the router allowed.
const NAMES: [&[u8]; 11] = [
    b"http-method-override",
    b"x-forwarded-method",
    b"x-forwarded-uri",
    b"x-http-method",
    b"x-http-method-override",
    b"x-httpmethod-override",
    b"x-method-override",
    b"x-original-method",
    b"x-original-uri",
    b"x-original-url",
    b"x-rewrite-url",
];

/// In another spelling, a cell may read it as a second content type, and the content type decides
/// whether a request is gRPC.
const CONTENT_TYPE: &[u8] = b"content-type";

/// Whether the name is one of them, in any spelling that a cell could accept.
pub(super) fn is_override_header(name: &HeaderName) -> bool {
    let bytes = name.as_str().as_bytes();
    match bytes.first() {
        Some(b'c') => bytes != CONTENT_TYPE && alike(bytes, CONTENT_TYPE),
        Some(b'h' | b'x') => NAMES.iter().any(|known| alike(bytes, known)),
        _ => false,
    }
}

fn alike(name: &[u8], known: &[u8]) -> bool {
    let same = |(a, b): (&u8, &u8)| a == b || (*b == b'-' && !a.is_ascii_alphanumeric());
    name.len() == known.len() && std::iter::zip(name, known).all(same)
}
