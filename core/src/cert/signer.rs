//! The CA certificates of a client's chain, up to the root.
//!
//! Rustls verifies the signatures of the chain. This module checks what SPIFFE (X.509-SVID,
//! sections 3 and 4) and RFC 5280 require in addition.

use std::fmt;

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;

use crate::time::Unix;

use super::template::SpiffeId;
use super::{PeerCertificate, parse, unix};

/// A certificate that signs others: an authority between leaf and root, or the root.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Signer {
    /// Its name, in the form of RFC 4514.
    subject: Box<str>,
    not_before: Unix,
    not_after: Unix,
    /// The trust domain of its SPIFFE ID, if it has one.
    trust_domain: Option<Box<str>>,
    /// Its key usage, if it has one, holds `keyCertSign`.
    may_sign: bool,
    /// How many CA certificates may be between it and a leaf.
    below_max: Option<u32>,
}

/// Why a certificate can't have signed the one below it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum SignerError {
    /// Not a certificate, or one with parts that RFC 5280 doesn't allow.
    Malformed,
    /// It has expired or is not valid yet. This is checked for roots too.
    NotInForce,
    /// Its key usage doesn't hold `keyCertSign` (RFC 5280, section 4.2.1.3).
    MayNotSign,
    /// There are more CA certificates below it than it allows (RFC 5280, section 4.2.1.9).
    TooDeep,
    /// It has several SPIFFE IDs, one that is none, or one with a path, which is a workload's
    /// (X.509-SVID, section 3).
    BadId,
    /// Its SPIFFE ID is of another trust domain than the leaf's.
    OtherDomain,
}

impl fmt::Display for SignerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "a CA certificate of the chain is malformed",
            Self::NotInForce => "a CA certificate of the chain has expired or is not valid yet",
            Self::MayNotSign => "the key usage of a CA certificate lacks keyCertSign",
            Self::TooDeep => {
                "the chain is longer than the path length of one of its CA certificates allows"
            }
            Self::BadId => "the SPIFFE ID of a CA certificate has a path",
            Self::OtherDomain => "a CA certificate is of another trust domain",
        })
    }
}

impl std::error::Error for SignerError {}

impl Signer {
    /// Reads an authority's certificate.
    ///
    /// # Errors
    /// [`SignerError::Malformed`] or [`SignerError::BadId`].
    pub fn from_der(der: &[u8]) -> Result<Self, SignerError> {
        let certificate = parse(der).map_err(|_| SignerError::Malformed)?;
        let malformed = |_| SignerError::Malformed;
        let constraints = certificate.basic_constraints().map_err(malformed)?;
        let usage = certificate.key_usage().map_err(malformed)?;
        let validity = certificate.validity();
        Ok(Self {
            subject: certificate.subject().to_string().into(),
            not_before: unix(validity.not_before),
            not_after: unix(validity.not_after),
            trust_domain: trust_domain(&certificate)?,
            may_sign: usage.is_none_or(|usage| usage.value.key_cert_sign()),
            below_max: constraints.and_then(|all| all.value.path_len_constraint),
        })
    }

    /// Its name as text.
    pub fn subject(&self) -> &str {
        &self.subject
    }

    /// When the certificate expires.
    pub fn not_after(&self) -> Unix {
        self.not_after
    }

    fn is_valid_at(&self, now: Unix) -> bool {
        self.not_before <= now && now < self.not_after
    }
}

/// Checks the CA certificates above a leaf, its issuer first and the root last. Returns when the
/// first certificate of the whole chain expires, the leaf included. Nothing that the chain proves
/// is valid after that.
///
/// # Errors
/// [`SignerError`] of the first certificate that fails a check.
pub fn check_signers<'a>(
    leaf: &PeerCertificate,
    signers: impl IntoIterator<Item = &'a Signer>,
    now: Unix,
) -> Result<Unix, SignerError> {
    let domain = leaf.trust_domain();
    let mut ends = leaf.not_after();
    for (below, signer) in signers.into_iter().enumerate() {
        if !signer.is_valid_at(now) {
            return Err(SignerError::NotInForce);
        }
        if !signer.may_sign {
            return Err(SignerError::MayNotSign);
        }
        let most = signer.below_max.map(usize::try_from);
        if most.is_some_and(|most| most.is_ok_and(|most| below > most)) {
            return Err(SignerError::TooDeep);
        }
        if let (Some(leafs), Some(own)) = (domain, &signer.trust_domain)
            && *leafs != **own
        {
            return Err(SignerError::OtherDomain);
        }
        ends = ends.min(signer.not_after);
    }
    Ok(ends)
}

/// The trust domain of an authority's SPIFFE ID. Other kinds of names are ignored.
fn trust_domain(certificate: &X509Certificate<'_>) -> Result<Option<Box<str>>, SignerError> {
    const SCHEME: &str = "spiffe:";
    let names = certificate.subject_alternative_name();
    let names = names.map_err(|_| SignerError::Malformed)?;
    let mut found = None;
    for name in names.iter().flat_map(|san| &san.value.general_names) {
        let GeneralName::URI(uri) = name else {
            continue;
        };
        let scheme = uri.as_bytes().get(..SCHEME.len());
        if !scheme.is_some_and(|scheme| scheme.eq_ignore_ascii_case(SCHEME.as_bytes())) {
            continue;
        }
        let domain = SpiffeId::authority(uri).ok_or(SignerError::BadId)?;
        if found.replace(domain.into()).is_some() {
            return Err(SignerError::BadId);
        }
    }
    Ok(found)
}
