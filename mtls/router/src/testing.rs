//! Helpers for unit tests.

use std::sync::{Arc, Mutex};

use cellway_core::Now;
pub(crate) use cellway_testbed::Host;

use crate::observe::event::{Event, Sink};
use crate::observe::log::{Level, Subjects, render};

/// Remembers the log line of every event.
#[derive(Clone, Default)]
pub(crate) struct Heard(Arc<Mutex<Vec<String>>>);

impl Heard {
    /// The lines of events with this name.
    pub(crate) fn of(&self, event: &str) -> Vec<String> {
        let name = format!("\"event\":\"{event}\"");
        let heard = self.0.lock().unwrap();
        heard
            .iter()
            .filter(|l| l.contains(&name))
            .cloned()
            .collect()
    }
}

impl Sink for Heard {
    fn emit(&self, now: Now, event: &Event<'_>) {
        let line = render(now.unix, event, Level::Debug, &Subjects::Off);
        self.0.lock().unwrap().extend(line);
    }
}
