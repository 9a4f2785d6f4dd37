//! Recognizes gRPC content types.

use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::http1::is_token;

/// What a message's content type says about gRPC.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grpc {
    /// It is `application/grpc`, alone or with `+` and a format. `application/grpc-web` is another
    /// type.
    Yes,
    No,
    /// Ambiguous: some recipients would read it as gRPC and others would not.
    Unclear,
}

/// Whether a message is gRPC by its content type.
pub fn is_grpc(headers: &HeaderMap) -> bool {
    Grpc::of(headers) == Grpc::Yes
}

impl Grpc {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let mut types = headers.get_all(CONTENT_TYPE).iter();
        let first = types.next().map_or(Self::No, Self::of_value);
        // With several fields, recipients differ in which one they use.
        types.fold(first, |all, other| match (all, Self::of_value(other)) {
            (Self::No, Self::No) => Self::No,
            _ => Self::Unclear,
        })
    }

    /// Reads one media type. A list is not a media type.
    fn of_value(value: &HeaderValue) -> Self {
        const NAME: &[u8] = b"application/grpc";
        let value = value.as_bytes().trim_ascii();
        let is_name = |text: &[u8]| text.eq_ignore_ascii_case(NAME);
        match essence(value) {
            Some(essence) => match essence.split_at_checked(NAME.len()) {
                Some((name, [] | [b'+', _, ..])) if is_name(name) => Self::Yes,
                Some((name, [b'+'])) if is_name(name) => Self::Unclear,
                _ => Self::No,
            },
            None if value.windows(NAME.len()).any(is_name) => Self::Unclear,
            None => Self::No,
        }
    }
}

/// The type and subtype of a media type (RFC 9110, section 8.3.1). `None` if the text is anything
/// else or has anything more.
fn essence(text: &[u8]) -> Option<&[u8]> {
    let subtype = token(text)?.strip_prefix(b"/")?;
    let mut rest = token(subtype)?;
    let essence = &text[..text.len() - rest.len()];
    loop {
        rest = rest.trim_ascii_start();
        if rest.is_empty() {
            return Some(essence);
        }
        rest = rest.strip_prefix(b";")?.trim_ascii_start();
        if let Some(value) = token(rest) {
            let value = value.strip_prefix(b"=")?;
            rest = token(value).or_else(|| quoted(value))?;
        }
    }
}

/// The text after a token (RFC 9110, section 5.6.2).
fn token(text: &[u8]) -> Option<&[u8]> {
    let length = text.iter().take_while(|byte| is_token(**byte)).count();
    (length > 0).then(|| &text[length..])
}

/// The text after a quoted string (RFC 9110, section 5.6.4).
fn quoted(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text.strip_prefix(b"\"")?;
    loop {
        rest = match rest {
            [b'"', rest @ ..] => return Some(rest),
            [b'\\', _, rest @ ..] | [_, rest @ ..] => rest,
            [] => return None,
        };
    }
}

#[cfg(test)]
mod tests;
