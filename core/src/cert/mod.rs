//! Client certificates: what is read from them once per connection, and the templates that turn a
//! SAN into an identity.

use std::fmt;

use crate::time::Unix;

mod template;

pub use template::{SanTemplates, TemplateError};

/// The SHA-256 of a certificate's DER, as `x5t#S256` of RFC 8705 has it.
pub type Thumbprint = [u8; 32];

/// The leaf of a client's chain that rustls has verified: what a decision needs of it.
///
/// Made once per connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct PeerCertificate {
    uris: Vec<Box<str>>,
    dns_names: Vec<Box<str>>,
    not_before: Unix,
    not_after: Unix,
    authority: bool,
    thumbprint: Thumbprint,
}

/// Why a certificate can't be read. Rustls has verified the chain before, so that this means a
/// certificate that is signed by a trusted authority and yet malformed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not a DER X.509 certificate, or bytes follow it.
    Malformed,
    /// A SAN that isn't ASCII, or two SAN extensions.
    MalformedSan,
    /// More names than [`PeerCertificate::NAMES_MAX`].
    TooManyNames,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "the certificate can't be parsed",
            Self::MalformedSan => "the certificate's subject alternative names can't be parsed",
            Self::TooManyNames => "the certificate has too many subject alternative names",
        })
    }
}

impl std::error::Error for CertificateError {}

impl PeerCertificate {
    /// The most URI and DNS SANs that a certificate may have.
    pub const NAMES_MAX: usize = 64;

    /// Reads the leaf of a verified chain.
    ///
    /// # Errors
    /// [`CertificateError`]; the connection must then be closed.
    pub fn from_der(der: &[u8]) -> Result<Self, CertificateError> {
        let _ = der;
        Err(CertificateError::Malformed)
    }

    /// When the certificate, and so the connection, ends.
    pub fn not_after(&self) -> Unix {
        self.not_after
    }

    /// The URI SANs, in the certificate's order.
    pub fn uris(&self) -> &[Box<str>] {
        &self.uris
    }

    /// The SHA-256 of the DER.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }
}
