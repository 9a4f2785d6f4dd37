//! Sources behind a forward proxy, which many company networks require.
//!
//! The router asks the proxy for a tunnel (`CONNECT`, RFC 9110, section 9.3.6) and runs TLS with
//! the source through it: the proxy sees only the source's name and port. Plain `http` sources are
//! on this machine and never go through a proxy.

use std::convert::Infallible;
use std::fmt;
use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{HOST, PROXY_AUTHORIZATION};
use http::{HeaderValue, Request, Uri};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;

use super::error::FetchError;
use super::url::{SourceUrl, is_loopback};
use crate::Env;

/// The largest header of a proxy's answer, in bytes.
const HEADER_BYTES_MAX: usize = 16 * 1024;
/// The most entries of `no_proxy`.
const DIRECT_MAX: usize = 256;
/// The port of a proxy if its URL has none.
const PORT: u16 = 80;

/// The forward proxy, and which sources are reached through it. None by default.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Proxies {
    proxy: Option<Proxy>,
    direct: Vec<Direct>,
}

/// A forward proxy that supports `CONNECT`.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Proxy {
    host: String,
    port: u16,
    /// Marked as sensitive, so that its debug form hides it.
    authorization: Option<HeaderValue>,
}

/// An entry of `no_proxy`: hosts that are reached without the proxy.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Direct {
    hosts: Hosts,
    port: Option<u16>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
enum Hosts {
    /// `*`
    All,
    /// `example`: that name and its subdomains.
    Domain(String),
    /// `.example`: only subdomains.
    Below(String),
    /// `10.0.0.0/8`, or a single address.
    Network(IpAddr, u8),
}

/// Why a proxy's address or an entry of `no_proxy` can't be used, as text that follows the
/// setting's name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ProxyError(&'static str);

impl fmt::Display for ProxyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for ProxyError {}

impl Proxies {
    /// Through the proxy at `url`: `http://proxy.example:3128`, or with `user:password@` in front of
    /// the host. The scheme is optional. The port is optional and 80 by default.
    ///
    /// # Errors
    /// [`ProxyError`]. TLS to the proxy itself isn't supported.
    pub fn through(url: &str) -> Result<Self, ProxyError> {
        let proxy = Some(Proxy::parse(url)?);
        let direct = Vec::new();
        Ok(Self { proxy, direct })
    }

    /// Excludes the hosts of this entry from the proxy: `*`, `example` (with all subdomains),
    /// `.example` (only subdomains), an IP address or `10.0.0.0/8`, each with or without `:port`.
    /// Hosts are compared as written in the source's URL; no name is resolved.
    ///
    /// # Errors
    /// [`ProxyError`]
    pub fn except(&mut self, entry: &str) -> Result<(), ProxyError> {
        if self.direct.len() == DIRECT_MAX {
            return Err(ProxyError("has more than 256 entries"));
        }
        self.direct.push(Direct::parse(entry)?);
        Ok(())
    }

    /// The proxy for a source. For this machine there is none.
    fn on_the_way(&self, url: &SourceUrl) -> Option<&Proxy> {
        let proxy = self.proxy.as_ref()?;
        let direct = !url.is_https()
            || is_loopback(url.host())
            || self.direct.iter().any(|direct| direct.covers(url));
        (!direct).then_some(proxy)
    }

    /// A byte stream to the source, made directly or through the proxy.
    pub(super) async fn connect<E: Env>(
        &self,
        env: &E,
        url: &SourceUrl,
    ) -> Result<E::Stream, FetchError> {
        match self.on_the_way(url) {
            Some(proxy) => proxy.tunnel(env, url).await,
            None => {
                let stream = env.connect(url.host(), url.port()).await;
                stream.map_err(FetchError::Connect)
            }
        }
    }
}

impl Proxy {
    fn parse(url: &str) -> Result<Self, ProxyError> {
        const NO_URL: ProxyError =
            ProxyError("is not a proxy's address, such as http://proxy.example:3128");
        let uri: Uri = match url.contains("://") {
            true => url.parse(),
            false => format!("http://{url}").parse(),
        }
        .map_err(|_| NO_URL)?;
        match uri.scheme_str() {
            Some("http") => {}
            Some("https") => {
                return Err(ProxyError(
                    "asks for TLS to the proxy, which is not supported; write http://",
                ));
            }
            _ => return Err(ProxyError("has another scheme than http")),
        }
        if uri.path_and_query().is_some_and(|target| target != "/") {
            return Err(NO_URL);
        }
        let authority = uri.authority().ok_or(NO_URL)?;
        let host = authority.host().trim_matches(['[', ']']).to_owned();
        if host.is_empty() {
            return Err(NO_URL);
        }
        let user = authority.as_str().rsplit_once('@').map(|(user, _)| user);
        Ok(Self {
            host,
            port: authority.port_u16().unwrap_or(PORT),
            authorization: user.map(basic),
        })
    }

    /// # Errors
    /// [`FetchError::Proxy`]
    async fn tunnel<E: Env>(&self, env: &E, url: &SourceUrl) -> Result<E::Stream, FetchError> {
        let refused = |why: String| FetchError::Proxy {
            proxy: format!("{}:{}", self.host, self.port),
            why,
        };
        let failed = |error: hyper::Error| refused(format!("no tunnel: {error}"));
        let stream = env.connect(&self.host, self.port).await;
        let stream = stream.map_err(|error| refused(format!("cannot connect: {error}")))?;
        let (mut sender, connection) = http1::Builder::new()
            .max_buf_size(HEADER_BYTES_MAX)
            .handshake(TokioIo::new(stream))
            .await
            .map_err(failed)?;
        // This ends when the tunnel is open or has failed. The request gets the result in both
        // cases.
        let connection = async {
            let _ = connection.with_upgrades().await;
            std::future::pending::<Infallible>().await
        };
        let request = self
            .request(url)
            .map_err(|error| refused(error.to_string()))?;
        let tunnel = async {
            let answer = sender.send_request(request).await.map_err(failed)?;
            if !answer.status().is_success() {
                return Err(refused(format!("answered {} to CONNECT", answer.status())));
            }
            hyper::upgrade::on(answer).await.map_err(failed)
        };
        let tunnel = tokio::select! {
            biased;
            tunnel = tunnel => tunnel?,
            never = connection => match never {},
        };
        match tunnel.downcast::<TokioIo<E::Stream>>() {
            Ok(parts) if parts.read_buf.is_empty() => Ok(parts.io.into_inner()),
            // The source sends nothing before we do, so these bytes are the proxy's.
            Ok(_) | Err(_) => Err(refused(
                "sent bytes into the tunnel before the source did".to_owned(),
            )),
        }
    }

    fn request(&self, url: &SourceUrl) -> Result<Request<Empty<Bytes>>, http::Error> {
        let target = url.host_and_port();
        let mut request = Request::connect(&target)
            .header(HOST, &target)
            .body(Empty::new())?;
        if let Some(authorization) = &self.authorization {
            let headers = request.headers_mut();
            headers.insert(PROXY_AUTHORIZATION, authorization.clone());
        }
        Ok(request)
    }
}

/// Basic credentials (RFC 7617) from a URL's user and password.
fn basic(user: &str) -> HeaderValue {
    let user = match user.contains(':') {
        true => user.to_owned(),
        false => format!("{user}:"),
    };
    let encoded = STANDARD.encode(percent_decoded(&user));
    let mut value = HeaderValue::try_from(format!("Basic {encoded}"))
        .unwrap_or_else(|_| HeaderValue::from_static("Basic"));
    value.set_sensitive(true);
    value
}

fn percent_decoded(text: &str) -> Vec<u8> {
    let digit = |byte: &u8| char::from(*byte).to_digit(16);
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let [byte, after @ ..] = rest {
        let escaped = match rest {
            [b'%', high, low, ..] => digit(high).zip(digit(low)),
            _ => None,
        };
        let (decoded_byte, left) = match escaped {
            Some((high, low)) => ((high * 16 + low) as u8, &after[2..]),
            None => (*byte, after),
        };
        decoded.push(decoded_byte);
        rest = left;
    }
    decoded
}

impl Direct {
    fn parse(entry: &str) -> Result<Self, ProxyError> {
        const NO_HOST: ProxyError = ProxyError(
            "is no host, such as \"internal.example\", \".example\", \"10.0.0.0/8\" or \"*\"",
        );
        let entry = entry.trim().to_ascii_lowercase();
        if let Some(hosts) = network(&entry) {
            return Ok(Self { hosts, port: None });
        }
        let (host, port) = match entry.rsplit_once(':') {
            Some((host, port)) => (host, Some(port.parse().map_err(|_| NO_HOST)?)),
            None => (&*entry, None),
        };
        let host = host.trim_end_matches('.');
        let below = host.strip_prefix("*.").or(host.strip_prefix('.'));
        let name = below.unwrap_or(host);
        let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'.');
        let hosts = if host == "*" {
            Hosts::All
        } else if let Some(network) = network(host) {
            network
        } else if name.is_empty() || !name.bytes().all(allowed) {
            return Err(NO_HOST);
        } else if below.is_some() {
            Hosts::Below(name.to_owned())
        } else {
            Hosts::Domain(name.to_owned())
        };
        Ok(Self { hosts, port })
    }

    fn covers(&self, url: &SourceUrl) -> bool {
        if self.port.is_some_and(|port| port != url.port()) {
            return false;
        }
        let host = url.host().trim_end_matches('.').to_ascii_lowercase();
        let below = |name: &str| {
            let rest = host.strip_suffix(name);
            rest.is_some_and(|rest| rest.ends_with('.'))
        };
        match &self.hosts {
            Hosts::All => true,
            Hosts::Domain(name) => host == *name || below(name),
            Hosts::Below(name) => below(name),
            Hosts::Network(network, prefix) => host
                .parse()
                .is_ok_and(|address| contains(*network, *prefix, address)),
        }
    }
}

/// An address, or a network with a prefix length.
fn network(text: &str) -> Option<Hosts> {
    if let Ok(address) = text.trim_matches(['[', ']']).parse() {
        return Some(Hosts::Network(address, bits(address)));
    }
    let (network, prefix) = text.split_once('/')?;
    let (network, prefix) = (network.parse().ok()?, prefix.parse().ok()?);
    (prefix <= bits(network)).then_some(Hosts::Network(network, prefix))
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn contains(network: IpAddr, prefix: u8, address: IpAddr) -> bool {
    let number = |address: IpAddr| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)) << 96,
        IpAddr::V6(address) => u128::from(address),
    };
    let same = bits(network) == bits(address);
    let differ = number(network) ^ number(address);
    same && differ.checked_shr(128 - u32::from(prefix)).unwrap_or(0) == 0
}

#[cfg(test)]
mod tests;
