//! Decides a request from its evidence and a snapshot.

use std::sync::Arc;

use crate::authorize;
use crate::cba::{self, CbaRefused, CellBound};
use crate::decision::{Allow, Challenge, Decision, Deny, Outcome};
use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::identify::{Memo, Refusal, identify};
use crate::identity::{Identity, LeftOut};
use crate::placement::{PlaceQuery, Placed, place};
use crate::reason::{Class, Reason};
use crate::refused::{KeyWait, Refused};
use crate::registry::{Registry, TenantRef, Terms};
use crate::revoked;
use crate::roles;
use crate::snapshot::Snapshot;
use crate::tenant;
use crate::text::Text;
use crate::time::Now;

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
        Err(Stop::Deny(denied)) => {
            let Denied {
                reason,
                detail,
                rule,
                tenant,
                subject,
                left_out,
                cell_bound,
            } = *denied;
            let class = class(snapshot, evidence, reason);
            let challenge = challenge(snapshot, evidence, reason, class);
            Outcome::Done(Decision::Deny(Deny {
                reason,
                class,
                detail,
                rule,
                tenant,
                subject,
                left_out,
                challenge,
                retry_after: class.retry_after(),
                cell_bound,
            }))
        }
    }
}

/// Why there is no allowance.
enum Stop {
    Wait(KeyWait),
    Deny(Box<Denied>),
}

/// A check that failed, and what was proved about the caller before.
struct Denied {
    reason: Reason,
    detail: &'static str,
    rule: Option<Arc<str>>,
    tenant: Option<Text>,
    subject: Option<Text>,
    left_out: LeftOut,
    cell_bound: Option<Box<CellBound>>,
}

impl Denied {
    fn new(identity: &Identity, Refused { reason, detail }: Refused) -> Self {
        Self {
            reason,
            detail,
            rule: None,
            tenant: identity.tenant.clone(),
            subject: identity.subject.clone(),
            left_out: identity.left_out,
            cell_bound: None,
        }
    }
}

impl From<Refusal> for Stop {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Wait(wait) => Self::Wait(wait),
            Refusal::Deny {
                reason,
                detail,
                tenant,
            } => Self::Deny(Box::new(Denied {
                tenant,
                ..Denied::new(&Identity::default(), Refused { reason, detail })
            })),
        }
    }
}

/// Turns a failed check into a denial that carries what has been proved about the caller so far.
fn deny(identity: &Identity) -> impl Fn(Refused) -> Stop + '_ {
    |refused| Stop::Deny(Box::new(Denied::new(identity, refused)))
}

fn allow(
    snapshot: &Snapshot,
    evidence: &Evidence<'_>,
    now: Now,
    memo: &mut Memo,
    recorder: &mut impl Recorder,
) -> Result<Allow, Stop> {
    let (policy, keys) = (&snapshot.policy, &snapshot.keys);
    let (reason, identity) = identify(policy, keys, evidence, now, memo, recorder)?;
    let registry = registry(snapshot, recorder).map_err(deny(&identity))?;
    if reason == Reason::Verified {
        check_status_age(snapshot, now, recorder).map_err(deny(&identity))?;
        revoked::check(registry.revocations(), policy, &identity, recorder)
            .map_err(deny(&identity))?;
    }
    let tenant = tenant::check(registry, policy, &identity, recorder).map_err(deny(&identity))?;
    // What the configuration says of its stand-ins, it says of their roles too.
    let identity = if reason == Reason::Verified {
        let terms = tenant.map_or(Terms::none(), |tenant| tenant.terms);
        roles::granted(identity, terms, recorder)
    } else {
        identity
    };
    let rule = authorize(snapshot, evidence, reason, &identity, recorder)?;
    let placed = locate(registry, snapshot, evidence, &identity, tenant, recorder)
        .map_err(deny(&identity))?;
    let question = cba::Question {
        policy,
        auth: policy.auth(evidence.policy),
        registry,
        keys: &snapshot.cell_keys,
        evidence,
        identity: &identity,
        cell: &placed.cell,
        now,
    };
    let cell_bound = check_cell_bound(&question, recorder)?;
    Ok(Allow {
        reason,
        identity,
        placement: placed.placement,
        cell: placed.cell,
        endpoints: placed.endpoints,
        rule,
        placement_epoch: registry.version(),
        cell_bound,
    })
}

/// The rule that lets the request pass, where the policy has rules.
fn authorize(
    snapshot: &Snapshot,
    evidence: &Evidence<'_>,
    reason: Reason,
    identity: &Identity,
    recorder: &mut impl Recorder,
) -> Result<Option<Arc<str>>, Stop> {
    let auth = snapshot.policy.auth(evidence.policy);
    let checked = authorize::check(auth, evidence, reason, identity, recorder);
    let (refused, rule) = match checked {
        Ok(rule) => return Ok(rule.cloned()),
        Err(refused) => refused,
    };
    Err(Stop::Deny(Box::new(Denied {
        rule: rule.cloned(),
        ..Denied::new(identity, refused)
    })))
}

/// Denies what the mode denies; what it only watches goes on with the request.
fn check_cell_bound(
    question: &cba::Question<'_>,
    recorder: &mut impl Recorder,
) -> Result<Option<Box<CellBound>>, Stop> {
    let cell_bound = cba::judge(question, recorder);
    match cell_bound.as_ref().and_then(|bound| bound.denies()) {
        None => Ok(cell_bound),
        Some(CbaRefused { reason, detail }) => Err(Stop::Deny(Box::new(Denied {
            cell_bound,
            ..Denied::new(question.identity, Refused { reason, detail })
        }))),
    }
}

fn registry<'a>(
    snapshot: &'a Snapshot,
    recorder: &mut impl Recorder,
) -> Result<&'a Registry, Refused> {
    const CHECK: &str = "registry.loaded";
    let Some(registry) = &snapshot.registry else {
        return Err(Refused {
            reason: Reason::RegistryNeverLoaded,
            detail: "no registry has been loaded yet",
        }
        .at(CHECK, recorder));
    };
    recorder.pass(CHECK, || format!("version {}", registry.version()));
    Ok(registry)
}

/// Placement goes on from an old registry without end; what it says of tenants' status does not.
fn check_status_age(
    snapshot: &Snapshot,
    now: Now,
    recorder: &mut impl Recorder,
) -> Result<(), Refused> {
    const CHECK: &str = "registry.status_age";
    let expires = snapshot.status_expires_at;
    if expires.is_some_and(|expires| now.mono >= expires) {
        return Err(Refused {
            reason: Reason::TenantStatusExpired,
            detail: "tenant status is older than registry.identity_max_age_secs",
        }
        .at(CHECK, recorder));
    }
    recorder.pass(CHECK, || "within identity_max_age".to_owned());
    Ok(())
}

fn locate(
    registry: &Registry,
    snapshot: &Snapshot,
    evidence: &Evidence<'_>,
    identity: &Identity,
    tenant: Option<TenantRef<'_>>,
    recorder: &mut impl Recorder,
) -> Result<Placed, Refused> {
    const CHECK: &str = "placement";
    let auth = snapshot.policy.auth(evidence.policy);
    let query = PlaceQuery {
        identity,
        tenant,
        anonymous_placement: auth.anonymous_placement.as_ref().map(Text::as_str),
        spread: evidence.spread,
    };
    let placed = place(registry, &snapshot.health, query);
    match &placed {
        Ok(Placed { cell, rule, .. }) => {
            recorder.pass(CHECK, || format!("cell {} ({})", cell.id, rule.as_str()));
        }
        Err(refused) => {
            refused.at(CHECK, recorder);
        }
    }
    placed
}

/// Some clients know what to do with a 401 and not with a 503, and so a policy may choose.
fn class(snapshot: &Snapshot, evidence: &Evidence<'_>, reason: Reason) -> Class {
    match reason {
        Reason::JwksUnreachable => snapshot.policy.auth(evidence.policy).jwks_unreachable,
        _ => reason.class(),
    }
}

fn challenge(
    snapshot: &Snapshot,
    evidence: &Evidence<'_>,
    reason: Reason,
    class: Class,
) -> Challenge {
    if class != Class::Unauthenticated {
        return Challenge::None;
    }
    // Whoever is refused for a certificate would look for the fault in a token otherwise.
    let certificate_alone =
        reason == Reason::Revoked && evidence.credentials.authorization.is_none();
    if about_certificates(reason) || certificate_alone {
        return Challenge::Certificate;
    }
    if about_routing_keys(reason) {
        return Challenge::RoutingKey;
    }
    if snapshot.policy.auth(evidence.policy).jwt {
        Challenge::Bearer
    } else {
        Challenge::Certificate
    }
}

fn about_routing_keys(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MissingRoutingKey
            | Reason::DuplicateRoutingKey
            | Reason::MalformedRoutingKey
            | Reason::UntrustedRoutingKey
            | Reason::RoutingKeyUnknownSigner
            | Reason::RoutingKeyBadSignature
            | Reason::RoutingKeyExpired
            | Reason::RoutingKeyNotYetValid
    )
}

fn about_certificates(reason: Reason) -> bool {
    matches!(
        reason,
        Reason::MissingCertificate
            | Reason::SanNotAccepted
            | Reason::CertificateExpired
            | Reason::CertificateAuthority
            | Reason::CertificateUsage
            | Reason::CertificateRevoked
            | Reason::CertificateUntrusted
    )
}
