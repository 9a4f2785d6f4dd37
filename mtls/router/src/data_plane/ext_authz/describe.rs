//! Turns the description of a request into a request that can be decided.

use std::net::SocketAddr;

use cellway_core::cert::PeerCertificate;
use cellway_core::http1::{self, MessageError};
use cellway_envoy::{Address, Attributes, CheckRequest, HttpRequest};
use http::header::{AUTHORIZATION, HOST};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Request, Uri, Version};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::data_plane::client::Client;

/// The most header fields of a described request.
const FIELDS_MAX: usize = 256;

/// The most certificates of a described client.
const CHAIN_MAX: usize = 8;

/// A request that an Envoy describes.
pub(super) struct Described {
    pub(super) parts: Parts,
    pub(super) client: Option<Client>,
    /// The client's address.
    pub(super) address: Option<SocketAddr>,
    /// Whether its method and path are known. Without them only the caller can be checked.
    pub(super) has_target: bool,
}

/// Placeholders for the method and path of a request that was described without them.
const UNKNOWN: (Method, &str) = (Method::GET, "/");

impl Described {
    /// The request with this header, whose method and path are unknown.
    pub(super) fn without_target(mut head: Parts) -> Self {
        head.method = UNKNOWN.0;
        head.uri = Uri::from_static(UNKNOWN.1);
        // In a check over HTTP/2, `:authority` is the router's host. The described request may have
        // no host.
        head.version = Version::HTTP_10;
        Self {
            parts: head,
            client: None,
            address: None,
            has_target: false,
        }
    }
}

/// As [`described`], but method and path may both be missing.
///
/// # Errors
/// As [`described`]. If only one of the two is missing, the check is wrong.
pub(super) fn described_in_part(mut check: CheckRequest) -> Result<Described, &'static str> {
    let request = check.attributes.as_mut().and_then(|it| it.request.as_mut());
    let http = request.and_then(|request| request.http.as_mut());
    let Some(http) = http.filter(|http| http.method.is_empty() && http.path.is_empty()) else {
        return described(check);
    };
    (http.method, http.path) = (UNKNOWN.0.to_string(), UNKNOWN.1.to_owned());
    if http.host.is_empty() {
        // This is the only version in which a request may have no host.
        http.protocol = "HTTP/1.0".to_owned();
    }
    Ok(Described {
        has_target: false,
        ..described(check)?
    })
}

/// Reads the described request. The client's certificate is taken only from the attributes, never
/// from a header.
///
/// # Errors
/// What is wrong with the description. This isn't the client's fault, so the client learns only
/// that its request was refused.
pub(super) fn described(check: CheckRequest) -> Result<Described, &'static str> {
    let Attributes { source, request } = check
        .attributes
        .ok_or("the CheckRequest has no attributes")?;
    let http = request
        .and_then(|request| request.http)
        .ok_or("the attributes have no HTTP request")?;
    let source = source.unwrap_or_default();
    let client = match source.certificate.as_str() {
        "" => None,
        certificate => Some(client(certificate)?),
    };
    Ok(Described {
        parts: parts(http)?,
        client,
        address: source.address.and_then(address),
        has_target: true,
    })
}

/// An IP address. Envoy also has other kinds, which don't name a client's address.
fn address(address: Address) -> Option<SocketAddr> {
    let socket = address.socket_address?;
    let port = u16::try_from(socket.port_value).ok()?;
    Some(SocketAddr::new(socket.address.parse().ok()?, port))
}

fn parts(http: HttpRequest) -> Result<Parts, &'static str> {
    let (mut parts, ()) = Request::new(()).into_parts();
    // No request can have a method that HTTP's grammar doesn't allow.
    parts.method =
        Method::from_bytes(http.method.as_bytes()).map_err(|_| "the attributes have no method")?;
    parts.uri = target(&http.path)?;
    parts.version = match http.protocol.as_str() {
        "HTTP/1.0" => Version::HTTP_10,
        _ => Version::HTTP_11,
    };
    if !http.host.is_empty() {
        let host = HeaderValue::from_str(&http.host).map_err(|_| "the host is not text")?;
        parts.headers.insert(HOST, host);
    }
    fields(&http, &mut parts)?;
    Ok(parts)
}

/// The target in origin form, so that only the host field names the host. It is checked by the same
/// rules as the target of a request that the router forwards: otherwise the `http` crate would cut
/// off a fragment that the cell gets.
fn target(path: &str) -> Result<Uri, &'static str> {
    if !path.starts_with('/') && path != "*" {
        return Err("the attributes have no path, or it does not start with /");
    }
    http1::check_target(path.as_bytes()).map_err(MessageError::detail)?;
    let path = PathAndQuery::try_from(path).map_err(|_| "the path is invalid")?;
    Ok(Uri::from(path))
}

fn fields(http: &HttpRequest, parts: &mut Parts) -> Result<(), &'static str> {
    let raw = http.header_map.as_ref().map_or(&[][..], |map| &map.headers);
    if !raw.is_empty() && !http.headers.is_empty() {
        return Err("the headers are in both headers and header_map");
    }
    if raw.len().max(http.headers.len()) > FIELDS_MAX {
        return Err("there are too many headers");
    }
    for (name, value) in &http.headers {
        if name == AUTHORIZATION.as_str() {
            // No credential has a comma in it, so two that were joined with one must count as two.
            for value in value.split(',') {
                field(http, parts, name, value.trim_ascii().as_bytes())?;
            }
        } else {
            field(http, parts, name, value.as_bytes())?;
        }
    }
    for header in raw {
        let value = match (header.value.as_bytes(), &*header.raw_value) {
            (value, []) | ([], value) => value,
            _ => return Err("a header has both value and raw_value"),
        };
        field(http, parts, &header.key, value)?;
    }
    Ok(())
}

fn field(
    http: &HttpRequest,
    parts: &mut Parts,
    name: &str,
    value: &[u8],
) -> Result<(), &'static str> {
    const DIFFER: &str = "a pseudo-header differs from its attribute";
    let same = |attribute: &str| match attribute.as_bytes() == value {
        true => Ok(()),
        false => Err(DIFFER),
    };
    match name {
        ":method" => return same(&http.method),
        ":path" => return same(&http.path),
        ":authority" => return same(&http.host),
        "host" if http.host.as_bytes() == value => return Ok(()),
        _ if name.starts_with(':') => return Ok(()),
        _ => {}
    }
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| "a header has no name")?;
    let value = HeaderValue::from_bytes(value).map_err(|_| "a header has an invalid value")?;
    let fits = parts.headers.try_append(name, value);
    fits.map(|_| ()).map_err(|_| "there are too many headers")
}

/// Reads the percent-encoded PEM of a client's certificate. It proves nothing until its chain is
/// verified against the bundle.
fn client(encoded: &str) -> Result<Client, &'static str> {
    const NONE: &str = "the client certificate is invalid";
    let pem = percent_decoded(encoded.as_bytes()).ok_or(NONE)?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .take(CHAIN_MAX + 1)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|_| NONE)?;
    if chain.len() > CHAIN_MAX {
        return Err("there are too many client certificates");
    }
    let leaf = chain.first().ok_or(NONE)?;
    let certificate = PeerCertificate::from_der(leaf).map_err(|_| NONE)?;
    Ok(Client::unverified(certificate, chain))
}

fn percent_decoded(text: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = match (first, tail) {
            (b'%', [high, low, tail @ ..]) => {
                let digit = |byte: &u8| char::from(*byte).to_digit(16);
                let byte = digit(high)? * 16 + digit(low)?;
                decoded.push(u8::try_from(byte).ok()?);
                tail
            }
            (b'%', _) => return None,
            (&byte, tail) => {
                decoded.push(byte);
                tail
            }
        };
    }
    Some(decoded)
}
