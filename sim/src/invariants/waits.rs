//! No router waits longer for a cell than it may.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant};
use crate::fact::Fact;

/// A request that has arrived at a cell is answered within the time that routers wait for an answer's
/// header, whatever the cell does. Streams last longer, and so do requests that never come whole.
#[derive(Debug)]
pub struct CellWaits {
    within: Duration,
    /// When each request arrived last, by tag.
    arrived: BTreeMap<String, Duration>,
    open: BTreeSet<String>,
    /// Clients whose requests come whole, and whose answers do.
    brief: BTreeSet<String>,
}

impl CellWaits {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            within: bounds.header_timeout + bounds.held,
            arrived: BTreeMap::new(),
            open: BTreeSet::new(),
            brief: bounds.brief.clone(),
        }
    }
}

impl Invariant for CellWaits {
    fn name(&self) -> &'static str {
        "cell_waits"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if sent.via.is_none() && self.brief.contains(&sent.client) => {
                self.open.insert(sent.tag.clone());
            }
            Fact::Arrived(arrived) => {
                if let Some(tag) = &arrived.tag
                    && self.open.contains(tag)
                {
                    self.arrived.insert(tag.clone(), at);
                }
            }
            Fact::Answered { tag, .. } => {
                self.open.remove(tag);
                if let Some(arrived) = self.arrived.remove(tag)
                    && at > arrived + self.within
                {
                    return Err(format!(
                        "{tag} arrived at a cell at {arrived:?}, and its client was answered {:?} later",
                        at.saturating_sub(arrived)
                    ));
                }
            }
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::*;
    use super::*;
    use crate::fact::Answer;

    fn fed(client: &str, late: u32) -> Result<(), String> {
        let bounds = Bounds {
            header_timeout: SECOND * 2,
            brief: [client.to_owned()].into(),
            ..Bounds::default()
        };
        let mut facts = vec![sent("t", "acme"), arrived("a", "t", "r")];
        facts.extend((1..late).map(|_| answered("x", Answer::Ok)));
        facts.push(answered("t", Answer::Ok));
        feed(&mut CellWaits::new(&bounds), &facts)
    }

    #[test]
    fn notices_a_router_that_waits_too_long() {
        assert_eq!(fed("client", 2), Ok(()));
        assert!(fed("client", 3).is_err());
        assert_eq!(fed("another", 9), Ok(()));
    }
}
