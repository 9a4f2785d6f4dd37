//! The CAs at the end of chains, and why a chain is refused.

use std::fmt;

use cellway_core::Unix;
use cellway_core::cert::{PeerCertificate, Signer, SignerError, check_signers};
use rustls::pki_types::{CertificateDer, TrustAnchor};
use rustls::{CertificateError, DistinguishedName, Error, RootCertStore};
use webpki::VerifiedPath;

/// Why a chain is refused, in a handshake or later.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChainRefused {
    /// A certificate in it has expired or is not valid yet.
    Expired,
    /// A certificate in it is revoked.
    Revoked,
    /// No current revocation list says whether a certificate in it is revoked.
    RevocationUnknown,
    /// It leads to no CA in the bundle.
    UnknownIssuer,
    /// A CA in it isn't allowed to sign this leaf.
    Signer(SignerError),
    /// The leaf's extended key usage lacks `clientAuth`.
    Usage,
    /// It is invalid in another way.
    Untrusted,
}

impl fmt::Display for ChainRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Expired => "a certificate of the chain has expired or is not valid yet",
            Self::Revoked => "a certificate of the chain is revoked",
            Self::RevocationUnknown => "no fresh revocation list covers the chain",
            Self::UnknownIssuer => "no trusted CA has issued the certificate",
            Self::Signer(why) => return why.fmt(f),
            Self::Usage => "the extended key usage of the certificate lacks clientAuth",
            Self::Untrusted => "the chain doesn't verify",
        })
    }
}

impl std::error::Error for ChainRefused {}

impl From<webpki::Error> for ChainRefused {
    #[expect(clippy::wildcard_enum_match_arm, reason = "webpki's errors")]
    fn from(error: webpki::Error) -> Self {
        use webpki::Error as E;
        match error {
            E::CertExpired { .. } | E::CertNotValidYet { .. } | E::InvalidCertValidity => {
                Self::Expired
            }
            E::CertRevoked => Self::Revoked,
            E::UnknownRevocationStatus
            | E::CrlExpired { .. }
            | E::InvalidCrlSignatureForPublicKey
            | E::IssuerNotCrlSigner
            | E::UnsupportedCrlSignatureAlgorithmContext(_)
            | E::UnsupportedCrlSignatureAlgorithmForPublicKeyContext(_) => Self::RevocationUnknown,
            E::UnknownIssuer => Self::UnknownIssuer,
            E::RequiredEkuNotFoundContext(_) => Self::Usage,
            _ => Self::Untrusted,
        }
    }
}

impl From<ChainRefused> for Error {
    fn from(refused: ChainRefused) -> Self {
        Self::InvalidCertificate(match refused {
            ChainRefused::Expired => CertificateError::Expired,
            ChainRefused::Revoked => CertificateError::Revoked,
            ChainRefused::RevocationUnknown => CertificateError::UnknownRevocationStatus,
            ChainRefused::UnknownIssuer => CertificateError::UnknownIssuer,
            ChainRefused::Usage => CertificateError::InvalidPurpose,
            ChainRefused::Signer(_) | ChainRefused::Untrusted => {
                CertificateError::ApplicationVerificationFailure
            }
        })
    }
}

/// The CAs of one trust bundle.
#[derive(Debug)]
pub(super) struct Roots {
    pub(super) anchors: Vec<TrustAnchor<'static>>,
    /// What our own checks need of the anchors' certificates, in the same order.
    signers: Vec<Result<Signer, SignerError>>,
}

impl Roots {
    /// `certificates` must be those that `store` was made from, in the same order.
    pub(super) fn new<'a>(
        store: RootCertStore,
        certificates: impl Iterator<Item = &'a CertificateDer<'a>>,
    ) -> Self {
        Self {
            anchors: store.roots,
            signers: certificates.map(|der| Signer::from_der(der)).collect(),
        }
    }

    /// The CA names that a handshake sends, so that a client can choose a certificate.
    pub(super) fn subjects(&self) -> impl Iterator<Item = DistinguishedName> {
        let subjects = self.anchors.iter();
        subjects.map(|anchor| DistinguishedName::in_sequence(&anchor.subject))
    }

    /// The CAs' names, as DER (only the content of the sequence) and as text.
    pub(super) fn subjects_in_words(&self) -> impl Iterator<Item = (&[u8], String)> {
        let named = self.anchors.iter().zip(&self.signers);
        named.map(|(anchor, signer)| {
            let name = signer.as_ref().map_or("?", Signer::subject);
            (anchor.subject.as_ref(), name.to_owned())
        })
    }

    /// When the first of them expires.
    pub(super) fn first_end(&self) -> Option<Unix> {
        let signers = self.signers.iter().flatten();
        signers.map(Signer::not_after).min()
    }

    pub(super) fn check_path(
        &self,
        leaf: &PeerCertificate,
        path: &VerifiedPath<'_>,
        now: Unix,
    ) -> Result<Unix, SignerError> {
        let mut signers = Vec::new();
        for certificate in path.intermediate_certificates() {
            signers.push(Signer::from_der(&certificate.der())?);
        }
        let mut roots = self.anchors.iter().zip(&self.signers);
        let root = roots.find(|(anchor, _)| std::ptr::eq(*anchor, path.anchor()));
        let (_, root) = root.ok_or(SignerError::Malformed)?;
        check_signers(
            leaf,
            signers.iter().chain([root.as_ref().map_err(|why| *why)?]),
            now,
        )
    }
}
