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
mod tests;
