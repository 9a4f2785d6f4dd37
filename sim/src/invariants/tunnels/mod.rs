//! A WebSocket has no more rights than a request, and is told to close in a drain.

use std::collections::BTreeMap;
use std::time::Duration;

use super::websockets::WebSockets;
use super::{Bounds, Invariant, Passed};
use crate::fact::{Answer, Fact, Life};

/// Nothing comes back over a WebSocket whose client certificate has expired for longer than open
/// streams may take to close, by the clock of its router. If a setting ends WebSockets with their
/// tokens, the same is true for tokens. Once a router has closed its listeners in a drain, it tells
/// its WebSockets to close, and they end in the same time. [`Suspended`](super::Suspended) checks
/// suspensions.
#[derive(Debug)]
pub struct Tunnels {
    websockets: WebSockets,
    within: Duration,
    troubles: Vec<(Duration, Duration)>,
    /// When each draining router closed its listeners.
    closed: BTreeMap<Life, Duration>,
}

impl Tunnels {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            websockets: WebSockets::new(bounds),
            within: bounds.streams_within + bounds.delivery_max,
            troubles: bounds.troubles.clone(),
            closed: BTreeMap::new(),
        }
    }

    /// Checks what comes back over a WebSocket.
    fn streamed(&self, at: Duration, tag: &str) -> Result<(), String> {
        let Some(open) = self.websockets.get(tag) else {
            return Ok(());
        };
        let late = self.within;
        match self.websockets.expired(open, at, Duration::ZERO, late) {
            Some(what) => {
                let router = &open.life.router;
                Err(format!(
                    "{tag} still hears its cell through {router}, but its {what} has expired"
                ))
            }
            None => Ok(()),
        }
    }

    /// Checks that no WebSocket outlives its router's drain.
    fn check_drains(&self, at: Duration) -> Result<(), String> {
        for (tag, open) in self.websockets.open() {
            let Some(closed) = self.closed.get(&open.life) else {
                continue;
            };
            let told = open.since.max(*closed);
            if at > told + self.within && !self.is_troubled(told, at) {
                let router = &open.life.router;
                return Err(format!(
                    "{tag} is still open at {router}, which closed its listeners at {closed:?}"
                ));
            }
        }
        Ok(())
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) -> Result<(), String> {
        let Some(open) = self.websockets.over(tag) else {
            return Ok(());
        };
        match self.closed.get(&open.life) {
            Some(closed) if *answer == Answer::None && !self.is_troubled(*closed, at) => {
                Err(format!(
                    "{tag} was not told that {} drains, which closed its listeners at {closed:?}",
                    open.life.router
                ))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// Whether something else than a drain may be why a WebSocket broke in this time.
    fn is_troubled(&self, from: Duration, until: Duration) -> bool {
        let mut troubles = self.troubles.iter();
        troubles.any(|(begin, end)| *begin <= until && from <= *end)
    }
}

impl Invariant for Tunnels {
    fn name(&self) -> &'static str {
        "tunnels"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        self.websockets.observe(at, fact);
        match fact {
            Fact::Noted(life, note) if note.kind == "listeners_closed" => {
                self.closed.insert(life.clone(), at);
            }
            Fact::Started(life) => self.closed.retain(|of, _| of.router != life.router),
            Fact::Streamed { tag } => self.streamed(at, tag)?,
            Fact::Answered { tag, answer } => self.answered(at, tag, answer)?,
            _ => {}
        }
        self.check_drains(at)
    }

    fn arrived(&mut self, at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        self.websockets.arrived(at, passed);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
