//! Rehearses a change of a user's own configuration and registry.
//!
//! Two folders have them before and after the change. The decisions of both are compared with the router's
//! own code, for classes of tenants. Then scenarios are derived from them, in which the change happens in
//! the middle of traffic. The caller runs these, each in a process of its own, and hands back what they
//! showed.

mod cases;
mod classes;
mod decisions;
mod derive;
mod error;
mod folder;
mod notes;
mod report;
mod settings;
mod traffic;

pub use self::classes::Class;
pub use self::decisions::{Change, Decisions, Kind};
pub use self::error::RehearseError;
pub use self::folder::Side;
pub use self::notes::Note;
pub use self::report::{Blast, Report};
pub use self::settings::{Fate, Instead, NotSimulated, fate_of};
pub use self::traffic::{Broken, Lost, Seen, Traffic};

use self::decisions::Decided;
use self::derive::{Derived, Part};
use self::settings::Left;
use self::traffic::Tally;
use crate::explore::{text, with_faults};

/// A change: what was before, what is after, and what the router decides about both.
pub struct Rehearsal {
    old: Side,
    new: Side,
    classes: Vec<Class>,
    decided: Decided,
    derived: Vec<Derived>,
    not_simulated: Vec<NotSimulated>,
    notes: Vec<Note>,
    tallies: Vec<Tally>,
}

/// A scenario to run.
#[derive(Clone, Debug)]
pub struct Run {
    /// Its name, for a file.
    pub name: String,
    /// Its text.
    pub scenario: String,
    /// The seed to run it with.
    pub seed: u64,
    /// Whether it has the change.
    pub has_change: bool,
    of: (usize, Part, bool),
}

impl Rehearsal {
    /// Compares two sides, and derives scenarios from them.
    ///
    /// # Errors
    /// [`RehearseError::Decide`].
    pub fn new(old: Side, new: Side) -> Result<Self, RehearseError> {
        let classes = classes::classes(&old, &new);
        let decided = Decided::decide(&old, &new, &classes)?;
        let mut left = Left::default();
        for side in [&old, &new] {
            settings::note_left(side, &mut left);
        }
        let changes = !new.has_registry_of(&old) && new.refused_after(&old).is_none();
        let derived = derive::derive(&old, &new, &classes, &decided, changes, &mut left);
        Ok(Self {
            notes: notes::notes(&old, &new),
            not_simulated: left.all(),
            tallies: derived.iter().map(|_| Tally::default()).collect(),
            old,
            new,
            classes,
            decided,
            derived,
        })
    }

    /// The scenarios to run: the change and both of its sides with each of these seeds, and then the change
    /// and the side before it with drawn faults, for each of `faults`.
    pub fn runs(&self, seeds: u64, faults: u64) -> Vec<Run> {
        let derived = || self.derived.iter().enumerate();
        let mut runs = Vec::new();
        for seed in 1..=seeds {
            for (at, it) in derived() {
                let after = it.after.as_ref().map(|after| (Part::After, after));
                let all = [(Part::Before, &it.before), (Part::Change, &it.change)];
                for (part, scenario) in all.into_iter().chain(after) {
                    runs.push(run(it, seed, (at, part, false), text(scenario)));
                }
            }
        }
        for seed in 1..=faults {
            for (at, it) in derived() {
                for (part, scenario) in [(Part::Before, &it.before), (Part::Change, &it.change)] {
                    let scenario = with_faults(scenario, seed, it.registry_faults);
                    runs.push(run(it, seed, (at, part, true), text(&scenario)));
                }
            }
        }
        runs
    }

    /// The scenarios with the change, by the names of their listeners.
    pub fn scenarios(&self) -> impl Iterator<Item = (&str, String)> {
        let derived = self.derived.iter();
        derived.map(|it| (it.listener.as_str(), text(&it.change)))
    }

    /// Takes what a run has shown.
    pub fn add(&mut self, run: &Run, seen: Seen) {
        let (at, part, with_faults) = run.of;
        if let Some(tally) = self.tallies.get_mut(at) {
            tally.add(part, with_faults, seen);
        }
    }

    /// What the change does to decisions, and to traffic as far as runs have shown.
    pub fn report(&self) -> Report {
        let decisions = self.decided.compare(&self.classes);
        let traffic = self.derived.iter().zip(&self.tallies);
        Report {
            from: self.old.folder.display().to_string(),
            to: self.new.folder.display().to_string(),
            notes: self.notes.clone(),
            blast: Blast::of(&self.old, &self.new, &self.classes, &decisions),
            decisions,
            traffic: traffic
                .map(|(derived, tally)| tally.traffic(derived, &self.classes))
                .collect(),
            not_simulated: self.not_simulated.clone(),
        }
    }
}

fn run(derived: &Derived, seed: u64, of: (usize, Part, bool), scenario: String) -> Run {
    let (_, part, with_faults) = of;
    let part_name = match part {
        Part::Before => "before",
        Part::Change => "change",
        Part::After => "after",
    };
    let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    let listener: String = derived.listener.chars().map(plain).collect();
    let faults = if with_faults { "-faults" } else { "" };
    Run {
        name: format!("rehearsal-{listener}-{part_name}{faults}-{seed}"),
        scenario,
        seed,
        has_change: part == Part::Change,
        of,
    }
}
