//! A failure of a run, with what a person needs to understand it: the request, the line of the
//! scenario, and the faults at that time.

use std::fmt::{self, Write};
use std::time::Duration;

use crate::fact::Answer;
use crate::scenario::Fault;

/// A request as its client saw it, and the cell that it reached.
#[derive(Clone, PartialEq, Eq, Debug)]
#[non_exhaustive]
pub struct Request {
    /// Who sent it.
    pub client: String,
    /// Its name in the trace.
    pub tag: String,
    /// The router that it was sent to, or the Envoy.
    pub to: String,
    /// When, since the start.
    pub sent: Duration,
    /// The last cell that it arrived at, as reported by the cell.
    pub cell: Option<String>,
    /// What came back; `None` if the run ended first.
    pub answer: Option<Answer>,
    /// When the client got the answer.
    pub answered: Option<Duration>,
}

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

    fn describe(&self, file: &str) -> String {
        let place = |fault: &Fault| format!("{} ({file}:{})", fault.kind, fault.line);
        let during = self.during.iter().map(|fault| {
            let (place, from) = (place(fault), seconds(fault.at));
            match fault.until > fault.at {
                true => format!("{place}, {from} to {}", seconds(fault.until)),
                false => format!("{place}, at {from}"),
            }
        });
        match (&self.before, self.during.is_empty()) {
            (None, true) => "none until then".to_owned(),
            (Some(last), _) => {
                let (place, at) = (place(last), seconds(last.at));
                format!("none then; the last was {place}, at {at}")
            }
            (None, false) => during.collect::<Vec<_>>().join("; "),
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

    /// The failure as a few lines of text. `file` is the scenario's file.
    pub fn describe(&self, file: &str) -> String {
        let Self { name, why, at, .. } = self;
        let mut text = format!("{name} at {}: {why}", seconds(*at));
        let mut row = |what: &str, value: &str| {
            // Writing to a string can't fail.
            let _ = write!(text, "\n  {what:<9}{value}");
        };
        if let Some(line) = self.line {
            row("expected", &format!("{file}:{line}"));
        }
        match (&self.request, &self.router) {
            (Some(request), _) => row("request", &request.to_string()),
            (None, Some(router)) => row("router", router),
            (None, None) => {}
        }
        row("faults", &self.faults.describe(file));
        text
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            tag, client, to, ..
        } = self;
        write!(
            f,
            "{tag} of {client}, sent to {to} at {}",
            seconds(self.sent)
        )?;
        match &self.cell {
            Some(cell) => write!(f, ", reached cell {cell}")?,
            None => f.write_str(", reached no cell")?,
        }
        match (&self.answer, self.answered) {
            (Some(answer), Some(at)) => write!(f, ", answered {answer} at {}", seconds(at)),
            _ => f.write_str(", not answered yet"),
        }
    }
}

/// A time as in the trace.
pub(crate) fn seconds(since_start: Duration) -> String {
    format!("{:.3}s", since_start.as_secs_f64())
}
