//! After all faults, everything works again.

use std::collections::BTreeMap;
use std::time::Duration;

use super::websockets::WebSockets;
use super::{Bounds, Invariant, Passed};
use crate::fact::{Answer, Fact};

/// How long before its client's certificate expires a router may begin to close a WebSocket.
const CLOSED_EARLY: Duration = Duration::from_secs(6);

/// Policy violation: the client has lost the right to its WebSocket (RFC 6455, section 7.4.1).
const RIGHT_LOST: u16 = 1008;

/// Every request that a routable client sends after the last fault and the recovery time succeeds. Each
/// of these clients sends at least one. A WebSocket that is closed with 1008 when its certificate or its
/// token expires has succeeded; nothing else explains a WebSocket that is closed then.
#[derive(Debug)]
pub struct Recovery {
    from: Duration,
    within: Duration,
    /// Per routable client: successes since then.
    served: BTreeMap<String, u64>,
    /// Requests sent since then.
    sent: BTreeMap<String, String>,
    websockets: WebSockets,
}

impl Recovery {
    /// Over the time and the clients that `bounds` names.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            from: bounds.calm_from + bounds.recovery,
            within: bounds.answer_within,
            served: bounds.routable.iter().map(|c| (c.clone(), 0)).collect(),
            sent: BTreeMap::new(),
            websockets: WebSockets::new(bounds),
        }
    }

    /// Whether a request was served.
    fn is_served(&mut self, at: Duration, tag: &str, answer: &Answer) -> bool {
        let open = self.websockets.over(tag);
        match answer {
            Answer::Ok => true,
            Answer::Closed(RIGHT_LOST) => open.is_some_and(|open| {
                let expired = self
                    .websockets
                    .expired(&open, at, CLOSED_EARLY, Duration::ZERO);
                expired.is_some()
            }),
            _ => false,
        }
    }
}

impl Invariant for Recovery {
    fn name(&self) -> &'static str {
        "recovery"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.websockets.observe(at, fact);
        match fact {
            Fact::Sent(sent) if at >= self.from && self.served.contains_key(&sent.client) => {
                self.sent.insert(sent.tag.clone(), sent.client.clone());
            }
            Fact::Answered { tag, answer } => {
                let served = self.is_served(at, tag, answer);
                let Some(client) = self.sent.remove(tag) else {
                    return Ok(());
                };
                if !served {
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

    fn arrived(&mut self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        self.websockets.arrived(at, passed);
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
