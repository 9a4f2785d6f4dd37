//! The forwarding fields: `X-Forwarded-For`, `-Proto` and `-Host`, and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::remove_where;
use super::rules::starts_with_normalised;

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The prefix of most of them.
const PREFIX: &[u8] = b"x-forwarded-";
/// Other fields in which proxies, content delivery networks and clouds pass on the client's address or
/// the host that it asked for. A cell may trust any of them.
const OTHERS: [&[u8]; 20] = [
    b"cf-connecting-ip",
    b"cf-connecting-ipv6",
    b"client-ip",
    b"do-connecting-ip",
    b"fastly-client-ip",
    b"fly-client-ip",
    b"forwarded",
    b"true-client-ip",
    b"x-appengine-user-ip",
    b"x-azure-clientip",
    b"x-azure-socketip",
    b"x-client-ip",
    b"x-cluster-client-ip",
    b"x-envoy-external-address",
    b"x-envoy-internal",
    b"x-host",
    b"x-original-forwarded-for",
    b"x-original-host",
    b"x-originating-ip",
    b"x-real-ip",
];

/// What the router does with the forwarding fields that a client, or a proxy in front of the
/// router, sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Forwarded {
    /// Removes them and sets the router's own.
    #[default]
    Replace,
    /// Appends to them. For listeners that only proxies can reach.
    Append,
    /// Passes them on unchanged and sets none.
    Keep,
}

/// One hop, as the router knows it: who sent the request, and how.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Hop {
    client: HeaderValue,
    proto: HeaderValue,
    /// The element of `Forwarded` up to the host.
    element: String,
}

/// The values for one authority, which nearly all requests of a connection share.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Told {
    host: HeaderValue,
    element: HeaderValue,
}

impl Hop {
    /// A client at this address. `secure`: it uses TLS.
    pub fn new(client: IpAddr, secure: bool) -> Self {
        let client = client.to_canonical();
        let proto = match secure {
            true => "https",
            false => "http",
        };
        let node = match client {
            IpAddr::V4(ip) => ip.to_string(),
            // RFC 7239, section 6.1.
            IpAddr::V6(ip) => format!("\"[{ip}]\""),
        };
        Self {
            client: value(&client.to_string()),
            proto: HeaderValue::from_static(proto),
            element: format!("for={node};proto={proto}"),
        }
    }

    /// The values for requests with this authority.
    pub fn told(&self, authority: &str) -> Told {
        let quoted = authority.replace('\\', "\\\\").replace('"', "\\\"");
        let element = match authority {
            "" => self.element.clone(),
            _ => format!("{};host=\"{quoted}\"", self.element),
        };
        Told {
            host: value(authority),
            element: value(&element),
        }
    }
}

impl Told {
    /// Whether these values are for this authority.
    pub fn is_of(&self, authority: &str) -> bool {
        self.host.as_bytes() == authority.as_bytes()
    }
}

/// Text as a header value. Addresses and authorities always fit; anything else becomes an empty
/// value.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap_or_else(|_| HeaderValue::from_static(""))
}

/// Sets the forwarding fields of a request.
pub fn forward(mode: Forwarded, hop: &Hop, told: &Told, headers: &mut HeaderMap) {
    match mode {
        Forwarded::Keep => {}
        Forwarded::Replace => {
            let about_the_way = |name: &HeaderName| is_about_the_way(name.as_str().as_bytes());
            remove_where(headers, about_the_way, |_, _| ());
            headers.insert(FOR, hop.client.clone());
            headers.insert(FORWARDED, told.element.clone());
            headers.insert(PROTO, hop.proto.clone());
            if !told.host.is_empty() {
                headers.insert(HOST, told.host.clone());
            }
        }
        Forwarded::Append => {
            append(headers, FOR, &hop.client);
            append(headers, FORWARDED, &told.element);
            // These two are not lists. The first proxy knows what the client requested.
            headers.entry(PROTO).or_insert_with(|| hop.proto.clone());
            if !told.host.is_empty() {
                headers.entry(HOST).or_insert_with(|| told.host.clone());
            }
        }
    }
}

/// Whether a cell could read this as a forwarding field, in any spelling.
pub(super) fn is_about_the_way(name: &[u8]) -> bool {
    // A quick check first: few fields begin with one of these letters.
    let Some(b'c' | b'd' | b'f' | b't' | b'x') = name.first().map(u8::to_ascii_lowercase) else {
        return false;
    };
    let is = |other: &&[u8]| other.len() == name.len() && starts_with_normalised(name, other);
    starts_with_normalised(name, PREFIX) || OTHERS.iter().any(is)
}

/// Appends a value to a list, which may be spread over several fields.
fn append(headers: &mut HeaderMap, name: HeaderName, last: &HeaderValue) {
    let all: Vec<&[u8]> = headers
        .get_all(&name)
        .iter()
        .map(HeaderValue::as_bytes)
        .filter(|value| !value.is_empty())
        .chain([last.as_bytes()])
        .collect();
    let list = match all[..] {
        [_] => last.clone(),
        _ => HeaderValue::from_bytes(&all.join(&b", "[..])).unwrap_or_else(|_| last.clone()),
    };
    headers.insert(name, list);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn forwarded(mode: Forwarded, sent: &[(&str, &str)]) -> Vec<(String, String)> {
        let hop = Hop::new("192.0.2.7".parse().unwrap(), true);
        let mut headers = HeaderMap::new();
        for (name, value) in sent {
            let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
            headers.append(name, HeaderValue::from_str(value).unwrap());
        }
        forward(mode, &hop, &hop.told("shop.example:8443"), &mut headers);
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

    #[test]
    fn replaced_unless_told() {
        let spoofed = [
            ("x-forwarded-for", "10.0.0.1"),
            ("x_forwarded.for", "10.0.0.1"),
            ("x-forwarded-port", "1"),
            ("forwarded", "for=10.0.0.1"),
            ("x-real-ip", "10.0.0.1"),
        ];
        assert_eq!(forwarded(Forwarded::default(), &spoofed), own());
        for name in OTHERS {
            let name = std::str::from_utf8(name).unwrap();
            assert_eq!(
                forwarded(Forwarded::default(), &[(name, "10.0.0.1")]),
                own(),
                "{name}"
            );
            let initial = name.as_bytes()[0].to_ascii_uppercase();
            let upper = [&[initial], &name.as_bytes()[1..]].concat();
            assert!(is_about_the_way(&upper), "{name}");
        }
    }

    #[test]
    fn appended_after_what_a_proxy_said_or_kept() {
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
        let element = |ip: &str| Hop::new(ip.parse().unwrap(), false).told("").element;
        assert_eq!(element("2001:db8::7"), "for=\"[2001:db8::7]\";proto=http");
        assert_eq!(element("::ffff:192.0.2.7"), "for=192.0.2.7;proto=http");
    }

    proptest! {
        /// No field that a client sends under such a name, in any spelling, is left.
        #[test]
        fn nothing_of_a_clients_own_passes(
            name in "(x[-_.]forwarded[-_.](for|proto|host|port|by|[a-z]{1,8})|forwarded|x[-_]real[-_]ip|true-client[_.]ip)",
            value in "spoofed[ -~]{0,20}",
        ) {
            let passed = forwarded(Forwarded::Replace, &[(&name, value.trim_end())]);
            prop_assert_eq!(passed, own());
        }
    }
}
