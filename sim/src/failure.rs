//! A failure of a run, with what a person needs to understand it: the request, the line of the
//! scenario, and the faults at that time.

use std::time::Duration;

use crate::record::Request;
use crate::scenario::Fault;

/// An invariant or expectation that was broken.
#[derive(Clone, PartialEq, Debug)]
#[non_exhaustive]
pub struct Violation {
    /// When it was noticed, since the start. For a wrong answer: when the client got it.
    pub at: Duration,
    /// The invariant or expectation.
    pub name: String,
    /// What was found, and what was expected.
    pub why: String,
    /// The line of the scenario with the expectation; `None` for invariants.
    pub line: Option<usize>,
    /// The request that shows it, if it is about one.
    pub request: Option<Request>,
    /// The router whose report shows it, if no request does.
    pub router: Option<String>,
    /// The faults at that time.
    pub faults: Faults,
}

/// The faults of a scenario in a period.
#[derive(Clone, PartialEq, Default, Debug)]
#[non_exhaustive]
pub struct Faults {
    /// Those that were active during it, including instant ones.
    pub during: Vec<Fault>,
    /// If there were none: the last one before.
    pub before: Option<Fault>,
}

impl Faults {
    /// The faults between these times since the start.
    pub(crate) fn of(timeline: &[Fault], from: Duration, to: Duration) -> Self {
        let overlaps = |fault: &&Fault| fault.at <= to && fault.until >= from;
        let during: Vec<Fault> = timeline.iter().filter(overlaps).cloned().collect();
        let before = timeline.iter().rfind(|fault| fault.at <= to);
        Self {
            before: before.filter(|_| during.is_empty()).cloned(),
            during,
        }
    }
}

impl Violation {
    /// Without a request, a line or faults.
    pub(crate) fn new(at: Duration, name: &str, why: &str) -> Self {
        Self {
            at,
            name: name.to_owned(),
            why: why.to_owned(),
            line: None,
            request: None,
            router: None,
            faults: Faults::default(),
        }
    }

    /// Adds the faults at its time: since its request was sent, if it is about one.
    pub(crate) fn blame(&mut self, timeline: &[Fault]) {
        let from = self
            .request
            .as_ref()
            .map_or(self.at, |request| request.sent);
        self.faults = Faults::of(timeline, from, self.at);
    }
}
