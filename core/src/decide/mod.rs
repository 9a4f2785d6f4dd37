//! Decides a request from its evidence and a snapshot.

use std::sync::Arc;

use crate::authorize;
use crate::cba::{self, CellBound};
use crate::decision::{Allow, Challenge, Decision, Deny, Outcome, Rates, RequestsMax};
use crate::evidence::Evidence;
use crate::explain::Recorder;
use crate::failover;
use crate::identify::{IdentifyError, Memo, identify};
use crate::identity::Identity;
use crate::placement::{self, PlaceQuery, Placed, place};
use crate::policy::AuthPolicy;
use crate::reason::{Class, Reason};
use crate::refused::Refused;
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
    let (policy, keys) = (&snapshot.policy, &snapshot.keys);
    let request = Request {
        snapshot,
        auth: policy.auth(evidence.policy),
        evidence,
        now,
    };
    let (reason, identity) = match identify(policy, keys, evidence, now, memo, recorder) {
        Ok(found) => found,
        Err(IdentifyError::Wait(wait)) => return Outcome::Wait(wait),
        Err(IdentifyError::Refused(refused)) => {
            let denial = request.deny(refused, &Identity::default(), None);
            return Outcome::Done(Decision::Deny(denial));
        }
    };
    let mut caller = Caller {
        reason,
        identity,
        cell_bound: None,
    };
    Outcome::Done(match request.admit(&mut caller, recorder) {
        Ok(admitted) => Decision::Allow(admitted.for_caller(caller)),
        Err(refused) => {
            request.record(&refused, recorder);
            Decision::Deny(request.deny(refused, &caller.identity, caller.cell_bound))
        }
    })
}

/// What every check reads.
#[derive(Clone, Copy)]
struct Request<'a> {
    snapshot: &'a Snapshot,
    auth: &'a AuthPolicy,
    evidence: &'a Evidence<'a>,
    now: Now,
}

/// What is known about the caller so far. A decision of either kind carries it.
struct Caller {
    reason: Reason,
    identity: Arc<Identity>,
    cell_bound: Option<Box<CellBound>>,
}

/// A request that passed every check.
struct Admitted {
    placed: Placed,
    rule: Option<Arc<str>>,
    placement_epoch: u64,
    rates: Rates,
    requests_max: RequestsMax,
}

impl Admitted {
    fn for_caller(self, caller: Caller) -> Allow {
        Allow {
            reason: caller.reason,
            identity: caller.identity,
            placement: self.placed.placement,
            cell: self.placed.cell,
            endpoints: self.placed.endpoints,
            rule: self.rule,
            placement_epoch: self.placement_epoch,
            rates: self.rates,
            requests_max: self.requests_max,
            cell_bound: caller.cell_bound,
            standby: self.placed.standby,
            failed_over: self.placed.failed_over,
        }
    }
}

impl Request<'_> {
    /// Runs the checks of an identified caller, in their order.
    fn admit(
        &self,
        caller: &mut Caller,
        recorder: &mut impl Recorder,
    ) -> Result<Admitted, Refused> {
        let policy = &self.snapshot.policy;
        let verified = caller.reason == Reason::Verified;
        let registry = self.registry(recorder)?;
        if verified {
            self.check_status_age(recorder)?;
            revoked::check(registry.revocations(), policy, &caller.identity, recorder)?;
        }
        let tenant = tenant::check(registry, policy, &caller.identity, recorder)?;
        // An identity from the configuration has its roles from there too.
        if verified {
            let terms = tenant.map_or(Terms::none(), |tenant| tenant.terms);
            roles::grant(&mut caller.identity, terms, policy, recorder);
        }
        let Caller {
            reason, identity, ..
        } = &*caller;
        let rule = authorize::check(self.auth, self.evidence, *reason, identity, recorder)?;
        let placed = self.place(registry, identity, tenant, recorder)?;
        let request = cba::RequestContext {
            policy,
            auth: self.auth,
            registry,
            keys: &self.snapshot.cell_keys,
            evidence: self.evidence,
            identity,
            cell: &placed.cell,
            now: self.now,
        };
        caller.cell_bound = cba::check(&request, recorder);
        if let Some(refused) = caller.cell_bound.as_ref().and_then(|bound| bound.denies()) {
            return Err(refused.clone());
        }
        let rates = Rates {
            tenant: tenant.and_then(|tenant| tenant.terms.rate),
            placement: placed.rate,
        };
        let requests_max = RequestsMax {
            tenant: tenant.and_then(|tenant| tenant.terms.requests_max),
            placement: placed.requests_max,
        };
        record_limits(rates, requests_max, recorder);
        Ok(Admitted {
            placed,
            rule: rule.cloned(),
            placement_epoch: registry.version(),
            rates,
            requests_max,
        })
    }

    fn registry(&self, recorder: &mut impl Recorder) -> Result<&Registry, Refused> {
        const CHECK: &str = "registry.loaded";
        let Some(registry) = &self.snapshot.registry else {
            return Err(Refused::new(
                CHECK,
                Reason::RegistryNeverLoaded,
                "no registry has been loaded yet",
            ));
        };
        recorder.pass(CHECK, || format!("version {}", registry.version()));
        Ok(registry)
    }

    /// An old registry still places tenants, however old it is. It says nothing about their status
    /// any more.
    fn check_status_age(&self, recorder: &mut impl Recorder) -> Result<(), Refused> {
        const CHECK: &str = "registry.status_age";
        let expires = self.snapshot.status_expires_at;
        if expires.is_some_and(|expires| self.now.mono >= expires) {
            return Err(Refused::new(
                CHECK,
                Reason::TenantStatusExpired,
                "tenant status is older than registry.identity_max_age_secs",
            ));
        }
        recorder.pass(CHECK, || "within identity_max_age".to_owned());
        Ok(())
    }

    fn place(
        &self,
        registry: &Registry,
        identity: &Identity,
        tenant: Option<TenantRef<'_>>,
        recorder: &mut impl Recorder,
    ) -> Result<Placed, Refused> {
        let query = PlaceQuery {
            identity,
            tenant,
            anonymous_placement: self.auth.anonymous_placement.as_ref().map(Text::as_str),
            cell_bound: cba::is_shown(self.auth, self.evidence),
            spread: self.evidence.spread,
            now: self.now,
        };
        let placed = place(registry, &self.snapshot.health, query)?;
        recorder.pass(placement::CHECK, || {
            if let Some(failed_over) = &placed.failed_over {
                let rule = placed.rule.as_str();
                return failover::describe(&placed.cell, failed_over, rule);
            }
            let (cell, rule) = (&placed.cell.id, placed.rule.as_str());
            let drained = placement::drained_from(registry, query, placed.rule);
            let Some((from, drain)) = drained.and_then(|it| Some((&it.id, it.drain?))) else {
                return format!("cell {cell} ({rule})");
            };
            let moved = drain.percent(self.now.unix);
            match from == cell {
                true => format!(
                    "cell {cell} ({rule}); it drains, {moved} % of its keys have moved, this one not"
                ),
                false => format!(
                    "cell {cell} ({rule}); moved from cell {from}, which drains: {moved} % of its \
                     keys have moved"
                ),
            }
        });
        Ok(placed)
    }

    /// Records the check that failed, with the rule that denies the request, if one does.
    fn record(&self, refused: &Refused, recorder: &mut impl Recorder) {
        recorder.fail(refused.check, || {
            let rules = self.auth.rules.as_ref();
            let rule = refused.rule().and_then(|name| rules?.named(name));
            match rule {
                Some(rule) => format!("{}: {}: {refused}", rule.name, rule.describe()),
                None => refused.to_string(),
            }
        });
    }

    fn deny(
        &self,
        refused: Refused,
        identity: &Identity,
        cell_bound: Option<Box<CellBound>>,
    ) -> Deny {
        let class = self.class(refused.reason);
        let challenge = self.challenge(refused.reason, class);
        Deny::new(refused, (class, challenge), identity, cell_bound)
    }

    /// Some clients know what to do with a 401 and not with a 503, and so a policy may choose.
    fn class(&self, reason: Reason) -> Class {
        if reason == Reason::JwksUnreachable {
            self.auth.jwks_unreachable
        } else {
            reason.class()
        }
    }

    fn challenge(&self, reason: Reason, class: Class) -> Challenge {
        if class != Class::Unauthenticated {
            return Challenge::None;
        }
        // A client whose certificate is refused would otherwise look for the fault in a token.
        let certificate_alone =
            reason == Reason::Revoked && self.evidence.credentials.authorization.is_none();
        if about_certificates(reason) || certificate_alone {
            return Challenge::Certificate;
        }
        if about_routing_keys(reason) {
            return Challenge::RoutingKey;
        }
        if self.auth.jwt {
            Challenge::Bearer
        } else {
            Challenge::Certificate
        }
    }
}

/// Records the limits that the driver will check.
fn record_limits(rates: Rates, requests_max: RequestsMax, recorder: &mut impl Recorder) {
    for (whose, rate) in [("tenant", rates.tenant), ("placement", rates.placement)] {
        if let Some(rate) = rate {
            recorder.pass("limits.rate", || format!("{whose}: {rate}"));
        }
    }
    let RequestsMax { tenant, placement } = requests_max;
    for (whose, most) in [("tenant", tenant), ("placement", placement)] {
        if let Some(most) = most {
            recorder.pass("limits.requests_max", || {
                format!("{whose}: {most} requests in flight")
            });
        }
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

#[cfg(test)]
mod tests;
