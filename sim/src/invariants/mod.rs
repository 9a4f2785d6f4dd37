//! What must hold in every scenario, at every event.
//!
//! Each invariant is a small machine that is fed the [`Fact`]s of a run and says when one can't
//! be. `docs/invariants.md` lists them in words. Each has a test that forges the stream of facts
//! which breaks it, because an oracle that never speaks looks the same as one that is content.

mod answers;
mod errors;
mod headers;
mod keys;
mod placement;
mod recovery;
mod registry;
mod verified;

#[cfg(test)]
mod testing;

use std::time::Duration;

pub use answers::OneAnswer;
pub use errors::NoUnexpectedErrors;
pub use headers::{FORGED, NoForgedHeaders};
pub use keys::BoundedKeyFetches;
pub use placement::AssignedCell;
pub use recovery::Recovery;
pub use registry::MonotonicRegistry;
pub use verified::OnlyVerified;

use crate::fact::Fact;

/// Something that must hold.
pub trait Invariant: Send {
    /// Its name in reports and in `docs/invariants.md`.
    fn name(&self) -> &'static str;

    /// Takes the next fact, at this time since the start.
    ///
    /// # Errors
    /// Why it can't be, in words.
    fn observe(&mut self, at: Duration, fact: &Fact) -> Result<(), String>;

    /// The run is over.
    ///
    /// # Errors
    /// What should have happened by now and hasn't.
    fn finish(&mut self, at: Duration) -> Result<(), String> {
        let _ = at;
        Ok(())
    }
}

/// What the invariants are told of a scenario before it runs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Bounds {
    /// The least time between two key fetches that unknown keys force.
    pub key_cooldown: Duration,
    /// What the router's headers begin with.
    pub header_prefix: String,
    /// When the last fault is over.
    pub calm_from: Duration,
    /// How long after that everything routable must succeed again.
    pub recovery: Duration,
    /// When a request that is still open at the end was too young to judge.
    pub answer_within: Duration,
    /// Clients that must be served once all is well.
    pub routable: Vec<String>,
    /// ERROR-level events that the scenario provokes.
    pub errors: Vec<String>,
}

/// All invariants.
pub fn all(bounds: &Bounds) -> Vec<Box<dyn Invariant>> {
    vec![
        Box::new(AssignedCell::new(&bounds.header_prefix)),
        Box::new(NoForgedHeaders::new(&bounds.header_prefix)),
        Box::new(OnlyVerified::new(&bounds.header_prefix)),
        Box::new(MonotonicRegistry::default()),
        Box::new(BoundedKeyFetches::new(bounds.key_cooldown)),
        Box::new(OneAnswer::new(bounds.answer_within)),
        Box::new(NoUnexpectedErrors::new(&bounds.errors)),
        Box::new(Recovery::new(bounds)),
    ]
}
