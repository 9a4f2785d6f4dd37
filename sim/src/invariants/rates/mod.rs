//! Rate limits of tenants, placements and routes.

mod bucket;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use self::bucket::{Bucket, Limits, Whose};
use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Answer, Arrived, Fact, Published, Sent};

/// How much a message between two hosts may be faster than another, in seconds.
const JITTER_SECS: f64 = 1.0;

/// In any time, no more requests of a tenant, a placement or a route reach cells than its limit allows, and
/// no request is refused while each of its limits has one left. The first uses what cells report, and the
/// second what clients report, so that neither relies on routers. The placement of a tenant is that in the
/// simulator's own registry.
#[derive(Debug)]
pub struct RatesKept {
    settings: SettingsInForce,
    limits: Limits,
    prefix: String,
    /// All routers that were started.
    routers: BTreeSet<String>,
    /// When a router was started. Its buckets are full then.
    starts: Vec<Duration>,
    /// By registry version: the placement of each tenant that has no cell of its own.
    homes: BTreeMap<u64, BTreeMap<String, String>>,
    /// The placements to which some router's configuration sends requests without credentials.
    anonymous: BTreeSet<String>,
    /// When requests arrived that each bucket surely counts.
    arrived: BTreeMap<Bucket, Vec<Duration>>,
    /// The tags of those. A request that is sent again takes no second token.
    seen: BTreeSet<String>,
    /// When requests were sent that each bucket may count, and where to.
    sent: BTreeMap<Bucket, Vec<(Duration, String)>>,
    /// Requests that may pass, by tag, and when they were sent.
    requests: BTreeMap<String, (Duration, Arc<Sent>)>,
}

impl RatesKept {
    /// An invariant for routers with these settings and a registry with these limits.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            limits: Limits::new(bounds),
            prefix: bounds.header_prefix.clone(),
            routers: BTreeSet::new(),
            starts: Vec::new(),
            homes: BTreeMap::new(),
            anonymous: BTreeSet::new(),
            arrived: BTreeMap::new(),
            seen: BTreeSet::new(),
            sent: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    /// The buckets that surely count a request which arrives now. While its router may have one of two
    /// settings, these must agree on its `[[traffic]]`.
    fn counted_by(&self, at: Duration, arrived: &Arrived) -> Vec<Bucket> {
        let tag = arrived.tag.as_deref().unwrap_or_default();
        let Some((since, sent)) = self.requests.get(tag) else {
            return Vec::new();
        };
        let stamp = |name: &str| arrived.header(&format!("{}{name}", self.prefix));
        let tenant = stamp("tenant").unwrap_or_default();
        let version = stamp("placement-epoch").and_then(|it| it.parse::<u64>().ok());
        let homes = version.and_then(|version| self.homes.get(&version));
        let placement = homes.and_then(|homes| homes.get(tenant));
        let whose = Whose::all(tenant, placement);
        let settings = self.settings.during(&sent.to, [*since, at]);
        let traffic: BTreeSet<_> = settings.map(|it| it.rates.traffic_of(sent)).collect();
        let one = traffic.first().filter(|_| traffic.len() == 1);
        Bucket::all(&whose, one.copied().flatten()).collect()
    }

    /// The buckets that may count a request, whenever its router decides it.
    fn may_be_counted_by(&self, sent: &Sent) -> BTreeSet<Bucket> {
        let tenant = if sent.anonymous { "" } else { &sent.tenant };
        let homes = self.homes.values().filter_map(|homes| homes.get(tenant));
        let anonymous = self.anonymous.iter().filter(|_| sent.anonymous);
        let whose: Vec<_> = [None]
            .into_iter()
            .chain(homes.chain(anonymous).map(Some))
            .flat_map(|placement| Whose::all(tenant, placement))
            .collect();
        let settings = self.settings.all();
        let traffic: BTreeSet<_> = settings.map(|it| it.rates.traffic_of(sent)).collect();
        let buckets = traffic.iter().flat_map(|it| Bucket::all(&whose, *it));
        buckets.filter(|it| self.is_limited(it)).collect()
    }

    /// Whether the bucket has a limit in any settings.
    fn is_limited(&self, bucket: &Bucket) -> bool {
        let mut settings = self.settings.all();
        settings.any(|it| self.limits.of(bucket, it).is_some())
    }

    /// The most requests that one router may let pass at once and per second, under settings that may be in
    /// force during this time; `None` if there is no limit.
    fn most(&self, bucket: &Bucket, time: [Duration; 2]) -> Option<(f64, f64)> {
        let mut most: Option<(f64, f64)> = None;
        for settings in self.settings.during("", time) {
            let (burst, rate) = self.limits.part(bucket, settings)?;
            let (b, r) = most.unwrap_or_default();
            most = Some((burst.max(b), rate.max(r)));
        }
        most
    }

    fn arrives(&mut self, at: Duration, arrived: &Arrived) -> Result<(), String> {
        let again = (arrived.tag.as_ref()).is_some_and(|tag| !self.seen.insert(tag.clone()));
        if again {
            return Ok(());
        }
        let buckets = self.counted_by(at, arrived).into_iter();
        let limited: Vec<_> = buckets.filter(|it| self.is_limited(it)).collect();
        for bucket in limited {
            let times = self.arrived.entry(bucket.clone()).or_default();
            times.push(at);
            self.check(at, &bucket)?;
        }
        Ok(())
    }

    /// Since any earlier arrival, no more requests may have come than the bucket had and has got back.
    fn check(&self, at: Duration, bucket: &Bucket) -> Result<(), String> {
        let times = &self.arrived[bucket];
        let routers = self.routers.len() as f64;
        for (i, from) in times.iter().enumerate() {
            let Some((burst, rate)) = self.most(bucket, [*from, at]) else {
                continue;
            };
            let starts = self.starts.iter().filter(|at| *at > from).count();
            let count = times.len() - i;
            let span = (at - *from).as_secs_f64() + JITTER_SECS;
            let allowed = (routers + starts as f64) * burst + routers * rate * span;
            if count as f64 > allowed {
                return Err(format!(
                    "{count} requests of {bucket} reached cells since {from:?}; its limit allows {allowed:.1}"
                ));
            }
        }
        Ok(())
    }

    /// A request may be refused only if one of its buckets may be empty.
    fn refused(&self, at: Duration, tag: &str, sent: &Sent) -> Result<(), String> {
        let buckets = self.may_be_counted_by(sent);
        if buckets.iter().any(|it| self.may_be_empty(it, at, sent)) {
            return Ok(());
        }
        let buckets: Vec<_> = buckets.iter().map(Bucket::to_string).collect();
        let buckets = match &buckets[..] {
            [] => "has no rate limit".to_owned(),
            some => format!("is within the limits of {}", some.join(" and ")),
        };
        Err(format!("{tag} was answered rate_limited, but {buckets}"))
    }

    /// Whether so many requests came to the router of this one lately that the bucket may be empty there. A
    /// reload fills no bucket, so this can't be ruled out shortly after one.
    fn may_be_empty(&self, bucket: &Bucket, at: Duration, sent: &Sent) -> bool {
        let to = sent.to.as_str();
        let until_now = self.settings.during(to, [Duration::ZERO, at]);
        let parts = until_now.filter_map(|it| self.limits.part(bucket, it));
        let refill = parts.map(|(burst, rate)| burst / rate).fold(0.0, f64::max);
        let since = at.saturating_sub(Duration::from_secs_f64(refill + JITTER_SECS));
        // All routers if it is an Envoy that asks one of them.
        let routers = if sent.via.is_some() {
            self.routers.len()
        } else {
            1
        };
        if self.settings.during(to, [since, at]).count() > routers {
            return true;
        }
        let times = self.sent.get(bucket).map_or(&[][..], Vec::as_slice);
        let recent = &times[times.partition_point(|(time, _)| *time < since)..];
        let here = |host: &str| sent.via.is_some() || host == to || !self.routers.contains(host);
        let recent = recent.iter().filter(|(_, host)| here(host)).count();
        let mut now = self.settings.during(to, [at; 2]);
        now.any(|it| (self.limits.part(bucket, it)).is_some_and(|(burst, _)| recent as f64 > burst))
    }

    fn sends(&mut self, at: Duration, sent: &Arc<Sent>) {
        for bucket in self.may_be_counted_by(sent) {
            let times = self.sent.entry(bucket).or_default();
            times.push((at, sent.to.clone()));
        }
        (self.requests).insert(sent.tag.clone(), (at, Arc::clone(sent)));
    }

    fn published(&mut self, said: &Published) {
        self.homes.insert(said.version, said.homes.clone());
    }
}

impl Invariant for RatesKept {
    fn name(&self) -> &'static str {
        "rates_kept"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Started(life) => {
                self.routers.insert(life.router.clone());
                self.starts.push(at);
            }
            Fact::Published(said) => self.published(said),
            Fact::Configured(said) => self.anonymous.extend(said.anonymous.clone()),
            Fact::Arrived(arrived) => return self.arrives(at, arrived),
            Fact::Sent(sent) if sent.good || sent.anonymous => self.sends(at, sent),
            Fact::Answered { tag, answer } => {
                let refused = matches!(answer, Answer::Router(reason) if reason == "rate_limited");
                if let Some((_, sent)) = self.requests.get(tag).filter(|_| refused) {
                    return self.refused(at, tag, sent);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
