//! A place that is free at a cell goes to a request that waits.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::{Bounds, Invariant, SettingsInForce};
use crate::fact::{Fact, Life};

/// No request waits for a cell at which its router has fewer requests than there are places for any caller,
/// because then a place is free. That is one place if callers have shares of the limits, or if the cell
/// allows few streams on a connection.
///
/// A request waits from its decision until it arrives, less the time that it may be on its way. It has its
/// place until its router reports its end and its client has the answer. Nothing is checked while a fault may
/// keep requests from arriving, or if the registry limits the requests of tenants or placements in
/// flight, because requests wait for that too.
#[derive(Debug)]
pub struct FreePlaces {
    request_id: String,
    /// Whether requests wait for cells only.
    holds: bool,
    transit: Duration,
    settings: SettingsInForce,
    few_streams: BTreeSet<String>,
    troubles: Vec<(Duration, Duration)>,
    /// The requests to each cell of a router.
    cells: BTreeMap<(Life, String), AtCell>,
    /// By the router's id: where a request waits or is.
    requests: BTreeMap<String, Request>,
    /// The ids of requests that have arrived, by tag.
    ids: BTreeMap<String, String>,
    /// The tags of requests that clients have sent to routers and that aren't answered.
    unanswered: BTreeSet<String>,
}

#[derive(Debug, Default)]
struct AtCell {
    waiting: BTreeMap<String, Duration>,
    there: BTreeSet<String>,
    /// When others were over that have been there, as long as a request may be on its way.
    over: Vec<Duration>,
}

#[derive(Debug)]
struct Request {
    cell: (Life, String),
    tag: Option<String>,
    responded: bool,
}

impl FreePlaces {
    /// Within these bounds.
    pub fn new(bounds: &Bounds) -> Self {
        Self {
            request_id: format!("{}request-id", bounds.header_prefix),
            holds: !bounds.limits_in_flight(),
            transit: bounds.transit_max,
            settings: bounds.settings.clone(),
            few_streams: bounds.few_streams.clone(),
            troubles: bounds.troubles.clone(),
            cells: BTreeMap::new(),
            requests: BTreeMap::new(),
            ids: BTreeMap::new(),
            unanswered: BTreeSet::new(),
        }
    }

    /// A request goes to this cell of a router, and to no other any more.
    fn goes_to(&mut self, at: Duration, cell: (Life, String), id: &str) {
        if let Some(before) = self.requests.remove(id)
            && let Some(at_cell) = self.cells.get_mut(&before.cell)
        {
            at_cell.waiting.remove(id);
        }
        let at_cell = self.cells.entry(cell.clone()).or_default();
        at_cell.waiting.insert(id.to_owned(), at);
        let request = Request {
            cell,
            tag: None,
            responded: false,
        };
        self.requests.insert(id.to_owned(), request);
    }

    fn received(&mut self, tag: &str, id: &str) {
        let Some(request) = self.requests.get_mut(id) else {
            return;
        };
        request.tag = Some(tag.to_owned());
        self.ids.insert(tag.to_owned(), id.to_owned());
        if let Some(at_cell) = self.cells.get_mut(&request.cell) {
            at_cell.waiting.remove(id);
            at_cell.there.insert(id.to_owned());
        }
    }

    /// A request may be over: its router has reported that, and its client has the answer.
    fn ends(&mut self, at: Duration, id: &str) {
        let Some(request) = self.requests.get(id) else {
            return;
        };
        let waits = |tag: &String| self.unanswered.contains(tag);
        if !request.responded || request.tag.as_ref().is_some_and(waits) {
            return;
        }
        if let Some(at_cell) = self.cells.get_mut(&request.cell) {
            at_cell.waiting.remove(id);
            if at_cell.there.remove(id) {
                at_cell.over.push(at);
            }
        }
        self.requests.remove(id);
    }

    /// Whoever has got a place since `from` has arrived by now, so all that have places were there at some
    /// time since.
    fn check(&mut self, at: Duration) -> Result<(), String> {
        let Some(from) = at.checked_sub(self.transit) else {
            return Ok(());
        };
        for at_cell in self.cells.values_mut() {
            at_cell.over.retain(|over| *over >= from);
        }
        if self.is_troubled(from, at) {
            return Ok(());
        }
        for ((life, cell), at_cell) in &self.cells {
            let there = at_cell.there.len() + at_cell.over.len();
            if there >= self.places(&life.router, cell, [from, at]) {
                continue;
            }
            let mut waiting = at_cell.waiting.iter();
            if let Some((id, since)) = waiting.find(|(_, since)| **since < from) {
                return Err(format!(
                    "{} lets {id} wait for {cell} since {since:?}, but has had only {there} requests there \
                     since {from:?}",
                    life.router
                ));
            }
        }
        Ok(())
    }

    /// How many requests a router may have at a cell at least, whoever sends them.
    fn places(&self, router: &str, cell: &str, time: [Duration; 2]) -> usize {
        if self.few_streams.contains(cell) {
            return 1;
        }
        (self.settings)
            .least(router, time, |it| it.limits.places_for_all)
            .max(1)
    }

    /// Whether a fault may be why a request hasn't arrived in this time.
    fn is_troubled(&self, from: Duration, until: Duration) -> bool {
        let mut troubles = self.troubles.iter();
        troubles.any(|(begin, end)| *begin <= until && from <= *end)
    }

    fn forget(&mut self, life: &Life) {
        self.cells.retain(|(of, _), _| of != life);
        self.requests.retain(|_, request| request.cell.0 != *life);
    }
}

impl Invariant for FreePlaces {
    fn name(&self) -> &'static str {
        "free_places"
    }

    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String> {
        if !self.holds {
            return Ok(());
        }
        match fact {
            Fact::Sent(sent) if sent.via.is_none() => {
                self.unanswered.insert(sent.tag.clone());
            }
            Fact::Decided(decided) => {
                if let Some(cell) = &decided.cell {
                    let to = (decided.life.clone(), cell.clone());
                    self.goes_to(at, to, &decided.request_id);
                }
            }
            Fact::FailedOver(moved) => {
                let to = (moved.life.clone(), moved.cell.clone());
                self.goes_to(at, to, &moved.request_id);
            }
            Fact::Arrived(arrived) => {
                if let (Some(tag), Some(id)) = (&arrived.tag, arrived.header(&self.request_id)) {
                    self.received(tag, id);
                }
            }
            Fact::Responded(responded) => {
                if let Some(request) = self.requests.get_mut(&responded.request_id) {
                    request.responded = true;
                }
                self.ends(at, &responded.request_id);
            }
            Fact::Answered { tag, .. } => {
                self.unanswered.remove(tag);
                if let Some(id) = self.ids.remove(tag) {
                    self.ends(at, &id);
                }
            }
            _ => {}
        }
        if let Some(life) = fact.ended() {
            self.forget(life);
        }
        self.check(at)
    }

    fn finish(&mut self, at: Duration) -> Result<(), String> {
        match self.holds {
            true => self.check(at),
            false => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
