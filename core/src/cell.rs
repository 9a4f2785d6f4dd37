//! Cells and their endpoints.

use std::collections::BTreeMap;
use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use serde::{Deserialize, Serialize, Serializer};

use crate::text::Text;
use crate::time::Unix;

/// An isolated copy of the system.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Cell {
    /// Its id, unique in the registry.
    pub id: Text,
    /// Its class of service.
    pub tier: Text,
    /// Where it is.
    pub region: Text,
    /// Which traffic it takes.
    pub state: CellState,
    /// How a draining cell gives its share of placements that spread away. `None`: at once.
    pub drain: Option<CellDrain>,
    /// Its share of a placement that spreads, relative to its peers: 1 to [`Cell::WEIGHT_MAX`].
    pub weight: u32,
    /// At most [`Ranked::ENDPOINTS_MAX`](crate::Ranked::ENDPOINTS_MAX). At least one if the cell's
    /// state allows traffic.
    pub endpoints: Vec<Endpoint>,
    /// Notes of the control plane. They don't change where a request goes. One of them may hold the
    /// cell's keys for [cell-bound authorizations](crate::cba).
    pub annotations: BTreeMap<String, String>,
}

impl Cell {
    /// The greatest weight. Shares smaller than one in a thousand are not supported.
    pub const WEIGHT_MAX: u32 = 1000;
}

/// How much of its share of placements that spread a draining cell has given away.
///
/// A routing key moves once: while the moved part grows, a key that has left the cell never comes
/// back.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum CellDrain {
    /// This part of its keys, in percent, 0 to 100.
    Percent(u8),
    /// A part that grows evenly, from none at the first time to all at the second.
    Between(Unix, Unix),
}

impl CellDrain {
    /// All of the keys, as [`moved`](Self::moved) counts them.
    pub const ALL: u64 = 1 << 32;

    /// The part of the cell's keys that has moved at this time, from 0 to [`CellDrain::ALL`].
    pub fn moved(self, now: Unix) -> u64 {
        let all = u128::from(Self::ALL);
        let part = match self {
            Self::Percent(percent) => u128::from(percent) * all / 100,
            Self::Between(from, until) => {
                let [past, whole] = [now.since(from), until.since(from)].map(|it| it.as_millis());
                // A drain of no length is over at once.
                (past.min(whole) * all).checked_div(whole).unwrap_or(all)
            }
        };
        u64::try_from(part.min(all)).unwrap_or(Self::ALL)
    }

    /// The same in percent.
    pub fn percent(self, now: Unix) -> u64 {
        (self.moved(now) * 100 + Self::ALL / 2) / Self::ALL
    }
}

/// Which traffic a cell takes.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CellState {
    /// No traffic yet: the cell is being built.
    Provisioning,
    /// All traffic that is assigned to it.
    Active,
    /// Only tenants that the registry assigns to it. It gets no unknown tenants, and no share of a
    /// placement that has an active cell, apart from the keys that its [`CellDrain`] leaves it.
    Draining,
    /// No traffic: requests for it are answered 503, and no other cell serves them.
    Quarantined,
    /// No traffic, ever again: no tenant may be assigned to it.
    Retired,
}

impl CellState {
    /// Every state there is.
    pub const ALL: &'static [Self] = &[
        Self::Provisioning,
        Self::Active,
        Self::Draining,
        Self::Quarantined,
        Self::Retired,
    ];

    /// The name in documents and metrics.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Provisioning => "provisioning",
            Self::Active => "active",
            Self::Draining => "draining",
            Self::Quarantined => "quarantined",
            Self::Retired => "retired",
        }
    }

    /// Whether some requests are forwarded to a cell in this state.
    pub const fn takes_traffic(self) -> bool {
        match self {
            Self::Active | Self::Draining => true,
            Self::Provisioning | Self::Quarantined | Self::Retired => false,
        }
    }
}

/// One address of a cell.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Endpoint {
    /// The same in every registry version that has the same cell, URL and SAN. Pools and health use
    /// it as their key.
    pub id: EndpointId,
    /// Where it listens and what it speaks.
    pub url: EndpointUrl,
    /// The name that its certificate must carry. `None`: the host of the URL. Always `None` where
    /// the scheme isn't `https`.
    pub san: Option<San>,
}

/// Identifies an endpoint while the process runs. It is never reused for another endpoint.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Debug)]
pub struct EndpointId(pub u32);

/// What an endpoint speaks.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum Scheme {
    /// TLS, then HTTP/2 or HTTP/1.1 by ALPN.
    Https,
    /// HTTP/1.1 without TLS.
    Http,
    /// HTTP/2 without TLS, with prior knowledge (RFC 9113, 3.3).
    H2c,
}

impl Scheme {
    /// As in a URL.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Https => "https",
            Self::Http => "http",
            Self::H2c => "h2c",
        }
    }
}

/// The URL of an endpoint: scheme, host and port, and nothing else.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EndpointUrl {
    /// `scheme://host:port`, an IPv6 host in brackets.
    text: Box<str>,
    scheme: Scheme,
    port: u16,
}

impl EndpointUrl {
    /// Reads `scheme://host:port`. The host is a DNS name (made lower case), an IPv4 address or
    /// an IPv6 address in brackets.
    ///
    /// # Errors
    /// What is wrong, in words that follow "endpoint URL".
    pub fn parse(url: &str) -> Result<Self, &'static str> {
        let (scheme, rest) = url
            .split_once("://")
            .ok_or("must be https://host:port, http://host:port or h2c://host:port")?;
        let scheme = match scheme {
            "https" => Scheme::Https,
            "http" => Scheme::Http,
            "h2c" => Scheme::H2c,
            _ => return Err("must have the scheme https, http or h2c"),
        };
        if rest.contains(['/', '?', '#', '@']) {
            return Err("may have a host and a port only, no user, path, query or fragment");
        }
        let (host, port) = rest.rsplit_once(':').ok_or("needs a port")?;
        if !port.bytes().all(|b| b.is_ascii_digit()) {
            return Err("needs a port between 1 and 65535");
        }
        let port = match port.parse::<u16>() {
            Ok(port) if port > 0 => port,
            _ => return Err("needs a port between 1 and 65535"),
        };
        let host = canonical_host(host)?;
        Ok(Self {
            text: format!("{}://{host}:{port}", scheme.as_str()).into(),
            scheme,
            port,
        })
    }

    /// The whole URL.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// What the endpoint speaks.
    pub const fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// `host:port`, an IPv6 address in brackets, as `Host` and `:authority` write it.
    pub fn authority(&self) -> &str {
        &self.text[self.scheme.as_str().len() + "://".len()..]
    }

    /// The host to resolve: a DNS name or an address, without brackets.
    pub fn host(&self) -> &str {
        let authority = self.authority();
        let host = authority
            .rsplit_once(':')
            .map_or(authority, |(host, _)| host);
        host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port.
    pub const fn port(&self) -> u16 {
        self.port
    }
}

impl fmt::Display for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for EndpointUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl Serialize for EndpointUrl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// One spelling for each host, so that an endpoint keeps its id when only the spelling changes.
fn canonical_host(host: &str) -> Result<String, &'static str> {
    if let Some(inner) = host.strip_prefix('[') {
        let address = inner.strip_suffix(']').unwrap_or_default();
        return match address.parse::<Ipv6Addr>() {
            Ok(address) => Ok(format!("[{address}]")),
            Err(_) => Err("has brackets around something that isn't an IPv6 address"),
        };
    }
    if host.parse::<Ipv4Addr>().is_ok() {
        return Ok(host.to_owned());
    }
    if !is_dns_name(host) {
        return Err("must have a DNS name, an IPv4 address or an IPv6 address in brackets as host");
    }
    Ok(host.to_ascii_lowercase())
}

/// Labels of letters, digits, `-` and `_`, none empty; the last has a letter, so that a mistyped
/// address isn't taken for a name.
fn is_dns_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
    };
    let last_has_letter = name
        .rsplit('.')
        .next()
        .is_some_and(|last| last.bytes().any(|b| b.is_ascii_alphabetic()));
    name.len() <= 253 && name.split('.').all(label) && last_has_letter
}

/// A subject alternative name that an endpoint's certificate must carry.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum San {
    /// A DNS name, in lower case.
    Dns(Box<str>),
    /// A URI, compared byte by byte; a SPIFFE ID for instance.
    Uri(Box<str>),
}

impl San {
    /// Reads a URI (`spiffe://example/cell/a`) or a DNS name. No wildcards: an endpoint has one
    /// name.
    ///
    /// # Errors
    /// What is wrong, in words that follow "SAN".
    pub fn parse(san: &str) -> Result<Self, &'static str> {
        let Some((scheme, rest)) = san.split_once("://") else {
            if !is_dns_name(san) {
                return Err(
                    "must be a DNS name without wildcard, or a URI like spiffe://domain/path",
                );
            }
            return Ok(Self::Dns(san.to_ascii_lowercase().into()));
        };
        let is_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
            && scheme
                .bytes()
                .all(|b| b.is_ascii_alphanumeric() || matches!(b, b'+' | b'-' | b'.'));
        let is_rest = !rest.is_empty()
            && !rest.starts_with('/')
            && rest
                .bytes()
                .all(|b| b.is_ascii_graphic() && !b"\"<>\\^`{|}*".contains(&b));
        if !is_scheme || !is_rest || san.len() > Self::LEN_MAX {
            return Err("must be a DNS name without wildcard, or a URI like spiffe://domain/path");
        }
        Ok(Self::Uri(san.into()))
    }

    /// The most bytes of a URI (the bound that the SPIFFE ID specification sets, section 2.3).
    pub const LEN_MAX: usize = 2048;

    /// The name.
    pub fn as_str(&self) -> &str {
        match self {
            Self::Dns(name) | Self::Uri(name) => name,
        }
    }
}
