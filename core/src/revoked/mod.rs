//! Checks the credentials of an identity against the registry's revocations.
//!
//! Runs on every request, so that a cached token can be revoked too. Each credential is looked up
//! by its own names: a request with a good token and a revoked certificate is refused.

use crate::explain::Recorder;
use crate::identity::Identity;
use crate::policy::Policy;
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::{RevocationKind, Revocations};

/// Looks up every credential of `identity`.
pub(crate) fn check(
    revocations: &Revocations,
    policy: &Policy,
    identity: &Identity,
    recorder: &mut impl Recorder,
) -> Result<(), Refused> {
    const CHECK: &str = "registry.revocations";
    if revocations.is_empty() {
        recorder.pass(CHECK, || "there are none".to_owned());
        return Ok(());
    }
    let found = of_token(revocations, policy, identity)
        .or_else(|| of_certificate(revocations, identity))
        .or_else(|| of_tenant(revocations, identity));
    match found {
        None => {
            recorder.pass(CHECK, || format!("none of {} applies", revocations.len()));
            Ok(())
        }
        Some(detail) => Err(Refused::new(CHECK, Reason::Revoked, detail)),
    }
}

/// The names in one credential.
struct Credential<'a> {
    issuer: &'a str,
    tenant: Option<&'a str>,
    subject: Option<&'a str>,
    issued_at: Option<u64>,
}

fn of_token(
    revocations: &Revocations,
    policy: &Policy,
    identity: &Identity,
) -> Option<&'static str> {
    let name = identity.proof.jwt.as_ref()?;
    let marks = &identity.proof.token;
    let by = |issuer: &str| {
        if let Some(jti) = &marks.jti
            && revocations.revokes(RevocationKind::Token, issuer, jti, None)
        {
            return Some("the token is revoked");
        }
        let shown = Credential {
            issuer,
            tenant: identity.tenant.as_ref().map(|tenant| tenant.as_str()),
            subject: identity.subject.as_ref().map(|subject| subject.as_str()),
            issued_at: marks.iat,
        };
        shown.revoked_by(revocations)
    };
    // The registry may use an issuer's name or its `iss`, as for a tenant.
    let iss = policy.issuer_named(name.as_str());
    by(name.as_str()).or_else(|| by(&policy.issuer(iss?).iss))
}

fn of_certificate(revocations: &Revocations, identity: &Identity) -> Option<&'static str> {
    let marks = identity.proof.certificate.as_ref()?;
    let domain = identity.proof.trust_domain.as_ref();
    let tenant = identity.tenant.as_ref().filter(|_| identity.proof.mtls);
    let shown = Credential {
        issuer: domain.map_or("", |domain| domain.as_str()),
        tenant: tenant.map(|tenant| tenant.as_str()),
        subject: Some(marks.subject.as_str()),
        issued_at: Some(marks.not_before.as_secs()),
    };
    shown.revoked_by(revocations)
}

/// Whether the tenant is revoked, whichever credential proved it.
fn of_tenant(revocations: &Revocations, identity: &Identity) -> Option<&'static str> {
    let tenant = identity.tenant.as_ref()?.as_str();
    // A routing key has no time of issue, so it counts as new.
    let reached = revocations.revokes(RevocationKind::Tenant, tenant, "", Some(u64::MAX));
    reached.then_some(OF_TENANT)
}

const OF_TENANT: &str = "the tenant's credentials are revoked";

impl Credential<'_> {
    fn revoked_by(&self, revocations: &Revocations) -> Option<&'static str> {
        let revokes =
            |kind, of: &str, name: &str| revocations.revokes(kind, of, name, self.issued_at);
        if let Some(subject) = self.subject {
            let in_tenant = |tenant: &str| revokes(RevocationKind::TenantSubject, tenant, subject);
            if self.tenant.is_some_and(in_tenant)
                || revokes(RevocationKind::IssuerSubject, self.issuer, subject)
            {
                return Some("the subject's credentials are revoked");
            }
        }
        if self
            .tenant
            .is_some_and(|tenant| revokes(RevocationKind::Tenant, tenant, ""))
        {
            return Some(OF_TENANT);
        }
        if revokes(RevocationKind::Issuer, self.issuer, "") {
            return Some("everything that the issuer issued before a certain time is revoked");
        }
        let everybody = revocations.revokes_everybody(self.issued_at);
        everybody.then_some("everything that was issued before a certain time is revoked")
    }
}

#[cfg(test)]
mod tests;
