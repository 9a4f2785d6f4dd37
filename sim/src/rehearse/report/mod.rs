//! What a rehearsal has found.

mod blast;
mod text;

use serde::Serialize;

pub use self::blast::Blast;
use super::decisions::{Decisions, Kind};
use super::notes::Note;
use super::settings::NotSimulated;
use super::traffic::Traffic;

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
    /// What it does to the traffic of each listener.
    pub traffic: Vec<Traffic>,
    /// The settings that the simulated routers don't have.
    pub not_simulated: Vec<NotSimulated>,
}

impl Report {
    /// Whether a pipeline may go on, if decisions may change in these ways.
    pub fn passed(&self, allowed: &[Kind]) -> bool {
        let changes = self.decisions.changes.iter();
        let decided = changes.map(|it| it.kind).all(|kind| allowed.contains(&kind));
        decided && !self.is_refused() && !self.loses() && !self.breaks()
    }

    /// Whether running routers don't take the change.
    pub fn is_refused(&self) -> bool {
        self.notes.iter().any(|note| note.refused)
    }

    /// Whether requests are lost.
    pub fn loses(&self) -> bool {
        let mut lost = self.traffic.iter().flat_map(|it| &it.lost);
        lost.any(|it| it.counts)
    }

    /// Whether invariants break, and not without the change.
    pub fn breaks(&self) -> bool {
        let mut broken = self.traffic.iter().flat_map(|it| &it.broken);
        broken.any(|it| !it.without_change)
    }
}
