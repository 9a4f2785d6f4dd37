//! A routing key counts only if a gateway's certificate or a signature proves it, and reaches no cell.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::headers;
use super::in_force::{self, InForce};
use super::{Bounds, Invariant, Passed, RouterSettings, SettingsInForce, shown};
use crate::fact::{Fact, RoutingKeyProof};

/// What the names of its headers begin with, after a cell's framework has folded them.
const NAME: &str = "x-routing-key";

/// No header with one of the routing key's names, in any spelling, arrives at a cell. A request with a
/// routing key arrives only if a gateway's certificate or a signature proves the key. The signature
/// is by a signer that its router's configuration lists, and neither too old nor from the future by
/// the clock of the router that decided it.
///
/// The configuration is what the world wrote to the router's disk, as for `anonymous_apart`.
#[derive(Debug)]
pub struct RoutingKeys {
    settings: SettingsInForce,
    /// The kids that each router's configuration lists.
    routers: BTreeMap<String, InForce<BTreeSet<String>>>,
}

impl RoutingKeys {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            routers: BTreeMap::new(),
        }
    }
}

impl Invariant for RoutingKeys {
    fn name(&self) -> &'static str {
        "routing_keys"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Configured(said) => {
                let until = self.settings.read_by(&said.router, at);
                let signers = said.signers.clone();
                in_force::configured(&mut self.routers, &said.router, signers, until);
            }
            Fact::Arrived(arrived) => {
                no_field(&arrived.cell, arrived.tag.as_ref(), &arrived.headers)?;
            }
            Fact::BodyEnded(ended) => no_field(&ended.cell, ended.tag.as_ref(), &ended.trailers)?,
            _ => in_force::reloaded(&mut self.routers, at, fact),
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        match &passed.sent.routing_key {
            None | Some(RoutingKeyProof::Gateway) => Ok(()),
            Some(RoutingKeyProof::None) => Err(format!(
                "{} arrived with a routing key that no gateway's certificate and no signature proves",
                passed.sent.tag
            )),
            Some(RoutingKeyProof::Signer { kid, time }) => {
                let router = &passed.decided.life.router;
                listed(self.routers.get(router), kid, passed)?;
                let decided = [passed.decided_at; 2];
                let most = |setting: fn(&RouterSettings) -> Duration| {
                    self.settings.most(router, decided, setting)
                };
                let times = [
                    most(|it| it.routing_key.max_age),
                    most(|it| it.routing_key.skew),
                ];
                in_time(*time, times, passed)
            }
        }
    }
}

fn no_field(cell: &str, tag: Option<&String>, fields: &[(String, String)]) -> Result<(), String> {
    for (name, _) in fields {
        if headers::may_begin_with(NAME, name) {
            return Err(format!(
                "{cell} received the header {name} of {}, which the router must remove",
                shown(tag)
            ));
        }
    }
    Ok(())
}

fn listed(
    known: Option<&InForce<BTreeSet<String>>>,
    kid: &str,
    passed: &Passed<'_>,
) -> Result<(), String> {
    let lists = |known: &InForce<BTreeSet<String>>| {
        let mut lists = known.at(passed.decided_at);
        lists.any(|kids| kids.contains(kid))
    };
    match known.is_some_and(lists) {
        true => Ok(()),
        false => Err(format!(
            "{} forwarded {} with a routing key signed by {kid}, which its configuration doesn't list",
            passed.decided.life.router, passed.sent.tag
        )),
    }
}

/// Whole seconds, as the signature has them.
fn in_time(
    time: Duration,
    [max_age, skew]: [Duration; 2],
    passed: &Passed<'_>,
) -> Result<(), String> {
    let now = Duration::from_secs(passed.decided.unix.as_secs());
    let problem = if now > time + max_age {
        "that was too old"
    } else if time > now + skew {
        "from the future"
    } else {
        return Ok(());
    };
    Err(format!(
        "{} arrived with a routing key's signature {problem}",
        passed.sent.tag
    ))
}

#[cfg(test)]
mod tests;
