//! Rate limits of tenants.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use cellway_core::rate_limit::RateLimit;

use super::{Bounds, Invariant, RouterSettings, SettingsInForce};
use crate::fact::{Answer, Fact};

/// How much a message between two hosts may be faster than another, in seconds.
const JITTER_SECS: f64 = 1.0;

/// In any time, no more requests of a tenant reach cells than its limit allows, and a tenant within
/// its limit is never refused for it. The first uses what cells report, and the second what clients
/// report, so that neither relies on routers.
#[derive(Debug)]
pub struct RatesKept {
    settings: SettingsInForce,
    /// The limits that the registry sets.
    own: BTreeMap<String, RateLimit>,
    prefix: String,
    /// When each router was started. Its buckets are full then.
    started: Vec<(Duration, String)>,
    /// When requests of each tenant arrived.
    arrived: BTreeMap<String, Vec<Duration>>,
    /// The tags of those. A request that is sent again takes no second token.
    seen: BTreeSet<String>,
    /// When each tenant sent requests with good credentials.
    sent: BTreeMap<String, Vec<Duration>>,
    tenants: BTreeMap<String, String>,
}

impl RatesKept {
    /// An invariant for routers with these settings and a registry with these limits.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            own: bounds.tenant_rates.clone(),
            prefix: bounds.header_prefix.clone(),
            started: Vec::new(),
            arrived: BTreeMap::new(),
            seen: BTreeSet::new(),
            sent: BTreeMap::new(),
            tenants: BTreeMap::new(),
        }
    }

    /// The most requests of a tenant that one router may let pass at once and per second, under
    /// settings that may be in force during this time; `None` if there is no limit.
    fn most(&self, tenant: &str, time: [Duration; 2]) -> Option<(f64, f64)> {
        let mut most: Option<(f64, f64)> = None;
        for settings in self.settings.during("", time) {
            let (burst, rate) = part(self.limit(tenant, settings)?, settings);
            let (b, r) = most.unwrap_or_default();
            most = Some((burst.max(b), rate.max(r)));
        }
        most
    }

    fn limit(&self, tenant: &str, settings: &RouterSettings) -> Option<RateLimit> {
        self.own.get(tenant).copied().or(settings.rates.tenant)
    }

    fn arrives(&mut self, at: Duration, tenant: &str) -> Result<(), String> {
        let times = self.arrived.entry(tenant.to_owned()).or_default();
        times.push(at);
        let times = &self.arrived[tenant];
        for (i, from) in times.iter().enumerate() {
            let Some((burst, rate)) = self.most(tenant, [*from, at]) else {
                continue;
            };
            let routers: BTreeSet<_> = self.started.iter().map(|(_, router)| router).collect();
            let starts = self.started.iter().filter(|(at, _)| at > from).count();
            let count = times.len() - i;
            let span = (at - *from).as_secs_f64() + JITTER_SECS;
            let allowed =
                (routers.len() + starts) as f64 * burst + routers.len() as f64 * rate * span;
            if count as f64 > allowed {
                return Err(format!(
                    "{count} requests of {tenant} reached cells since {from:?}; its limit allows {allowed:.1}"
                ));
            }
        }
        Ok(())
    }

    /// A tenant that sent few requests must not be refused, at whichever router they arrived.
    fn refused(&self, at: Duration, tag: &str, tenant: &str) -> Result<(), String> {
        if self.settings.all().any(|settings| settings.rates.others) {
            return Ok(());
        }
        let sent = self.sent.get(tenant).map_or(&[][..], |sent| sent);
        let within = self.settings.during("", [at; 2]).any(|settings| {
            let Some(limit) = self.limit(tenant, settings) else {
                return true;
            };
            let (burst, rate) = part(limit, settings);
            let refill = Duration::from_secs_f64(burst / rate + JITTER_SECS);
            let recent = sent.iter().filter(|sent| at <= **sent + refill).count();
            recent as f64 <= burst
        });
        let settled = self.settings.during("", [at; 2]).count() <= self.routers();
        match within && settled {
            true => Err(format!(
                "{tag} was answered rate_limited, but {tenant} is within its limit"
            )),
            false => Ok(()),
        }
    }

    fn routers(&self) -> usize {
        let routers: BTreeSet<_> = self.started.iter().map(|(_, router)| router).collect();
        routers.len()
    }
}

/// What one router may grant of a limit: at once, and per second.
fn part(limit: RateLimit, settings: &RouterSettings) -> (f64, f64) {
    let routers = f64::from(settings.rates.shared_by.max(1));
    let rate = f64::from(limit.requests()) / f64::from(limit.window_secs());
    let burst = (f64::from(limit.burst()) / routers).floor().max(1.0);
    (burst, rate / routers)
}

impl Invariant for RatesKept {
    fn name(&self) -> &'static str {
        "rates_kept"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Started(life) => self.started.push((at, life.router.clone())),
            Fact::Arrived(arrived) => {
                let tenant = arrived.header(&format!("{}tenant", self.prefix));
                let again =
                    (arrived.tag.as_ref()).is_some_and(|tag| !self.seen.insert(tag.clone()));
                if let Some(tenant) = tenant.filter(|tenant| !tenant.is_empty() && !again) {
                    return self.arrives(at, tenant);
                }
            }
            Fact::Sent(sent) if sent.good => {
                let times = self.sent.entry(sent.tenant.clone()).or_default();
                times.push(at);
                self.tenants.insert(sent.tag.clone(), sent.tenant.clone());
            }
            Fact::Answered { tag, answer } => {
                let tenant = self.tenants.remove(tag);
                let refused = matches!(answer, Answer::Router(reason) if reason == "rate_limited");
                if let (Some(tenant), true) = (tenant, refused) {
                    return self.refused(at, tag, &tenant);
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
