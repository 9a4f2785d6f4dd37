//! What a decision sees of one issuer's keys.

use std::sync::Arc;

use crate::time::Mono;

use super::KeySet;

/// One issuer's keys at one moment, immutable.
#[derive(Clone, Debug, Default)]
pub struct IssuerKeys {
    /// Grows with every completed fetch, whatever it brought.
    pub epoch: u64,
    /// Grows when the content of the set changes, and only then.
    pub generation: u64,
    /// The last good set.
    pub set: Option<Arc<KeySet>>,
}

/// How well an issuer's tokens can be verified.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyState {
    /// No set has been fetched yet.
    Empty,
    /// The set is as new as it should be.
    Fresh,
    /// The set could not be refreshed in time, and serves on.
    Stale,
    /// The set is too old to serve.
    Expired,
}

impl KeyState {
    /// The name in metrics and on the readiness page.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Expired => "expired",
        }
    }
}

impl IssuerKeys {
    /// The state at `now`.
    pub fn state(&self, now: Mono) -> KeyState {
        let _ = now;
        KeyState::Empty
    }
}
