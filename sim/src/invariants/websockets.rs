//! Which WebSockets are open, and how long their credentials are valid.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Passed};
use crate::fact::{Fact, Life};

/// The WebSockets that reached a cell and aren't over, and the routers' clocks.
#[derive(Debug)]
pub(super) struct WebSockets {
    end_with_token: bool,
    /// By tag.
    open: BTreeMap<String, Open>,
    /// The wall clock of each router at its last decision, and when that was.
    clocks: BTreeMap<Life, (Duration, Duration)>,
    /// The tags of requests for a WebSocket that are not over.
    asked: BTreeSet<String>,
}

/// An open WebSocket.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) life: Life,
    pub(super) since: Duration,
    certificate_expires: Option<Duration>,
    token_expires: Option<Duration>,
}

impl WebSockets {
    /// Within these bounds.
    pub(super) fn new(bounds: &Bounds) -> Self {
        Self {
            end_with_token: bounds.websockets_end_with_token,
            open: BTreeMap::new(),
            clocks: BTreeMap::new(),
            asked: BTreeSet::new(),
        }
    }

    /// Takes the next fact. A WebSocket that is over stays open here until [`Self::over`].
    pub(super) fn observe(&mut self, at: Duration, fact: &Fact) {
        match fact {
            Fact::Sent(sent) if sent.websocket => {
                self.asked.insert(sent.tag.clone());
            }
            Fact::Decided(decided) => {
                let clock = (decided.unix, at);
                self.clocks.insert(decided.life.clone(), clock);
            }
            Fact::Crashed(life) => self.open.retain(|_, open| open.life != *life),
            Fact::ClientStopped(client) => {
                let of = format!("{client}-");
                self.open.retain(|tag, _| !tag.starts_with(&of));
            }
            _ => {}
        }
    }

    /// A request arrives at a cell.
    pub(super) fn arrived(&mut self, at: Duration, passed: &Passed<'_>) {
        let tag = &passed.sent.tag;
        // The client may have given up before the request arrives.
        if passed.sent.websocket && self.asked.contains(tag) {
            let open = Open {
                life: passed.decided.life.clone(),
                since: at,
                certificate_expires: passed.certificate_expires,
                token_expires: passed.sent.token.as_ref().map(|token| token.expires),
            };
            self.open.insert(tag.clone(), open);
        }
    }

    /// Those that are open, by tag.
    pub(super) fn open(&self) -> impl Iterator<Item = (&String, &Open)> {
        self.open.iter()
    }

    /// The one with this tag, if it is open.
    pub(super) fn get(&self, tag: &str) -> Option<&Open> {
        self.open.get(tag)
    }

    /// The request with this tag is over. Returns the WebSocket that it opened, if it did.
    pub(super) fn over(&mut self, tag: &str) -> Option<Open> {
        self.asked.remove(tag);
        self.open.remove(tag)
    }

    /// What has expired of this WebSocket's credentials, or expires within `early`, by the clock of
    /// its router. A token counts only if a setting ends WebSockets with their tokens.
    pub(super) fn expired(
        &self,
        open: &Open,
        at: Duration,
        early: Duration,
        late: Duration,
    ) -> Option<&'static str> {
        let (unix, then) = self.clocks.get(&open.life)?;
        let now = *unix + at.saturating_sub(*then);
        let token = open.token_expires.filter(|_| self.end_with_token);
        let credentials = [("certificate", open.certificate_expires), ("token", token)];
        let expired = |expires: Duration| now + early > expires + late;
        let mut expired = credentials
            .iter()
            .filter(|(_, expires)| expires.is_some_and(expired));
        expired.next().map(|(what, _)| *what)
    }
}
