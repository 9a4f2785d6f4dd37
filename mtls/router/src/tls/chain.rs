//! Verifies a client's certificate chain.
//!
//! webpki finds a path from the leaf to a root and verifies every signature on it. What it doesn't
//! look at is looked at here, on the path that it found: an authority's key usage, SPIFFE's rules
//! for authorities, and the root's own end and limits.

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

/// Why a chain is not good, or no longer.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ChainRefused {
    /// A certificate of it is past its end, or before its start.
    Expired,
    /// A certificate of it is revoked.
    Revoked,
    /// No revocation list that is still fresh says whether it holds.
    RevocationUnknown,
    /// Nobody in the bundle stands behind it.
    UnknownIssuer,
    /// One of those who stand behind it may not.
    Signer(SignerError),
    /// The leaf's extended key usage lacks `clientAuth`.
    Usage,
    /// It is bad in another way.
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

/// Authorities that stand at the end of chains.
#[derive(Debug)]
pub(super) struct Roots {
    anchors: Vec<TrustAnchor<'static>>,
    /// What the anchors' certificates say besides, in the same order.
    signers: Vec<Result<Signer, SignerError>>,
}

impl Roots {
    /// `certificates` are those that the store was made of.
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

    /// Their names: as DER (only the content of the sequence), and as text.
    pub(super) fn subjects_in_words(&self) -> impl Iterator<Item = (&[u8], String)> {
        let named = self.anchors.iter().zip(&self.signers);
        named.map(|(anchor, signer)| {
            let name = signer.as_ref().map_or("?", Signer::subject);
            (anchor.subject.as_ref(), name.to_owned())
        })
    }

    /// When the first of them ends.
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

/// Finds out whether chains are good, in handshakes and after.
#[derive(Debug)]
pub(super) struct ChainVerifier {
    pub(super) trust: Arc<Trust>,
    pub(super) algorithms: WebPkiSupportedAlgorithms,
    /// A client may have none.
    pub(super) optional: bool,
    pub(super) hints: Vec<DistinguishedName>,
}

impl ChainVerifier {
    /// When the first certificate of the chain ends.
    ///
    /// # Errors
    /// Why it isn't good at `now`.
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
                    // Whichever: webpki goes on looking, and the reason is told below.
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

    /// Holds a chain against lists of which several bear the same issuer's name.
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

/// What is asked of each path that webpki finds.
type PathCheck<'j> = dyn Fn(&VerifiedPath<'_>) -> Result<(), webpki::Error> + 'j;

/// One question to webpki.
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
