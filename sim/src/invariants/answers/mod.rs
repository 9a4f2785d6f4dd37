//! Each request has exactly one end.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::Invariant;
use crate::fact::{Fact, Life};

/// A router decides each request once and reports its end once, in a bounded time unless it crashes.
/// A client gets one answer. A request that may change something reaches a cell at most once.
#[derive(Debug)]
pub struct OneAnswer {
    within: Duration,
    /// Decided and not yet ended: when.
    open: BTreeMap<(Life, String), Duration>,
    ended: BTreeSet<(Life, String)>,
    /// Sent and not yet answered, by tag: when, and by which client.
    waiting: BTreeMap<String, (Duration, String)>,
    answered: BTreeSet<String>,
    once: BTreeSet<String>,
    arrived: BTreeSet<String>,
}

impl OneAnswer {
    /// A request that has been open for longer than this when the run ends was forgotten.
    pub fn new(within: Duration) -> Self {
        Self {
            within,
            open: BTreeMap::new(),
            ended: BTreeSet::new(),
            waiting: BTreeMap::new(),
            answered: BTreeSet::new(),
            once: BTreeSet::new(),
            arrived: BTreeSet::new(),
        }
    }

    fn decided(&mut self, at: Duration, life: &Life, id: &str) -> Result<(), String> {
        let key = (life.clone(), id.to_owned());
        if self.ended.contains(&key) || self.open.insert(key, at).is_some() {
            return Err(format!("{} decided request {id} twice", life.router));
        }
        Ok(())
    }

    fn responded(&mut self, life: &Life, id: &str) -> Result<(), String> {
        let key = (life.clone(), id.to_owned());
        self.open.remove(&key);
        if !self.ended.insert(key) {
            return Err(format!(
                "{} reported the end of request {id} twice",
                life.router
            ));
        }
        Ok(())
    }

    fn received(&mut self, cell: &str, tag: &str) -> Result<(), String> {
        if self.once.contains(tag) && !self.arrived.insert(tag.to_owned()) {
            return Err(format!(
                "{tag} may arrive once only, but arrived again, at {cell}"
            ));
        }
        Ok(())
    }
}

impl Invariant for OneAnswer {
    fn name(&self) -> &'static str {
        "one_answer"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        match fact {
            Fact::Decided(decided) => self.decided(at, &decided.life, &decided.request_id),
            Fact::Responded(responded) => self.responded(&responded.life, &responded.request_id),
            Fact::Crashed(crashed) => {
                self.open.retain(|(life, _), _| life != crashed);
                Ok(())
            }
            Fact::ClientStopped(stopped) => {
                self.waiting.retain(|_, (_, client)| client != stopped);
                Ok(())
            }
            Fact::Sent(sent) => {
                let waiting = (at, sent.client.clone());
                self.waiting.insert(sent.tag.clone(), waiting);
                if sent.once {
                    self.once.insert(sent.tag.clone());
                }
                Ok(())
            }
            Fact::Answered { tag, .. } => {
                self.waiting.remove(tag);
                match self.answered.insert(tag.clone()) {
                    true => Ok(()),
                    false => Err(format!("the client of {tag} got two answers")),
                }
            }
            Fact::Arrived(arrived) => match &arrived.tag {
                Some(tag) => self.received(&arrived.cell, tag),
                None => Ok(()),
            },
            _ => Ok(()),
        }
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        let overdue = |since: &Duration| at.saturating_sub(*since) > self.within;
        let mut waiting = self.waiting.iter();
        if let Some((tag, (since, _))) = waiting.find(|(_, (since, _))| overdue(since)) {
            return Err(format!("{tag}, sent at {since:?}, was never answered"));
        }
        if let Some(((life, id), since)) = self.open.iter().find(|(_, since)| overdue(since)) {
            let router = &life.router;
            return Err(format!(
                "{router} decided request {id} at {since:?} and never reported its end"
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
