use http::Request;

use super::*;

fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Parts {
    let mut builder = Request::builder().method(method).uri(uri);
    for (name, value) in headers {
        builder = builder.header(*name, *value);
    }
    builder.body(()).unwrap().into_parts().0
}

fn check(request: &Parts) -> Result<(), Box<RequestRefused>> {
    super::check(request, |_| false)
}

/// Catches: a known host that makes up for another fault.
#[test]
fn a_known_host_is_not_parsed_again() {
    let with = |headers: &[_]| super::check(&request("GET", "/", headers), |_| true);
    assert!(with(&[("host", "a/b")]).is_ok());
    assert!(with(&[("host", "a"), ("host", "a")]).is_err());
    assert!(with(&[("host", "a"), ("content-length", "x")]).is_err());
    assert!(with(&[]).is_err());
}

#[test]
fn ambiguous_hosts_are_refused() {
    for (uri, headers) in [
        ("/", &[("host", "a"), ("host", "a")][..]),
        ("/", &[][..]),
        ("http://a/", &[("host", "b")][..]),
        ("http://me@a/", &[][..]),
        ("/", &[("host", "me@a")][..]),
        ("/", &[("host", "a/b")][..]),
        ("/", &[("host", "")][..]),
        ("/", &[("host", ":80")][..]),
        ("/", &[("host", "a:b")][..]),
        ("/", &[("host", "a:99999")][..]),
        ("/", &[("host", "a;for=192.0.2.1")][..]),
        ("/", &[("host", "a,b")][..]),
        ("/", &[("host", "a=b")][..]),
        ("http://a;b/", &[][..]),
        ("http://a:b/", &[][..]),
    ] {
        assert!(
            check(&request("GET", uri, headers)).is_err(),
            "{uri} {headers:?}"
        );
    }
    for (uri, headers) in [
        ("/", &[("host", "a")][..]),
        ("/", &[("host", "[::1]:8443")][..]),
        ("/", &[("host", "[::1]")][..]),
        ("/", &[("host", "a:")][..]),
        ("http://a/", &[][..]),
        ("http://a/", &[("host", "A")][..]),
    ] {
        assert_eq!(
            check(&request("GET", uri, headers)),
            Ok(()),
            "{uri} {headers:?}"
        );
    }
}

#[test]
fn only_the_schemes_that_are_served_pass() {
    let scheme = |uri| check(&request("GET", uri, &[("host", "a")])).is_ok();
    assert!(scheme("http://a/") && scheme("HTTPS://a/") && scheme("/"));
    assert!(!scheme("ftp://a/") && !scheme("httpx://a/"));
}

#[test]
fn only_one_plain_chunked_passes() {
    let te = |values: &[&str]| {
        let mut headers = vec![("host", "a")];
        headers.extend(values.iter().map(|value| ("transfer-encoding", *value)));
        check(&request("POST", "/", &headers)).is_ok()
    };
    assert!(te(&["chunked"]) && te(&["Chunked"]) && te(&[]));
    assert!(!te(&["gzip, chunked"]));
    assert!(!te(&["chunked, chunked"]));
    assert!(!te(&["chunked", "chunked"]));
    assert!(!te(&["identity"]));
    assert!(!te(&["chunked;a=b"]));
}

#[test]
fn one_number_is_a_length() {
    let lengths = [
        ("host", "a"),
        ("content-length", "3"),
        ("content-length", "3"),
    ];
    assert!(check(&request("POST", "/", &lengths)).is_err());
    assert!(check(&request("POST", "/", &lengths[..2])).is_ok());
    for length in ["", "abc", "-1", "+1", "1, 1", "0x1", "18446744073709551616"] {
        let fields = [("host", "a"), ("content-length", length)];
        assert!(check(&request("POST", "/", &fields)).is_err(), "{length}");
    }
}

#[test]
fn the_page_of_keys_has_one_spelling() {
    let path = |path| check(&request("GET", path, &[("host", "a")]));
    assert!(path("/.well-known/cellway/%6awks.json").is_err());
    assert!(path("//.well-known/cellway/jwks.json?x").is_err());
    assert_eq!(path("/.well-known/cellway/jwks.json"), Ok(()));
}

#[test]
fn tunnels_are_refused() {
    assert!(check(&request("CONNECT", "a:443", &[("host", "a:443")])).is_err());
}
