//! A draining router accepts nothing new and finishes open requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::journal::Journal;
use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Answer, Fact, Life};

/// Once a router begins to drain, it accepts no new connection, and no request that was sent after
/// its clients could know of the drain. Requests that it forwarded before are answered, unless they
/// last longer than the drain; clients and router both report this. The drain itself ends in time.
#[derive(Debug)]
pub struct Drained {
    journal: Journal,
    settings: SettingsInForce,
    delivery_max: Duration,
    /// When each router started.
    started: BTreeMap<String, Duration>,
    /// When each draining router began to drain.
    since: BTreeMap<Life, Duration>,
    /// Forwarded and not ended yet, by router and its request id.
    open: BTreeSet<(Life, String)>,
    /// By tag: which router forwarded it, and when.
    passed: BTreeMap<String, (Life, Duration)>,
    /// When each request was sent, by tag.
    sent: BTreeMap<String, Duration>,
}

impl Drained {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            journal: Journal::new(&bounds.header_prefix),
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            started: BTreeMap::new(),
            since: BTreeMap::new(),
            open: BTreeSet::new(),
            passed: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// How long a router may drain. It reads that when it starts, and keeps it.
    fn deadline(&self, life: &Life) -> Duration {
        let started = self.started.get(&life.router).copied();
        let started = started.unwrap_or_default();
        self.settings.at_start(&life.router, started, |it| it.drain)
    }

    fn connected(&self, at: Duration, client: &str, to: &str) -> Result<(), String> {
        let draining = self.since.iter().find(|(life, _)| life.router == to);
        match draining.filter(|(_, since)| at > **since + self.delivery_max) {
            Some((_, since)) => Err(format!(
                "{client} got a new connection to {to}, which has been draining since {since:?}"
            )),
            None => Ok(()),
        }
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) -> Result<(), String> {
        let Some((life, decided_at)) = self.passed.remove(tag) else {
            return Ok(());
        };
        let Some(since) = self.since.get(&life) else {
            return Ok(());
        };
        let lost = match answer {
            Answer::None | Answer::Refused => true,
            Answer::Ok | Answer::Router(_) | Answer::Cell(_) => false,
        };
        match lost && decided_at <= *since && at < *since + self.deadline(&life) {
            true => Err(format!(
                "{tag} was in flight when {} began to drain, at {since:?}, and got {answer}",
                life.router
            )),
            false => Ok(()),
        }
    }

    fn drained(&self, at: Duration, life: &Life) -> Result<(), String> {
        let Some(since) = self.since.get(life) else {
            return Ok(());
        };
        let router = &life.router;
        if at > *since + self.deadline(life) + self.delivery_max {
            return Err(format!(
                "{router} drained from {since:?} to {at:?}, longer than `drain_secs` allows"
            ));
        }
        match self.open.iter().find(|(of, _)| of == life) {
            Some((_, id)) => Err(format!(
                "{router} reported the end of its drain, but request {id} is still open"
            )),
            None => Ok(()),
        }
    }
}

impl Invariant for Drained {
    fn name(&self) -> &'static str {
        "drained"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if let Some(passed) = self.journal.passed(at, fact) {
            let (tag, life) = (passed.sent.tag.clone(), passed.decided.life.clone());
            let sent = self.sent.get(&tag).copied().unwrap_or_default();
            let since = self.since.get(&life).copied();
            if let Some(since) = since.filter(|since| sent > *since + self.delivery_max) {
                return Err(format!(
                    "{} forwarded {tag}, which was sent at {sent:?}, but has been draining since \
                     {since:?}",
                    life.router
                ));
            }
            self.passed.insert(tag, (life, passed.decided_at));
        }
        match fact {
            Fact::Sent(sent) => {
                self.sent.insert(sent.tag.clone(), at);
            }
            Fact::Noted(life, note) if note.kind == "draining" => {
                self.since.insert(life.clone(), at);
            }
            Fact::Noted(life, note) if note.kind == "drained" => return self.drained(at, life),
            Fact::Started(life) => {
                self.started.insert(life.router.clone(), at);
                self.since.retain(|of, _| of.router != life.router);
            }
            Fact::Crashed(life) => self.open.retain(|(of, _)| of != life),
            Fact::Decided(decided) if decided.cell.is_some() => {
                self.open
                    .insert((decided.life.clone(), decided.request_id.clone()));
            }
            Fact::Responded(responded) => {
                let key = (responded.life.clone(), responded.request_id.clone());
                self.open.remove(&key);
            }
            Fact::Connected { client, to, .. } => return self.connected(at, client, to),
            Fact::Answered { tag, answer } => return self.answered(at, tag, answer),
            _ => {}
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
