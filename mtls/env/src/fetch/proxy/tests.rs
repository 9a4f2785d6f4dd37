use super::*;

fn url(url: &str) -> SourceUrl {
    SourceUrl::parse(url).unwrap()
}

#[test]
fn a_proxy_is_an_http_address() {
    for (text, host, port) in [
        ("http://proxy.example:3128", "proxy.example", 3128),
        ("http://proxy.example/", "proxy.example", 80),
        ("proxy.example:3128", "proxy.example", 3128),
        ("http://[::1]:3128", "::1", 3128),
    ] {
        let proxy = Proxy::parse(text).unwrap();
        assert_eq!((&*proxy.host, proxy.port), (host, port), "{text}");
        assert_eq!(proxy.authorization, None);
    }
    for text in [
        "",
        "https://proxy.example",
        "socks5://proxy.example",
        "http://proxy.example/path",
        "http://",
        "http:// x",
    ] {
        assert!(Proxy::parse(text).is_err(), "{text}");
    }
}

#[test]
fn a_password_is_sent_and_never_shown() {
    let proxy = Proxy::parse("http://us%65r:p%40ss@proxy:1").unwrap();
    let expected = format!("Basic {}", STANDARD.encode("user:p@ss"));
    assert_eq!(proxy.authorization.as_ref().unwrap(), &expected);
    let shown = format!("{proxy:?}");
    assert!(
        !shown.contains("p@ss") && !shown.contains("Basic"),
        "{shown}"
    );
    let nobody = Proxy::parse("http://user@proxy:1").unwrap();
    let expected = format!("Basic {}", STANDARD.encode("user:"));
    assert_eq!(nobody.authorization.unwrap(), expected);
}

#[test]
fn some_hosts_are_reached_directly() {
    for (entry, source, direct) in [
        ("*", "https://idp.example", true),
        ("idp.example", "https://idp.example", true),
        ("IDP.example.", "https://idp.EXAMPLE", true),
        ("example", "https://idp.example", true),
        ("xample", "https://idp.example", false),
        (".example", "https://idp.example", true),
        ("*.example", "https://idp.example", true),
        (".idp.example", "https://idp.example", false),
        ("idp.example:8443", "https://idp.example", false),
        ("idp.example:8443", "https://idp.example:8443", true),
        ("10.0.0.0/8", "https://10.1.2.3", true),
        ("10.0.0.0/8", "https://11.1.2.3", false),
        ("10.0.0.0/8", "https://idp.example", false),
        ("0.0.0.0/0", "https://11.1.2.3", true),
        ("10.1.2.3", "https://10.1.2.3", true),
        ("10.1.2.3:444", "https://10.1.2.3", false),
        ("fd00::/8", "https://[fd00::1]", true),
        ("fd00::/8", "https://[fe00::1]", false),
        ("::/0", "https://10.1.2.3", false),
        ("[fd00::1]", "https://[fd00::1]", true),
        ("", "https://idp.example", false),
        // This machine is never behind a proxy.
        ("other", "https://127.0.0.1:8443", true),
        ("other", "https://localhost", true),
        ("other", "https://[::1]", true),
        ("other", "http://127.0.0.1", true),
        ("other", "https://idp.example", false),
    ] {
        let mut proxies = Proxies::through("proxy:1").unwrap();
        if !entry.is_empty() {
            proxies.except(entry).unwrap();
        }
        let found = proxies.on_the_way(&url(source)).is_none();
        assert_eq!(found, direct, "{entry:?} {source}");
    }
    for bad in [
        "",
        "a b",
        "10.0.0.0/33",
        "x/8",
        "host:port",
        "http://x",
        "a,b",
    ] {
        assert!(Proxies::default().except(bad).is_err(), "{bad:?}");
    }
}
