//! Rate limits: whether a request that was allowed may be served now.
//!
//! A request takes a token from each bucket that counts it: first its tenant's, then its
//! placement's, then its route's. So a tenant that sends too much is refused before it takes what
//! the others need. Only allowed requests get here. Nobody can use up the bucket of a tenant
//! without its credentials.

use std::num::NonZeroU32;

use cellway_core::rate_limit::{Empty, RateLimit};
use cellway_core::{Allow, Reason, Text};
use cellway_env::Env;

use crate::data_plane::authz::Refused;
use crate::data_plane::buckets::{Buckets, Key, Moment, Quota};
use crate::observe::Reporter;
use crate::observe::event::{Event, Sink};
use crate::settings::{RateRule, RateScope, TrafficSettings};

/// The limits of a request that was allowed.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Limits<'a> {
    pub(crate) allow: &'a Allow,
    /// `None` for a request that Envoy forwards. Then only the registry's limits apply.
    pub(crate) traffic: Option<&'a TrafficSettings>,
    pub(crate) shared_by: NonZeroU32,
}

impl Limits<'_> {
    /// Whether there are none. Most requests stop here.
    pub(crate) fn is_empty(&self) -> bool {
        let rates = &self.allow.rates;
        let rules = self.traffic.map_or(0, |traffic| traffic.rates.len());
        rules == 0 && rates.tenant.is_none() && rates.placement.is_none()
    }

    /// Takes a token from each bucket that counts the request. Returns the one with the fewest left.
    ///
    /// # Errors
    /// The first that is empty, and how long it is.
    fn take(&self, buckets: &Buckets, now: Moment) -> Result<Option<Quota>, (Quota, Empty)> {
        let mut least: Option<Quota> = None;
        let mut count = |scope, limit: RateLimit, key| {
            let quota = |remaining, reset| Quota {
                scope,
                limit,
                remaining,
                reset,
            };
            let taken = buckets.take(key, limit.shared_by(self.shared_by), now);
            let taken = taken.map_err(|empty| (quota(0, empty.full_after), empty))?;
            let quota = quota(taken.remaining, taken.full_after);
            if least.is_none_or(|least| quota.remaining < least.remaining) {
                least = Some(quota);
            }
            Ok(())
        };
        for scope in RateScope::ALL.iter().copied() {
            let own = self.own(scope);
            let rule = self.rule(scope);
            if let Some(rule) = rule.filter(|rule| rule.always || own.is_none())
                && let Some(key) = self.key(buckets, scope)
            {
                count(scope, rule.limit, key)?;
            }
            if let Some((limit, name)) = own {
                let key = buckets.named((scope, "registry", name));
                count(scope, limit, key)?;
            }
        }
        Ok(least)
    }

    fn rule(&self, scope: RateScope) -> Option<&RateRule> {
        let rules = &self.traffic?.rates;
        rules.iter().find(|rule| rule.per == scope)
    }

    /// The bucket of a rule. It has the name of its `[[traffic]]`, so that it stays the same when a
    /// reload changes the limit.
    fn key(&self, buckets: &Buckets, scope: RateScope) -> Option<Key> {
        let traffic = &*self.traffic?.name;
        Some(match scope {
            RateScope::Tenant => {
                let tenant = self.allow.proved_tenant().map(Text::as_str);
                buckets.named((scope, "traffic", traffic, tenant))
            }
            RateScope::Placement => {
                let placement = self.allow.placement.as_ref()?.as_str();
                buckets.named((scope, "traffic", traffic, placement))
            }
            RateScope::Route => buckets.named((scope, "traffic", traffic)),
        })
    }

    /// The limit that the registry sets, and whose it is.
    fn own(&self, scope: RateScope) -> Option<(RateLimit, &str)> {
        let (limit, name) = match scope {
            RateScope::Tenant => (self.allow.rates.tenant, self.allow.proved_tenant()),
            RateScope::Placement => (self.allow.rates.placement, self.allow.placement.as_ref()),
            RateScope::Route => return None,
        };
        Some((limit?, name?.as_str()))
    }
}

/// Counts the request, and returns what its client may be told.
///
/// # Errors
/// A limit is used up.
pub(crate) fn admit<E: Env, S: Sink>(
    limits: &Limits<'_>,
    buckets: &Buckets,
    reporter: &Reporter<E, S>,
    listener: &str,
) -> Result<Option<Quota>, Refused> {
    if limits.is_empty() {
        return Ok(None);
    }
    // A request may have waited for keys, so the time when it came could be too early.
    let now = reporter.now();
    let (quota, empty) = match limits.take(buckets, now.mono.into()) {
        Ok(least) => return Ok(least),
        Err(refused) => refused,
    };
    let event = Event::RateLimited {
        listener,
        scope: quota.scope,
        placement: limits.allow.placement.as_ref(),
        tenant: limits.allow.proved_tenant(),
        news: buckets.is_news(quota.scope, now.mono),
    };
    reporter.emit_at(now, &event);
    Err(Refused {
        retry_after: Some(empty.retry_after),
        quota: Some(Box::new(quota)),
        ..Refused::new(Reason::RateLimited, detail(quota.scope))
    })
}

const fn detail(scope: RateScope) -> &'static str {
    match scope {
        RateScope::Tenant => "the tenant has sent more requests than its rate limit allows",
        RateScope::Placement => {
            "the tenants of the placement have sent more requests than its rate limit allows"
        }
        RateScope::Route => "more requests have come than the rate limit of the route allows",
    }
}
