//! After all faults, everything works again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Bounds, Invariant};
use crate::fact::{Answer, Fact};

/// Every request that a routable client sends after the last fault and the recovery time succeeds. Each
/// of these clients sends at least one.
#[derive(Debug)]
pub struct Recovery {
    from: Duration,
    within: Duration,
    /// Per routable client: successes since then.
    served: BTreeMap<String, u64>,
    /// Requests sent since then.
    sent: BTreeMap<String, String>,
}

impl Recovery {
    /// Over the time and the clients that `bounds` names.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            from: bounds.calm_from + bounds.recovery,
            within: bounds.answer_within,
            served: bounds.routable.iter().map(|c| (c.clone(), 0)).collect(),
            sent: BTreeMap::new(),
        }
    }
}

impl Invariant for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Sent(sent) if at >= self.from && self.served.contains_key(&sent.client) => {
                self.sent.insert(sent.tag.clone(), sent.client.clone());
            }
            Fact::Answered { tag, answer } => {
                let Some(client) = self.sent.remove(tag) else {
                    return Ok(());
                };
                // A WebSocket may outlive its certificate or token at any time.
                if !matches!(answer, Answer::Ok | Answer::Closed(_)) {
                    let from = self.from;
                    return Err(format!(
                        "{tag} was answered {answer}, but all must work again since {from:?}: the end of the last \
                         fault and `expect.recovery`"
                    ));
                }
                *self.served.entry(client).or_default() += 1;
            }
            _ => {}
        }
        Ok(())
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        if at < self.from + self.within {
            return Ok(());
        }
        match self.served.iter().find(|(_, served)| **served == 0) {
            Some((client, _)) => Err(format!("{client} was never served after {:?}", self.from)),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
