//! Rewrites a request's header for the version of HTTP that an endpoint speaks.

use cellway_core::registry::{EndpointUrl, Scheme as EndpointScheme};
use http::header::{CONNECTION, COOKIE, EXPECT, HOST, TRANSFER_ENCODING};
use http::request::Parts;
use http::uri::{Authority, Parts as UriParts, Scheme, Uri};
use http::{HeaderMap, HeaderValue, Request, Version};

use crate::data_plane::body::RequestBody;
use crate::data_plane::origin::ForwardingFields;
use crate::data_plane::proxy::trailers;
use crate::data_plane::proxy::upgrade::Upgrade;
use crate::data_plane::target;

/// Prepares the header for every attempt.
pub(super) fn for_any_cell(parts: &mut Parts) {
    // The client's side answers `Expect` when the body is read.
    parts.headers.remove(EXPECT);
    parts.extensions.clear();
    // It has no fields that HTTP/2 forbids, because sanitizing removed them. Only HTTP/1.1 needs
    // further fields.
    parts.version = Version::HTTP_2;
}

/// Puts the request into origin form with a `Host` field. `None` if that isn't possible.
pub(super) fn for_http1(
    request: &mut Request<RequestBody>,
    endpoint: &EndpointUrl,
    upgrade: Option<&Upgrade>,
) -> Option<()> {
    *request.version_mut() = Version::HTTP_11;
    if !request.headers().contains_key(HOST) {
        let host = request
            .uri()
            .authority()
            .map_or(endpoint.authority(), Authority::as_str);
        let host = HeaderValue::from_str(host).ok()?;
        request.headers_mut().insert(HOST, host);
    }
    if request.uri().authority().is_some() {
        let path = target::origin_form(request.uri());
        *request.uri_mut() = Uri::from(path);
    }
    join_cookies(request.headers_mut());
    match upgrade {
        Some(upgrade) => upgrade.ask_http1(request),
        None => trailers::prepare_request(request),
    }
    Some(())
}

/// Joins `Cookie` fields: HTTP/2 may split them, but HTTP/1.1 may not (RFC 9113, section 8.2.3).
fn join_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().nth(1).is_none() {
        return;
    }
    let crumbs = headers.get_all(COOKIE).iter();
    let crumbs: Vec<&[u8]> = crumbs
        .map(HeaderValue::as_bytes)
        .filter(|crumb| !crumb.is_empty())
        .collect();
    if let Ok(joined) = HeaderValue::from_bytes(&crumbs.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

/// Leaves no empty one among several `Cookie` fields: a cell that joins them would find a space at an end,
/// which makes the request malformed and may cost the whole connection (RFC 9113, section 8.2.1).
fn drop_empty_cookies(headers: &mut HeaderMap) {
    if headers.get_all(COOKIE).iter().any(HeaderValue::is_empty) {
        join_cookies(headers);
    }
}

/// Puts the request into absolute form without a `Host` field. h2 makes the pseudo-header fields from that.
pub(super) fn for_http2(
    request: &mut Request<RequestBody>,
    endpoint: &EndpointUrl,
    forwarding: &ForwardingFields,
    upgrade: Option<&Upgrade>,
) -> Option<()> {
    if let Some(upgrade) = upgrade {
        upgrade.ask_http2(request);
    }
    if request.version() != Version::HTTP_2 {
        // An earlier attempt used HTTP/1.1.
        *request.version_mut() = Version::HTTP_2;
        request.headers_mut().remove(TRANSFER_ENCODING);
        request.headers_mut().remove(CONNECTION);
    }
    drop_empty_cookies(request.headers_mut());
    let host = request.headers_mut().remove(HOST);
    if request.uri().authority().is_some() && request.uri().scheme().is_some() {
        return Some(());
    }
    let authority = match (request.uri().authority(), &host) {
        (Some(authority), _) => authority.clone(),
        (None, Some(host)) => match forwarding.known_authority(host) {
            Some(known) => known,
            None => Authority::try_from(host.as_bytes()).ok()?,
        },
        (None, None) => Authority::try_from(endpoint.authority()).ok()?,
    };
    let mut parts = UriParts::default();
    parts.scheme = Some(match endpoint.scheme() {
        EndpointScheme::Https => Scheme::HTTPS,
        EndpointScheme::Http | EndpointScheme::H2c => Scheme::HTTP,
    });
    parts.authority = Some(authority);
    parts.path_and_query = Some(target::origin_form(request.uri()));
    *request.uri_mut() = Uri::from_parts(parts).ok()?;
    Some(())
}
