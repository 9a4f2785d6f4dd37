//! Checks a client's certificate and reads the identity in it.

use crate::cert::{Accepted, PeerCertificate};
use crate::explain::Recorder;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::routing_key::Gateway;

use super::Context;

impl Context<'_> {
    /// Checks the certificate and reads the identity in its SAN.
    pub(super) fn accept(
        &self,
        peer: &PeerCertificate,
        recorder: &mut impl Recorder,
    ) -> Result<Accepted, Refused> {
        self.check_leaf(peer)?;
        let accepted =
            self.policy.sans().accept(peer).map_err(|detail| {
                Refused::new("certificate.san", Reason::SanNotAccepted, detail)
            })?;
        recorder.pass("certificate.san", || accepted.subject.to_string());
        check_usage(peer, accepted.trust_domain.is_some())?;
        Ok(accepted)
    }

    /// Checks a listed gateway's certificate. The rules are the same, except that it needs to match
    /// no template.
    pub(super) fn accept_gateway(
        &self,
        gateway: &Gateway,
        peer: &PeerCertificate,
        recorder: &mut impl Recorder,
    ) -> Result<Accepted, Refused> {
        self.check_leaf(peer)?;
        let san = gateway.san.text();
        recorder.pass("certificate.gateway", || san.to_string());
        check_usage(peer, gateway.trust_domain.is_some())?;
        Ok(Accepted {
            tenant: None,
            service: None,
            cell: None,
            subject: san.clone(),
            trust_domain: gateway.trust_domain.clone(),
        })
    }

    fn check_leaf(&self, peer: &PeerCertificate) -> Result<(), Refused> {
        if !peer.is_valid_at(self.now.unix) {
            return Err(Refused::new(
                "certificate.valid",
                Reason::CertificateExpired,
                "the client certificate has expired or is not valid yet",
            ));
        }
        if peer.is_authority() {
            return Err(Refused::new(
                "certificate.leaf",
                Reason::CertificateAuthority,
                "the client certificate is a CA certificate",
            ));
        }
        Ok(())
    }
}

fn check_usage(peer: &PeerCertificate, svid: bool) -> Result<(), Refused> {
    peer.may_prove(svid).then_some(()).ok_or(Refused::new(
        "certificate.usage",
        Reason::CertificateUsage,
        "the key usage of the client certificate lacks digitalSignature",
    ))
}
