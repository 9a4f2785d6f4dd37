//! One identity of what several credentials prove.

use std::sync::Arc;

use crate::cert::{Accepted, PeerCertificate};
use crate::explain::Recorder;
use crate::identity::{CertificateMarks, Identity};
use crate::reason::Reason;
use crate::text::Text;

use super::{Context, Denial, Proven, verify};

impl Context<'_> {
    /// The identity that all of the credentials agree about. The token says the most, and is the base
    /// where there is one.
    pub(super) fn combine(
        &self,
        proven: Proven<'_>,
        recorder: &mut impl Recorder,
    ) -> Result<Arc<Identity>, Denial> {
        proven.agree()?;
        if proven.count() > 1 {
            recorder.pass("identity.agree", || {
                "token and certificate agree".to_owned()
            });
        }
        let Proven { token, certificate } = proven;
        let Some((accepted, peer)) = certificate else {
            return token.ok_or_else(|| self.without_tenant());
        };
        let mut identity = match token {
            Some(token) => Identity::clone(&token),
            None => self.of_certificate(&accepted)?,
        };
        prove(&mut identity, accepted, peer);
        Ok(Arc::new(identity))
    }

    /// A certificate names one tenant. A client that asks for another gets none, and a service or
    /// cell acts for a tenant by a token only.
    fn of_certificate(&self, accepted: &Accepted) -> Result<Identity, Denial> {
        let Some(tenant) = &accepted.tenant else {
            return Err(self.without_tenant());
        };
        self.check_choice(tenant)?;
        Ok(Identity {
            tenant: Some(tenant.clone()),
            subject: Some(accepted.subject.clone()),
            ..Identity::default()
        })
    }

    /// Whoever holds one tenant can't pick another.
    fn check_choice(&self, tenant: &Text) -> Result<(), Denial> {
        match &self.evidence.credentials.tenant_choice {
            Some(choice) if *choice != tenant.as_str() => Err(Denial {
                tenant: Some(tenant.clone()),
                ..verify::NOT_HELD
            }),
            Some(_) | None => Ok(()),
        }
    }

    /// What to answer a certificate that came alone and names no tenant: where tokens are taken, one
    /// is what is missing.
    fn without_tenant(&self) -> Denial {
        const CHECK: &str = "certificate.tenant";
        if self.auth.jwt {
            let detail = "the client certificate names no tenant, and there is no bearer token";
            Denial::new(CHECK, Reason::MissingToken, detail)
        } else {
            let detail = "the client certificate names no tenant";
            Denial::new(CHECK, Reason::SanNotAccepted, detail)
        }
    }
}

impl Proven<'_> {
    fn count(&self) -> usize {
        usize::from(self.token.is_some()) + usize::from(self.certificate.is_some())
    }

    /// Each two name the same tenant. A certificate that names none says who calls, and can't
    /// contradict the others.
    fn agree(&self) -> Result<(), Denial> {
        let of_token = self.token.as_ref().map(|token| &token.tenant);
        let of_certificate = self
            .certificate
            .as_ref()
            .map(|(accepted, _)| &accepted.tenant);
        match (of_token, of_certificate) {
            (Some(token), Some(certificate)) if certificate.is_some() && token != certificate => {
                Err(Denial {
                    tenant: token.clone(),
                    ..Denial::new(
                        "identity.agree",
                        Reason::IdentityConflict,
                        "the token and the client certificate name different tenants",
                    )
                })
            }
            _ => Ok(()),
        }
    }
}

/// Notes what the certificate proves.
fn prove(identity: &mut Identity, accepted: Accepted, peer: &PeerCertificate) {
    let proof = &mut identity.proof;
    proof.certificate = Some(CertificateMarks {
        subject: accepted.subject,
        not_before: peer.not_before(),
    });
    proof.mtls = accepted.tenant.is_some();
    proof.trust_domain = accepted.trust_domain;
    proof.service = accepted.service;
    proof.cell = accepted.cell;
}
