//! Issuers' public keys: parsing key sets, and the state machine that keeps them current.

use std::fmt;
use std::sync::Arc;

use crate::ids::IssuerId;

mod algorithm;
mod ed25519;
mod jwk;
mod jwks;
mod key;
mod material;
mod source;
#[cfg(test)]
mod tests;
mod view;

pub use algorithm::Algorithm;
pub(crate) use jwk::KID_LEN_MAX;
pub(crate) use jwk::public_key;
pub(crate) use jwks::Found;
pub use jwks::{JwksError, JwksErrorReason, KeySet, Skipped};
pub(crate) use key::Key;
pub use key::KeysDigest;
pub use source::{KeyAction, KeyNotice, KeySource, KeyTiming, KeyWake, RestoreError};
pub(crate) use view::Miss;
pub use view::{IssuerKeys, KeyState};

/// The key sets of all issuers.
#[derive(Clone, Debug, Default)]
pub struct KeyTable {
    /// Grows with every change of any issuer's view.
    pub epoch: u64,
    /// By [`IssuerId`].
    pub issuers: Vec<Arc<IssuerKeys>>,
}

impl KeyTable {
    /// One issuer's keys; `None` for an id that isn't of the same policy.
    pub fn issuer(&self, id: IssuerId) -> Option<&Arc<IssuerKeys>> {
        self.issuers.get(usize::from(id.0))
    }
}

/// Why a fetch failed. The set is closed, because it is a metrics label.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub enum JwksFetchError {
    /// No address, or no connection.
    Unreachable,
    /// The forward proxy can't be reached, or refuses the tunnel to the source.
    Proxy,
    /// The TLS handshake failed: the source isn't trusted, or doesn't speak TLS.
    Tls,
    /// It took too long.
    Timeout,
    /// An answer with another status than 200.
    Status(u16),
    /// More bytes than a source may send.
    Oversized,
    /// A redirect that isn't followed: to plain HTTP, or one too many.
    Redirect,
    /// The discovery document is malformed, or names another issuer.
    Discovery,
    /// The connection broke, or the answer wasn't HTTP.
    Protocol,
    /// The file can't be read.
    File,
}

impl JwksFetchError {
    /// The name in metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::Proxy => "proxy",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Status(_) => "status",
            Self::Oversized => "oversized",
            Self::Redirect => "redirect",
            Self::Discovery => "discovery",
            Self::Protocol => "protocol",
            Self::File => "file",
        }
    }
}

impl fmt::Display for JwksFetchError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Self::Status(status) = self {
            return write!(f, "status {status}");
        }
        f.write_str(self.as_str())
    }
}

impl std::error::Error for JwksFetchError {}
