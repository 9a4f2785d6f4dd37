//! Points about the endpoints of cells: ejections, breakers and health checks.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Point, Reached};
use crate::fact::{Arrived, CircuitChange, Fact};

/// A router, and the host of an endpoint.
type Pair = (String, String);

/// What the routers think of the endpoints.
#[derive(Default, Debug)]
pub(super) struct Endpoints {
    ejected: BTreeSet<Pair>,
    /// How often each was ejected.
    times: BTreeMap<Pair, u32>,
    returned: BTreeMap<Pair, Duration>,
    open: BTreeSet<Pair>,
    probing: BTreeSet<Pair>,
    /// The router of each request, by its id.
    routers: BTreeMap<String, String>,
    /// How many requests each host works on.
    working: BTreeMap<String, u64>,
}

/// How long after a return a request shows that it is used again.
const USED_AGAIN: Duration = Duration::from_secs(5);

impl Endpoints {
    pub(super) fn observe(&mut self, at: Duration, fact: &Fact, reached: &mut Reached) {
        match fact {
            Fact::Decided(decided) => {
                let router = decided.life.router.clone();
                self.routers.insert(decided.request_id.clone(), router);
            }
            Fact::Ejected {
                life,
                host,
                ejected,
            } => {
                self.ejected(at, (life.router.clone(), host.clone()), *ejected, reached);
            }
            Fact::Probed { healthy, .. } => match healthy {
                true => reached.reach(Point::ChecksSucceed),
                false => reached.reach(Point::ChecksFail),
            },
            Fact::Circuit {
                life, host, change, ..
            } => {
                self.circuit((life.router.clone(), host.clone()), *change, reached);
            }
            Fact::Arrived(arrived) => self.arrived(at, arrived, reached),
            Fact::Left { host, .. } | Fact::Unserved { host, .. } => {
                let working = self.working.entry(host.clone()).or_default();
                *working = working.saturating_sub(1);
            }
            Fact::FaultBegins(what) => self.crashes(what.strip_prefix("crash "), reached),
            Fact::Crashed(life) => {
                let others = |pair: &Pair| pair.0 != life.router;
                self.ejected.retain(others);
                self.open.retain(others);
                self.probing.retain(others);
            }
            _ => {}
        }
    }

    /// A cell or one of its hosts crashes. When it has, its requests have ended.
    fn crashes(&mut self, name: Option<&str>, reached: &mut Reached) {
        let Some(name) = name else {
            return;
        };
        let theirs = |host: &String| {
            let rest = host.strip_prefix(name);
            rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('-'))
        };
        let busy = self
            .working
            .iter()
            .any(|(host, working)| *working > 0 && theirs(host));
        reached.reach_if(busy, Point::CellStoppedBusy);
        self.working.retain(|host, _| !theirs(host));
    }

    fn ejected(&mut self, at: Duration, pair: Pair, ejected: bool, reached: &mut Reached) {
        if !ejected {
            self.ejected.remove(&pair);
            self.returned.insert(pair, at);
            return;
        }
        reached.reach(Point::Ejected);
        let times = self.times.entry(pair.clone()).or_default();
        *times += 1;
        reached.reach_if(*times == 2, Point::EjectedAgain);
        reached.reach_if(self.open.contains(&pair), Point::BreakerAndEjected);
        self.ejected.insert(pair);
    }

    fn circuit(&mut self, pair: Pair, change: CircuitChange, reached: &mut Reached) {
        match change {
            CircuitChange::Opened => {
                reached.reach(Point::BreakerOpened);
                reached.reach_if(self.probing.remove(&pair), Point::BreakerProbeFailed);
                reached.reach_if(self.ejected.contains(&pair), Point::BreakerAndEjected);
                self.open.insert(pair);
            }
            CircuitChange::Probing => {
                reached.reach(Point::BreakerProbed);
                self.probing.insert(pair);
            }
            CircuitChange::Closed => {
                reached.reach_if(self.probing.remove(&pair), Point::BreakerClosed);
                self.open.remove(&pair);
            }
            CircuitChange::Freed => {
                reached.reach(Point::BreakerFreed);
                self.probing.remove(&pair);
            }
        }
    }

    fn arrived(&mut self, at: Duration, arrived: &Arrived, reached: &mut Reached) {
        let host = &arrived.host;
        *self.working.entry(host.clone()).or_default() += 1;
        let router = arrived
            .headers
            .iter()
            .find(|(name, _)| name.ends_with("request-id"))
            .and_then(|(_, id)| self.routers.get(id));
        let Some(router) = router else {
            return;
        };
        let pair = (router.clone(), host.clone());
        let mine = self.ejected.contains(&pair);
        reached.reach_if(mine, Point::EjectedUsed);
        let by_another = self
            .ejected
            .iter()
            .any(|(of, it)| it == host && of != router);
        reached.reach_if(by_another && !mine, Point::EjectedByOne);
        let returned = self.returned.get(&pair);
        let lately = returned.is_some_and(|returned| at.saturating_sub(*returned) < USED_AGAIN);
        reached.reach_if(lately, Point::ReturnedUsed);
    }
}
