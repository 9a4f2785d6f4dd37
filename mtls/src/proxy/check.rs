//! Requests that hyper lets through and a proxy must not: two recipients could read them
//! differently, and the difference is how requests are smuggled.

use http::header::{HOST, TRANSFER_ENCODING};
use http::uri::Authority;
use http::{Method, Request, Version};

/// What is wrong with the request, if anything.
pub(super) fn check<B>(request: &Request<B>) -> Result<(), &'static str> {
    if *request.method() == Method::CONNECT {
        return Err("CONNECT is not served here");
    }
    host(request)?;
    transfer_encoding(request)?;
    target(request)
}

/// Exactly one host, whichever way it is said (RFC 9112, section 3.2; RFC 9113, section 8.3.1).
fn host<B>(request: &Request<B>) -> Result<(), &'static str> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let host = hosts.next();
    if hosts.next().is_some() {
        return Err("more than one Host field");
    }
    let authority = request.uri().authority();
    match (host, authority) {
        (None, None) if request.version() == Version::HTTP_10 => Ok(()),
        (None, None) => Err("no Host field"),
        (None, Some(authority)) => without_user(authority.as_str()),
        (Some(host), None) => {
            let Ok(host) = host.to_str() else {
                return Err("a Host field that is no host");
            };
            without_user(host)?;
            match host.parse::<Authority>() {
                Ok(_) => Ok(()),
                Err(_) => Err("a Host field that is no host"),
            }
        }
        (Some(host), Some(authority)) => {
            without_user(authority.as_str())?;
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

fn without_user(authority: &str) -> Result<(), &'static str> {
    match authority.contains('@') {
        true => Err("an authority with user information"),
        false => Ok(()),
    }
}

/// `chunked`, once, or nothing: any other list is read differently by different servers.
fn transfer_encoding<B>(request: &Request<B>) -> Result<(), &'static str> {
    let mut codings = request.headers().get_all(TRANSFER_ENCODING).iter();
    let Some(coding) = codings.next() else {
        return Ok(());
    };
    let plain = coding.as_bytes().eq_ignore_ascii_case(b"chunked");
    if plain && codings.next().is_none() {
        Ok(())
    } else {
        Err("a Transfer-Encoding other than chunked")
    }
}

/// A path, or `*` for `OPTIONS`. A fragment never travels, and hyper cuts it off silently.
fn target<B>(request: &Request<B>) -> Result<(), &'static str> {
    let path = request.uri().path();
    if path.starts_with('/') || (path == "*" && *request.method() == Method::OPTIONS) {
        Ok(())
    } else {
        Err("a target without a path")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(method: &str, uri: &str, headers: &[(&str, &str)]) -> Request<()> {
        let mut builder = Request::builder().method(method).uri(uri);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        builder.body(()).unwrap()
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
        ] {
            assert!(
                check(&request("GET", uri, headers)).is_err(),
                "{uri} {headers:?}"
            );
        }
        for (uri, headers) in [
            ("/", &[("host", "a")][..]),
            ("/", &[("host", "[::1]:8443")][..]),
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
    fn tunnels_are_refused() {
        assert!(check(&request("CONNECT", "a:443", &[("host", "a:443")])).is_err());
    }
}
