//! The one reading of a request's target: whose it is, and what path it asks for.
//!
//! Everything that decides or forwards a request reads it here, so that a decision and a cell never
//! see different targets. Three places have to read it themselves:
//!
//! - `well_formed` refuses requests whose target and `Host` disagree, so it can't use a reading that
//!   relies on this check.
//! - `envelope::target` in core is what an envelope is bound to. The verifiers in services use it too,
//!   and they have no router.
//! - `proxy::spare` keeps the parts of a target as they came, to build the same request again.

use http::header::HOST;
use http::request::Parts;
use http::uri::{PathAndQuery, Uri};
use http::{HeaderMap, HeaderValue};

/// The path and query of a request that has none, such as one in authority form.
const ROOT: &str = "/";

/// Host and port, from the target or from the `Host` field. If both have one, they are the same,
/// because otherwise the request was refused ([`well_formed`](super::well_formed)). Empty if
/// neither has one.
pub(crate) fn authority<'a>(uri: &'a Uri, host: Option<&'a HeaderValue>) -> &'a str {
    let authority = uri.authority().map(|authority| authority.as_str());
    let host = || host?.to_str().ok();
    authority.or_else(host).unwrap_or_default()
}

/// The request's `Host` field.
pub(crate) fn host(headers: &HeaderMap) -> Option<&HeaderValue> {
    headers.get(HOST)
}

/// The path and query as the client sent them.
pub(crate) fn path_and_query(parts: &Parts) -> &str {
    parts
        .uri
        .path_and_query()
        .map_or(ROOT, PathAndQuery::as_str)
}

/// The path and query for a request to a cell.
pub(crate) fn origin_form(uri: &Uri) -> PathAndQuery {
    let path = uri.path_and_query().cloned();
    path.unwrap_or_else(|| PathAndQuery::from_static(ROOT))
}

#[cfg(test)]
mod tests;
