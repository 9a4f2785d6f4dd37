//! Errors of fetches.

use std::fmt;
use std::io;
use std::time::Duration;

use cellway_core::keys::JwksFetchError;
use cellway_core::registry::{FetchProblem, RegistryFetchError, RegistryFetched};
use http::StatusCode;

use super::url::UrlError;

/// Why a document couldn't be fetched.
#[derive(Debug)]
#[non_exhaustive]
pub enum FetchError {
    /// No connection.
    Connect(io::Error),
    /// The forward proxy didn't open a tunnel.
    Proxy {
        /// The proxy's host and port.
        proxy: String,
        /// What went wrong.
        why: String,
    },
    /// The handshake failed: an untrusted certificate, another name, no common protocol.
    Tls(String),
    /// The whole fetch took longer than this.
    Timeout(Duration),
    /// The answer isn't valid HTTP, or ended too soon.
    Http(String),
    /// An answer other than 200, 304 and a redirect.
    Status(StatusCode),
    /// The body has more bytes than the limit.
    TooLarge {
        /// The limit.
        limit: usize,
    },
    /// The body has an encoding that isn't supported.
    Encoded {
        /// The encoding, as the answer names it.
        encoding: String,
    },
    /// The address must not be fetched from.
    Address(UrlError),
    /// The source redirected to an address that must not be fetched from.
    Redirect(UrlError),
    /// More redirects in a row than this.
    TooManyRedirects(usize),
    /// The source answered 304, although the request had no `If-None-Match`.
    NotAskedAbout,
    /// A file couldn't be read.
    File(String, io::Error),
    /// The discovery document is malformed.
    Discovery(String),
    /// The discovery document speaks for another issuer.
    OtherIssuer {
        /// The issuer that it names.
        named: String,
    },
    /// The discovery document has an address for keys that must not be fetched from.
    KeysAddress(UrlError),
    /// The source's token, in this file, isn't allowed in a header.
    BadBearer(String),
    /// The file for the source's token is empty.
    NoBearer(String),
}

impl FetchError {
    /// The kind of failure, as core counts it.
    pub fn kind(&self) -> JwksFetchError {
        match self {
            Self::Connect(_) | Self::Address(_) => JwksFetchError::Unreachable,
            Self::Proxy { .. } => JwksFetchError::Proxy,
            Self::Tls(_) => JwksFetchError::Tls,
            Self::Timeout(_) => JwksFetchError::Timeout,
            Self::Http(_)
            | Self::Encoded { .. }
            | Self::NotAskedAbout
            | Self::BadBearer(_)
            | Self::NoBearer(_) => JwksFetchError::Protocol,
            Self::Status(status) => JwksFetchError::Status(status.as_u16()),
            Self::TooLarge { .. } => JwksFetchError::Oversized,
            Self::Redirect(_) | Self::TooManyRedirects(_) => JwksFetchError::Redirect,
            Self::File(_, error) if error.kind() == io::ErrorKind::FileTooLarge => {
                JwksFetchError::Oversized
            }
            Self::File(..) => JwksFetchError::File,
            Self::Discovery(_) | Self::OtherIssuer { .. } | Self::KeysAddress(_) => {
                JwksFetchError::Discovery
            }
        }
    }

    pub(super) fn http(error: impl std::error::Error) -> Self {
        // hyper says "error reading a body from connection" and hides why in the source.
        let mut text = error.to_string();
        let mut source = error.source();
        while let Some(inner) = source {
            text = format!("{text}: {inner}");
            source = inner.source();
        }
        Self::Http(text)
    }
}

impl FetchError {
    /// The result for the registry's state machine: a document over the limit is an answer, and
    /// every other failure is none.
    ///
    /// # Errors
    /// The source gave no answer.
    pub fn of_registry(&self) -> Result<RegistryFetched, RegistryFetchError> {
        if let Self::TooLarge { limit } = self {
            return Ok(RegistryFetched::TooLarge { limit: *limit });
        }
        Err(self.into())
    }
}

impl From<&FetchError> for RegistryFetchError {
    fn from(error: &FetchError) -> Self {
        let problem = match error.kind() {
            JwksFetchError::Timeout => FetchProblem::TimedOut,
            JwksFetchError::Status(_) => FetchProblem::BadStatus,
            JwksFetchError::Unreachable
            | JwksFetchError::Proxy
            | JwksFetchError::Tls
            | JwksFetchError::Oversized
            | JwksFetchError::Redirect
            | JwksFetchError::Discovery
            | JwksFetchError::Protocol
            | JwksFetchError::File => FetchProblem::Unreachable,
        };
        let detail = error.to_string();
        Self { problem, detail }
    }
}

impl fmt::Display for FetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Connect(error) => write!(f, "cannot connect: {error}"),
            Self::Proxy { proxy, why } => write!(f, "the proxy {proxy}: {why}"),
            Self::Tls(error) => write!(f, "TLS handshake failed: {error}"),
            Self::Timeout(limit) => write!(f, "took longer than {} ms", limit.as_millis()),
            Self::Http(error) => write!(f, "{error}"),
            Self::Status(status) => write!(f, "answered {status}"),
            Self::TooLarge { limit } => write!(f, "is larger than {limit} bytes"),
            Self::Encoded { encoding } => {
                write!(
                    f,
                    "has the content encoding {encoding:?}; only gzip and none are read"
                )
            }
            Self::Address(why) => write!(f, "the address {why}"),
            Self::Redirect(why) => write!(f, "redirects to an address that {why}"),
            Self::TooManyRedirects(limit) => write!(f, "redirects more than {limit} times"),
            Self::NotAskedAbout => f.write_str("answered 304 to an unconditional request"),
            Self::File(path, error) => write!(f, "cannot read {path}: {error}"),
            Self::Discovery(why) => write!(f, "not a discovery document: {why}"),
            Self::OtherIssuer { named } => {
                write!(f, "the discovery document names another issuer: {named:?}")
            }
            Self::KeysAddress(why) => write!(f, "`jwks_uri` of the discovery document {why}"),
            Self::BadBearer(path) => {
                write!(f, "{path} holds a byte that no HTTP header may hold")
            }
            Self::NoBearer(path) => write!(f, "{path} is empty; expected a bearer token"),
        }
    }
}

impl std::error::Error for FetchError {}
