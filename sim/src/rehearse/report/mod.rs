//! What a rehearsal has found.

mod blast;
mod json;
mod junit;
mod markdown;
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
        let decided = changes
            .map(|it| it.kind)
            .all(|kind| allowed.contains(&kind));
        decided && !self.is_refused() && !self.loses() && !self.breaks()
    }

    /// The result in one line.
    pub fn verdict(&self, allowed: &[Kind]) -> String {
        let mut why = Vec::new();
        if self.is_refused() {
            why.push("running routers refuse it".to_owned());
        }
        for kind in Kind::ALL.into_iter().filter(|kind| !allowed.contains(kind)) {
            let changes = self.decisions.changes.iter().filter(|it| it.kind == kind);
            let of: std::collections::BTreeMap<_, _> =
                changes.clone().map(|it| (it.of, it.tenants)).collect();
            if changes.count() > 0 {
                let tenants: usize = of.values().sum();
                let noun = if tenants == 1 { "tenant" } else { "tenants" };
                let way = kind.as_str();
                why.push(format!("decisions change ({way}, {tenants} {noun})"));
            }
        }
        if self.loses() {
            let lost = self.traffic.iter().flat_map(|it| &it.lost);
            let lost: u64 = lost.filter(|it| it.counts).map(|it| it.requests).sum();
            why.push(format!("{lost} requests are lost"));
        }
        if self.breaks() {
            why.push("invariants are broken".to_owned());
        }
        match why.is_empty() {
            true => "PASSED".to_owned(),
            false => format!("FAILED: {}", why.join("; ")),
        }
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

#[cfg(test)]
mod tests;
