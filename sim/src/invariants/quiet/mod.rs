//! One tenant's requests can't take another tenant's place.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Invariant;
use crate::fact::{Answer, Fact};

/// A tenant's only request is never refused because a limit of the router is reached. This uses
/// only what clients report about their requests and answers, so that it doesn't rely on routers.
#[derive(Debug)]
pub struct QuietServed {
    /// Whether the limits are large enough for that.
    holds: bool,
    /// Requests with good credentials that aren't answered yet, by tenant.
    open: BTreeMap<String, BTreeSet<String>>,
    /// The tenant of each of them.
    tenants: BTreeMap<String, String>,
}

impl QuietServed {
    /// `holds`: the limits have room for every tenant. Without that, nothing is checked.
    pub fn new(holds: bool) -> Self {
        Self {
            holds,
            open: BTreeMap::new(),
            tenants: BTreeMap::new(),
        }
    }
}

impl Invariant for QuietServed {
    fn name(&self) -> &'static str {
        "quiet_served"
    }

    fn observe(&mut self, _: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if sent.good => {
                let open = self.open.entry(sent.tenant.clone()).or_default();
                open.insert(sent.tag.clone());
                self.tenants.insert(sent.tag.clone(), sent.tenant.clone());
                Ok(())
            }
            Fact::Answered { tag, answer } => {
                let Some(tenant) = self.tenants.remove(tag) else {
                    return Ok(());
                };
                let open = self.open.entry(tenant.clone()).or_default();
                let count = open.len();
                open.remove(tag);
                let refused = matches!(answer, Answer::Router(reason) if reason == "overloaded");
                if self.holds && refused && count == 1 {
                    return Err(format!(
                        "{tag} was answered overloaded, but {tenant} had no other request open"
                    ));
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
