//! URLs from which keys and registries may be fetched.

use std::fmt;
use std::net::IpAddr;

use http::Uri;

/// An address that the router may fetch from: `https` anywhere, `http` on this machine only.
///
/// The documents that are fetched decide who may call and where requests go, so nobody on the
/// network may be able to change them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SourceUrl {
    https: bool,
    host: String,
    port: u16,
    target: String,
}

/// Why an address isn't a [`SourceUrl`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum UrlError {
    /// Not an absolute URL.
    NotAbsolute,
    /// A scheme other than `https` and `http`.
    Scheme,
    /// `http` to another machine.
    Plain,
    /// It has a user name or password, which would end up in logs.
    UserInfo,
}

impl SourceUrl {
    /// Checks an address.
    ///
    /// # Errors
    /// [`UrlError`] says which rule is broken.
    pub fn parse(url: &str) -> Result<Self, UrlError> {
        let uri: Uri = url.parse().map_err(|_| UrlError::NotAbsolute)?;
        let (Some(scheme), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
            return Err(UrlError::NotAbsolute);
        };
        if authority.as_str().contains('@') {
            return Err(UrlError::UserInfo);
        }
        let https = match scheme {
            "https" => true,
            "http" => false,
            _ => return Err(UrlError::Scheme),
        };
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(UrlError::NotAbsolute);
        }
        if !https && !is_loopback(&host) {
            return Err(UrlError::Plain);
        }
        let target = uri.path_and_query().map_or("/", |target| target.as_str());
        Ok(Self {
            https,
            host,
            port: authority.port_u16().unwrap_or(if https { 443 } else { 80 }),
            target: target.to_owned(),
        })
    }

    /// Where a redirect from here leads.
    ///
    /// # Errors
    /// As for [`SourceUrl::parse`]. From `https` to `http` is [`UrlError::Plain`], even to
    /// loopback.
    pub(super) fn follow(&self, location: &str) -> Result<Self, UrlError> {
        let scheme = if self.https { "https" } else { "http" };
        let next = if location.is_empty() {
            return Err(UrlError::NotAbsolute);
        } else if has_scheme(location) {
            Self::parse(location)?
        } else if location.starts_with("//") {
            Self::parse(&format!("{scheme}:{location}"))?
        } else {
            let target = self.resolve(location);
            Self::parse(&format!("{scheme}://{}{target}", self.authority()))?
        };
        if self.https && !next.https {
            return Err(UrlError::Plain);
        }
        Ok(next)
    }

    /// The path and query of a reference without an authority (RFC 3986, section 5.2).
    fn resolve(&self, reference: &str) -> String {
        let reference = reference.split('#').next().unwrap_or_default();
        let (own_path, own_query) = split_query(&self.target);
        let (path, query) = split_query(reference);
        let path = match path {
            "" => own_path.to_owned(),
            path if path.starts_with('/') => without_dots(path),
            path => {
                let folder = own_path.rfind('/').map_or("", |end| &own_path[..end]);
                without_dots(&format!("{folder}/{path}"))
            }
        };
        match query.or(own_query.filter(|_| reference.is_empty())) {
            Some(query) => format!("{path}?{query}"),
            None => path,
        }
    }

    /// Whether TLS is spoken.
    pub fn is_https(&self) -> bool {
        self.https
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The port, written or implied.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Path and query.
    pub(super) fn target(&self) -> &str {
        &self.target
    }

    /// Whether a credential for `self` may go to `other`.
    pub(super) fn same_origin(&self, other: &Self) -> bool {
        (self.https, &self.host, self.port) == (other.https, &other.host, other.port)
    }

    /// `host:port`, always with the port, as `CONNECT` names it.
    pub(super) fn host_and_port(&self) -> String {
        match self.host.contains(':') {
            true => format!("[{}]:{}", self.host, self.port),
            false => format!("{}:{}", self.host, self.port),
        }
    }

    /// `host:port` as the `Host` header has it.
    pub(super) fn authority(&self) -> String {
        let host = match self.host.contains(':') {
            true => format!("[{}]", self.host),
            false => self.host.clone(),
        };
        match (self.https, self.port) {
            (true, 443) | (false, 80) => host,
            (_, port) => format!("{host}:{port}"),
        }
    }
}

impl fmt::Display for SourceUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.https { "https" } else { "http" };
        write!(f, "{scheme}://{}{}", self.authority(), self.target)
    }
}

impl UrlError {
    /// What to do about it.
    pub fn advice(self) -> &'static str {
        match self {
            Self::NotAbsolute | Self::Scheme => "write it as https://host/path",
            Self::Plain => "use https",
            Self::UserInfo => "remove it; put credentials into a file, or use a certificate",
        }
    }
}

impl fmt::Display for UrlError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotAbsolute => "is not an absolute URL",
            Self::Scheme => "has a scheme other than https and http",
            Self::Plain => "is http, which is for this machine only",
            Self::UserInfo => "holds a user name or a password",
        })
    }
}

impl std::error::Error for UrlError {}

/// Whether the reference starts with a scheme (RFC 3986, section 3.1).
fn has_scheme(reference: &str) -> bool {
    let Some((scheme, _)) = reference.split_once(':') else {
        return false;
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    scheme.starts_with(|first: char| first.is_ascii_alphabetic()) && scheme.bytes().all(allowed)
}

fn split_query(target: &str) -> (&str, Option<&str>) {
    match target.split_once('?') {
        Some((path, query)) => (path, Some(query)),
        None => (target, None),
    }
}

/// The absolute path without `.` and `..` segments (RFC 3986, section 5.2.4).
fn without_dots(path: &str) -> String {
    let mut kept: Vec<&str> = Vec::new();
    let mut folder = false;
    for segment in path.split('/').skip(1) {
        folder = matches!(segment, "." | "..");
        match segment {
            "." => {}
            ".." => _ = kept.pop(),
            segment => kept.push(segment),
        }
    }
    let end = if folder && !kept.is_empty() { "/" } else { "" };
    format!("/{}{end}", kept.join("/"))
}

pub(super) fn is_loopback(host: &str) -> bool {
    match host.parse::<IpAddr>() {
        Ok(address) => address.is_loopback(),
        Err(_) => host.eq_ignore_ascii_case("localhost"),
    }
}

#[cfg(test)]
mod tests;
