//! No router waits longer for a cell than it may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::Fact;

/// A request that has arrived at a cell is answered within `header_timeout_ms`, whatever the cell does, and
/// what further attempts may take that don't arrive. This is not checked for streams and for requests whose
/// body stops.
#[derive(Debug)]
pub struct CellWaits {
    settings: SettingsInForce,
    delivery_max: Duration,
    /// When each request arrived last, by tag.
    arrived: BTreeMap<String, Duration>,
    /// The router that each open request was sent to, by tag.
    open: BTreeMap<String, String>,
    /// Clients that send whole requests and ask for no streams.
    short_requests: BTreeSet<String>,
}

impl CellWaits {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            arrived: BTreeMap::new(),
            open: BTreeMap::new(),
            short_requests: bounds.short_requests.clone(),
        }
    }
}

impl Invariant for CellWaits {
    fn name(&self) -> &'static str {
        "cell_waits"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent)
                if sent.via.is_none() && self.short_requests.contains(&sent.client) =>
            {
                self.open.insert(sent.tag.clone(), sent.to.clone());
            }
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag
                    && self.open.contains_key(tag)
                {
                    self.arrived.insert(tag.clone(), at);
                }
            }
            Fact::Answered { tag, .. } => {
                let router = self.open.remove(tag).unwrap_or_default();
                let within = |arrived| {
                    let settings = &self.settings;
                    settings.most(&router, [arrived, at], |it| {
                        it.timeouts.header + it.timeouts.tries
                    }) + self.delivery_max
                };
                if let Some(arrived) = self.arrived.remove(tag)
                    && at > arrived + within(arrived)
                {
                    return Err(format!(
                        "{tag} arrived at a cell at {arrived:?}, but its client got an answer {:?} later; \
                         the limit is {:?}",
                        at.saturating_sub(arrived),
                        within(arrived)
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
