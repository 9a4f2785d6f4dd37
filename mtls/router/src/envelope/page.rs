//! The page that publishes the public keys.

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bytes::Bytes;
use cellway_core::Now;
use cellway_core::envelope::JWKS_PATH;
use http::header::{
    ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, ETAG, HeaderMap, HeaderValue, IF_NONE_MATCH,
};
use http::{Method, StatusCode, Uri};

use super::sealer::Sealer;

/// The media type of key sets (RFC 7517, section 8.5.2).
const JWKS: &str = "application/jwk-set+json";
const TEXT: &str = "text/plain; charset=utf-8";

/// An answer that is the same for all clients and on all listeners.
pub(crate) struct Page {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Whether the request is for this page. The router never forwards such a request to a cell.
pub(crate) fn is_asked(uri: &Uri) -> bool {
    uri.path() == JWKS_PATH
}

/// Makes the page. Without signing keys the router itself answers 404: if a cell could answer, it
/// could publish its own key in the router's name.
pub(crate) fn page(
    sealer: Option<&Sealer>,
    method: &Method,
    headers: &HeaderMap,
    now: Now,
) -> Page {
    let Some(ring) = sealer.and_then(Sealer::ring) else {
        return text(
            StatusCode::NOT_FOUND,
            "No envelope keys are published here.\n",
        );
    };
    if ![Method::GET, Method::HEAD].contains(method) {
        let mut refused = text(StatusCode::METHOD_NOT_ALLOWED, "GET or HEAD\n");
        let allowed = HeaderValue::from_static("GET, HEAD");
        refused.headers.insert(ALLOW, allowed);
        return refused;
    }
    let body = ring.jwks(now);
    let etag = format!(
        "\"{}\"",
        URL_SAFE_NO_PAD.encode(digest(&SHA256, body.as_bytes()))
    );
    let max_age = format!("public, max-age={}", ring.max_age().as_secs());
    let known = knows(headers, &etag);
    let mut page = Page {
        status: StatusCode::OK,
        headers: HeaderMap::with_capacity(4),
        body: Bytes::new(),
    };
    // Both have only characters that a header value may have.
    page.headers
        .extend(HeaderValue::try_from(etag).map(|etag| (ETAG, etag)));
    page.headers
        .extend(HeaderValue::try_from(max_age).map(|age| (CACHE_CONTROL, age)));
    if known {
        page.status = StatusCode::NOT_MODIFIED;
        return page;
    }
    page.headers
        .insert(CONTENT_TYPE, HeaderValue::from_static(JWKS));
    page.headers
        .insert(CONTENT_LENGTH, HeaderValue::from(body.len()));
    if *method == Method::GET {
        page.body = body.into();
    }
    page
}

/// Whether `If-None-Match` names this content (RFC 9110, section 13.1.2).
fn knows(headers: &HeaderMap, etag: &str) -> bool {
    let lists = headers.get_all(IF_NONE_MATCH).iter();
    let lists = lists.filter_map(|list| list.to_str().ok());
    let mut tags = lists.flat_map(|list| list.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn text(status: StatusCode, text: &'static str) -> Page {
    let headers = [
        (CONTENT_TYPE, HeaderValue::from_static(TEXT)),
        (CACHE_CONTROL, HeaderValue::from_static("no-store")),
        (CONTENT_LENGTH, HeaderValue::from(text.len())),
    ];
    Page {
        status,
        headers: headers.into_iter().collect(),
        body: Bytes::from_static(text.as_bytes()),
    }
}
