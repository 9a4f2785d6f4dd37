//! From evidence to a decision.

use std::time::Duration;

use crate::decision::{Allow, Challenge, Decision, Deny, KeyWait, Outcome};
use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::placement::{PlaceQuery, PlaceRefused, place};
use crate::reason::{Class, Reason};
use crate::snapshot::Snapshot;
use crate::text::Text;
use crate::time::Now;
use crate::token::{Memo, Refusal, identify};

/// What `Retry-After` says where nothing better is known: about as long as a source's next
/// refresh or an endpoint's return takes.
pub const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(5);

/// Decides one request: who is calling, and which cell serves them.
///
/// A pure function of the snapshot, the evidence and the time: the same arguments give the same
/// decision, byte for byte, whatever `memo` holds and on whichever thread. It takes no lock and
/// allocates little, so call it from as many threads as there are.
///
/// [`Outcome::Wait`] asks the driver to fetch keys and to call again; with
/// [`Evidence::waited`] set it is never the answer.
pub fn decide(
    snapshot: &Snapshot,
    evidence: &Evidence<'_>,
    now: Now,
    memo: &mut Memo,
    recorder: &mut impl Recorder,
) -> Outcome {
    match allow(snapshot, evidence, now, memo, recorder) {
        Ok(allow) => Outcome::Done(Decision::Allow(allow)),
        Err(Stop::Wait(wait)) => Outcome::Wait(wait),
        Err(Stop::Deny {
            reason,
            detail,
            tenant,
        }) => {
            let challenge = challenge(snapshot, evidence, reason);
            let retry_after = (reason.class() == Class::Unavailable).then_some(RETRY_AFTER_DEFAULT);
            Outcome::Done(Decision::Deny(Deny {
                reason,
                detail,
                tenant,
                challenge,
                retry_after,
            }))
        }
    }
}

/// Why there is no allowance.
enum Stop {
    Wait(KeyWait),
    Deny {
        reason: Reason,
        detail: &'static str,
        tenant: Option<Text>,
    },
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wait(wait) => Self::Wait(wait),
            Refusal::Deny {
                reason,
                detail,
                tenant,
            } => Self::Deny {
                reason,
                detail,
                tenant,
            },
        }
    }
}

fn allow(
    snapshot: &Snapshot,
    evidence: &Evidence<'_>,
    now: Now,
    memo: &mut Memo,
    recorder: &mut impl Recorder,
) -> Result<Allow, Stop> {
    let (reason, identity) = identify(
        &snapshot.policy,
        &snapshot.keys,
        evidence,
        now,
        memo,
        recorder,
    )?;
    let deny = |reason, detail| Stop::Deny {
        reason,
        detail,
        tenant: identity.tenant.clone(),
    };

    let Some(registry) = &snapshot.registry else {
        recorder.fail("registry.loaded", || {
            "no document has been accepted yet".to_owned()
        });
        return Err(deny(
            Reason::RegistryNeverLoaded,
            "no registry has been loaded yet",
        ));
    };
    recorder.pass("registry.loaded", || {
        format!("version {}", registry.version())
    });

    let aged = snapshot
        .status_expires_at
        .is_some_and(|expires| now.mono >= expires);
    if aged && reason == Reason::Verified {
        recorder.fail("registry.status_age", || {
            "older than identity_max_age".to_owned()
        });
        return Err(deny(
            Reason::TenantStatusExpired,
            "tenant status is too old to believe",
        ));
    }
    recorder.pass("registry.status_age", || {
        "within identity_max_age".to_owned()
    });

    let auth = snapshot.policy.auth(evidence.policy);
    let query = PlaceQuery {
        identity: &identity,
        policy: &snapshot.policy,
        anonymous_placement: auth.anonymous_placement.as_ref().map(Text::as_str),
        spread: evidence.spread,
    };
    let placed = match place(registry, &snapshot.health, query) {
        Ok(placed) => placed,
        Err(PlaceRefused { reason, detail }) => {
            recorder.fail("placement", || format!("{reason}: {detail}"));
            return Err(deny(reason, detail));
        }
    };
    recorder.pass("placement", || {
        format!("cell {} ({})", placed.cell.id, placed.rule.as_str())
    });
    Ok(Allow {
        reason,
        identity,
        placement: placed.placement,
        cell: placed.cell,
        endpoints: placed.endpoints,
        placement_epoch: registry.version(),
    })
}

fn challenge(snapshot: &Snapshot, evidence: &Evidence<'_>, reason: Reason) -> Challenge {
    if reason.class() != Class::Unauthenticated {
        return Challenge::None;
    }
    // Whoever is refused for a certificate would look for the fault in a token otherwise.
    if about_certificates(reason) {
        return Challenge::Certificate;
    }
    if snapshot.policy.auth(evidence.policy).jwt {
        Challenge::Bearer
    } else {
        Challenge::Certificate
    }
}

fn about_certificates(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MissingCertificate
            | Reason::SanNotAccepted
            | Reason::CertificateExpired
            | Reason::CertificateAuthority
            | Reason::CertificateUntrusted
    )
}
