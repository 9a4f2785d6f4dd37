//! Verifies a request's credentials and combines them into an identity.
//!
//! [`identify`] collects the credentials that the listener's policy accepts and verifies each:
//! `token` verifies bearer tokens, `certificate` client certificates, and [`routing_key`] a
//! gateway's routing keys. Then `combine` makes one identity of them. Each check has a name, which
//! `explain` shows.

use std::sync::Arc;

use crate::cert::{Accepted, PeerCertificate};
use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::identity::Identity;
use crate::keys::KeyTable;
use crate::policy::{AuthPolicy, Mode, Policy};
use crate::reason::Reason;
use crate::refused::{KeyWait, Refused};
use crate::routing_key::{self, Fields, Gateway, VerifiedRoutingKey};
use crate::time::Now;

mod certificate;
mod combine;
#[cfg(test)]
mod tests;
mod token;

pub use token::{Hint, Memo, hint};

/// Why [`identify`] found no identity.
#[derive(Clone, PartialEq, Debug)]
pub enum IdentifyError {
    /// A credential is missing or bad.
    Refused(Refused),
    /// The token may be good, but keys are missing.
    ///
    /// The driver must tell control (`handle_unknown_key`). If `until` isn't later than now, don't
    /// wait: ask again at once, with `waited` set, for the final answer.
    Wait(KeyWait),
}

impl From<Refused> for IdentifyError {
    fn from(refused: Refused) -> Self {
        Self::Refused(refused)
    }
}

/// What every step reads.
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
/// Returns `verified`, `anonymous` or `insecure`, and the identity. It doesn't check whether the
/// registry lists the tenant, whether the tenant is active, or whether the issuer may speak for it
/// (see [`Policy::may_speak`]).
///
/// # Errors
/// [`IdentifyError`] says what is wrong, or what to wait for.
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
) -> Result<(Reason, Arc<Identity>), IdentifyError> {
    let context = Context {
        policy,
        auth: policy.auth(evidence.policy),
        keys,
        evidence,
        now,
    };
    let found = context.identify(memo, recorder);
    found.inspect_err(|why| match why {
        IdentifyError::Wait(_) => {
            recorder.fail("token.key", || "waits for the issuer's keys".to_owned());
        }
        IdentifyError::Refused(refused) => {
            recorder.fail(refused.check, || refused.detail.to_owned());
        }
    })
}

/// The request's credentials of the schemes that the policy accepts. Others are ignored, because
/// the policy has no settings to verify them with.
#[derive(Clone, Copy)]
struct Presented<'a> {
    token: Option<&'a [u8]>,
    certificate: Option<&'a PeerCertificate>,
    routing_key: Option<Fields<'a>>,
}

/// What each credential proves.
struct VerifiedCredentials<'a> {
    token: Option<Arc<Identity>>,
    certificate: Option<Caller<'a>>,
    routing_key: Option<VerifiedRoutingKey>,
}

/// Who is at the other end of the connection.
struct Caller<'a> {
    accepted: Accepted,
    certificate: &'a PeerCertificate,
    /// It is a listed gateway, which forwards the request of another caller.
    gateway: bool,
}

impl Context<'_> {
    fn identify(
        &self,
        memo: &mut Memo,
        recorder: &mut impl Recorder,
    ) -> Result<(Reason, Arc<Identity>), IdentifyError> {
        let auth = self.auth;
        recorder.pass("policy", || {
            format!("{}, mode {}", auth.name, auth.mode.as_str())
        });
        if auth.mode == Mode::Disabled {
            return Ok((Reason::Insecure, Arc::clone(&auth.unverified_identity)));
        }
        let presented = self.collect()?;
        if let Some(missing) = self.missing(presented) {
            if auth.mode == Mode::Permissive && presented.is_empty() {
                return Ok((Reason::Anonymous, Arc::clone(&auth.unverified_identity)));
            }
            return Err(missing.into());
        }
        let verified = self.verify_each(presented, memo, recorder)?;
        let identity = self.combine(verified, recorder)?;
        recorder.pass("identity", || match &identity.tenant {
            Some(tenant) => format!("tenant {tenant}"),
            None => "no tenant".to_owned(),
        });
        Ok((Reason::Verified, identity))
    }

    fn collect(&self) -> Result<Presented<'_>, Refused> {
        let auth = self.auth;
        Ok(Presented {
            token: if auth.jwt { self.bearer()? } else { None },
            certificate: self.evidence.peer.filter(|_| auth.mtls),
            routing_key: self.routing_key_fields().filter(|_| auth.routing_key),
        })
    }

    /// The refusal for a credential that the policy requires and the request lacks.
    fn missing(&self, presented: Presented<'_>) -> Option<Refused> {
        let auth = self.auth;
        if !auth.all {
            presented.is_empty().then(|| none_of(auth)).flatten()
        } else if auth.jwt && presented.token.is_none() {
            Some(NO_TOKEN)
        } else if auth.mtls && presented.certificate.is_none() {
            Some(NO_CERTIFICATE)
        } else if auth.routing_key && presented.routing_key.is_none() {
            Some(NO_ROUTING_KEY)
        } else {
            None
        }
    }

    /// Verifies the token last, because it may have to wait for keys.
    fn verify_each<'a>(
        &'a self,
        presented: Presented<'a>,
        memo: &mut Memo,
        recorder: &mut impl Recorder,
    ) -> Result<VerifiedCredentials<'a>, IdentifyError> {
        let gateway = self.gateway();
        let certificate = self.caller(presented, gateway, recorder)?;
        let routing_key = match presented.routing_key {
            Some(fields) => Some(self.verify_routing_key(fields, gateway, recorder)?),
            None => None,
        };
        let token = match presented.token {
            Some(token) => Some(self.verify_token(token, memo, recorder)?),
            None => None,
        };
        Ok(VerifiedCredentials {
            token,
            certificate,
            routing_key,
        })
    }

    /// The caller at the other end of the connection. A listed gateway's certificate needs to match
    /// no template. It is used only as a credential of its own, or to vouch for a routing key.
    fn caller<'a>(
        &'a self,
        presented: Presented<'a>,
        gateway: Option<&Gateway>,
        recorder: &mut impl Recorder,
    ) -> Result<Option<Caller<'a>>, Refused> {
        let behind_key = presented.routing_key.and(self.evidence.peer);
        let (accepted, certificate) = match (gateway, presented.certificate) {
            (None, None) => return Ok(None),
            (None, Some(peer)) => (self.accept(peer, recorder)?, peer),
            (Some(gateway), own) => match own.or(behind_key) {
                None => return Ok(None),
                Some(peer) => (self.accept_gateway(gateway, peer, recorder)?, peer),
            },
        };
        Ok(Some(Caller {
            accepted,
            certificate,
            gateway: gateway.is_some(),
        }))
    }

    fn routing_key_fields(&self) -> Option<Fields<'_>> {
        let credentials = self.evidence.credentials;
        Fields::new(&credentials.routing_key, &credentials.routing_key_signature)
    }

    /// The listed gateway on whose connection the request came, if the policy accepts routing keys.
    fn gateway(&self) -> Option<&Gateway> {
        let peer = self.evidence.peer.filter(|_| self.auth.routing_key)?;
        let by_uri = self.policy.sans().any_uri();
        self.policy.routing_key.gateway(peer, by_uri)
    }

    fn verify_routing_key(
        &self,
        fields: Fields<'_>,
        gateway: Option<&Gateway>,
        recorder: &mut impl Recorder,
    ) -> Result<VerifiedRoutingKey, Refused> {
        let context = routing_key::RequestContext {
            rules: &self.policy.routing_key,
            gateway,
            method: self.evidence.method,
            authority: self.evidence.authority,
            path: self.evidence.path,
            now: self.now.unix,
        };
        context.verify(fields, recorder)
    }
}

impl Presented<'_> {
    fn is_empty(&self) -> bool {
        self.token.is_none() && self.certificate.is_none() && self.routing_key.is_none()
    }
}

/// The refusal for a request without credentials under a policy that accepts any one of several. It
/// has the reason of the first of them.
fn none_of(auth: &AuthPolicy) -> Option<Refused> {
    let (first, detail) = match (auth.jwt, auth.mtls, auth.routing_key) {
        (true, true, true) => (
            NO_TOKEN,
            "there is no bearer token, no client certificate and no routing key",
        ),
        (true, true, false) => (
            NO_TOKEN,
            "there is neither a bearer token nor a client certificate",
        ),
        (true, false, true) => (
            NO_TOKEN,
            "there is neither a bearer token nor a routing key",
        ),
        (false, true, true) => (
            NO_CERTIFICATE,
            "there is neither a client certificate nor a routing key",
        ),
        (true, false, false) => return Some(NO_TOKEN),
        (false, true, false) => return Some(NO_CERTIFICATE),
        (false, false, true) => return Some(NO_ROUTING_KEY),
        (false, false, false) => return None,
    };
    Some(Refused::new(first.check, first.reason, detail))
}

const NO_TOKEN: Refused = Refused::new(
    "token.present",
    Reason::MissingToken,
    "there is no bearer token",
);

const NO_CERTIFICATE: Refused = Refused::new(
    "certificate.present",
    Reason::MissingCertificate,
    "there is no client certificate",
);

const NO_ROUTING_KEY: Refused = Refused::new(
    "routing_key.present",
    Reason::MissingRoutingKey,
    "there is no routing key",
);

/// The request picks a tenant that its credentials don't name.
const NOT_HELD: Refused = Refused::new(
    "tenant.choice",
    Reason::AmbiguousTenant,
    "the request picks a tenant that its credential does not name",
);
