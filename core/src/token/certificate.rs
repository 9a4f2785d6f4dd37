//! Whether a client's certificate says who is calling.

use crate::cert::{Accepted, PeerCertificate};
use crate::explain::Recorder;
use crate::reason::Reason;

use super::{Context, Denial};

impl Context<'_> {
    /// What the certificate's SAN says, once the certificate itself holds.
    pub(super) fn accept(
        &self,
        peer: &PeerCertificate,
        recorder: &mut impl Recorder,
    ) -> Result<Accepted, Denial> {
        if !peer.is_valid_at(self.now.unix) {
            return Err(Denial::new(
                "certificate.valid",
                Reason::CertificateExpired,
                "the client certificate is not in force",
            ));
        }
        if peer.is_authority() {
            return Err(Denial::new(
                "certificate.leaf",
                Reason::CertificateAuthority,
                "the client certificate is a certificate authority's",
            ));
        }
        let accepted = self
            .policy
            .sans()
            .accept(peer)
            .map_err(|detail| Denial::new("certificate.san", Reason::SanNotAccepted, detail))?;
        recorder.pass("certificate.san", || accepted.subject.to_string());
        if !peer.may_prove(accepted.trust_domain.is_some()) {
            return Err(Denial::new(
                "certificate.usage",
                Reason::CertificateUsage,
                "the client certificate's key usage doesn't hold digitalSignature",
            ));
        }
        Ok(accepted)
    }
}
