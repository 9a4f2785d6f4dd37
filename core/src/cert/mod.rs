//! Client certificates: what is read from them once per connection, and the templates that turn a
//! SAN into an identity.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;
use x509_parser::time::ASN1Time;

use crate::time::Unix;

mod list;
mod names;
mod purpose;
mod signer;
mod template;
#[cfg(test)]
mod tests;

pub use list::RevocationList;
pub use names::CertificateNames;
pub use purpose::{Purpose, serves};
pub use signer::{Signer, SignerError, check_signers};
pub(crate) use template::{Accepted, is_dns_name, is_trust_domain, spiffe_trust_domain};
pub use template::{SanTemplates, TemplateError};

/// The most bytes of a serial number (RFC 5280, section 4.1.2.2).
const SERIAL_LEN_MAX: usize = 20;

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
    usage: Usage,
    thumbprint: Thumbprint,
}

/// What the key usage extension allows (RFC 5280, section 4.2.1.3), as far as a client needs it:
/// a handshake proves the key by a digital signature.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Usage {
    /// There is no such extension, so there is no limit.
    Unstated,
    Signatures,
    OthersOnly,
}

/// Why a certificate can't be read. Rustls has already verified the chain, so a trusted authority
/// signed a malformed certificate.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub enum CertificateError {
    /// Not a DER X.509 certificate, or bytes follow it, or an extension is listed twice, or a
    /// limit for authorities in a certificate that isn't one's.
    Malformed,
    /// A serial number that isn't positive, is longer than 20 bytes, or could be written shorter
    /// (RFC 5280, section 4.1.2.2). Revocation lists are searched by it.
    BadSerial,
    /// SANs that can't be parsed, or one that isn't ASCII.
    MalformedSan,
    /// More names than [`PeerCertificate::NAMES_MAX`].
    TooManyNames,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Malformed => "it can't be parsed",
            Self::BadSerial => "its serial number is invalid",
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
        let certificate = parse(der)?;
        let (uris, dns_names) = names(&certificate)?;
        let validity = certificate.validity();
        let mut thumbprint = Thumbprint::default();
        thumbprint.copy_from_slice(digest(&SHA256, der).as_ref());
        Ok(Self {
            uris,
            dns_names,
            not_before: unix(validity.not_before),
            not_after: unix(validity.not_after),
            authority: is_authority(&certificate)?,
            usage: usage(&certificate)?,
            thumbprint,
        })
    }

    /// Whether the certificate may sign others.
    pub fn is_authority(&self) -> bool {
        self.authority
    }

    /// Whether the key may be used to authenticate. An SVID must allow it explicitly. Any other
    /// certificate must only not forbid it (SPIFFE X.509-SVID, section 4.3).
    pub fn may_prove(&self, svid: bool) -> bool {
        match self.usage {
            Usage::Signatures => true,
            Usage::Unstated => !svid,
            Usage::OthersOnly => false,
        }
    }

    /// Whether `now` is within the certificate's validity period.
    pub fn is_valid_at(&self, now: Unix) -> bool {
        self.not_before <= now && now < self.not_after
    }

    /// When the certificate becomes valid.
    pub fn not_before(&self) -> Unix {
        self.not_before
    }

    /// When the certificate expires. The connection is closed then.
    pub fn not_after(&self) -> Unix {
        self.not_after
    }

    /// The URI SANs, in the certificate's order.
    pub fn uris(&self) -> &[Box<str>] {
        &self.uris
    }

    /// The trust domain of the certificate's SPIFFE ID, if it has one, and no other URI.
    pub fn trust_domain(&self) -> Option<&str> {
        match &*self.uris {
            [uri] => template::SpiffeId::parse(uri).map(|id| id.trust_domain),
            _ => None,
        }
    }

    /// The DNS SANs, in the certificate's order.
    pub fn dns_names(&self) -> &[Box<str>] {
        &self.dns_names
    }

    /// The SHA-256 of the DER.
    pub fn thumbprint(&self) -> &Thumbprint {
        &self.thumbprint
    }
}

/// Reads a certificate of any kind.
fn parse(der: &[u8]) -> Result<X509Certificate<'_>, CertificateError> {
    let (rest, certificate) =
        X509Certificate::from_der(der).map_err(|_| CertificateError::Malformed)?;
    if !rest.is_empty() {
        return Err(CertificateError::Malformed);
    }
    // With two of the same extension, nobody could say which one counts (RFC 5280, section 4.2).
    certificate
        .extensions_map()
        .map_err(|_| CertificateError::Malformed)?;
    if !is_canonical_serial(certificate.raw_serial()) {
        return Err(CertificateError::BadSerial);
    }
    Ok(certificate)
}

/// Whether these bytes are a positive integer of at most 20 bytes in DER. A leading zero byte,
/// which makes a number with its first bit set positive, isn't counted.
fn is_canonical_serial(bytes: &[u8]) -> bool {
    let value = match bytes {
        [0, next, ..] if *next >= 0x80 => &bytes[1..],
        [1..=0x7f, ..] => bytes,
        _ => return false,
    };
    value.len() <= SERIAL_LEN_MAX
}

type Names = Vec<Box<str>>;

/// The URI and DNS SANs. Templates match no other kinds of name.
fn names(certificate: &X509Certificate<'_>) -> Result<(Names, Names), CertificateError> {
    let (mut uris, mut dns_names) = (Names::new(), Names::new());
    let extension = certificate
        .subject_alternative_name()
        .map_err(|_| CertificateError::MalformedSan)?;
    for name in extension.iter().flat_map(|san| &san.value.general_names) {
        #[expect(
            clippy::wildcard_enum_match_arm,
            reason = "templates match no other kinds of names, present or future"
        )]
        let (names, value) = match name {
            GeneralName::URI(value) => (&mut uris, value),
            GeneralName::DNSName(value) => (&mut dns_names, value),
            GeneralName::Invalid(..) => return Err(CertificateError::MalformedSan),
            _ => continue,
        };
        if !value.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(CertificateError::MalformedSan);
        }
        if names.len() == PeerCertificate::NAMES_MAX {
            return Err(CertificateError::TooManyNames);
        }
        names.push((*value).into());
    }
    Ok((uris, dns_names))
}

/// Whether the certificate may sign others. Such a certificate never identifies a client (SPIFFE
/// X.509-SVID, sections 4.1 and 4.3), because its owner can make certificates with any name.
fn is_authority(certificate: &X509Certificate<'_>) -> Result<bool, CertificateError> {
    let malformed = |_| CertificateError::Malformed;
    let constraints = certificate.basic_constraints().map_err(malformed)?;
    if constraints.as_ref().is_some_and(|constraints| {
        constraints.value.path_len_constraint.is_some() && !constraints.value.ca
    }) {
        return Err(CertificateError::Malformed);
    }
    let usage = certificate.key_usage().map_err(malformed)?;
    Ok(constraints.is_some_and(|constraints| constraints.value.ca)
        || usage.is_some_and(|usage| usage.value.key_cert_sign() || usage.value.crl_sign()))
}

fn usage(certificate: &X509Certificate<'_>) -> Result<Usage, CertificateError> {
    let usage = certificate.key_usage();
    Ok(match usage.map_err(|_| CertificateError::Malformed)? {
        None => Usage::Unstated,
        Some(usage) if usage.value.digital_signature() => Usage::Signatures,
        Some(_) => Usage::OthersOnly,
    })
}

/// Times before the epoch count as the epoch.
fn unix(time: ASN1Time) -> Unix {
    Unix::from_secs(u64::try_from(time.timestamp()).unwrap_or(0))
}
