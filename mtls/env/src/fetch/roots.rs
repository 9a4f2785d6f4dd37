//! The CAs that a client trusts.

use std::fmt;

use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::words::tls_error;

/// Why a bundle of CA certificates can't be used.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum BundleError {
    /// It isn't PEM, or a section of it is broken. The text says why.
    Pem(String),
    /// It has no certificate.
    Empty,
    /// A certificate can't be a trust anchor.
    Certificate {
        /// Its place in the bundle, from 1.
        number: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl fmt::Display for BundleError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(why) => write!(f, "is not PEM: {why}"),
            Self::Empty => f.write_str("holds no certificate"),
            Self::Certificate { number, why } => write!(
                f,
                "holds a certificate that can't be trusted, number {number}: {why}"
            ),
        }
    }
}

impl std::error::Error for BundleError {}

/// The CAs that the system trusts. A minimal container may have none. Then every fetch over TLS fails
/// and says so. It reads files: call it in [`Env::heavy`](crate::Env::heavy).
pub fn system_roots() -> RootCertStore {
    let mut roots = RootCertStore::empty();
    let system = rustls_native_certs::load_native_certs();
    roots.add_parsable_certificates(system.certs);
    roots
}

/// Trusts the certificates of a bundle in PEM.
///
/// # Errors
/// It has no certificate, or one that can't be a trust anchor. One bad certificate makes the whole
/// bundle unusable, so that a typo doesn't silently lose a CA.
pub(super) fn bundle_roots(pem: &[u8]) -> Result<RootCertStore, BundleError> {
    let certificates = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| BundleError::Pem(error.to_string()))?;
    if certificates.is_empty() {
        return Err(BundleError::Empty);
    }
    let mut roots = RootCertStore::empty();
    for (number, certificate) in (1..).zip(certificates) {
        roots.add(certificate).map_err(|error| {
            let why = tls_error(&error);
            BundleError::Certificate { number, why }
        })?;
    }
    Ok(roots)
}
