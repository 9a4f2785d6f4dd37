use super::*;

#[test]
fn takes_https_anywhere_and_http_at_home() {
    for url in [
        "https://idp.example/keys",
        "https://idp.example:8443/?a=b",
        "http://127.0.0.1:8080/keys",
        "http://[::1]:8080/keys",
    ] {
        assert_eq!(SourceUrl::parse(url).unwrap().to_string(), url);
    }
    for (url, why) in [
        ("http://idp.example/keys", UrlError::Plain),
        ("http://127.0.0.1.example/", UrlError::Plain),
        ("ftp://idp.example/", UrlError::Scheme),
        ("file:///etc/passwd", UrlError::NotAbsolute),
        ("idp.example", UrlError::NotAbsolute),
        ("/keys", UrlError::NotAbsolute),
        ("https://me:secret@idp.example/", UrlError::UserInfo),
        ("", UrlError::NotAbsolute),
    ] {
        assert_eq!(SourceUrl::parse(url).unwrap_err(), why, "{url}");
    }
}

#[test]
fn follows_redirects_but_never_out_of_tls() {
    let from = SourceUrl::parse("https://idp.example:8443/a").unwrap();
    let to = |location| from.follow(location).map(|url| url.to_string());
    assert_eq!(to("/b").unwrap(), "https://idp.example:8443/b");
    assert_eq!(to("//other.example/c").unwrap(), "https://other.example/c");
    assert_eq!(
        to("https://other.example/").unwrap(),
        "https://other.example/"
    );
    assert_eq!(to("http://127.0.0.1/keys"), Err(UrlError::Plain));
    for (location, path) in [
        ("keys", "/a/keys"),
        ("./keys?x=1#y", "/a/keys?x=1"),
        ("../keys", "/keys"),
        ("../../../keys", "/keys"),
        ("keys/..", "/a/"),
        ("/c/./d/../e", "/c/e"),
        ("/..", "/"),
        ("?x=1", "/a/b?x=1"),
        ("#y", "/a/b?q=r"),
        ("a:b", ""),
        ("keys:1", ""),
        ("./a:b", "/a/a:b"),
    ] {
        let from = SourceUrl::parse("https://idp.example/a/b?q=r").unwrap();
        let found = from.follow(location).map(|url| url.target().to_owned());
        match path {
            "" => assert!(found.is_err(), "{location}: {found:?}"),
            path => assert_eq!(found.as_deref(), Ok(path), "{location}"),
        }
    }
    assert_eq!(to(""), Err(UrlError::NotAbsolute));
    assert_eq!(to("HTTP://127.0.0.1/keys"), Err(UrlError::Plain));
}
