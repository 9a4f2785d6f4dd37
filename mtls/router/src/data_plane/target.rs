//! The one reading of a request's target: whose it is, and what path it asks for.
//!
//! Everything that decides or forwards a request reads it here, so that a decision and a cell never
//! see different targets.

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
mod tests {
    use http::Request;

    use super::*;

    /// Catches: a request that is decided for one host and forwarded in the name of another.
    #[test]
    fn a_target_is_read_alike_however_it_is_written() {
        let read = |uri: &str, host_field: Option<&str>| {
            let mut request = Request::builder().uri(uri);
            if let Some(host) = host_field {
                request = request.header(HOST, host);
            }
            let (parts, ()) = request.body(()).unwrap().into_parts();
            let authority = authority(&parts.uri, host(&parts.headers)).to_owned();
            let path = path_and_query(&parts).to_owned();
            assert_eq!(origin_form(&parts.uri).as_str(), path);
            (authority, path)
        };
        let expected = |authority: &str, path: &str| (authority.to_owned(), path.to_owned());
        let same = expected("a:80", "/x?y");
        assert_eq!(read("/x?y", Some("a:80")), same);
        assert_eq!(read("http://a:80/x?y", None), same);
        assert_eq!(read("http://a:80/x?y", Some("a:80")), same);
        assert_eq!(read("/x", None), expected("", "/x"));
        assert_eq!(read("http://a", None), expected("a", "/"));
        assert_eq!(read("*", Some("a")), expected("a", "*"));
    }
}
