//! Compares names of fields as the most lenient recipient does.
//!
//! Names are compared in lower case, with every byte except letters and digits as `-`, because CGI,
//! WSGI and many frameworks read `content_type` as `content-type`.

/// A byte of a name as frameworks that fold names see it.
pub(super) fn fold(byte: u8) -> u8 {
    match byte.to_ascii_lowercase() {
        byte @ (b'a'..=b'z' | b'0'..=b'9') => byte,
        _ => b'-',
    }
}

/// A name in the form that others are compared with.
pub(super) fn normalized(name: &str) -> Box<[u8]> {
    name.bytes().map(fold).collect()
}

/// Whether `name` is a spelling of `known`, which is normalized.
pub(super) fn is(name: &[u8], known: &[u8]) -> bool {
    name.len() == known.len() && starts_with(name, known)
}

/// Whether `name` starts with a spelling of `prefix`, which is normalized.
pub(super) fn starts_with(name: &[u8], prefix: &[u8]) -> bool {
    name.len() >= prefix.len()
        && name
            .iter()
            .zip(prefix)
            .all(|(&byte, &known)| fold(byte) == known)
}
