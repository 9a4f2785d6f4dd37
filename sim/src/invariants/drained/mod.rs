//! A draining router accepts nothing new and finishes open requests.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, Passed, RouterSettings, SettingsInForce};
use crate::fact::{Answer, Fact, Life};

/// Nothing is lost in a drain. Until its delay is over, a draining router takes connections. Then it
/// takes no more, and no request that was sent after its clients could know. Requests that were sent
/// before are answered, unless they last longer than the drain; clients and router both report this.
/// The drain itself ends in time.
#[derive(Debug)]
pub struct Drained {
    settings: SettingsInForce,
    delivery_max: Duration,
    troubles: Vec<(Duration, Duration)>,
    unfinished: BTreeSet<String>,
    /// When each router started.
    started: BTreeMap<String, Duration>,
    /// Routers that have taken a connection since they started.
    listened: BTreeSet<String>,
    /// When each draining router said so.
    announced: BTreeMap<Life, Duration>,
    /// When each draining router closed its listeners.
    closed: BTreeMap<Life, Duration>,
    /// Forwarded and not ended yet, by router and its request id.
    open: BTreeSet<(Life, String)>,
    /// The router that forwarded each request, by tag.
    passed: BTreeMap<String, Life>,
    /// When each request was sent and to which router, by tag. Only those of clients that finish
    /// their requests and can prove who they are.
    sent: BTreeMap<String, (Duration, String)>,
}

impl Drained {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            settings: bounds.settings.clone(),
            delivery_max: bounds.delivery_max,
            troubles: bounds.troubles.clone(),
            unfinished: bounds.unfinished.clone(),
            started: BTreeMap::new(),
            listened: BTreeSet::new(),
            announced: BTreeMap::new(),
            closed: BTreeMap::new(),
            open: BTreeSet::new(),
            passed: BTreeMap::new(),
            sent: BTreeMap::new(),
        }
    }

    /// The shortest and the longest time that a router may drain by. It reads its settings when the
    /// drain begins.
    fn time(
        &self,
        life: &Life,
        setting: impl Fn(&RouterSettings) -> Duration + Copy,
    ) -> (Duration, Duration) {
        let begun = [self.announced.get(life).copied().unwrap_or_default(); 2];
        let least = self.settings.least(&life.router, begun, setting);
        (least, self.settings.most(&life.router, begun, setting))
    }

    fn closes(&self, at: Duration, life: &Life) -> Result<(), String> {
        let announced = self.announced.get(life).copied().unwrap_or_default();
        let (delay, _) = self.time(life, |it| it.drain.delay);
        let early = at < announced + delay;
        // A router whose listeners have not opened yet doesn't wait.
        match early && self.listened.contains(&life.router) {
            true => Err(format!(
                "{} closed its listeners at {at:?}, before the delay since {announced:?} was over",
                life.router
            )),
            false => Ok(()),
        }
    }

    fn connected(&self, at: Duration, client: &str, to: &str) -> Result<(), String> {
        let closed = self.closed.iter().find(|(life, _)| life.router == to);
        match closed.filter(|(_, since)| at > **since + self.delivery_max) {
            Some((_, since)) => Err(format!(
                "{client} got a new connection to {to}, which closed its listeners at {since:?}"
            )),
            None => Ok(()),
        }
    }

    /// Whether something else than the drain may be why a request failed in this time.
    fn is_troubled(&self, from: Duration, until: Duration) -> bool {
        let mut troubles = self.troubles.iter();
        troubles.any(|(begin, end)| *begin <= until && from <= *end)
    }

    fn answered(&mut self, at: Duration, tag: &str, answer: &Answer) -> Result<(), String> {
        let (passed, sent) = (self.passed.remove(tag), self.sent.remove(tag));
        let (Answer::None | Answer::Refused) = answer else {
            return Ok(());
        };
        let Some((sent, to)) = sent.filter(|(sent, _)| !self.is_troubled(*sent, at)) else {
            return Ok(());
        };
        let mut draining = self.announced.iter();
        let Some((life, announced)) = draining.find(|(life, _)| life.router == to) else {
            return Ok(());
        };
        let in_time = match self.closed.get(life) {
            // It still takes connections.
            None => true,
            // A client that has no connection can't get one.
            Some(_) if *answer == Answer::Refused => false,
            Some(closed) => {
                // Later, the router may close the connection while the request is on its way.
                let (idle, _) = self.time(life, |it| it.drain.idle);
                let (drain, _) = self.time(life, |it| it.drain.deadline);
                let was_taken = passed.is_some() || sent + self.delivery_max < *closed + idle;
                was_taken && at < *closed + drain
            }
        };
        match in_time && sent >= self.started.get(&to).copied().unwrap_or_default() {
            true => Err(format!(
                "{tag}, sent at {sent:?} to {to}, which began to drain at {announced:?}, got \
                 {answer}"
            )),
            false => Ok(()),
        }
    }

    fn forwarded(&self, tag: &str, life: &Life) -> Result<(), String> {
        let (Some((sent, _)), Some(closed)) = (self.sent.get(tag), self.closed.get(life)) else {
            return Ok(());
        };
        // HTTP/1.1 clients learn it from their next answer.
        let (_, idle) = self.time(life, |it| it.drain.idle);
        let known = *closed + idle + self.delivery_max;
        match *sent > known {
            true => Err(format!(
                "{} forwarded {tag}, which was sent at {sent:?}, but has been draining since \
                 {closed:?}",
                life.router
            )),
            false => Ok(()),
        }
    }

    fn drained(&self, at: Duration, life: &Life) -> Result<(), String> {
        let Some(since) = self.announced.get(life) else {
            return Ok(());
        };
        let router = &life.router;
        let (_, time) = self.time(life, |it| it.drain.delay + it.drain.deadline);
        if at > *since + time + self.delivery_max {
            return Err(format!(
                "{router} drained from {since:?} to {at:?}, longer than its settings allow"
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
        match fact {
            Fact::Sent(sent) if sent.good && !self.unfinished.contains(&sent.client) => {
                let to = sent.via.as_ref().unwrap_or(&sent.to);
                self.sent.insert(sent.tag.clone(), (at, to.clone()));
            }
            Fact::Noted(life, note) if note.kind == "draining" => {
                self.announced.insert(life.clone(), at);
            }
            Fact::Noted(life, note) if note.kind == "listeners_closed" => {
                self.closed.insert(life.clone(), at);
                return self.closes(at, life);
            }
            Fact::Noted(life, note) if note.kind == "drained" => return self.drained(at, life),
            Fact::Started(life) => {
                self.started.insert(life.router.clone(), at);
                self.listened.remove(&life.router);
                self.announced.retain(|of, _| of.router != life.router);
                self.closed.retain(|of, _| of.router != life.router);
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
            Fact::Connected { client, to, .. } => {
                self.listened.insert(to.clone());
                return self.connected(at, client, to);
            }
            Fact::Answered { tag, answer } => return self.answered(at, tag, answer),
            _ => {}
        }
        Ok(())
    }

    fn arrived(&mut self, _at: Duration, passed: &Passed<'_>) -> Result<(), String> {
        let (tag, life) = (&passed.sent.tag, &passed.decided.life);
        self.forwarded(tag, life)?;
        self.passed.insert(tag.clone(), life.clone());
        Ok(())
    }
}

#[cfg(test)]
mod tests;
