//! Points about routers: their keys, registry, clock, disk, and their life.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::Reason;

use super::{Point, Reached};
use crate::engine::EPOCH;
use crate::fact::{Decided, Fact, Published};

/// What is known of the routers.
#[derive(Default, Debug)]
pub(super) struct Routers {
    /// The faults of now.
    faults: BTreeSet<String>,
    /// When each router last asked for keys because of an unknown one.
    asked: BTreeMap<String, Duration>,
    published: Vec<(Duration, Arc<Published>)>,
    /// The version that each router applied last.
    applied: BTreeMap<String, u64>,
    /// The last decision of each router: when, and on which version.
    decided: BTreeMap<String, (Duration, u64)>,
    /// The cell of each tenant's last request.
    cells: BTreeMap<String, String>,
    /// Routers that have been restarted.
    restarted: BTreeSet<String>,
    draining: BTreeSet<String>,
    /// How many requests are open at each router.
    open: BTreeMap<String, u64>,
    /// The kids with which each host of a cell accepted envelopes.
    kids: BTreeMap<String, BTreeSet<String>>,
    /// The certificate that each client saw last of each router.
    leaves: BTreeMap<(String, String), Vec<u8>>,
}

/// By how much a clock is wrong that matters.
const CLOCK_WRONG: Duration = Duration::from_secs(1);

impl Routers {
    pub(super) fn observe(&mut self, at: Duration, fact: &Fact, reached: &mut Reached) {
        match fact {
            Fact::FaultBegins(what) => {
                // When a router has crashed, its requests have ended.
                let router = what.strip_prefix("crash ").unwrap_or_default();
                let open = self.open.remove(router).unwrap_or_default();
                reached.reach_if(open > 0, Point::CrashedBusy);
                self.faults.insert(what.clone());
            }
            Fact::FaultEnds(what) => {
                self.faults.remove(what);
            }
            Fact::Published(published) => self.published.push((at, published.clone())),
            Fact::KeysAsked {
                life, forced: true, ..
            } => {
                self.asked.insert(life.router.clone(), at);
            }
            Fact::RegistryApplied { life, version } => {
                self.applied.insert(life.router.clone(), *version);
            }
            Fact::Decided(decided) => self.decided(at, decided, reached),
            Fact::Responded(responded) => {
                let open = self.open.entry(responded.life.router.clone()).or_default();
                *open = open.saturating_sub(1);
            }
            Fact::Started(life) if life.incarnation > 0 => {
                self.restarted.insert(life.router.clone());
                self.draining.remove(&life.router);
                self.open.remove(&life.router);
            }
            Fact::Noted(life, note) => self.noted(&life.router, &note.kind, reached),
            Fact::Error { event, .. } => match event.as_str() {
                "keys_refused" => reached.reach(Point::KeysRefused),
                "registry_refused" => reached.reach(Point::RegistryRefused),
                "reload_refused" => reached.reach(Point::ReloadRefused),
                "keep_failed" => reached.reach(Point::DiskFailed),
                _ => {}
            },
            Fact::EnvelopeChecked(checked) => {
                reached.reach_if(checked.found.is_err(), Point::EnvelopeRefused);
                if let (Ok(_), Some(kid)) = (&checked.found, &checked.kid) {
                    let kids = self.kids.entry(checked.host.clone()).or_default();
                    let is_new = kids.insert(kid.clone());
                    reached.reach_if(is_new && kids.len() > 1, Point::EnvelopeKeyChanged);
                }
            }
            Fact::EnvelopeKeys {
                outcome: Err(_), ..
            } => reached.reach(Point::EnvelopeKeysMissing),
            Fact::Connected { client, to, leaf } => {
                let before = self
                    .leaves
                    .insert((client.clone(), to.clone()), leaf.clone());
                reached.reach_if(
                    before.is_some_and(|it| it != *leaf),
                    Point::CertificateChanged,
                );
            }
            _ => {}
        }
    }

    fn noted(&mut self, router: &str, kind: &str, reached: &mut Reached) {
        match kind {
            "keys_restored" => reached.reach(Point::KeysRestored),
            "registry_stale" => reached.reach(Point::RegistryStale),
            "reloaded" => reached.reach(Point::Reloaded),
            "stream_closed" => reached.reach(Point::SuspendedStream),
            "draining" => {
                let open = self.open.get(router).copied().unwrap_or_default();
                reached.reach_if(open > 0, Point::DrainedBusy);
                self.draining.insert(router.to_owned());
            }
            "drained" => reached.reach(Point::Drained),
            "share_refused" => reached.reach(Point::ShareUsedUp),
            "connection_closed" => reached.reach(Point::CertificateExpired),
            "tls_refused" => reached.reach(Point::TlsRefused),
            "kept_refused" => reached.reach(Point::DiskDamaged),
            _ => {}
        }
    }

    fn decided(&mut self, at: Duration, decided: &Decided, reached: &mut Reached) {
        let router = &decided.life.router;
        *self.open.entry(router.clone()).or_default() += 1;
        self.registry(at, decided, reached);
        let allowed = decided.cell.is_some();
        let skew = decided.unix.abs_diff(EPOCH + at);
        reached.reach_if(allowed && skew > CLOCK_WRONG, Point::ClockWrongAllowed);
        reached.reach_if(
            allowed && self.draining.contains(router),
            Point::DrainServed,
        );
        let is_time = matches!(decided.reason, Reason::ExpiredToken | Reason::NotYetValid);
        reached.reach_if(is_time && skew > CLOCK_WRONG, Point::ClockRefusedGood);
        let asked = self
            .asked
            .get(router)
            .is_some_and(|asked| at.saturating_sub(*asked) < CLOCK_WRONG);
        match decided.reason {
            Reason::Verified => {
                let has = |part: &str| self.faults.iter().any(|fault| fault.contains(part));
                reached.reach_if(has("idp-"), Point::KeysOldUsed);
                reached.reach_if(has("control-plane"), Point::RegistryOldUsed);
                let restarted = self.restarted.contains(router);
                reached.reach_if(restarted && has("control-plane"), Point::RestartedFromDisk);
                reached.reach_if(asked, Point::KeysWaitedFor);
            }
            Reason::NoMatchingKey | Reason::JwksUnreachable => {
                reached.reach_if(asked, Point::KeysWaitedInVain);
            }
            _ => {}
        }
        if let (Some(tenant), Some(cell)) = (&decided.tenant, &decided.cell) {
            let before = self.cells.insert(tenant.clone(), cell.clone());
            reached.reach_if(before.is_some_and(|it| it != *cell), Point::TenantMoved);
        }
    }

    fn registry(&mut self, at: Duration, decided: &Decided, reached: &mut Reached) {
        let router = &decided.life.router;
        let Some(version) = decided.registry_version else {
            return;
        };
        let behind = |late: Duration| {
            let mut newer = self.published.iter();
            newer.any(|(since, published)| *since + late < at && published.version > version)
        };
        reached.reach_if(behind(Duration::from_secs(2)), Point::RegistryBehind);
        let apart = self.decided.iter().any(|(other, (when, of))| {
            other != router && *of != version && at.saturating_sub(*when) < CLOCK_WRONG
        });
        reached.reach_if(apart, Point::RegistryApart);
        if let Some(tenant) = decided.tenant.as_ref().filter(|_| decided.cell.is_some()) {
            let suspending = self.published.iter().find(|(_, published)| {
                published.version > version && published.suspended.contains(tenant)
            });
            let known = suspending.is_some_and(|(_, published)| {
                let mut others = self.applied.iter();
                others.any(|(other, applied)| other != router && *applied >= published.version)
            });
            reached.reach_if(known, Point::SuspendedByOne);
        }
        self.decided.insert(router.clone(), (at, version));
    }
}
