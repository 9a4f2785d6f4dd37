//! Headers by which a client asks for something else than the request's first line says.

use http::header::HeaderName;

/// Frameworks that follow these would run another route, or another method of it, than the router
/// has allowed.
const NAMES: [&[u8]; 5] = [
    b"x-http-method",
    b"x-http-method-override",
    b"x-method-override",
    b"x-original-url",
    b"x-rewrite-url",
];

/// Whether it is one of them, in any spelling that a cell could take for it.
pub(super) fn names_another_request(name: &HeaderName) -> bool {
    let bytes = name.as_str().as_bytes();
    let alike = |known: &&[u8]| {
        let same = |(a, b): (&u8, &u8)| a == b || (*b == b'-' && !a.is_ascii_alphanumeric());
        known.len() == bytes.len() && std::iter::zip(bytes, *known).all(same)
    };
    bytes.first() == Some(&b'x') && NAMES.iter().any(alike)
}
