//! Cell-bound authorizations: proofs with which a cell calls another cell through the router.
//!
//! An authorization is a JWT in a header of its own. Its claims bind it to the cell that made it
//! (`iss`), the one cell that it leads to (`aud`), and the request's own identity (`sub`,
//! `tenant`); the cell's key is published in the registry, as an annotation of the cell. So a
//! compromised cell can only speak for itself, and an authorization that leaks in one cell is
//! useless in any other.
//!
//! It is checked last, because `aud` is compared with the cell that was decided. The parts: `keys`
//! has each cell's key set ready, `token` reads and verifies, `replay` remembers what was used.

use serde::{Serialize, Serializer};

use crate::cell::Cell;
use crate::cert::PeerCertificate;
use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::identity::Identity;
use crate::policy::{AuthPolicy, CbaMode, Policy};
use crate::reason::Reason;
use crate::refused::Refused;
use crate::registry::Registry;
use crate::text::Text;
use crate::time::Now;

mod keys;
mod replay;
#[cfg(test)]
mod tests;
mod token;

pub use keys::{CellKeySet, CellKeys};
pub use replay::{Claim, Claimed, ReplayCache};

/// The longest time between `iat` and `exp`, in seconds.
pub const LIFETIME_SECS_MAX: u64 = 60;

/// The value of `typ`.
pub const TYPE: &str = "cba+jwt";

/// The result of checking a request's cell-bound authorization, if it had one or needed one.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CellBound {
    /// What happens to a request with an invalid one.
    pub mode: CbaMode,
    /// The cell that `iss` names, always one of the registry's. It is verified only if `refused` is
    /// `None`.
    pub source: Option<Text>,
    /// What is wrong with it.
    pub refused: Option<Refused>,
    /// What the driver has to claim before the request may pass, if each authorization is accepted
    /// once. See [`Decision::claimed`](crate::Decision::claimed).
    pub claim: Option<Claim>,
}

impl CellBound {
    /// Whether the request is denied for it.
    pub fn denies(&self) -> Option<&Refused> {
        let refused = self.refused.as_ref();
        refused.filter(|_| self.mode != CbaMode::Monitor)
    }
}

/// The stable JSON form.
impl Serialize for CellBound {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Form<'a> {
            mode: &'static str,
            source: &'a Option<Text>,
            refused: Option<Reason>,
            detail: Option<&'static str>,
            one_use: bool,
        }
        let form = Form {
            mode: self.mode.as_str(),
            source: &self.source,
            refused: self.refused.as_ref().map(|refused| refused.reason),
            detail: self.refused.as_ref().map(|refused| refused.detail),
            one_use: self.claim.is_some(),
        };
        form.serialize(serializer)
    }
}

/// What an authorization is checked against.
#[derive(Clone, Copy)]
pub(crate) struct RequestContext<'a> {
    pub(crate) policy: &'a Policy,
    pub(crate) auth: &'a AuthPolicy,
    pub(crate) registry: &'a Registry,
    pub(crate) keys: &'a CellKeys,
    pub(crate) evidence: &'a Evidence<'a>,
    pub(crate) identity: &'a Identity,
    /// The cell that was decided.
    pub(crate) cell: &'a Cell,
    pub(crate) now: Now,
}

/// Whether the request shows an authorization that its policy checks.
pub(crate) fn is_shown(auth: &AuthPolicy, evidence: &Evidence<'_>) -> bool {
    auth.cba.mode != CbaMode::Off && !evidence.credentials.cell_bound.is_empty()
}

/// Checks the authorization that the request shows. `None` if it shows none and needs none.
pub(crate) fn check(
    request: &RequestContext<'_>,
    recorder: &mut impl Recorder,
) -> Option<Box<CellBound>> {
    let mode = request.auth.cba.mode;
    let shown = &request.evidence.credentials.cell_bound;
    let wanted = match mode {
        CbaMode::Off => return None,
        CbaMode::Monitor | CbaMode::Enforce if shown.is_empty() => return None,
        CbaMode::Monitor | CbaMode::Enforce => true,
        CbaMode::Require => !shown.is_empty() || request.certificate_cell().is_some(),
    };
    if !wanted {
        recorder.pass("cba.present", || {
            "none, and no certificate names a cell".to_owned()
        });
        return None;
    }
    let mut source = None;
    let (refused, claim) = match request.hold(&mut source, recorder) {
        Ok(claim) => (None, claim),
        Err(refused) => (Some(refused), None),
    };
    if let Some(refused) = &refused
        && mode == CbaMode::Monitor
    {
        // The request continues, so this step is no failure.
        recorder.pass("cba.monitor", || {
            format!("would be denied at {}, {refused}", refused.check)
        });
    }
    Some(Box::new(CellBound {
        mode,
        source,
        refused,
        claim,
    }))
}

impl RequestContext<'_> {
    /// Runs all checks. Sets `source` as soon as it is known.
    fn hold(
        &self,
        source: &mut Option<Text>,
        recorder: &mut impl Recorder,
    ) -> Result<Option<Claim>, Refused> {
        let authorization = match &*self.evidence.credentials.cell_bound {
            [] => {
                let detail = "the certificate names a cell, and there is no authorization";
                return Err(Refused::new("cba.present", Reason::CbaMissing, detail));
            }
            [one] => one.as_bytes(),
            [_, _, ..] => {
                let detail = "there is more than one authorization";
                return Err(Refused::new("cba.present", Reason::CbaDuplicate, detail));
            }
        };
        let verified = token::verify(self, authorization, source, recorder)?;
        self.check_destination(&verified.audience)?;
        recorder.pass("cba.destination", || format!("cell {}", self.cell.id));
        self.check_identity(&verified)?;
        recorder.pass("cba.identity", || {
            "tenant and subject match the request's identity".to_owned()
        });
        self.check_certificate(&verified.source)?;
        recorder.pass("cba.certificate", || match self.evidence.peer {
            Some(_) => "names no other cell".to_owned(),
            None => "none".to_owned(),
        });
        let one_use = self.policy.cba.one_use;
        Ok(one_use.then(|| Claim::new(&verified.source, &verified.jti, verified.exp, self.now)))
    }

    /// Checks that the authorization is for the cell that was decided, and that this is the pinned
    /// cell, if the policy pins one.
    fn check_destination(&self, audience: &Text) -> Result<(), Refused> {
        let wrong = |detail| {
            Err(Refused::new(
                "cba.destination",
                Reason::CbaWrongDestination,
                detail,
            ))
        };
        if self.cell.id != *audience {
            return wrong("`aud` is not the cell that the router chose");
        }
        let pinned = self.auth.cba.destination.as_ref();
        if pinned.is_some_and(|pinned| *pinned != self.cell.id) {
            return wrong("the router chose another cell than cba.destination");
        }
        Ok(())
    }

    fn check_identity(&self, verified: &token::VerifiedAuthorization) -> Result<(), Refused> {
        const CHECK: &str = "cba.identity";
        if self.identity.tenant.as_ref() != Some(&verified.tenant) {
            let detail = "`tenant` is not the caller's tenant";
            return Err(Refused::new(CHECK, Reason::CbaWrongTenant, detail));
        }
        if self.identity.subject != verified.subject {
            let detail = "`sub` is not the caller's subject";
            return Err(Refused::new(CHECK, Reason::CbaWrongSubject, detail));
        }
        Ok(())
    }

    /// A certificate must name the source cell, if certificates can name cells at all.
    fn check_certificate(&self, source: &Text) -> Result<(), Refused> {
        let comparable = self.evidence.peer.is_some() && self.policy.sans().any_cell();
        match self.certificate_cell() {
            Some(cell) if cell == *source => Ok(()),
            None if !comparable => Ok(()),
            Some(_) | None => Err(Refused::new(
                "cba.certificate",
                Reason::CbaCertificateMismatch,
                "the client certificate does not name the source cell",
            )),
        }
    }

    /// The cell that the client certificate names, even if the policy doesn't use certificates for
    /// the identity. The chain was verified in the handshake, and the connection is closed when it
    /// expires.
    fn certificate_cell(&self) -> Option<Text> {
        if self.auth.mtls {
            return self.identity.proof.cell.clone();
        }
        let sans = self.policy.sans();
        let peer: &PeerCertificate = self.evidence.peer?;
        (sans.any_cell() && !peer.is_authority())
            .then(|| sans.accept(peer).ok()?.cell)
            .flatten()
    }
}
