//! Follows the requests that are open at a router.

use std::collections::{BTreeMap, BTreeSet};

use crate::fact::{Fact, Life};

/// The requests that haven't been answered, each with what an invariant wants to know about it.
#[derive(Debug)]
pub(super) struct Open<T> {
    /// By router and its id of a request.
    requests: BTreeMap<Life, BTreeMap<String, T>>,
    /// Those that were answered. The network may deliver one of their attempts to a cell later.
    answered: BTreeMap<Life, BTreeSet<String>>,
    /// Routers that have crashed. What they had sent may arrive at a cell later, but they answer nothing.
    over: BTreeSet<Life>,
}

impl<T> Open<T> {
    pub(super) fn new() -> Self {
        Self {
            requests: BTreeMap::new(),
            answered: BTreeMap::new(),
            over: BTreeSet::new(),
        }
    }

    /// Notes a request, unless it has been answered or its router has crashed.
    pub(super) fn begins(&mut self, life: Life, id: String, about: T) {
        let answered = self.answered.get(&life);
        if !answered.is_some_and(|ids| ids.contains(&id)) && !self.over.contains(&life) {
            self.requests.entry(life).or_default().insert(id, about);
        }
    }

    /// Takes the next fact: requests end with their answer or their router.
    pub(super) fn observe(&mut self, fact: &Fact) {
        match fact {
            Fact::Responded(responded) => {
                self.forget(&responded.life, &responded.request_id);
                let id = responded.request_id.clone();
                let answered = self.answered.entry(responded.life.clone());
                answered.or_default().insert(id);
            }
            Fact::Crashed(crashed) => {
                self.requests.remove(crashed);
                self.answered.remove(crashed);
                self.over.insert(crashed.clone());
            }
            // Its process before may have ended in a drain.
            Fact::Started(started) => self.requests.retain(|life, _| {
                life.router != started.router || life.incarnation >= started.incarnation
            }),
            _ => {}
        }
    }

    /// Forgets a request that nobody waits for.
    pub(super) fn forget(&mut self, life: &Life, id: &str) {
        if let Some(requests) = self.requests.get_mut(life) {
            requests.remove(id);
        }
    }

    /// Each with its router and its id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Life, &str, &T)> {
        self.requests.iter().flat_map(|(life, requests)| {
            let requests = requests.iter();
            requests.map(move |(id, about)| (life, id.as_str(), about))
        })
    }
}
