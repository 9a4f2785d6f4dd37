//! The error for a certificate whose name is not the one in the registry.

use std::fmt;
use std::sync::Arc;

use cellway_core::cert::PeerCertificate;
use rustls::pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};

/// The most names of a certificate that a message lists.
const NAMES_MAX: usize = 4;

/// A certificate that verifies, but has another name than expected.
#[derive(Debug)]
pub(super) struct NameRefused {
    shown: String,
    expected: String,
}

impl NameRefused {
    pub(super) fn new(leaf: &CertificateDer<'_>, expected: &str) -> Self {
        let names = PeerCertificate::from_der(leaf).map(|leaf| {
            let names = leaf.uris().iter().chain(leaf.dns_names()).take(NAMES_MAX);
            names.map(|name| &**name).collect::<Vec<_>>().join(", ")
        });
        Self {
            shown: names.unwrap_or_default(),
            expected: expected.to_owned(),
        }
    }
}

impl fmt::Display for NameRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = match &*self.shown {
            "" => "no URI or DNS name",
            names => names,
        };
        let expected = &self.expected;
        write!(f, "the cell shows {shown}, the registry expects {expected}")
    }
}

impl std::error::Error for NameRefused {}

impl From<NameRefused> for Error {
    fn from(name: NameRefused) -> Self {
        let other = OtherError(Arc::new(name));
        Self::InvalidCertificate(CertificateError::Other(other))
    }
}
