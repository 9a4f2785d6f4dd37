use http::header::HeaderName;

use super::*;

fn headers(lines: &[(&'static str, &'static str)]) -> HeaderMap {
    let lines = lines.iter().map(|(name, value)| {
        let name = HeaderName::from_static(name);
        (name, HeaderValue::from_static(value))
    });
    lines.collect()
}

#[test]
fn a_field_counts_only_if_connection_names_it() {
    let asked = [
        (
            &[("upgrade", "websocket"), ("connection", "Upgrade")][..],
            true,
        ),
        (
            &[
                ("upgrade", "websocket"),
                ("connection", "keep-alive, upgrade"),
            ],
            true,
        ),
        (&[("upgrade", "websocket")], false),
        (&[("upgrade", "websocket"), ("connection", "close")], false),
        (
            &[("upgrade", "websocket"), ("connection", "upgraded")],
            false,
        ),
        (&[("connection", "upgrade")], false),
        (&[("upgrade", "a"), ("connection", "upgrade")], true),
    ];
    for (lines, counts) in asked {
        assert_eq!(field(&headers(lines)).is_some(), counts, "{lines:?}");
    }
    let mut two = headers(&[("upgrade", "a"), ("connection", "upgrade")]);
    two.append(UPGRADE, HeaderValue::from_static("b"));
    assert_eq!(field(&two), None, "two fields");
}

#[test]
fn the_clients_favorite_among_the_listed_protocols_is_taken() {
    let first = |list: &[&str], field: &'static str| {
        let first = Upgrades::new(list)
            .unwrap()
            .first_of(&HeaderValue::from_static(field));
        first.map(|it| it.to_str().unwrap().to_owned())
    };
    assert_eq!(first(&["websocket"], "WebSocket").unwrap(), "WebSocket");
    assert_eq!(first(&["a", "b"], "c, b, a").unwrap(), "b");
    assert_eq!(first(&["a/1"], "a, a/2,a/1").unwrap(), "a/1");
    assert_eq!(first(&["websocket"], "h2c"), None);
    assert_eq!(first(&[], "websocket"), None);
    assert!(Upgrades::default().allows(b"websocket"));
}

#[test]
fn lists_with_http_or_with_no_tokens_are_refused() {
    for name in ["h2c", "H2C", "HTTP/2.0", "http"] {
        let refused = Upgrades::new(&[name]).unwrap_err();
        assert_eq!(refused, UpgradesError::Http(name.to_owned()));
    }
    for name in [
        "",
        "a b",
        "a/",
        "/1",
        "a/b/c",
        "a,b",
        "a\r\n",
        &"x".repeat(65),
    ] {
        let refused = Upgrades::new(&[name]).unwrap_err();
        assert_eq!(refused, UpgradesError::Name(name.to_owned()));
    }
    assert_eq!(Upgrades::new(&["a"; 17]), Err(UpgradesError::TooMany));
    let names = Upgrades::new(&["TCP", "spdy/3.1"]).unwrap();
    assert_eq!(names.names().collect::<Vec<_>>(), ["tcp", "spdy/3.1"]);
}
