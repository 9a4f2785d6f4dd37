//! One line of JSON, built in the order of its fields.

use std::fmt::Write;
use std::net::SocketAddr;

use cellway_core::{Text, Unix};

use super::{Level, Subjects};
use crate::rfc3339::timestamp;

pub(super) struct Line(String);

impl Line {
    pub(super) fn new(at: Unix, level: Level, event: &str) -> Self {
        let mut line = Self(String::with_capacity(256));
        line.0.push_str("{\"ts\":\"");
        timestamp(&mut line.0, at);
        line.0.push('"');
        line.str("level", level.as_str()).str("event", event)
    }

    pub(super) fn str(mut self, key: &str, value: &str) -> Self {
        self.key(key);
        // Escapes control characters, so that a value can't start a new line.
        let value = serde_json::to_string(value).unwrap_or_default();
        self.0.push_str(&value);
        self
    }

    pub(super) fn show(self, key: &str, value: impl std::fmt::Display) -> Self {
        self.str(key, &value.to_string())
    }

    /// An address with its port, in canonical form: a socket for both families shows IPv4 as
    /// `::ffff:192.0.2.1`.
    pub(super) fn addr(self, key: &str, address: SocketAddr) -> Self {
        let ip = address.ip().to_canonical();
        self.show(key, SocketAddr::new(ip, address.port()))
    }

    pub(super) fn num(mut self, key: &str, value: u64) -> Self {
        self.key(key);
        let _ = write!(self.0, "{value}");
        self
    }

    pub(super) fn flag(mut self, key: &str, value: bool) -> Self {
        self.key(key);
        self.0.push_str(if value { "true" } else { "false" });
        self
    }

    /// The field, if there is a value.
    pub(super) fn opt<T>(
        self,
        key: &str,
        value: Option<T>,
        put: impl FnOnce(Self, &str, T) -> Self,
    ) -> Self {
        match value {
            Some(value) => put(self, key, value),
            None => self,
        }
    }

    /// The subject, in the configured form.
    pub(super) fn subject(self, subject: Option<&Text>, subjects: &Subjects) -> Self {
        let shown = subject.and_then(|subject| subjects.show(&subject.decode()));
        match shown {
            Some((key, value)) => self.str(key, &value),
            None => self,
        }
    }

    /// A list of words.
    pub(super) fn list<'w>(mut self, key: &str, words: impl Iterator<Item = &'w str>) -> Self {
        self.key(key);
        let words: Vec<_> = words.collect();
        self.0
            .push_str(&serde_json::to_string(&words).unwrap_or_default());
        self
    }

    pub(super) fn end(mut self) -> String {
        self.0.push_str("}\n");
        self.0
    }

    /// Keys are literals in this module's callers, so they need no escaping.
    fn key(&mut self, key: &str) {
        let _ = write!(self.0, ",\"{key}\":");
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn writes_dates_of_leap_years_and_ends_of_years() {
        let written = |secs, millis| {
            let mut out = String::new();
            let at = Duration::from_secs(secs) + Duration::from_millis(millis);
            timestamp(&mut out, Unix::from_epoch(at));
            out
        };
        assert_eq!(written(0, 0), "1970-01-01T00:00:00.000Z");
        assert_eq!(written(951_782_399, 999), "2000-02-28T23:59:59.999Z");
        assert_eq!(written(951_782_400, 0), "2000-02-29T00:00:00.000Z");
        assert_eq!(written(1_709_251_199, 7), "2024-02-29T23:59:59.007Z");
        assert_eq!(written(1_735_689_599, 0), "2024-12-31T23:59:59.000Z");
        assert_eq!(written(4_107_542_400, 0), "2100-03-01T00:00:00.000Z");
    }

    #[test]
    fn a_value_stays_inside_its_line() {
        let line = Line::new(Unix::from_secs(0), Level::Info, "x")
            .str("a", "b\n{\"level\":\"error\"}\u{1b}")
            .end();
        assert_eq!(line.matches('\n').count(), 1);
        assert!(!line.contains('\u{1b}'));
        let value: serde_json::Value = serde_json::from_str(&line).unwrap();
        assert_eq!(value["a"], "b\n{\"level\":\"error\"}\u{1b}");
    }
}
