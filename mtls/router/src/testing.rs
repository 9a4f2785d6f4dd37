//! Helpers for unit tests.

use std::sync::{Arc, Mutex};

use cellway_core::Now;
pub(crate) use cellway_testbed::Host;

use crate::observe::event::{Event, Sink};
use crate::observe::log::{Level, Subjects, render};

/// Remembers the log line of every event.
#[derive(Clone, Default)]
pub(crate) struct EventLog(Arc<Mutex<Vec<String>>>);

impl EventLog {
    /// The lines of events with this name.
    pub(crate) fn of(&self, event: &str) -> Vec<String> {
        let name = format!("\"event\":\"{event}\"");
        let events = self.0.lock().unwrap();
        events
            .iter()
            .filter(|l| l.contains(&name))
            .cloned()
            .collect()
    }
}

impl Sink for EventLog {
    fn emit(&self, now: Now, event: &Event<'_>) {
        let line = render(now.unix, event, Level::Debug, &Subjects::Off);
        self.0.lock().unwrap().extend(line);
    }
}
