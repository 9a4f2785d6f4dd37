//! Certificates, keys and bundles, from PEM.

use std::fmt;

use bytes::Bytes;
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::env::{Env, Privacy, Store};
use crate::settings::{KeyPair, Pem};

/// The most bytes that a PEM file may have; a bundle of a few thousand certificates fits.
const PEM_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a certificate, key or bundle can't be used, in words that follow the setting's name.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct MaterialError {
    /// What was read: a path, or `inline text`.
    pub source: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.source, self.problem)
    }
}

impl std::error::Error for MaterialError {}

impl MaterialError {
    pub(super) fn new(pem: &Pem, problem: impl fmt::Display) -> Self {
        let source = match pem {
            Pem::File(path) => path.clone(),
            Pem::Text(_) => "inline text".to_owned(),
        };
        Self {
            source,
            problem: problem.to_string(),
        }
    }
}

/// Reads the certificates that a bundle trusts.
///
/// # Errors
/// The file can't be read, holds no certificate, or one that can't be a trust anchor: a bundle is
/// taken whole or not at all, so that a typo doesn't silently lose an issuer.
pub async fn load_roots<E: Env>(env: &E, bundle: &Pem) -> Result<RootCertStore, MaterialError> {
    store(bundle, &certificates(env, bundle).await?)
}

/// Makes a store of a bundle's certificates.
pub(super) fn store(
    bundle: &Pem,
    certificates: &[CertificateDer<'static>],
) -> Result<RootCertStore, MaterialError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates {
        roots
            .add(certificate.clone())
            .map_err(|error| MaterialError::new(bundle, format!("can't be trusted: {error}")))?;
    }
    Ok(roots)
}

/// Reads a certificate chain and its key. Whether the two belong together is found out by who
/// builds a TLS configuration from them.
///
/// # Errors
/// A file can't be read, or holds no certificate or no private key.
pub async fn load_key_pair<E: Env>(
    env: &E,
    pair: &KeyPair,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), MaterialError> {
    let chain = certificates(env, &pair.certificate).await?;
    let text = read(env, &pair.key).await?;
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        MaterialError::new(&pair.key, format!("no private key: {}", words(&error)))
    })?;
    Ok((chain, key))
}

pub(crate) async fn certificates<E: Env>(
    env: &E,
    pem: &Pem,
) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let text = read(env, pem).await?;
    let certificates = CertificateDer::pem_slice_iter(&text)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| MaterialError::new(pem, format!("is no PEM: {}", words(&error))))?;
    if certificates.is_empty() {
        return Err(MaterialError::new(pem, "holds no certificate"));
    }
    Ok(certificates)
}

/// Reads revocation lists: PEM, one or several, or one as DER.
pub(super) async fn revocation_lists<E: Env>(
    env: &E,
    pem: &Pem,
) -> Result<Vec<CertificateRevocationListDer<'static>>, MaterialError> {
    let content = read(env, pem).await?;
    // What a DER sequence begins with; PEM is text.
    if content.first() == Some(&0x30) {
        return Ok(vec![content.to_vec().into()]);
    }
    let lists = CertificateRevocationListDer::pem_slice_iter(&content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| MaterialError::new(pem, format!("is no PEM: {}", words(&error))))?;
    if lists.is_empty() {
        return Err(MaterialError::new(pem, "holds no revocation list"));
    }
    Ok(lists)
}

/// In words, where the library shows a list of byte values.
fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "a BEGIN line without its END line; it may be cut short".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a BEGIN line that doesn't end in dashes".to_owned()
        }
        other => other.to_string(),
    }
}

async fn read<E: Env>(env: &E, pem: &Pem) -> Result<Bytes, MaterialError> {
    match pem {
        Pem::Text(text) => Ok(text.clone()),
        Pem::File(path) => env
            .store()
            .read(path, PEM_BYTES_MAX, Privacy::Any)
            .await
            .map_err(|error| MaterialError::new(pem, format!("can't be read: {error}"))),
    }
}
