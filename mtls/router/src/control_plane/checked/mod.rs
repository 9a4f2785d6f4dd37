//! The registry that was read before the start.
//!
//! Before a router starts, it checks its files, and so reads the registry. The driver puts that one in
//! force. If it read the document again, a million tenants would take most of the time and the memory of
//! the start once more.

use std::sync::Arc;

use bytes::Bytes;
use cellway_core::registry::{Candidate, Parsed, Registry, RegistryFetched};

/// A registry that was validated against no other. It is used once.
#[derive(Debug, Default)]
pub(crate) enum Checked {
    /// There is none, or it was used.
    #[default]
    Nothing,
    /// It came from its source.
    Fetched(Box<Fetched>),
    /// It came from the last-known-good copy.
    Kept(Box<Registry>),
}

/// A registry from its source, with the document for the last-known-good copy.
#[derive(Debug)]
pub(crate) struct Fetched {
    pub(crate) registry: Registry,
    pub(crate) body: Bytes,
    /// The document is still the same if the source confirms this.
    pub(crate) validator: Arc<str>,
}

impl Checked {
    /// The registry from the source, for the first fetch. One from the last-known-good copy stays.
    pub(crate) fn take_fetched(&mut self) -> Option<Fetched> {
        match std::mem::take(self) {
            Self::Fetched(fetched) => Some(*fetched),
            other @ (Self::Nothing | Self::Kept(_)) => {
                *self = other;
                None
            }
        }
    }

    /// The registry from the last-known-good copy, for its restoration. A registry from the source
    /// stays.
    pub(crate) fn take_kept(&mut self) -> Option<Registry> {
        match std::mem::take(self) {
            Self::Kept(registry) => Some(*registry),
            other @ (Self::Nothing | Self::Fetched(_)) => {
                *self = other;
                None
            }
        }
    }
}

impl Fetched {
    /// The answer to a fetch that the source has confirmed.
    pub(crate) fn confirmed(self) -> RegistryFetched {
        RegistryFetched::Document {
            parsed: Ok(Parsed::Changed(Box::new(Candidate::first(self.registry)))),
            body: self.body,
            validator: Some(self.validator),
        }
    }
}

#[cfg(test)]
mod tests;
