//! The registry that was read before the start.
//!
//! Before a router starts, it checks its files, and so reads the registry. The first document that its
//! driver gets is usually the same one. It isn't read again, because a million tenants take most of the
//! time and the memory of a start.

use std::sync::{Arc, Mutex};

use cellway_core::registry::{Candidate, Registry};

use crate::lock::lock_uncontended;

/// A registry that was validated against no other, until the first document comes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checked(Arc<Mutex<Option<Registry>>>);

impl Checked {
    pub(crate) fn new(registry: Option<Registry>) -> Self {
        Self(Arc::new(Mutex::new(registry)))
    }

    /// The candidate that this document makes, if it is the one that was read. Only the first
    /// document is compared. `current` is the registry that it would replace.
    pub(crate) fn candidate(
        &self,
        document: &[u8],
        current: Option<&Registry>,
    ) -> Option<Candidate> {
        let registry = lock_uncontended(&self.0).take()?;
        let is_same = current.is_none() && registry.is_of(document);
        is_same.then(|| Candidate::first(registry))
    }
}

#[cfg(test)]
mod tests;
