//! The forwarding fields: `X-Forwarded-For`, `-Proto` and `-Host`, and `Forwarded` (RFC 7239).

use std::net::IpAddr;

use http::header::{FORWARDED, HeaderMap, HeaderName, HeaderValue};
use serde::Deserialize;

use super::{names, remove_where};

const FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const HOST: HeaderName = HeaderName::from_static("x-forwarded-host");

/// The prefix of most of them.
const PREFIX: &[u8] = b"x-forwarded-";
/// Other fields in which proxies, content delivery networks and clouds pass on the client's address or
/// the host that it asked for. A cell may trust any of them.
const OTHERS: [&[u8]; 8] = [
    b"forwarded",
    b"front-end-https",
    b"x-backend-host",
    b"x-envoy-internal",
    b"x-host",
    b"x-original-host",
    b"x-scheme",
    b"x-url-scheme",
];
/// What the names of fields with a client's address contain or end with, without their separators. Each
/// vendor has a name of its own: `CF-Connecting-IP`, `Fastly-Client-IP`, `WL-Proxy-Client-IP` and so on.
const CONTAINED: [&str; 4] = ["forwarded", "forwardfor", "connectingip", "pseudoip"];
const ENDS: [&str; 15] = [
    "clientaddr",
    "clientaddress",
    "clientip",
    "connectionip",
    "externaladdress",
    "originatingip",
    "realip",
    "remoteaddr",
    "remoteip",
    "socketip",
    "sourceip",
    "srcip",
    "userip",
    "vieweraddress",
    "xip",
];
/// No such name is longer, without its separators.
const FOLDED_MAX: usize = 48;

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
pub struct ForwardedValues {
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
    pub fn values_for(&self, authority: &str) -> ForwardedValues {
        let quoted = authority.replace('\\', "\\\\").replace('"', "\\\"");
        let element = match authority {
            "" => self.element.clone(),
            _ => format!("{};host=\"{quoted}\"", self.element),
        };
        ForwardedValues {
            host: value(authority),
            element: value(&element),
        }
    }
}

impl ForwardedValues {
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
pub fn forward(mode: Forwarded, hop: &Hop, told: &ForwardedValues, headers: &mut HeaderMap) {
    match mode {
        Forwarded::Keep => {}
        Forwarded::Replace => {
            let about_the_way = |name: &HeaderName| is_forwarding_field(name.as_str().as_bytes());
            remove_where(headers, about_the_way, |_, _| ());
            headers.insert(FOR, hop.client.clone());
            headers.insert(FORWARDED, told.element.clone());
            headers.insert(PROTO, hop.proto.clone());
            if !told.host.is_empty() {
                headers.insert(HOST, told.host.clone());
            }
        }
        Forwarded::Append => {
            remove_where(headers, is_misspelled, |_, _| ());
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
pub(super) fn is_forwarding_field(name: &[u8]) -> bool {
    let is = |other: &&[u8]| names::is(name, other);
    // Quick checks first, because few names pass them.
    let listed = || names::starts_with(name, PREFIX) || OTHERS.iter().any(is);
    matches!(name.first(), Some(b'f' | b'F' | b'x' | b'X')) && listed()
        || may_hold_address(name) && holds_address(name)
}

/// Whether the name contains or ends with a letter as the names in [`CONTAINED`] and [`ENDS`] do.
fn may_hold_address(name: &[u8]) -> bool {
    matches!(
        name.last(),
        Some(b'p' | b'P' | b'r' | b'R' | b's' | b'S' | b'4' | b'6')
    ) || name.iter().any(|byte| matches!(byte, b'w' | b'W'))
}

fn holds_address(name: &[u8]) -> bool {
    let mut folded = [0; FOLDED_MAX];
    let mut len = 0;
    for byte in name.iter().filter(|byte| byte.is_ascii_alphanumeric()) {
        let Some(next) = folded.get_mut(len) else {
            return false;
        };
        *next = byte.to_ascii_lowercase();
        len += 1;
    }
    str::from_utf8(&folded[..len]).is_ok_and(|name| {
        CONTAINED.iter().any(|part| name.contains(part))
            || ENDS.iter().any(|end| name.ends_with(end))
    })
}

/// Whether a cell that folds names would take the field for one that the router sets.
fn is_misspelled(name: &HeaderName) -> bool {
    let bytes = name.as_str().as_bytes();
    let like = |own: &HeaderName| own != name && names::is(bytes, own.as_str().as_bytes());
    [FOR, FORWARDED, PROTO, HOST].iter().any(like)
}

/// Whether every quoted string ends (RFC 9110, section 5.6.4). An unterminated string would include
/// the appended value.
fn is_closed(list: &[u8]) -> bool {
    let mut quoted = false;
    let mut bytes = list.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => quoted = !quoted,
            b'\\' if quoted => drop(bytes.next()),
            _ => {}
        }
    }
    !quoted
}

/// Appends a value to a list, which may be spread over several fields. A list with a string that does not
/// end is dropped.
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
        [ref before @ .., _] if !is_closed(&before.join(&b", "[..])) => last.clone(),
        _ => HeaderValue::from_bytes(&all.join(&b", "[..])).unwrap_or_else(|_| last.clone()),
    };
    headers.insert(name, list);
}

#[cfg(test)]
mod tests;
