//! What a rehearsal has found.

mod blast;
mod text;

use serde::Serialize;

pub use self::blast::Blast;
use super::decisions::{Decisions, Kind};
use super::notes::Note;

/// What a rehearsal has found.
#[derive(Clone, PartialEq, Debug, Serialize)]
#[non_exhaustive]
pub struct Report {
    /// The folder before the change.
    pub from: String,
    /// The folder after it.
    pub to: String,
    /// What running routers say about the change as a whole.
    pub notes: Vec<Note>,
    /// How much the change touches.
    pub blast: Blast,
    /// What it does to decisions.
    pub decisions: Decisions,
}

impl Report {
    /// Whether a pipeline may go on if decisions may change in these ways.
    pub fn passed(&self, allowed: &[Kind]) -> bool {
        let changes = self.decisions.changes.iter();
        let decided = changes.map(|it| it.kind).all(|kind| allowed.contains(&kind));
        decided && !self.notes.iter().any(|note| note.refused)
    }
}
