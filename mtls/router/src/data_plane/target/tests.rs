//! Tests of `target`.

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
