//! Headers that ask for another method or path than the request line.

use http::header::HeaderName;

/// Frameworks that follow these would run another route, or another method of it, than the router
/// has allowed.
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

/// In another spelling it is a second content type for a cell that takes the two for one name, and
/// whether a request is gRPC goes by it.
const CONTENT_TYPE: &[u8] = b"content-type";

/// Whether it is one of them, in any spelling that a cell could take for it.
pub(super) fn names_another_request(name: &HeaderName) -> bool {
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
