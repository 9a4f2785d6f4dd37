//! A WebSocket has no more rights than a request, and is told to close in a drain.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::journal::Journal;
use super::{Bounds, Invariant};
use crate::fact::{Answer, Fact, Life};

/// Nothing comes back over a WebSocket whose client certificate has expired for longer than open
/// streams may take to close, by the clock of its router. If a setting ends WebSockets with their
/// tokens, the same is true for tokens. Once a router has closed its listeners in a drain, it tells
/// its WebSockets to close, and they end in the same time. [`Suspended`](super::Suspended) checks
/// suspensions.
#[derive(Debug)]
pub struct Tunnels {
    journal: Journal,
    within: Duration,
    end_with_token: bool,
    troubles: Vec<(Duration, Duration)>,
    /// The WebSockets that were forwarded and aren't over, by tag.
    open: BTreeMap<String, Open>,
    /// The wall clock of each router at its last decision, and when that was.
    clocks: BTreeMap<Life, (Duration, Duration)>,
    /// When each draining router closed its listeners.
    closed: BTreeMap<Life, Duration>,
    /// The tags of requests for a WebSocket.
    asked: BTreeSet<String>,
}

#[derive(Debug)]
struct Open {
    life: Life,
    since: Duration,
    certificate_expires: Option<Duration>,
    token_expires: Option<Duration>,
}

impl Tunnels {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            journal: Journal::new(&bounds.header_prefix),
            within: bounds.streams_within + bounds.delivery_max,
            end_with_token: bounds.websockets_end_with_token,
            troubles: bounds.troubles.clone(),
            open: BTreeMap::new(),
            clocks: BTreeMap::new(),
            closed: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Checks what comes back over a WebSocket.
    fn streamed(&self, at: Duration, tag: &str) -> Result<(), String> {
        let Some(open) = self.open.get(tag) else {
            return Ok(());
        };
        let Some((unix, then)) = self.clocks.get(&open.life) else {
            return Ok(());
        };
        let now = *unix + at.saturating_sub(*then);
        let token = open.token_expires.filter(|_| self.end_with_token);
        for (what, expires) in [("certificate", open.certificate_expires), ("token", token)] {
            if expires.is_some_and(|expires| now > expires + self.within) {
                let router = &open.life.router;
                return Err(format!(
                    "{tag} still hears its cell through {router}, but its {what} has expired"
                ));
            }
        }
        Ok(())
    }

    /// Checks that no WebSocket outlives its router's drain.
    fn check_drains(&self, at: Duration) -> Result<(), String> {
        for (tag, open) in &self.open {
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
        let Some(open) = self.open.remove(tag) else {
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
        if let Some(passed) = self.journal.passed(at, fact)
            && passed.sent.websocket
        {
            let open = Open {
                life: passed.decided.life.clone(),
                since: at,
                certificate_expires: passed.certificate_expires,
                token_expires: passed.sent.token.as_ref().map(|token| token.expires),
            };
            // The client may have given up before the request arrives.
            let tag = passed.sent.tag.clone();
            if self.asked.contains(&tag) {
                self.open.insert(tag, open);
            }
        }
        match fact {
            Fact::Sent(sent) if sent.websocket => {
                self.asked.insert(sent.tag.clone());
            }
            Fact::Decided(decided) => {
                let clock = (decided.unix, at);
                self.clocks.insert(decided.life.clone(), clock);
            }
            Fact::Noted(life, note) if note.kind == "listeners_closed" => {
                self.closed.insert(life.clone(), at);
            }
            Fact::Crashed(life) => self.open.retain(|_, open| open.life != *life),
            Fact::Started(life) => self.closed.retain(|of, _| of.router != life.router),
            Fact::ClientStopped(client) => {
                let of = format!("{client}-");
                self.open.retain(|tag, _| !tag.starts_with(&of));
            }
            Fact::Streamed { tag } => self.streamed(at, tag)?,
            Fact::Answered { tag, answer } => {
                self.asked.remove(tag);
                self.answered(at, tag, answer)?;
            }
            _ => {}
        }
        self.check_drains(at)
    }
}

#[cfg(test)]
mod tests;
