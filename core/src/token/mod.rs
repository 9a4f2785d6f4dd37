//! From a request's credentials to the identity that they prove.
//!
//! The parts: `carrier` finds the token, `verify` finds out whether its issuer signed it, `claims`
//! reads what that proves, `memo` remembers it, and [`identify`] puts credentials together as the
//! listener's policy says. Each check has a name, which `explain` shows.

use std::sync::Arc;

use crate::cert::{Accepted, PeerCertificate};
use crate::decision::KeyWait;
use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::identity::{CertificateMarks, Identity};
use crate::jws::JwsRefused;
use crate::keys::KeyTable;
use crate::policy::{AuthPolicy, Mode, Policy};
use crate::reason::Reason;
use crate::text::Text;
use crate::time::Now;

mod carrier;
mod claims;
mod memo;
#[cfg(test)]
mod tests;
mod verify;

pub use memo::Memo;

/// Why [`identify`] found no identity.
#[derive(Clone, PartialEq, Debug)]
pub enum Refusal {
    /// The credentials don't hold.
    Deny {
        /// Why.
        reason: Reason,
        /// Which check failed, in words that hold nothing of the credential.
        detail: &'static str,
        /// The tenant, where one was proved all the same.
        tenant: Option<Text>,
    },
    /// The token may be good, but keys are missing.
    ///
    /// Control must hear of it (`handle_unknown_key`). An `until` that isn't later than now asks for
    /// no waiting: ask again at once, with `waited` set, for the final answer.
    Wait(KeyWait),
}

/// A check that failed.
#[derive(Clone, PartialEq, Debug)]
struct Denial {
    check: &'static str,
    reason: Reason,
    detail: &'static str,
    tenant: Option<Text>,
}

impl Denial {
    const fn new(check: &'static str, reason: Reason, detail: &'static str) -> Self {
        Self {
            check,
            reason,
            detail,
            tenant: None,
        }
    }
}

impl From<JwsRefused> for Denial {
    fn from(refused: JwsRefused) -> Self {
        let (check, reason) = match refused {
            JwsRefused::Malformed(_) => ("token.form", Reason::MalformedToken),
            JwsRefused::ForbiddenAlgorithm => ("token.algorithm", Reason::ForbiddenAlgorithm),
        };
        Self::new(check, reason, refused.detail())
    }
}

/// Why a step can't be taken.
#[derive(Debug)]
enum Stop {
    Denied(Denial),
    Wait(KeyWait),
}

impl From<Denial> for Stop {
    fn from(denial: Denial) -> Self {
        Self::Denied(denial)
    }
}

impl From<JwsRefused> for Stop {
    fn from(refused: JwsRefused) -> Self {
        Self::Denied(refused.into())
    }
}

/// What every step looks at.
#[derive(Clone, Copy)]
struct Context<'a> {
    policy: &'a Policy,
    auth: &'a AuthPolicy,
    keys: &'a KeyTable,
    evidence: &'a Evidence<'a>,
    now: Now,
}

/// Collects and verifies the credentials that the listener's policy accepts.
///
/// Returns `verified`, `anonymous` or `insecure` and whom the request counts as. Whether the tenant
/// is known, active, and the issuer's to speak for, is for the registry to say; see
/// [`Policy::may_speak`].
///
/// # Errors
/// [`Refusal`] says what is wrong, or what to wait for.
///
/// # Panics
/// If the evidence's policy isn't one of this [`Policy`], as [`Policy::auth`].
pub fn identify(
    policy: &Policy,
    keys: &KeyTable,
    evidence: &Evidence<'_>,
    now: Now,
    memo: &mut Memo,
    recorder: &mut impl Recorder,
) -> Result<(Reason, Arc<Identity>), Refusal> {
    let context = Context {
        policy,
        auth: policy.auth(evidence.policy),
        keys,
        evidence,
        now,
    };
    context.identify(memo, recorder).map_err(|stop| match stop {
        Stop::Wait(wait) => {
            recorder.fail("token.key", || "waits for the issuer's keys".to_owned());
            Refusal::Wait(wait)
        }
        Stop::Denied(denial) => {
            recorder.fail(denial.check, || denial.detail.to_owned());
            Refusal::Deny {
                reason: denial.reason,
                detail: denial.detail,
                tenant: denial.tenant,
            }
        }
    })
}

impl Context<'_> {
    fn identify(
        &self,
        memo: &mut Memo,
        recorder: &mut impl Recorder,
    ) -> Result<(Reason, Arc<Identity>), Stop> {
        let auth = self.auth;
        recorder.pass("policy", || {
            format!("{}, mode {}", auth.name, auth.mode.as_str())
        });
        if auth.mode == Mode::Disabled {
            return Ok((Reason::Insecure, Arc::clone(&auth.stand_in)));
        }
        let token = if auth.jwt { self.bearer()? } else { None };
        let peer = self.evidence.peer.filter(|_| auth.mtls);
        if let Some(missing) = self.missing(token.is_some(), peer.is_some()) {
            if auth.mode == Mode::Permissive && token.is_none() && peer.is_none() {
                return Ok((Reason::Anonymous, Arc::clone(&auth.stand_in)));
            }
            return Err(missing.into());
        }
        let accepted = match peer {
            Some(peer) => Some((self.accept(peer, recorder)?, peer)),
            None => None,
        };
        let identity = match (token, accepted) {
            (Some(token), None) => self.verify(token, memo, recorder)?,
            (Some(token), Some((accepted, peer))) => {
                let identity = self.verify(token, memo, recorder)?;
                let both = agree(&identity, accepted, peer)?;
                recorder.pass("identity.agree", || {
                    "token and certificate agree".to_owned()
                });
                both
            }
            (None, Some((accepted, peer))) => self.of_certificate(accepted, peer)?,
            // `missing` has said so above.
            (None, None) => Arc::clone(&auth.stand_in),
        };
        recorder.pass("identity", || match &identity.tenant {
            Some(tenant) => format!("tenant {tenant}"),
            None => "no tenant".to_owned(),
        });
        Ok((Reason::Verified, identity))
    }

    /// What the policy asks for and the request lacks.
    fn missing(&self, token: bool, peer: bool) -> Option<Denial> {
        let auth = self.auth;
        let enough = if auth.all {
            (token || !auth.jwt) && (peer || !auth.mtls)
        } else {
            token || peer
        };
        if enough {
            return None;
        }
        Some(if auth.jwt && !token {
            Denial::new(
                "token.present",
                Reason::MissingToken,
                "there is no bearer token",
            )
        } else {
            Denial::new(
                "certificate.present",
                Reason::MissingCertificate,
                "there is no client certificate",
            )
        })
    }

    fn accept(
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

    /// A certificate names one tenant. A client that asks for another gets none, and a service or
    /// cell acts for a tenant by a token only.
    fn of_certificate(
        &self,
        accepted: Accepted,
        peer: &PeerCertificate,
    ) -> Result<Arc<Identity>, Denial> {
        let Some(tenant) = &accepted.tenant else {
            return Err(self.without_tenant());
        };
        let choice = &self.evidence.credentials.tenant_choice;
        if choice
            .as_ref()
            .is_some_and(|choice| *choice != tenant.as_str())
        {
            return Err(Denial {
                tenant: accepted.tenant,
                ..verify::NOT_HELD
            });
        }
        let mut identity = Identity {
            tenant: accepted.tenant.clone(),
            subject: Some(accepted.subject.clone()),
            ..Identity::default()
        };
        prove(&mut identity, accepted, peer);
        Ok(Arc::new(identity))
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

/// The token's identity, borne out by the certificate. One that names no tenant says who calls with
/// the token, and can't contradict it.
fn agree(
    identity: &Identity,
    accepted: Accepted,
    peer: &PeerCertificate,
) -> Result<Arc<Identity>, Denial> {
    if accepted.tenant.is_some() && identity.tenant != accepted.tenant {
        return Err(Denial {
            tenant: identity.tenant.clone(),
            ..Denial::new(
                "identity.agree",
                Reason::IdentityConflict,
                "the token and the client certificate name different tenants",
            )
        });
    }
    let mut identity = identity.clone();
    prove(&mut identity, accepted, peer);
    Ok(Arc::new(identity))
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
