//! Fields whose value is a list.

use http::header::HeaderValue;

/// The elements of a list without their spaces (RFC 9110, section 5.6.1), in all lines of its field. An
/// element may be empty.
pub fn elements<'a>(
    values: impl IntoIterator<Item = &'a HeaderValue>,
) -> impl Iterator<Item = &'a [u8]> {
    let values = values.into_iter();
    let elements = values.flat_map(|value| value.as_bytes().split(|byte| *byte == b','));
    elements.map(<[u8]>::trim_ascii)
}
