//! A run as it can be kept in a file: all that a page shows.

mod difference;

use std::time::Duration;

use serde::{Deserialize, Serialize};

pub use self::difference::Difference;
use super::{Report, Story};
use crate::record::{Change, Request, Step};
use crate::scenario::{Host, Scenario};

/// A run that is over, as JSON.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Recording {
    /// The scenario's name.
    pub scenario: String,
    /// One sentence on what it shows.
    pub about: String,
    /// Its file.
    pub path: String,
    /// The file's text.
    pub text: String,
    /// The seed.
    pub seed: u64,
    /// The command that runs it again.
    pub replay: String,
    /// How much simulated time passed.
    pub simulated: Duration,
    /// How many facts were checked.
    pub facts: u64,
    /// The hosts, by what they are.
    pub hosts: Vec<Host>,
    /// The faults, in order.
    pub faults: Vec<Band>,
    /// The failures, in order.
    pub stories: Vec<Story>,
    /// What changed at routers and in the world, in order.
    pub changes: Vec<Change>,
    /// Every request, in the order of sending.
    pub requests: Vec<Request>,
    /// What routers did with requests that neither a cell nor a client could name.
    pub nameless: Vec<Step>,
}

/// A fault of the scenario.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Band {
    /// When it begins, since the start.
    pub at: Duration,
    /// When it ends; `at` if it has no end.
    pub until: Duration,
    /// What happens.
    pub text: String,
    /// The line of the scenario.
    pub line: usize,
    /// The hosts that it touches; all if there are none.
    pub hosts: Vec<String>,
}

/// The world of a run, as far as a recording needs it.
#[derive(Clone, Debug)]
pub(crate) struct Stage {
    pub(crate) about: String,
    pub(crate) text: String,
    pub(crate) hosts: Vec<Host>,
    pub(crate) faults: Vec<Band>,
    pub(crate) nameless: Vec<Step>,
}

impl Stage {
    pub(crate) fn new(scenario: &Scenario, nameless: Vec<Step>) -> Self {
        let faults = scenario.faults.iter().map(|fault| Band {
            at: fault.at,
            until: fault.until,
            text: fault.kind.to_string(),
            line: fault.line,
            hosts: fault.kind.hosts(scenario),
        });
        Self {
            about: scenario.about.trim().to_owned(),
            text: scenario.text.clone(),
            hosts: scenario.hosts(),
            faults: faults.collect(),
            nameless,
        }
    }
}

impl Report {
    /// The run as it can be kept.
    pub fn into_recording(self) -> Recording {
        Recording {
            replay: self.replay().to_owned(),
            scenario: self.scenario,
            about: self.stage.about,
            path: self.path,
            text: self.stage.text,
            seed: self.seed,
            simulated: self.simulated,
            facts: self.facts,
            hosts: self.stage.hosts,
            faults: self.stage.faults,
            stories: self.stories,
            changes: self.changes,
            requests: self.requests,
            nameless: self.stage.nameless,
        }
    }
}

#[cfg(test)]
mod tests;
