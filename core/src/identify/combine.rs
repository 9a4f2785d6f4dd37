//! Combines what several credentials prove into one identity.

use std::sync::Arc;

use crate::explain::Recorder;
use crate::identity::{CertificateProof, Identity};
use crate::reason::Reason;
use crate::refused::Refused;
use crate::text::Text;

use super::{Caller, Context, NOT_HELD, VerifiedCredentials};

/// The details for two credentials that name different tenants.
const TOKEN_AND_CERTIFICATE: &str = "the token and the client certificate name different tenants";
const TOKEN_AND_KEY: &str = "the token and the routing key name different tenants";
const CERTIFICATE_AND_KEY: &str =
    "the client certificate and the routing key name different tenants";

impl Context<'_> {
    /// The identity that all credentials agree on. If there is a token, its identity is the base,
    /// because it says the most.
    pub(super) fn combine(
        &self,
        verified: VerifiedCredentials<'_>,
        recorder: &mut impl Recorder,
    ) -> Result<Arc<Identity>, Refused> {
        verified.agree(recorder)?;
        let VerifiedCredentials {
            token,
            certificate,
            routing_key,
        } = verified;
        let named = routing_key.as_ref().map(|vouched| &vouched.tenant);
        let base = match token {
            Some(token) if certificate.is_none() && named.is_none() => return Ok(token),
            Some(token) => Identity::clone(&token),
            None => self.without_token(certificate.as_ref(), named)?,
        };
        let mut identity = base;
        if let Some(caller) = certificate {
            prove(&mut identity, caller);
        }
        identity.proof.routing_key = routing_key.map(|vouched| vouched.by);
        Ok(Arc::new(identity))
    }

    /// The identity from a certificate and a routing key, which name one tenant. A request that
    /// picks another tenant is refused. A service or a cell needs a token or a routing key to act
    /// for a tenant.
    fn without_token(
        &self,
        caller: Option<&Caller<'_>>,
        named: Option<&Text>,
    ) -> Result<Identity, Refused> {
        let tenant = caller.and_then(|caller| caller.accepted.tenant.as_ref());
        let Some(tenant) = tenant.or(named) else {
            return Err(self.without_tenant());
        };
        if let Some(choice) = &self.evidence.credentials.tenant_choice
            && *choice != tenant.as_str()
        {
            return Err(NOT_HELD.with_tenant(tenant.clone()));
        }
        let subject = caller.filter(|caller| !caller.gateway);
        Ok(Identity {
            tenant: Some(tenant.clone()),
            subject: subject.map(|caller| caller.accepted.subject.clone()),
            ..Identity::default()
        })
    }

    /// The refusal for a certificate that names no tenant, without another credential. It names the
    /// missing credential that the policy accepts and that would name a tenant.
    fn without_tenant(&self) -> Refused {
        let (reason, detail) = if self.auth.jwt {
            let detail = "the client certificate names no tenant, and there is no bearer token";
            (Reason::MissingToken, detail)
        } else if self.auth.routing_key {
            let detail = "the client certificate names no tenant, and there is no routing key";
            (Reason::MissingRoutingKey, detail)
        } else {
            let detail = "the client certificate names no tenant";
            (Reason::SanNotAccepted, detail)
        };
        Refused::new("certificate.tenant", reason, detail)
    }
}

impl VerifiedCredentials<'_> {
    /// Checks that all credentials name the same tenant. A certificate that names none identifies
    /// the caller only, and can't contradict the others.
    fn agree(&self, recorder: &mut impl Recorder) -> Result<(), Refused> {
        let token = self.token.as_ref().map(|token| token.tenant.as_ref());
        let certificate = self.certificate.as_ref();
        let certificate = certificate.and_then(|caller| caller.accepted.tenant.as_ref());
        let key = self.routing_key.as_ref().map(|vouched| &vouched.tenant);
        let of_token = token.flatten();
        for (one, other, detail) in [
            (of_token, certificate, TOKEN_AND_CERTIFICATE),
            (of_token, key, TOKEN_AND_KEY),
            (certificate, key, CERTIFICATE_AND_KEY),
        ] {
            if let Some((one, other)) = one.zip(other)
                && one != other
            {
                let refused = Refused::new("identity.agree", Reason::IdentityConflict, detail);
                return Err(refused.with_tenant(one.clone()));
            }
        }
        if let Some(who) = self.several() {
            recorder.pass("identity.agree", || format!("{who} agree"));
        }
        Ok(())
    }

    /// The names of the credentials, if there are several.
    fn several(&self) -> Option<&'static str> {
        let there = (
            self.token.is_some(),
            self.certificate.is_some(),
            self.routing_key.is_some(),
        );
        match there {
            (true, true, true) => Some("token, certificate and routing key"),
            (true, true, false) => Some("token and certificate"),
            (true, false, true) => Some("token and routing key"),
            (false, true, true) => Some("certificate and routing key"),
            (_, false, false) | (false, _, false) | (false, false, true) => None,
        }
    }
}

/// Adds what the certificate proves.
fn prove(identity: &mut Identity, caller: Caller<'_>) {
    let Caller {
        accepted,
        certificate,
        ..
    } = caller;
    let proof = &mut identity.proof;
    proof.certificate = Some(CertificateProof {
        subject: accepted.subject,
        not_before: certificate.not_before(),
    });
    proof.mtls = accepted.tenant.is_some();
    proof.trust_domain = accepted.trust_domain;
    proof.service = accepted.service;
    proof.cell = accepted.cell;
}
