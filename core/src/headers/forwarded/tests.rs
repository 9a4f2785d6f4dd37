use proptest::prelude::*;

use super::*;

fn forwarded(mode: Forwarded, sent: &[(&str, &str)]) -> Vec<(String, String)> {
    let hop = Hop::new("192.0.2.7".parse().unwrap(), true);
    let mut headers = HeaderMap::new();
    for (name, value) in sent {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    forward(
        mode,
        &hop,
        &hop.values_for("shop.example:8443"),
        &mut headers,
    );
    let text = |value: &HeaderValue| value.to_str().unwrap().to_owned();
    let all = headers.iter();
    let mut all: Vec<_> = all.map(|(name, v)| (name.to_string(), text(v))).collect();
    all.sort();
    all
}

fn own() -> Vec<(String, String)> {
    let own = [
        (
            "forwarded",
            "for=192.0.2.7;proto=https;host=\"shop.example:8443\"",
        ),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "shop.example:8443"),
        ("x-forwarded-proto", "https"),
    ];
    own.map(|(n, v)| (n.to_owned(), v.to_owned())).to_vec()
}

/// Names of fields with a client's address, by their vendors.
const VENDORS: [&str; 30] = [
    "ali-cdn-real-ip",
    "cf-connecting-ip",
    "cf-connecting-ipv6",
    "cf-pseudo-ipv4",
    "client-ip",
    "cloudfront-viewer-address",
    "fastly-client-ip",
    "forwarded-for",
    "http_client_ip",
    "http_x_forwarded_for",
    "proxy-client-ip",
    "remote_addr",
    "true-client-ip",
    "wl-proxy-client-ip",
    "x-appengine-user-ip",
    "x-azure-clientip",
    "x-azure-socketip",
    "x-client-ip",
    "x-cluster-client-ip",
    "x-envoy-external-address",
    "x-forward-for",
    "x-forwarded",
    "x-forwardedfor",
    "x-nf-client-connection-ip",
    "x-original-forwarded-for",
    "x-originating-ip",
    "x-remote-addr",
    "x-sp-forwarded-ip",
    "x-vercel-forwarded-for",
    "z-forwarded-for",
];

#[test]
fn forwarding_fields_are_replaced_by_default() {
    let spoofed = [
        ("x-forwarded-for", "10.0.0.1"),
        ("x_forwarded.for", "10.0.0.1"),
        ("x-forwarded-port", "1"),
        ("forwarded", "for=10.0.0.1"),
        ("x-real-ip", "10.0.0.1"),
    ];
    assert_eq!(forwarded(Forwarded::default(), &spoofed), own());
    let listed = OTHERS.map(|name| std::str::from_utf8(name).unwrap());
    for name in listed.into_iter().chain(VENDORS) {
        assert_eq!(
            forwarded(Forwarded::default(), &[(name, "10.0.0.1")]),
            own(),
            "{name}"
        );
        let initial = name.as_bytes()[0].to_ascii_uppercase();
        let upper = [&[initial], &name.as_bytes()[1..]].concat();
        assert!(is_forwarding_field(&upper), "{name}");
    }
    for name in [
        "x-membership",
        "x-skip",
        "referer",
        "accept",
        "x-user",
        "x-host-id",
        "www",
    ] {
        assert!(!is_forwarding_field(name.as_bytes()), "{name}");
    }
}

#[test]
fn appended_values_cannot_be_hidden() {
    let sent = [
        ("forwarded", "for=203.0.113.9;host=\"x"),
        ("x_forwarded_for", "203.0.113.9"),
    ];
    assert_eq!(forwarded(Forwarded::Append, &sent), own());
    let closed = [("forwarded", "for=203.0.113.9;host=\"x\\\"\"")];
    let found = forwarded(Forwarded::Append, &closed);
    assert!(
        found
            .iter()
            .any(|(_, value)| value.starts_with("for=203.0.113.9;host=")),
        "{found:?}"
    );
}

#[test]
fn forwarding_fields_are_appended_or_kept_as_configured() {
    let proxied = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-forwarded-for", "198.51.100.1"),
        ("x-forwarded-proto", "http"),
        ("forwarded", "for=203.0.113.9"),
    ];
    let found = forwarded(Forwarded::Append, &proxied);
    let value = |name: &str| &found.iter().find(|(n, _)| n == name).unwrap().1;
    assert_eq!(
        value("x-forwarded-for"),
        "203.0.113.9, 198.51.100.1, 192.0.2.7"
    );
    assert_eq!(
        value("forwarded"),
        "for=203.0.113.9, for=192.0.2.7;proto=https;host=\"shop.example:8443\""
    );
    assert_eq!(value("x-forwarded-proto"), "http");
    assert_eq!(value("x-forwarded-host"), "shop.example:8443");
    assert_eq!(forwarded(Forwarded::Append, &[]), own());
    assert_eq!(forwarded(Forwarded::Keep, &proxied).len(), 4);
    assert_eq!(forwarded(Forwarded::Keep, &[]), []);
}

#[test]
fn addresses_of_version_6_are_quoted_and_mapped_ones_are_of_version_4() {
    let element = |ip: &str| Hop::new(ip.parse().unwrap(), false).values_for("").element;
    assert_eq!(element("2001:db8::7"), "for=\"[2001:db8::7]\";proto=http");
    assert_eq!(element("::ffff:192.0.2.7"), "for=192.0.2.7;proto=http");
}

proptest! {
    /// No field that a client sends under such a name, in any spelling, is left.
    #[test]
    fn no_forwarding_field_of_a_client_passes(
        name in "(x[-_.]forwarded[-_.](for|proto|host|port|by|[a-z]{1,8})|forwarded|x[-_]real[-_]ip|true-client[_.]ip)",
        value in "spoofed[ -~]{0,20}",
    ) {
        let passed = forwarded(Forwarded::Replace, &[(&name, value.trim_end())]);
        prop_assert_eq!(passed, own());
    }
}
