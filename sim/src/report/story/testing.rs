//! Stories of forged failures.

use std::time::Duration;

use super::{Scene, Story};
use crate::fact::Fact;
use crate::failure::Violation;
use crate::record::{Detail, Recorder};
use crate::scenario::{self, Scenario};

const SMALL: &str = include_str!("../../../examples/small.toml");

/// A small world, with these faults.
pub(crate) fn world(faults: &str) -> Scenario {
    let text = format!("{SMALL}{faults}[expect]\nrecovery = \"1s\"\n");
    let read = scenario::read("shop.toml", &text);
    let (scenario, _) = read.unwrap_or_else(|error| panic!("{error}"));
    scenario
}

/// The story of a failure after these facts: of the last request if the last fact is about one.
pub(crate) fn told(
    scenario: &Scenario,
    name: &str,
    why: &str,
    facts: &[(Duration, Fact)],
) -> String {
    let mut record = Recorder::new("x-cellway-", Detail::All);
    for (at, fact) in facts {
        record.observe(*at, "router-1", fact);
    }
    let at = facts.last().map_or(Duration::ZERO, |(at, _)| *at);
    let mut violation = Violation::new(at, name, why);
    violation.request = record.requests.last().cloned();
    if violation.request.is_none() {
        violation.router = Some("router-1".to_owned());
    }
    violation.blame(&scenario.faults);
    let nameless: Vec<_> = record.nameless.into_values().flatten().collect();
    let scene = Scene {
        scenario,
        changes: &record.changes,
        published: &record.published,
        nameless: &nameless,
    };
    Story::of(&scene, &violation).text("shop.toml", &[])
}

/// Fails if a text has a value as Rust shows it.
pub(crate) fn assert_for_people(text: &str) {
    let dumps = ["Some(", "None", "Ok(", "Err(", "{ ", "\\\"", "[]"];
    let dump = dumps.iter().find(|dump| text.contains(*dump));
    assert!(dump.is_none(), "a value as Rust shows it: {text}");
}
