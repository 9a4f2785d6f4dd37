//! Verifies a client's certificate chain.
//!
//! webpki finds a path from the leaf to a root and verifies every signature on it. On the path that
//! it found, this module checks what webpki doesn't: each CA's key usage, SPIFFE's rules for CAs,
//! and the root's own expiry and constraints.

use std::cell::Cell;
use std::sync::Arc;

use cellway_core::Unix;
use cellway_core::cert::{PeerCertificate, SignerError};
use rustls::client::danger::HandshakeSignatureValid;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage, RevocationOptions, VerifiedPath};

use super::roots::ChainRefused;
use super::verified::{ChainDigest, VerifiedChains};
use super::{Provider, Trust};

/// Verifies chains, in handshakes and afterwards.
#[derive(Debug)]
pub(super) struct ChainVerifier {
    pub(super) trust: Arc<Trust>,
    algorithms: WebPkiSupportedAlgorithms,
    /// Whether a client may connect without a certificate.
    optional: bool,
    hints: Vec<DistinguishedName>,
    verified: VerifiedChains,
}

impl ChainVerifier {
    /// Trusts these CAs. If `optional`, a client may connect without a certificate.
    pub(super) fn new(trust: &Arc<Trust>, provider: &Provider, optional: bool) -> Self {
        Self {
            trust: Arc::clone(trust),
            algorithms: provider.crypto.signature_verification_algorithms,
            optional,
            hints: trust.hints(),
            verified: VerifiedChains::default(),
        }
    }

    /// Verifies a chain at `now`, and returns when the first certificate in it expires. Takes the
    /// result of an earlier time if it must be the same.
    ///
    /// # Errors
    /// Why the chain is refused.
    pub(super) fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        rest: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<Unix, ChainRefused> {
        let chain = ChainDigest::of(leaf, rest);
        let at = Unix::from_secs(now.as_secs());
        if let Some(ends) = self.verified.get(&chain, at) {
            return Ok(ends);
        }
        let ends = self.verify_anew(leaf, rest, now)?;
        let staling = self.trust.next_staling(at);
        self.verified.put(chain, at, ends, staling);
        Ok(ends)
    }

    fn verify_anew(
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
