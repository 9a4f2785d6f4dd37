//! Rehearses a change of a user's own configuration and registry.
//!
//! Two folders have them before and after the change. The decisions of both are compared with the router's
//! own code, for classes of tenants. Then a scenario is derived from them, in which the change happens in
//! the middle of traffic.

mod cases;
mod classes;
mod decisions;
mod error;
mod folder;
mod notes;
mod report;

pub use self::classes::Class;
pub use self::decisions::{Change, Decisions, Kind};
pub use self::error::RehearseError;
pub use self::folder::Side;
pub use self::notes::Note;
pub use self::report::{Blast, Report};

use self::decisions::Decided;

/// A change: what was before, what is after, and what the router decides about both.
pub struct Rehearsal {
    old: Side,
    new: Side,
    classes: Vec<Class>,
    decided: Decided,
}

impl Rehearsal {
    /// Compares two sides.
    ///
    /// # Errors
    /// [`RehearseError::Decide`].
    pub fn new(old: Side, new: Side) -> Result<Self, RehearseError> {
        let classes = classes::classes(&old, &new);
        let decided = Decided::decide(&old, &new, &classes)?;
        Ok(Self {
            old,
            new,
            classes,
            decided,
        })
    }

    /// What the change does to decisions.
    pub fn report(&self) -> Report {
        let decisions = self.decided.compare(&self.classes);
        Report {
            from: self.old.folder.display().to_string(),
            to: self.new.folder.display().to_string(),
            notes: notes::notes(&self.old, &self.new),
            blast: Blast::of(&self.old, &self.new, &self.classes, &decisions),
            decisions,
        }
    }
}
