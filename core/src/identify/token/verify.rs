//! Verifies a token: its issuer, signature, audience, times and binding.

use std::sync::Arc;

use crate::explain::Recorder;
use crate::identity::Identity;
use crate::ids::IssuerId;
use crate::json::{Json, Object};
use crate::jws::{Header, Jws};
use crate::keys::{IssuerKeys, Miss};
use crate::policy::{Issuer, SubjectNeed};
use crate::reason::Reason;
use crate::refused::{KeyWait, Refused};
use crate::text::Text;

use super::super::{Context, IdentifyError, NOT_HELD};
use super::claims::{self, VerifiedToken};
use super::{Memo, bearer, unreadable};

impl Context<'_> {
    /// The identity that `token` proves.
    pub(in crate::identify) fn verify_token(
        &self,
        token: &[u8],
        memo: &mut Memo,
        recorder: &mut impl Recorder,
    ) -> Result<Arc<Identity>, IdentifyError> {
        let verified = match memo.get(token, |verified| self.still_holds(verified)) {
            Some(verified) => {
                recorder.pass("token.memo", || "verified before".to_owned());
                verified
            }
            None => {
                let verified = Arc::new(self.prove(token, recorder)?);
                memo.insert(token, Arc::clone(&verified));
                verified
            }
        };
        self.check_issuer(verified.issuer)?;
        self.check_times(&verified)?;
        recorder.pass("token.times", || format!("until {}", verified.exp));
        self.check_binding(&verified)?;
        self.check_subject(&verified.identity)?;
        Ok(self.select(&verified)?)
    }

    /// Whether the cached result is of the current policy and key set.
    fn still_holds(&self, verified: &VerifiedToken) -> bool {
        let keys = self.keys.issuer(verified.issuer);
        let set = keys.and_then(|keys| keys.usable(self.now.mono));
        verified.policy == *self.policy.fingerprint()
            && set.is_some_and(|set| *set.digest() == verified.keys)
    }

    /// Runs the checks that depend only on the token's bytes, the policy and the key set.
    fn prove(
        &self,
        token: &[u8],
        recorder: &mut impl Recorder,
    ) -> Result<VerifiedToken, IdentifyError> {
        let jws = Jws::parse(token).map_err(|error| {
            bearer::explain_malformed(token).unwrap_or_else(|| unreadable(error))
        })?;
        let header = jws.header().map_err(unreadable)?;
        let claims = jws.claims().map_err(unreadable)?;
        recorder.pass("token.form", || format!("signed by {}", header.algorithm));
        // Not trusted yet: it only says which issuer's keys and rules to verify with.
        let id = self.issuer_named_in(&claims)?;
        let issuer = self.policy.issuer(id);
        recorder.pass("token.issuer", || issuer.name.to_string());
        check_header(&header, issuer)?;
        recorder.pass("token.algorithm", || header.algorithm.to_string());
        let keys = self.keys_of(id)?;
        let candidates = keys
            .find(
                self.now.mono,
                header.kid.as_deref(),
                header.algorithm,
                self.evidence.waited,
            )
            .map_err(|miss| self.missed(miss, id, keys, &header))?;
        recorder.pass("token.key", || match &header.kid {
            Some(kid) => format!("kid {kid:?}"),
            None => "the only key that fits".to_owned(),
        });
        if !candidates.verify(jws.message, &jws.signature) {
            let (kid, waited) = (header.kid.as_deref(), self.evidence.waited);
            let renewed = keys.renew(self.now.mono, kid, waited);
            if let Some(miss) = renewed.filter(|_| candidates.is_one_unnamed()) {
                return Err(self.missed(miss, id, keys, &header));
            }
            let detail = "the signature is not valid";
            return Err(Refused::new("token.signature", Reason::BadSignature, detail).into());
        }
        recorder.pass("token.signature", || "valid".to_owned());
        claims::check_audience(&claims, issuer)?;
        recorder.pass("token.audience", || {
            "contains a configured audience".to_owned()
        });
        let policy = *self.policy.fingerprint();
        let verified = VerifiedToken::read(&claims, id, issuer, policy, *candidates.digest())?;
        recorder.pass("token.claims", || match &verified.identity.left_out {
            nothing if nothing.is_nothing() => "well-formed".to_owned(),
            left_out => format!("well-formed; left out as unusable: {left_out}"),
        });
        Ok(verified)
    }

    fn issuer_named_in(&self, claims: &Object<'_>) -> Result<IssuerId, Refused> {
        let refused = |reason, detail| Refused::new("token.issuer", reason, detail);
        let iss = match claims.get("iss") {
            None => return Err(refused(Reason::MissingClaim, "`iss` is missing")),
            Some(Json::String(iss)) => iss,
            Some(_) => return Err(refused(Reason::MalformedToken, "`iss` is not a string")),
        };
        let id = self.policy.issuer_of(iss).ok_or(WRONG_ISSUER)?;
        self.check_issuer(id)?;
        Ok(id)
    }

    /// Policies share the memo, and don't all accept the same issuers.
    fn check_issuer(&self, id: IssuerId) -> Result<(), Refused> {
        self.auth.accepts(id).then_some(()).ok_or(WRONG_ISSUER)
    }

    /// Every verified token must be revocable by its subject or its own id, because revoking a
    /// whole tenant or issuer would lock out others. This is checked for each policy, because
    /// policies share the memo but may differ in this.
    fn check_subject(&self, identity: &Identity) -> Result<(), Refused> {
        let missing = |detail| Err(Refused::new("token.subject", Reason::MissingClaim, detail));
        match (&identity.subject, self.auth.subject) {
            (Some(_), _) => Ok(()),
            (None, SubjectNeed::Required) => missing("the subject's claim is missing"),
            (None, SubjectNeed::Optional) if identity.proof.token.jti.is_some() => Ok(()),
            (None, SubjectNeed::Optional) => missing(
                "the subject's claim and `jti` are missing, so the token could not be revoked",
            ),
        }
    }

    /// The issuer's keys. A table without the issuer belongs to another policy.
    fn keys_of(&self, id: IssuerId) -> Result<&IssuerKeys, Refused> {
        self.keys.issuer(id).map(|keys| &**keys).ok_or(UNREACHABLE)
    }

    fn missed(
        &self,
        miss: Miss,
        issuer: IssuerId,
        keys: &IssuerKeys,
        header: &Header<'_>,
    ) -> IdentifyError {
        let no_match = |detail| Refused::new("token.key", Reason::NoMatchingKey, detail);
        IdentifyError::Refused(match miss {
            Miss::Wait(until) => {
                return IdentifyError::Wait(KeyWait {
                    issuer,
                    kid: header.kid.as_deref().map(Into::into),
                    seen: keys.epoch,
                    until,
                });
            }
            Miss::NoMatchingKey => no_match("the issuer has no such key"),
            Miss::Ambiguous => no_match("the token has no `kid`, and several keys fit"),
            Miss::OtherAlgorithm => Refused::new(
                "token.key",
                Reason::ForbiddenAlgorithm,
                "the key is for another algorithm",
            ),
            Miss::NoKeys => UNREACHABLE,
            Miss::NotRefreshed => Refused::new(
                "token.key",
                Reason::JwksUnreachable,
                "the key is not known, and the issuer's keys could not be refreshed",
            ),
        })
    }

    fn check_times(&self, verified: &VerifiedToken) -> Result<(), Refused> {
        let refused = |reason, detail| Err(Refused::new("token.times", reason, detail));
        let issuer = self.policy.issuer(verified.issuer);
        let now = self.now.unix.as_secs();
        if now >= verified.exp.saturating_add(issuer.leeway_exp_secs) {
            return refused(Reason::ExpiredToken, "the token has expired");
        }
        let latest = now.saturating_add(issuer.leeway_nbf_secs);
        if verified.nbf.is_some_and(|nbf| nbf > latest) {
            return refused(Reason::NotYetValid, "`nbf` is in the future");
        }
        if verified.iat.is_some_and(|iat| iat > latest) {
            return refused(Reason::NotYetValid, "`iat` is in the future");
        }
        Ok(())
    }

    fn check_binding(&self, verified: &VerifiedToken) -> Result<(), Refused> {
        let Some(thumbprint) = &verified.bound_to else {
            return Ok(());
        };
        let bound = |peer: &crate::cert::PeerCertificate| {
            peer.thumbprint() == thumbprint && peer.is_valid_at(self.now.unix)
        };
        self.evidence
            .peer
            .is_some_and(bound)
            .then_some(())
            .ok_or(Refused::new(
                "token.binding",
                Reason::WrongBinding,
                "the token is bound to a client certificate that this connection does not have",
            ))
    }

    /// The identity for the tenant that the request picks, or else the token's own choice.
    fn select(&self, verified: &VerifiedToken) -> Result<Arc<Identity>, Refused> {
        let identity = &verified.identity;
        let Some(choice) = &self.evidence.credentials.tenant_choice else {
            return match identity.tenant {
                Some(_) => Ok(Arc::clone(identity)),
                None => Err(Refused::new(
                    "tenant.choice",
                    Reason::AmbiguousTenant,
                    "the token names several tenants, and the request picks none",
                )),
            };
        };
        let held = |tenant: &&Text| *choice == tenant.as_str();
        let tenant = verified.tenants.iter().find(held).ok_or(NOT_HELD)?;
        if identity.tenant.as_ref() == Some(tenant) {
            return Ok(Arc::clone(identity));
        }
        Ok(Arc::new(Identity {
            tenant: Some(tenant.clone()),
            ..Identity::clone(identity)
        }))
    }
}

const WRONG_ISSUER: Refused = Refused::new(
    "token.issuer",
    Reason::WrongIssuer,
    "`iss` is not an issuer that is accepted here",
);

const UNREACHABLE: Refused = Refused::new(
    "token.key",
    Reason::JwksUnreachable,
    "the issuer's keys were never fetched, or have expired",
);

/// Checks the header against the issuer's settings.
fn check_header(header: &Header<'_>, issuer: &Issuer) -> Result<(), Refused> {
    if !header.is_of_types(&issuer.types) {
        let detail = "`typ` is missing or not one of the issuer's types";
        return Err(Refused::new("token.type", Reason::MalformedToken, detail));
    }
    if !issuer.algorithms.contains(&header.algorithm) {
        let detail = "`alg` is not on the issuer's list";
        return Err(Refused::new(
            "token.algorithm",
            Reason::ForbiddenAlgorithm,
            detail,
        ));
    }
    Ok(())
}
