//! The buckets of rate limits: what each counts, and how much a router may grant of it.

use std::collections::BTreeMap;
use std::fmt;

use cellway_core::rate_limit::RateLimit;
use cellway_router::settings::RateScope;

use super::super::settings::RateSettings;
use super::super::{Bounds, RouterSettings};
use crate::fact::Sent;

/// A bucket that counts requests.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) struct Bucket {
    whose: Whose,
    /// The `[[traffic]]` that has the limit. `None`: the registry has it.
    traffic: Option<String>,
}

/// Whose requests a bucket counts.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(super) enum Whose {
    /// Those of a tenant. Without a name: all requests without a tenant.
    Tenant(String),
    /// Those of all tenants of a placement.
    Placement(String),
    /// Those of all listeners and routes that use a `[[traffic]]`.
    Route,
}

impl Whose {
    /// All that a request of this tenant, which has this placement, may count for.
    pub(super) fn all(tenant: &str, placement: Option<&String>) -> Vec<Self> {
        let placement = placement.map(|id| Self::Placement(id.clone()));
        let tenant = Self::Tenant(tenant.to_owned());
        [tenant]
            .into_iter()
            .chain(placement)
            .chain([Self::Route])
            .collect()
    }

    fn scope(&self) -> RateScope {
        match self {
            Self::Tenant(_) => RateScope::Tenant,
            Self::Placement(_) => RateScope::Placement,
            Self::Route => RateScope::Route,
        }
    }
}

impl Bucket {
    /// The buckets of all these, in the registry and in this `[[traffic]]`.
    pub(super) fn all(whose: &[Whose], traffic: Option<&str>) -> impl Iterator<Item = Self> {
        let with = |whose: &Whose, traffic: Option<&str>| Self {
            whose: whose.clone(),
            traffic: traffic.map(str::to_owned),
        };
        let own = whose.iter().map(move |it| with(it, None));
        let ruled = traffic.map(|name| whose.iter().map(move |it| with(it, Some(name))));
        own.chain(ruled.into_iter().flatten())
    }
}

impl fmt::Display for Bucket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.whose {
            Whose::Tenant(id) => write!(f, "tenant {id}")?,
            Whose::Placement(id) => write!(f, "placement {id}")?,
            Whose::Route => f.write_str("the route")?,
        }
        match &self.traffic {
            Some(name) => write!(f, " (traffic {name})"),
            None => f.write_str(" (registry)"),
        }
    }
}

impl RateSettings {
    /// The `[[traffic]]` of a request. `None` if an Envoy forwards it: only the registry limits those.
    pub(super) fn traffic_of(&self, sent: &Sent) -> Option<&str> {
        let traffic = self
            .traffic
            .get(&sent.client)
            .filter(|_| sent.via.is_none());
        traffic.map(String::as_str)
    }
}

/// The limits of all buckets.
#[derive(Debug)]
pub(super) struct Limits {
    /// Those that the registry sets.
    own: BTreeMap<Whose, RateLimit>,
}

impl Limits {
    pub(super) fn new(bounds: &Bounds) -> Self {
        let tenants = bounds.tenant_rates.iter();
        let tenants = tenants.map(|(id, limit)| (Whose::Tenant(id.clone()), *limit));
        let placements = bounds.placement_rates.iter();
        let placements = placements.map(|(id, limit)| (Whose::Placement(id.clone()), *limit));
        Self {
            own: tenants.chain(placements).collect(),
        }
    }

    /// The limit of a bucket at a router with these settings. A limit in the registry replaces one of the
    /// same kind, unless that applies always.
    pub(super) fn of(&self, bucket: &Bucket, settings: &RouterSettings) -> Option<RateLimit> {
        let own = self.own.get(&bucket.whose).copied();
        let Some(traffic) = &bucket.traffic else {
            return own;
        };
        let mut rules = settings.rates.rules.get(traffic)?.iter();
        let rule = rules.find(|rule| rule.per == bucket.whose.scope())?;
        (rule.always || own.is_none()).then_some(rule.limit)
    }

    /// What one router with these settings may grant of a bucket's limit: at once, and per second.
    pub(super) fn part(&self, bucket: &Bucket, settings: &RouterSettings) -> Option<(f64, f64)> {
        let limit = self.of(bucket, settings)?;
        let routers = f64::from(settings.rates.shared_by.max(1));
        let rate = f64::from(limit.requests()) / f64::from(limit.window_secs());
        let burst = (f64::from(limit.burst()) / routers).floor().max(1.0);
        Some((burst, rate / routers))
    }
}
