//! Reads certificates, keys and bundles from PEM.

use std::fmt;

use bytes::Bytes;
use cellway_core::cert::{CertificateNames, PeerCertificate};
use cellway_env::{Env, Privacy, Store, tls_error};
use rustls::RootCertStore;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use crate::settings::{KeyPair, Pem};

/// The most bytes in a PEM file. A bundle of a few thousand certificates fits.
const PEM_BYTES_MAX: usize = 8 * 1024 * 1024;

/// Why a certificate, key or bundle can't be used. The text follows the setting's name in a
/// message.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct MaterialError {
    /// What was read: a path, or `inline text`.
    pub source: String,
    /// What is wrong with it.
    pub problem: String,
}

impl fmt::Display for MaterialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.source, self.problem)
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
/// The file can't be read, has no certificate, or has one that can't be a trust anchor. One bad
/// certificate makes the whole bundle unusable, so that a typo doesn't silently lose an issuer.
pub async fn load_roots<E: Env>(env: &E, bundle: &Pem) -> Result<RootCertStore, MaterialError> {
    store(bundle, &located(env, bundle).await?)
}

/// Makes a root store from a bundle's certificates.
pub(super) fn store(
    bundle: &Pem,
    certificates: &[Located],
) -> Result<RootCertStore, MaterialError> {
    let mut roots = RootCertStore::empty();
    for (number, Located { line, der }) in (1..).zip(certificates) {
        roots.add(der.clone()).map_err(|error| {
            let why = tls_error(&error);
            let problem = format!(
                "holds a certificate that can't be trusted, number {number}: {why} (line {line})"
            );
            MaterialError::new(bundle, problem)
        })?;
    }
    Ok(roots)
}

/// Reads a certificate chain and its key. It doesn't check that the two belong together; building a
/// TLS configuration from them does.
///
/// # Errors
/// A file can't be read, or has no certificate or no private key, or the chain has a certificate
/// that is malformed or not the issuer of the one before it.
#[expect(clippy::wildcard_enum_match_arm, reason = "errors of the PEM reader")]
pub async fn load_key_pair<E: Env>(
    env: &E,
    pair: &KeyPair,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), MaterialError> {
    let chain = located(env, &pair.certificate).await?;
    if let Some(leaf) = leaf_behind_authorities(&chain) {
        let problem = format!(
            "the chain is in the wrong order: certificate 1 is a CA certificate, and certificate \
             {leaf} is the leaf; put the leaf first, then the certificate that signed it"
        );
        return Err(MaterialError::new(&pair.certificate, problem));
    }
    check_chain(&chain).map_err(|problem| MaterialError::new(&pair.certificate, problem))?;
    let text = read(env, &pair.key).await?;
    if is_encrypted(&text) {
        let problem = "the private key is encrypted, and the router can't ask for its passphrase; \
                       decrypt it with `openssl pkey -in KEY -out DECRYPTED`";
        return Err(MaterialError::new(&pair.key, problem));
    }
    let key = PrivateKeyDer::from_pem_slice(&text).map_err(|error| {
        let why = nothing_found(&text, "CERTIFICATE-----", SWAPPED_KEY);
        let why = why.unwrap_or_else(|| match error {
            pem::Error::NoItemsFound => "holds no private key".to_owned(),
            error => {
                let problem = broken_section(&text).unwrap_or_else(|| words(&error));
                format!("has a private key that can't be read: {problem}")
            }
        });
        MaterialError::new(&pair.key, why)
    })?;
    Ok((chain.into_iter().map(|located| located.der).collect(), key))
}

/// Checks what every peer needs of a chain: each certificate is one, and is the issuer of the one
/// before it (RFC 5246, section 7.4.2). TLS sends the chain as it is, so nobody else would notice.
fn check_chain(chain: &[Located]) -> Result<(), String> {
    let mut before: Option<CertificateNames> = None;
    for (number, Located { line, der }) in (1..).zip(chain) {
        let names = CertificateNames::from_der(der)
            .map_err(|why| format!("certificate {number} can't be used: {why} (line {line})"))?;
        if let Some(before) = before.filter(|before| !names.is_issuer_of(before)) {
            return Err(format!(
                "certificate {number}, \"{}\", did not issue the one before it, which names the \
                 issuer \"{}\"; put the leaf first, then each certificate's issuer, and no others \
                 (line {line})",
                names.subject(),
                before.issuer()
            ));
        }
        before = Some(names);
    }
    Ok(())
}

const SWAPPED_KEY: &str =
    "holds a certificate and no private key; are certificate and key swapped?";
const SWAPPED_CERTIFICATE: &str =
    "holds a private key and no certificate; is it the wrong file, or are the two swapped?";

/// Finds a leaf that comes after CA certificates, and returns its position, from 1.
fn leaf_behind_authorities(chain: &[Located]) -> Option<usize> {
    let is_authority = |located: &Located| {
        PeerCertificate::from_der(&located.der).map(|certificate| certificate.is_authority())
    };
    let first = chain.first()?;
    let leaf = chain
        .iter()
        .position(|located| is_authority(located) == Ok(false))?;
    (is_authority(first) == Ok(true)).then_some(leaf + 1)
}

/// Whether the key is encrypted: in PKCS#8 (RFC 5958, section 3), or in OpenSSL's older form (RFC
/// 1421, section 4.6.1.1).
fn is_encrypted(pem: &[u8]) -> bool {
    let text = String::from_utf8_lossy(pem);
    text.lines().any(|line| {
        line.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY")
            || (line.starts_with("Proc-Type:") && line.contains("ENCRYPTED"))
    })
}

/// Why nothing was found in a file, if the cause is a common mistake. `swapped` is the text for a
/// file that contains `other`.
fn nothing_found(pem: &[u8], other: &str, swapped: &str) -> Option<String> {
    if pem.is_empty() {
        return Some("is empty".to_owned());
    }
    if pem.starts_with(&[0xff, 0xfe]) || pem.starts_with(&[0xfe, 0xff]) {
        return Some("is UTF-16 text; write it as UTF-8".to_owned());
    }
    let text = String::from_utf8_lossy(pem);
    let begins = |line: &str| line.starts_with("-----BEGIN ");
    let indented = |line: &str| !begins(line) && begins(line.trim_start());
    if let Some(at) = text.lines().position(indented) {
        let line = at + 1;
        return Some(format!(
            "line {line} is indented, and PEM must start at the margin; remove the spaces"
        ));
    }
    let mut lines = text.lines();
    lines
        .any(|line| begins(line) && line.trim_end().ends_with(other))
        .then(|| swapped.to_owned())
}

/// Why a certificate and its key can't be used together.
pub(super) fn pair_refused(pair: &KeyPair, error: &rustls::Error) -> MaterialError {
    match (error, &pair.certificate) {
        (rustls::Error::InconsistentKeys(_), Pem::File(certificate)) => {
            let problem = format!("is not the private key of {certificate}");
            MaterialError::new(&pair.key, problem)
        }
        (rustls::Error::InconsistentKeys(_), Pem::Text(_)) => {
            MaterialError::new(&pair.key, "is not the private key of the certificate")
        }
        (other, _) => {
            let why = tls_error(other);
            MaterialError::new(&pair.certificate, format!("can't be used: {why}"))
        }
    }
}

/// A certificate, and the line of its file that it starts on, from 1.
pub(super) struct Located {
    pub(super) line: usize,
    pub(super) der: CertificateDer<'static>,
}

pub(crate) async fn certificates<E: Env>(
    env: &E,
    pem: &Pem,
) -> Result<Vec<CertificateDer<'static>>, MaterialError> {
    let located = located(env, pem).await?.into_iter();
    Ok(located.map(|located| located.der).collect())
}

pub(super) async fn located<E: Env>(env: &E, pem: &Pem) -> Result<Vec<Located>, MaterialError> {
    let text = read(env, pem).await?;
    check_sections(pem, &text)?;
    let mut certificates = Vec::new();
    for (line, section) in sections(&text) {
        // Every section can be read, so there are no errors any more.
        let found = CertificateDer::pem_slice_iter(section).filter_map(Result::ok);
        certificates.extend(found.map(|der| Located { line, der }));
    }
    if certificates.is_empty() {
        let why = nothing_found(&text, "PRIVATE KEY-----", SWAPPED_CERTIFICATE);
        let why = why.unwrap_or_else(|| "holds no certificate".to_owned());
        return Err(MaterialError::new(pem, why));
    }
    Ok(certificates)
}

/// Reads one or several revocation lists in PEM, or one in DER.
pub(super) async fn revocation_lists<E: Env>(
    env: &E,
    pem: &Pem,
) -> Result<Vec<CertificateRevocationListDer<'static>>, MaterialError> {
    let content = read(env, pem).await?;
    // A DER sequence starts with this byte. PEM is text.
    if content.first() == Some(&0x30) {
        return Ok(vec![content.to_vec().into()]);
    }
    check_sections(pem, &content)?;
    let lists = CertificateRevocationListDer::pem_slice_iter(&content)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| MaterialError::new(pem, format!("is not PEM: {}", words(&error))))?;
    if lists.is_empty() {
        let certificate = "holds a certificate and no revocation list";
        let why = nothing_found(&content, "CERTIFICATE-----", certificate);
        let why = why.unwrap_or_else(|| "holds no revocation list".to_owned());
        return Err(MaterialError::new(pem, why));
    }
    Ok(lists)
}

/// Describes an error in words where the library prints byte values.
#[expect(clippy::wildcard_enum_match_arm, reason = "errors of the PEM reader")]
fn words(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => {
            "a BEGIN line without its END line; it may be cut short".to_owned()
        }
        pem::Error::IllegalSectionStart { .. } => {
            "a BEGIN line that doesn't end in five dashes".to_owned()
        }
        pem::Error::Base64Decode(_) => "the lines between BEGIN and END are not base64".to_owned(),
        other => other.to_string(),
    }
}

/// Splits a text before each BEGIN line. Returns each part with the line that it starts on, from 1.
///
/// The library names no line. It also joins a section without an END line to the next one, and then
/// reads both as one.
fn sections(text: &[u8]) -> impl Iterator<Item = (usize, &[u8])> {
    let (mut line, mut rest) = (1, text);
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        // Up to the next BEGIN line, not counting the one that this section starts with.
        let next = rest
            .windows(BEGIN_LINE.len())
            .skip(1)
            .position(|at| at == BEGIN_LINE);
        let (section, after) = rest.split_at(next.map_or(rest.len(), |next| next + 2));
        let start = line;
        line += section.iter().filter(|byte| **byte == b'\n').count();
        rest = after;
        Some((start, section))
    })
}

/// Finds the first section that can't be read, and says what is wrong and on which line the section
/// starts.
fn broken_section(text: &[u8]) -> Option<String> {
    sections(text).find_map(|(line, section)| {
        let mut items = <(pem::SectionKind, Vec<u8>)>::pem_slice_iter(section);
        let error = items.find_map(Result::err)?;
        Some(format!("{} (line {line})", words(&error)))
    })
}

/// Refuses text with a section that can't be read.
fn check_sections(pem: &Pem, text: &[u8]) -> Result<(), MaterialError> {
    match broken_section(text) {
        Some(problem) => Err(MaterialError::new(pem, format!("is not PEM: {problem}"))),
        None => Ok(()),
    }
}

/// The start of a section, with the end of the line before it.
const BEGIN_LINE: &[u8] = b"\n-----BEGIN ";

/// The content without the byte-order mark that some editors write.
async fn read<E: Env>(env: &E, pem: &Pem) -> Result<Bytes, MaterialError> {
    const MARK: &[u8] = "\u{feff}".as_bytes();
    let content = match pem {
        Pem::Text(text) => text.clone(),
        Pem::File(path) => env
            .store()
            .read(path, PEM_BYTES_MAX, Privacy::Any)
            .await
            .map_err(|error| MaterialError::new(pem, format!("can't be read: {error}")))?,
    };
    Ok(match content.starts_with(MARK) {
        true => content.slice(MARK.len()..),
        false => content,
    })
}

#[cfg(test)]
mod tests;
