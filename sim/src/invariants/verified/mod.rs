//! Nothing unverified is forwarded.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce, shown};
use crate::fact::{Arrived, Decided, Fact, Sent};

/// Every request that arrives at a cell was sent with good credentials, which were valid by the clock
/// of the router that decided it. It arrives marked `verified` and for the tenant that the client
/// really acts for.
///
/// The client reports whether its own credentials are good. `anonymous_apart` checks requests without
/// credentials.
#[derive(Debug)]
pub struct OnlyVerified {
    prefix: String,
    settings: SettingsInForce,
    sent: BTreeMap<String, Arc<Sent>>,
    /// When each request was decided, and how, by its id.
    decided: BTreeMap<String, (Duration, Arc<Decided>)>,
}

impl OnlyVerified {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            prefix: bounds.header_prefix.clone(),
            settings: bounds.settings.clone(),
            sent: BTreeMap::new(),
            decided: BTreeMap::new(),
        }
    }

    fn check(&self, arrived: &Arrived) -> Result<(), String> {
        let Arrived { cell, tag, .. } = arrived;
        let Some(sent) = tag.as_ref().and_then(|tag| self.sent.get(tag)) else {
            return Err(format!("{cell} received a request that no client sent"));
        };
        if sent.anonymous {
            return Ok(());
        }
        if !sent.good {
            return Err(format!("{cell} received {} with bad credentials", sent.tag));
        }
        let own = |name: &str| arrived.header(&format!("{}{name}", self.prefix));
        if own("auth") != Some("verified") {
            return Err(format!(
                "{} arrived with auth {}, expected verified",
                sent.tag,
                shown(own("auth"))
            ));
        }
        if own("tenant") != Some(&sent.tenant) {
            return Err(format!(
                "{} arrived for the tenant {}, but its client acts for {}",
                sent.tag,
                shown(own("tenant")),
                sent.tenant
            ));
        }
        let decided = own("request-id").and_then(|id| self.decided.get(id));
        let (Some(token), Some((at, decided))) = (&sent.token, decided) else {
            return Ok(());
        };
        if decided.unix >= token.expires {
            return Err(format!(
                "{} arrived with a token that had expired",
                sent.tag
            ));
        }
        let router = &decided.life.router;
        let leeway = self.settings.most(router, [*at; 2], |it| it.issuer.leeway);
        if decided.unix + leeway < token.issued {
            return Err(format!(
                "{} arrived with a token that was not valid yet",
                sent.tag
            ));
        }
        Ok(())
    }
}

impl Invariant for OnlyVerified {
    fn name(&self) -> &'static str {
        "only_verified"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) => {
                self.sent.insert(sent.tag.clone(), sent.clone());
            }
            Fact::Decided(decided) => {
                let id = decided.request_id.clone();
                self.decided.insert(id, (at, decided.clone()));
            }
            Fact::Arrived(arrived) => return self.check(arrived),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
