//! What the router says of itself: its own log lines.

use std::sync::{Arc, Mutex};

use cellway_core::Now;
use cellway_router::event::{Event, Sink};
use cellway_router::log::{Level, Subjects, access, render};
use serde_json::Value;
use tokio::sync::Notify;
use tokio::time::timeout;

use super::PATIENCE;

/// Remembers the log line of every event, and the access log's, with subjects shown as they are unless
/// asked otherwise.
#[derive(Clone, Default)]
pub struct EventLog(Arc<(Mutex<Vec<Value>>, Notify)>);

impl Sink for EventLog {
    fn emit(&self, now: Now, event: &Event<'_>) {
        let subjects = Subjects::with_key(&[7; 32]);
        let logged = access(now.unix, event, &subjects);
        let said = render(now.unix, event, Level::Debug, &subjects);
        for line in logged.into_iter().chain(said) {
            let line = serde_json::from_str(&line).expect("log lines are JSON");
            self.0.0.lock().expect("no test panics with it").push(line);
        }
        self.0.1.notify_waiters();
    }
}

impl EventLog {
    /// All lines.
    pub fn lines(&self) -> Vec<Value> {
        self.0.0.lock().expect("no test panics with it").clone()
    }

    /// How many lines of this event there are.
    pub fn count(&self, event: &str) -> usize {
        self.of(event).len()
    }

    /// The lines of this event.
    pub fn of(&self, event: &str) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["event"] == event);
        lines
    }

    /// Waits for the line of this event that comes after `seen` others.
    pub async fn after(&self, event: &str, seen: usize) -> Value {
        self.find(event, |lines| lines.get(seen).cloned()).await
    }

    /// Waits for a line of this event that has this text in it.
    pub async fn saying(&self, event: &str, text: &str) -> Value {
        let says = |line: &&Value| line.to_string().contains(text);
        let found = self.find(event, |lines| lines.iter().find(says).cloned());
        found.await
    }

    async fn find(&self, event: &str, pick: impl Fn(&[Value]) -> Option<Value>) -> Value {
        let waiting = async {
            loop {
                let mut told = std::pin::pin!(self.0.1.notified());
                told.as_mut().enable();
                if let Some(line) = pick(&self.of(event)) {
                    return line;
                }
                told.await;
            }
        };
        match timeout(PATIENCE, waiting).await {
            Ok(line) => line,
            Err(_) => panic!("no such {event}: {:#?}", self.lines()),
        }
    }
}
