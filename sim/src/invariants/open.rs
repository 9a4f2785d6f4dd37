//! Follows the requests that are open at a router.

use std::collections::{BTreeMap, BTreeSet};

use crate::fact::{Fact, Life};

/// A router, and its id of a request.
type Key = (Life, String);

/// The requests that haven't been answered, each with what an invariant wants to know about it.
#[derive(Debug)]
pub(super) struct Open<T> {
    requests: BTreeMap<Key, T>,
    /// Those that were answered. The network may deliver one of their attempts to a cell later.
    answered: BTreeSet<Key>,
    /// Routers that have crashed. What they had sent may arrive at a cell later, but they answer nothing.
    over: BTreeSet<Life>,
}

impl<T> Open<T> {
    pub(super) fn new() -> Self {
        Self {
            requests: BTreeMap::new(),
            answered: BTreeSet::new(),
            over: BTreeSet::new(),
        }
    }

    /// Notes a request, unless it has been answered or its router has crashed.
    pub(super) fn begins(&mut self, life: Life, id: String, about: T) {
        let key = (life, id);
        if !self.answered.contains(&key) && !self.over.contains(&key.0) {
            self.requests.insert(key, about);
        }
    }

    /// Takes the next fact: requests end with their answer or their router.
    pub(super) fn observe(&mut self, fact: &Fact) {
        match fact {
            Fact::Responded(responded) => {
                let key = (responded.life.clone(), responded.request_id.clone());
                self.requests.remove(&key);
                self.answered.insert(key);
            }
            Fact::Crashed(crashed) => {
                self.requests.retain(|(life, _), _| life != crashed);
                self.over.insert(crashed.clone());
            }
            // Its process before may have ended in a drain.
            Fact::Started(started) => self.requests.retain(|(life, _), _| {
                life.router != started.router || life.incarnation >= started.incarnation
            }),
            _ => {}
        }
    }

    /// Forgets a request that nobody waits for.
    pub(super) fn forget(&mut self, life: &Life, id: &str) {
        self.requests.remove(&(life.clone(), id.to_owned()));
    }

    /// Each with its router and its id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Life, &str, &T)> {
        let requests = self.requests.iter();
        requests.map(|((life, id), about)| (life, id.as_str(), about))
    }
}
