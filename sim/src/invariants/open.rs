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
}

impl<T> Open<T> {
    pub(super) fn new() -> Self {
        Self {
            requests: BTreeMap::new(),
            answered: BTreeSet::new(),
        }
    }

    /// Notes a request, unless it has been answered.
    pub(super) fn begins(&mut self, life: Life, id: String, about: T) {
        let key = (life, id);
        if !self.answered.contains(&key) {
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
            Fact::Crashed(crashed) => self.requests.retain(|(life, _), _| life != crashed),
            _ => {}
        }
    }

    /// Each with its router and its id.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&Life, &str, &T)> {
        let requests = self.requests.iter();
        requests.map(|((life, id), about)| (life, id.as_str(), about))
    }
}
