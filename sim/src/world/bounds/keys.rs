//! The keys that routers must know, and those that they must refuse.
//!
//! Each bound uses the longest time that any router's settings have during the run.

use std::collections::BTreeSet;
use std::time::Duration;

use super::FETCH_SLACK;
use crate::invariants::{KeyOutage, KnownKey, SettingsInForce, Withdrawn};
use crate::scenario::{FIRST_ENVELOPE_KEY, FIRST_KEY, FaultKind, Scenario};

/// The keys that routers must know, and when. A token with a new key makes them fetch the key set, if
/// the cooldown is over and no fault is in the way.
pub(super) fn known_keys(scenario: &Scenario, settings: &SettingsInForce) -> Vec<KnownKey> {
    let mut known = KnownKeys {
        scenario,
        settings,
        cooldown: settings.longest(|it| it.issuer.key_cooldown),
        found: Vec::new(),
    };
    known.follow_rotations();
    known.follow_damaged_restarts();
    known.follow_outages();
    known.found
}

/// When faults may keep routers from an issuer's keys, or make them wait for the next fetch.
pub(super) fn troubles(
    scenario: &Scenario,
    settings: &SettingsInForce,
) -> Vec<(String, Duration, Duration)> {
    let again = settings.longest(|it| it.issuer.key_cooldown.max(it.issuer.key_retry));
    let of_issuer = |host: String| {
        let faults = scenario.faults.iter();
        let in_the_way = faults.filter(move |fault| touches(scenario, &host, &fault.kind));
        in_the_way.map(move |fault| (fault.at, fault.until + again + FETCH_SLACK))
    };
    let issuers = scenario.issuers.iter();
    let all = issuers.flat_map(|issuer| {
        let spans = of_issuer(issuer.host());
        spans.map(|(from, until)| (issuer.name.clone(), from, until))
    });
    all.collect()
}

struct KnownKeys<'a> {
    scenario: &'a Scenario,
    settings: &'a SettingsInForce,
    cooldown: Duration,
    found: Vec<KnownKey>,
}

impl KnownKeys<'_> {
    fn follow_rotations(&mut self) {
        for issuer in &self.scenario.issuers {
            // Routers fetch these when they start, without a cooldown.
            let host = issuer.host();
            self.add(&host, FIRST_KEY, Duration::ZERO, Duration::ZERO);
        }
        for fault in &self.scenario.faults {
            let at = fault.at;
            match &fault.kind {
                FaultKind::PublishKey(host, key) => self.add(host, key, at, self.cooldown),
                FaultKind::WithdrawKey(host, key) => self.withdraw(host, Some(key), at),
                FaultKind::ReplaceKeys(host, key) => {
                    self.withdraw(host, None, at);
                    self.add(host, key, at, self.cooldown);
                }
                // For a while the set has none of them, and routers may use that set.
                FaultKind::WrongKeys(host, _) => self.fetched_again(&issuer_of(host), at),
                _ => {}
            }
        }
    }

    /// A router that restarts with a damaged disk has no keys.
    fn follow_damaged_restarts(&mut self) {
        let damages = |kind: &FaultKind, router: &String| match kind {
            FaultKind::DiskFull(name)
            | FaultKind::TornWrite(name)
            | FaultKind::DamagedFiles(name)
            | FaultKind::SlowDisk(name, _) => name == router,
            _ => false,
        };
        for fault in &self.scenario.faults {
            let (FaultKind::Crash(router) | FaultKind::Drain(router)) = &fault.kind else {
                continue;
            };
            let mut faults = self.scenario.faults.iter();
            if faults.any(|other| damages(&other.kind, router)) {
                for issuer in &self.scenario.issuers {
                    self.fetched_again(&issuer.name, fault.at);
                }
            }
        }
    }

    /// In a long outage a key set expires.
    fn follow_outages(&mut self) {
        for outage in key_outages(self.scenario, self.settings) {
            let again = self.known_from(&outage.issuer, outage.from, self.cooldown);
            for known in &mut self.found {
                if known.issuer == outage.issuer && known.from < outage.until {
                    known.from = known.from.max(again);
                }
            }
        }
    }

    /// The identity provider publishes a key, which routers fetch after this wait.
    fn add(&mut self, host: &str, key: &str, at: Duration, wait: Duration) {
        let issuer = issuer_of(host);
        self.found.push(KnownKey {
            from: self.known_from(&issuer, at, wait),
            issuer,
            key: key.to_owned(),
            until: None,
        });
    }

    /// The identity provider withdraws a key, or all keys.
    fn withdraw(&mut self, host: &str, key: Option<&String>, at: Duration) {
        let issuer = issuer_of(host);
        for known in &mut self.found {
            let is_meant = known.issuer == issuer && key.is_none_or(|key| known.key == *key);
            if is_meant && known.until.is_none() {
                known.until = Some(at);
            }
        }
    }

    /// Routers may lose an issuer's keys at this time, and must fetch them again.
    fn fetched_again(&mut self, issuer: &str, at: Duration) {
        let again = self.known_from(issuer, at, self.cooldown);
        for known in self.found.iter_mut().filter(|it| it.issuer == issuer) {
            known.from = known.from.max(again);
        }
    }

    fn known_from(&self, issuer: &str, at: Duration, wait: Duration) -> Duration {
        let host = format!("idp-{issuer}");
        known_from(self.scenario, self.settings, &host, at, wait)
    }
}

/// Whether a fault may be in the way between a router and this identity provider.
fn touches(scenario: &Scenario, host: &str, kind: &FaultKind) -> bool {
    match kind {
        FaultKind::Partition([a, b])
        | FaultKind::OneWayPartition([a, b])
        | FaultKind::Stalls([a, b], _)
        | FaultKind::Latency([a, b], _) => a == host || b == host,
        FaultKind::Crash(name)
        | FaultKind::Drain(name)
        | FaultKind::ClockSkew(name, _)
        | FaultKind::ClockDrift(name, _) => name == host || scenario.routers.contains(name),
        FaultKind::Slow(name, _)
        | FaultKind::SlowDns(name, _)
        | FaultKind::NoDns(name)
        | FaultKind::Status(name, _)
        | FaultKind::Garbage(name)
        | FaultKind::EmptyKeys(name)
        | FaultKind::HugeKeys(name)
        | FaultKind::WrongIssuer(name)
        | FaultKind::WrongKeys(name, _) => name == host,
        _ => false,
    }
}

/// When routers must have the keys that an issuer publishes at this time: `wait` and a fetch later, not
/// counting the time of faults that may be in the way.
fn known_from(
    scenario: &Scenario,
    settings: &SettingsInForce,
    host: &str,
    at: Duration,
    wait: Duration,
) -> Duration {
    let again = settings.longest(|it| it.issuer.key_cooldown.max(it.issuer.key_retry));
    let mut from = at + wait + FETCH_SLACK;
    let in_the_way = || {
        scenario
            .faults
            .iter()
            .filter(|fault| touches(scenario, host, &fault.kind))
    };
    while let Some(end) = in_the_way()
        .filter(|fault| fault.at < from && fault.until > at)
        .map(|fault| fault.until + again + FETCH_SLACK)
        .find(|end| *end > from)
    {
        from = end;
    }
    from
}

/// When routers must refuse the tokens of a withdrawn key: once they must have fetched the key set
/// again, not counting the time of faults that may be in the way.
pub(super) fn withdrawn(scenario: &Scenario, settings: &SettingsInForce) -> Vec<Withdrawn> {
    let mut found: Vec<Withdrawn> = Vec::new();
    let mut published: BTreeSet<(String, String)> = scenario
        .issuers
        .iter()
        .map(|issuer| (issuer.host(), FIRST_KEY.to_owned()))
        .collect();
    for fault in &scenario.faults {
        let (host, key, all) = match &fault.kind {
            FaultKind::PublishKey(host, key) => (host, key, false),
            FaultKind::ReplaceKeys(host, key) => (host, key, true),
            FaultKind::WithdrawKey(host, key) => {
                published.remove(&(host.clone(), key.clone()));
                found.push(withdrawal(scenario, settings, host, key, fault.at));
                continue;
            }
            _ => continue,
        };
        if all {
            for (_, old) in published.iter().filter(|(at, _)| at == host) {
                found.push(withdrawal(scenario, settings, host, old, fault.at));
            }
            published.retain(|(at, _)| at != host);
        }
        published.insert((host.clone(), key.clone()));
        let issuer = issuer_of(host);
        let again = found
            .iter_mut()
            .filter(|known| known.issuer == issuer && known.key == *key);
        again.for_each(|known| known.until = Some(known.until.unwrap_or(fault.at)));
    }
    found
}

fn withdrawal(
    scenario: &Scenario,
    settings: &SettingsInForce,
    host: &str,
    key: &str,
    at: Duration,
) -> Withdrawn {
    let fresh = settings.longest(|it| it.issuer.key_fresh);
    let again = settings.longest(|it| it.issuer.key_fresh.max(it.issuer.key_retry));
    let mut from = at + fresh + FETCH_SLACK;
    let lasting = || scenario.faults.iter().filter(|f| f.until > f.at);
    while let Some(end) = lasting()
        .filter(|fault| fault.at < from && fault.until > at)
        .map(|fault| fault.until + again + FETCH_SLACK)
        .find(|end| *end > from)
    {
        from = end;
    }
    Withdrawn {
        issuer: issuer_of(host),
        key: key.to_owned(),
        from,
        until: None,
    }
}

/// When each router's keys must have expired, because it couldn't reach the identity provider for
/// as long as a set may be used.
pub(super) fn key_outages(scenario: &Scenario, settings: &SettingsInForce) -> Vec<KeyOutage> {
    // A fetch that is running when the outage begins may still succeed.
    let serves = settings.longest(|it| it.issuer.key_fresh + it.issuer.key_stale) + FETCH_SLACK;
    let mut found = Vec::new();
    for issuer in &scenario.issuers {
        let host = issuer.host();
        for fault in &scenario.faults {
            let router = match &fault.kind {
                FaultKind::Crash(name)
                | FaultKind::Status(name, _)
                | FaultKind::Garbage(name)
                | FaultKind::EmptyKeys(name)
                | FaultKind::HugeKeys(name)
                    if *name == host =>
                {
                    None
                }
                FaultKind::Partition([a, b]) if *a == host => Some(b.clone()),
                FaultKind::Partition([a, b]) if *b == host => Some(a.clone()),
                _ => continue,
            };
            if fault.at + serves < fault.until {
                found.push(KeyOutage {
                    issuer: issuer.name.clone(),
                    router,
                    from: fault.at + serves,
                    until: fault.until,
                });
            }
        }
    }
    found
}

fn issuer_of(host: &str) -> String {
    host.strip_prefix("idp-").unwrap_or(host).to_owned()
}

/// The envelope keys that must not seal, because another key has replaced them, and when: until the
/// other key is removed.
pub(super) fn replaced_envelope_keys(
    scenario: &Scenario,
    settings: &SettingsInForce,
) -> Vec<(String, Duration, Option<Duration>)> {
    let max_age = settings.longest(|it| it.envelope.keys_max_age);
    let reload = settings.longest(|it| it.reload_within);
    let mut found: Vec<(String, Duration, Option<Duration>)> = Vec::new();
    let mut present = vec![FIRST_ENVELOPE_KEY.to_owned()];
    for fault in &scenario.faults {
        match &fault.kind {
            FaultKind::AddEnvelopeKey(kid, after) => {
                let from = fault.at + max_age.max(*after) + reload;
                found.extend(present.iter().map(|old| (old.clone(), from, None)));
                present.push(kid.clone());
            }
            FaultKind::RemoveEnvelopeKey(kid) => {
                present.retain(|old| old != kid);
                // The key before it may seal again.
                let open = found.iter_mut().filter(|(_, _, until)| until.is_none());
                open.for_each(|(_, _, until)| *until = Some(fault.at));
                if let Some((last, replaced)) = present.split_last() {
                    let from = fault.at + max_age + reload;
                    let replaced = replaced.iter().filter(|old| *old != last);
                    found.extend(replaced.map(|old| (old.clone(), from, None)));
                }
            }
            // Routers go by their clocks, and a router that can't reload knows no new key.
            FaultKind::ClockSkew(..)
            | FaultKind::ClockDrift(..)
            | FaultKind::BreakConfiguration(_)
            | FaultKind::BreakCertificate(_) => return Vec::new(),
            _ => {}
        }
    }
    found
}

/// A key in the folder of envelope keys.
struct FolderKey<'a> {
    kid: &'a str,
    added: Duration,
    signs_from: Duration,
}

/// The envelope keys that routers must publish, and when: from when they must have read them until the
/// last envelope that the key has sealed expires. A folder in which a key signs too early is refused, and
/// changes nothing.
pub(super) fn published_envelope_keys(
    scenario: &Scenario,
    settings: &SettingsInForce,
) -> Vec<(String, Duration, Duration)> {
    let max_age = settings.longest(|it| it.envelope.keys_max_age);
    let reload = settings.longest(|it| it.reload_within);
    let lifetime = settings.all().map(|it| it.envelope.lifetime).min();
    let lifetime = lifetime.unwrap_or_default();
    let mut folder = vec![FolderKey {
        kid: FIRST_ENVELOPE_KEY,
        added: Duration::ZERO,
        signs_from: Duration::ZERO,
    }];
    let mut found = vec![(FIRST_ENVELOPE_KEY.to_owned(), Duration::ZERO, Duration::MAX)];
    for fault in &scenario.faults {
        match &fault.kind {
            FaultKind::AddEnvelopeKey(kid, after) => folder.push(FolderKey {
                kid,
                added: fault.at,
                signs_from: fault.at + *after,
            }),
            FaultKind::RemoveEnvelopeKey(kid) => folder.retain(|key| key.kid != kid),
            // Routers go by their clocks, and a router that can't reload knows no new key.
            FaultKind::ClockSkew(..)
            | FaultKind::ClockDrift(..)
            | FaultKind::BreakConfiguration(_)
            | FaultKind::BreakCertificate(_) => return Vec::new(),
            _ => continue,
        }
        folder.sort_by_key(|key| key.signs_from);
        let mut later = folder.iter().skip(1);
        if later.any(|key| key.signs_from < key.added + max_age) {
            continue;
        }
        for (kid, _, until) in &mut found {
            let at = folder.iter().position(|key| key.kid == kid);
            let next = at.and_then(|at| folder.get(at + 1));
            let end = match (at, next) {
                (None, _) => fault.at,
                (Some(_), Some(next)) => next.signs_from + lifetime,
                (Some(_), None) => continue,
            };
            *until = end.min(*until);
        }
        let known = |kid: &str| {
            found
                .iter()
                .any(|(it, _, until)| it == kid && *until > fault.at)
        };
        let new = folder.iter().filter(|key| !known(key.kid));
        let new: Vec<_> = new
            .map(|key| (key.kid.to_owned(), fault.at + reload, Duration::MAX))
            .collect();
        found.extend(new);
    }
    found
}
