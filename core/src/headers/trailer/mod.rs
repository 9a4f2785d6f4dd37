//! Rebuilds `Trailer`, which announces a message's trailers (RFC 9110, section 6.6.2).
//!
//! Over HTTP/1.1 only announced fields are sent. Fields that the router removes from trailers are
//! not announced.

use http::header::{HeaderMap, HeaderName, HeaderValue, TE, TRAILER};

use super::fields::forbidden_in_trailers;
use super::list::elements;
use super::rules::HeaderRules;

/// Most names that one message's `Trailer` fields may announce: the same as the most fields of
/// trailers.
const ANNOUNCED_MAX: usize = crate::http1::FIELDS_MAX;

/// The trailers of a gRPC answer, whether or not they are announced (grpc/grpc,
/// `doc/PROTOCOL-HTTP2.md`).
const GRPC: [&str; 3] = ["grpc-status", "grpc-message", "grpc-status-details-bin"];

/// The announced names that may pass.
pub(super) fn announced(rules: &HeaderRules, headers: &HeaderMap) -> Option<HeaderValue> {
    let names: Vec<HeaderName> = elements(headers.get_all(TRAILER))
        .filter_map(|name| HeaderName::from_bytes(name).ok())
        .filter(|name| !rules.reserves(name) && !forbidden_in_trailers(name))
        .take(ANNOUNCED_MAX)
        .collect();
    let names: Vec<&str> = names.iter().map(HeaderName::as_str).collect();
    match names.is_empty() {
        true => None,
        false => HeaderValue::try_from(names.join(", ")).ok(),
    }
}

/// Whether the sender of the request accepts trailers: `TE` says so (RFC 9110, section 10.1.4).
pub fn takes_trailers(request: &HeaderMap) -> bool {
    request.get_all(TE).iter().any(wants_trailers)
}

/// Whether this value of `TE` lists `trailers`.
pub(super) fn wants_trailers(value: &HeaderValue) -> bool {
    value.as_bytes().split(|&byte| byte == b',').any(|coding| {
        let name = coding
            .split(|&byte| byte == b';')
            .next()
            .unwrap_or_default();
        name.trim_ascii().eq_ignore_ascii_case(b"trailers")
    })
}

/// Announces the trailers of a gRPC answer. gRPC servers don't announce them, because HTTP/2
/// doesn't need it.
pub fn announce_grpc(headers: &mut HeaderMap) {
    let announced = headers.get(TRAILER).and_then(|value| value.to_str().ok());
    let mut names: Vec<&str> = announced
        .into_iter()
        .flat_map(|names| names.split(", "))
        .collect();
    for name in GRPC {
        if !names.contains(&name) {
            names.push(name);
        }
    }
    if let Ok(value) = HeaderValue::try_from(names.join(", ")) {
        headers.insert(TRAILER, value);
    }
}

#[cfg(test)]
mod tests;
