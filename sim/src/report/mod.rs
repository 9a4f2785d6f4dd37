//! The result of a run.

mod html;
mod recording;
pub mod story;
mod timeline;

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

pub use self::html::page;
pub(crate) use self::recording::Stage;
pub use self::recording::{Band, Difference, Recording};
pub use self::story::Story;
pub(crate) use self::timeline::{Herds, Line};
use crate::failure::Violation;
use crate::points::Reached;
use crate::record::{Change, Request};

/// The result of one run of a scenario.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Report {
    /// The scenario's name.
    pub scenario: String,
    /// Its file.
    pub path: String,
    /// The seed.
    pub seed: u64,
    /// How much simulated time passed.
    pub simulated: Duration,
    /// The failures, in order. If there are none, the run has passed.
    pub violations: Vec<Violation>,
    /// The failures as stories, in the same order.
    pub stories: Vec<Story>,
    /// How many facts were checked.
    pub facts: u64,
    /// Decisions per router and reason.
    pub decisions: BTreeMap<(String, &'static str), u64>,
    /// Every request, in the order of sending.
    pub requests: Vec<Request>,
    /// What changed at routers and in the world, in order.
    pub changes: Vec<Change>,
    /// How often each kind of notable event was seen.
    pub events: BTreeMap<String, u64>,
    /// The sometimes-points that the run has reached.
    pub points: Reached,
    /// Every event, line by line: see [`Trace`](crate::Trace).
    pub trace: Vec<String>,
    pub(crate) lines: Vec<Line>,
    pub(crate) herds: Herds,
    pub(crate) stage: Stage,
    pub(crate) replay: String,
}

impl Report {
    /// Whether all invariants and expectations held.
    pub fn passed(&self) -> bool {
        self.violations.is_empty()
    }

    /// The command that runs this again: see [`Scenario::replayed_by`](crate::Scenario::replayed_by).
    pub fn replay(&self) -> &str {
        &self.replay
    }

    /// The failures as stories in text: each with its request, who knew what when, what should have
    /// happened, and the faults at its time with their lines in the scenario.
    pub fn failures(&self) -> Vec<String> {
        let stories = self.stories.iter().enumerate();
        stories
            .map(|(n, story)| story.text(&self.path, &self.stories[..n]))
            .collect()
    }

    /// What happened, for people and for snapshots: faults, what routers applied and refused, and each
    /// change in the answers of a client. It has no request ids and no bytes. Clients that a scenario
    /// describes together share the lines that are the same.
    pub fn timeline(&self) -> String {
        timeline::render(&self.lines, &self.herds)
    }

    /// How often each client got each answer.
    pub fn answers(&self) -> BTreeMap<(String, String), u64> {
        let mut counts = BTreeMap::new();
        for request in &self.requests {
            let answer = match &request.answer {
                Some(answer) => answer.to_string(),
                None => "(still open)".to_owned(),
            };
            *counts.entry((request.client.clone(), answer)).or_default() += 1;
        }
        counts
    }

    /// Everything about the run, for a terminal.
    pub fn summary(&self) -> String {
        let mut text = self.timeline();
        let rows = |title: &str, counts: Vec<(&str, &str, u64)>| {
            let left = counts.iter().map(|row| row.0.len()).max().unwrap_or(0);
            let middle = counts.iter().map(|row| row.1.len()).max().unwrap_or(0);
            let lines = counts
                .iter()
                .map(|(a, b, n)| format!("  {a:<left$}  {b:<middle$}  {n:>6}\n"));
            format!("\n{title}\n{}", lines.collect::<String>())
        };
        let decisions = self.decisions.iter();
        let decisions = decisions.map(|((router, reason), n)| (router.as_str(), *reason, *n));
        text += &rows("decisions by router and reason", decisions.collect());
        let answers = self.answers();
        let answers = answers
            .iter()
            .map(|((c, a), n)| (c.as_str(), a.as_str(), *n));
        text += &rows("answers by client", answers.collect());
        text.push('\n');
        for failure in self.failures() {
            let _ = writeln!(text, "FAILED {failure}");
        }
        let Self { scenario, seed, .. } = self;
        let (secs, facts) = (self.simulated.as_secs(), self.facts);
        let _ = match self.passed() {
            true => writeln!(
                text,
                "passed: {scenario}, seed {seed}, {secs} s, {facts} facts checked"
            ),
            false => writeln!(
                text,
                "failed: {scenario}, seed {seed}\nreplay: {}",
                self.replay()
            ),
        };
        text
    }
}
