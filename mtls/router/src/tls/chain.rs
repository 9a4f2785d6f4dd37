//! Verifies a client's certificate chain.
//!
//! webpki finds a path from the leaf to a root and verifies every signature on it. On the path that
//! it found, this module checks what webpki doesn't: each CA's key usage, SPIFFE's rules for CAs,
//! and the root's own expiry and constraints.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;

use cellway_core::Unix;
use cellway_core::cert::{PeerCertificate, Signer, SignerError, check_signers};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, RootCertStore,
    SignatureScheme,
};
use webpki::{EndEntityCert, KeyUsage, RevocationOptions, VerifiedPath};

use super::Trust;

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
    anchors: Vec<TrustAnchor<'static>>,
    /// What our own checks need of the anchors' certificates, in the same order.
    signers: Vec<Result<Signer, SignerError>>,
}

impl Roots {
    /// `certificates` must be those that `store` was made from, in the same order.
    pub(super) fn new(store: RootCertStore, certificates: &[CertificateDer<'_>]) -> Self {
        Self {
            anchors: store.roots,
            signers: certificates
                .iter()
                .map(|der| Signer::from_der(der))
                .collect(),
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

    fn check_path(
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

/// Verifies chains, in handshakes and afterwards.
#[derive(Debug)]
pub(super) struct ChainVerifier {
    pub(super) trust: Arc<Trust>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// Whether a client may connect without a certificate.
    pub(super) optional: bool,
    pub(super) hints: Vec<DistinguishedName>,
}

impl ChainVerifier {
    /// Verifies a chain at `now`, and returns when the first certificate in it expires.
    ///
    /// # Errors
    /// Why the chain is refused.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Unix, ChainRefused> {
        let peer = PeerCertificate::from_der(leaf).map_err(|_| ChainRefused::Untrusted)?;
        let roots = self.trust.roots(&peer).ok_or(ChainRefused::UnknownIssuer)?;
        let entity = EndEntityCert::try_from(leaf)?;
        let lists = self.trust.lists();
        let order = lists.plain_order();
        let options = order.as_ref().and_then(|order| lists.options(order));
        let (ends, refused) = (Cell::new(None), Cell::new(None));
        let check = |path: &VerifiedPath<'_>| {
            match roots.check_path(&peer, path, Unix::from_secs(now.as_secs())) {
                Ok(end) => ends.set(Some(end)),
                Err(why) => {
                    refused.set(Some(why));
                    // Any error will do: webpki then tries other paths, and `refused` has the
                    // reason.
                    return Err(webpki::Error::UnknownIssuer);
                }
            }
            Ok(())
        };
        let run = Run {
            algorithms: &self.algorithms,
            entity: &entity,
            now,
        };
        let path = run.verify(&roots.anchors, rest, options, Some(&check));
        let path = path.map_err(|error| match refused.get() {
            Some(SignerError::NotInForce) => ChainRefused::Expired,
            Some(why) => ChainRefused::Signer(why),
            None => error.into(),
        })?;
        if order.is_none() {
            self.ask_namesakes(&run, &path)?;
        }
        ends.get().ok_or(ChainRefused::Untrusted)
    }

    /// Checks revocation if several lists have the same issuer name.
    fn ask_namesakes(&self, run: &Run<'_>, path: &VerifiedPath<'_>) -> Result<(), ChainRefused> {
        let between: Vec<_> = path.intermediate_certificates().map(|c| c.der()).collect();
        let anchor = std::slice::from_ref(path.anchor());
        let lists = self.trust.lists();
        for order in lists.orders(path, &self.algorithms) {
            run.verify(anchor, &between, lists.options(&order), None)?;
        }
        Ok(())
    }
}

/// Our own check of each path that webpki finds.
type PathCheck<'j> = dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error> + 'j;

/// What all calls of webpki for one chain have in common.
struct Run<'a> {
    algorithms: &'a WebPkiSupportedAlgorithms,
    entity: &'a EndEntityCert<'a>,
    now: UnixTime,
}

impl<'a> Run<'a> {
    fn verify<'p>(
        &self,
        anchors: &'p [TrustAnchor<'_>],
        between: &'p [CertificateDer<'p>],
        options: Option<RevocationOptions<'_>>,
        check: Option<&PathCheck<'_>>,
    ) -> Result<VerifiedPath<'p>, webpki::Error>
    where
        'a: 'p,
    {
        self.entity.verify_for_usage(
            self.algorithms.all,
            anchors,
            between,
            self.now,
            KeyUsage::client_auth(),
            options,
            check,
        )
    }
}

impl ClientCertVerifier for ChainVerifier {
    fn client_auth_mandatory(&self) -> bool {
        !self.optional
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.hints
    }

    fn verify_client_cert(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(leaf, rest, now)?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, certificate, signed, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signed, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
