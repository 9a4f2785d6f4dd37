//! Refuses requests that the grammar allows but a proxy must not pass on: two recipients could read them
//! differently, and an attacker could use that to smuggle requests.
//!
//! The guard has already checked the bytes of HTTP/1.1 ([`crate::data_plane::http1`]). These are the
//! checks on a parsed request, for both versions.

use cellway_core::Reason;
use cellway_core::envelope::respells_jwks_path;
use cellway_core::http1::{FIELDS_MAX, HEAD_BYTES_MAX, MessageError};
use http::header::{CONTENT_LENGTH, HOST, HeaderMap, HeaderName, HeaderValue, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, PathAndQuery};
use http::{Method, Request, Version};

/// Why a request is refused before any decision.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RequestRefused {
    pub(crate) reason: Reason,
    pub(crate) detail: &'static str,
}

impl From<&'static str> for Box<RequestRefused> {
    fn from(detail: &'static str) -> Self {
        Self::new(RequestRefused {
            reason: Reason::BadRequest,
            detail,
        })
    }
}

impl From<MessageError> for Box<RequestRefused> {
    fn from(fault: MessageError) -> Self {
        Self::new(RequestRefused {
            reason: fault.reason(),
            detail: fault.detail(),
        })
    }
}

/// Checks a parsed request. `known` says whether a `Host` field is known to be sound. The error is
/// boxed because it is part of each request's future, and few requests are refused.
pub(crate) fn check(
    request: &Parts,
    known: impl FnOnce(&HeaderValue) -> bool,
) -> Result<(), Box<RequestRefused>> {
    well_formed(request)?;
    size(request)?;
    if request.method == Method::CONNECT {
        return Err(Box::new(RequestRefused {
            reason: Reason::ConnectRefused,
            detail: "this router does not serve CONNECT; send the request to the router itself",
        }));
    }
    if request.version == Version::HTTP_2 && is_padded(&request.headers) {
        return Err(PADDED.into());
    }
    scheme(request)?;
    host(request, known)?;
    content_length(&request.headers)?;
    transfer_encoding(&request.headers)?;
    Ok(target(request)?)
}

/// Refuses a request that replaces a malformed one (see the guard).
pub(crate) fn well_formed(request: &Parts) -> Result<(), Box<RequestRefused>> {
    match request.extensions.get::<MessageError>() {
        None => Ok(()),
        Some(fault) => Err((*fault).into()),
    }
}

/// The limits of HTTP/1.1, for HTTP/2 too. There a field counts 32 octets more than its name and
/// value (RFC 9113, section 6.5.2).
fn size(request: &Parts) -> Result<(), MessageError> {
    let headers = &request.headers;
    if headers.len() > FIELDS_MAX {
        return Err(MessageError::TooMany);
    }
    if request.version != Version::HTTP_2 {
        return Ok(());
    }
    match list_size(headers) {
        0..=HEAD_BYTES_MAX => Ok(()),
        _ => Err(MessageError::TooLong),
    }
}

/// The size of a header as HTTP/2 counts it (RFC 9113, section 6.5.2), without its pseudo-header fields.
pub(crate) fn list_size(headers: &HeaderMap) -> usize {
    let field = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 32;
    headers.iter().map(field).sum()
}

/// The size of the pseudo-header fields that HTTP/2 adds to that.
pub(crate) fn pseudo_size<B>(request: &Request<B>) -> usize {
    let (method, uri) = (request.method().as_str(), request.uri());
    let fields = [
        (":method", method),
        (":scheme", uri.scheme_str().unwrap_or_default()),
        (":authority", uri.authority().map_or("", Authority::as_str)),
        (
            ":path",
            uri.path_and_query().map_or("", PathAndQuery::as_str),
        ),
    ];
    let size = |(name, value): (&str, &str)| name.len() + value.len() + 32;
    fields.into_iter().map(size).sum()
}

/// Whether a field's value begins or ends with a space or a tab. Such a message is malformed in HTTP/2 and
/// must not be forwarded (RFC 9113, sections 8.1.1 and 8.2.1): the next recipient may close the connection,
/// and others use it too. In HTTP/1.1 the parser removes this whitespace.
pub(crate) fn is_padded(fields: &HeaderMap) -> bool {
    let blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let mut values = fields.values().map(HeaderValue::as_bytes);
    values.any(|value| blank(value.first()) || blank(value.last()))
}

/// What [`is_padded`] says of a message.
pub(crate) const PADDED: &str = "a field's value begins or ends with whitespace";

/// The scheme must be `http` or `https`. HTTP/2 cells see it, and h2 also accepts an empty one.
fn scheme(request: &Parts) -> Result<(), &'static str> {
    match request.uri.scheme_str() {
        None | Some("http" | "https") => Ok(()),
        Some(_) => Err("the scheme is not http or https"),
    }
}

/// There must be exactly one host, in `:authority` or `Host` (RFC 9112, section 3.2; RFC 9113,
/// section 8.3.1).
fn host(request: &Parts, known: impl FnOnce(&HeaderValue) -> bool) -> Result<(), &'static str> {
    let mut hosts = request.headers.get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err("the request has more than one Host field");
    }
    let authority = request.uri.authority();
    match (host, authority) {
        (None, None) if request.version == Version::HTTP_10 => Ok(()),
        (None, None) => Err("the request has no Host field"),
        (None, Some(authority)) => sound(authority),
        (Some(host), None) if known(host) => Ok(()),
        (Some(host), None) => match Authority::try_from(host.as_bytes()) {
            Ok(authority) => sound(&authority),
            Err(_) => Err("the Host field is not a host"),
        },
        (Some(host), Some(authority)) => {
            sound(authority)?;
            if host
                .as_bytes()
                .eq_ignore_ascii_case(authority.as_str().as_bytes())
            {
                Ok(())
            } else {
                Err("the Host field and the target's authority differ")
            }
        }
    }
}

/// The host must not be empty (RFC 9110, section 4.2.1), and a port must be valid. The parser of
/// authorities checks neither.
fn sound(authority: &Authority) -> Result<(), &'static str> {
    let (whole, host) = (authority.as_str(), authority.host());
    if whole.contains('@') {
        return Err("the authority has user information");
    }
    let port = whole.strip_prefix(host).unwrap_or(whole);
    if host.is_empty() || !matches!(port, "" | ":") && authority.port().is_none() {
        return Err("the authority has no host, or an invalid port");
    }
    // RFC 3986 allows more. But the host is forwarded in `Forwarded`, and a parser that splits that
    // field at ";" or "," could find other parts in it.
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~%".contains(&byte);
    if !host.starts_with('[') && !host.bytes().all(fits) {
        return Err("the host has a character other than letters, digits and -._~%");
    }
    Ok(())
}

/// The `Content-Length`, if there is one. The same value twice, in one field or in two, is refused
/// too, as RFC 9110, section 8.6, allows: other recipients would read it differently.
pub(crate) fn content_length(headers: &HeaderMap) -> Result<Option<u64>, &'static str> {
    let mut lengths = headers.get_all(CONTENT_LENGTH).iter();
    let Some(length) = lengths.next() else {
        return Ok(None);
    };
    if lengths.next().is_some() {
        return Err("there is more than one Content-Length field");
    }
    // Digits only: `parse` would accept a sign.
    let digits = length.to_str().ok().filter(|text| {
        let mut bytes = text.bytes();
        bytes.all(|byte| byte.is_ascii_digit())
    });
    let length = digits.and_then(|digits| digits.parse().ok());
    length
        .map(Some)
        .ok_or("the Content-Length is not one number")
}

/// It must be `chunked`, once, or absent. Servers read any other list differently, and another
/// coding would be forwarded without its name.
fn transfer_encoding(headers: &HeaderMap) -> Result<(), &'static str> {
    let mut codings = headers.get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    let plain = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if plain && codings.next().is_none() {
        Ok(())
    } else {
        Err("the Transfer-Encoding is not chunked")
    }
}

/// The target must be a path, or `*` for `OPTIONS`. A query without a path is refused: here it
/// reads as `/?...`, but the cell would get it without the slash.
fn target(request: &Parts) -> Result<(), &'static str> {
    let path = request.uri.path();
    let whole = request
        .uri
        .path_and_query()
        .map_or("", PathAndQuery::as_str);
    if whole.starts_with('?') {
        return Err("the target has no path");
    }
    if path.contains('"') {
        return Err(MessageError::Target.detail());
    }
    if respells_jwks_path(path) {
        return Err("the path is another spelling of /.well-known/cellway/jwks.json");
    }
    if path.starts_with('/') || (path == "*" && request.method == Method::OPTIONS) {
        Ok(())
    } else {
        Err("the target has no path")
    }
}

#[cfg(test)]
mod tests;
