//! The settings of a configuration as a list, so that two configurations can be compared.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest::{Context, SHA256};
use toml::{Table, Value};

use super::error::Place;
use super::places::Places;
use crate::finding::Finding;

/// How many bytes of the digest are shown.
const SHOWN: usize = 8;

/// Every setting that the file or the environment sets, with its value. Defaults are left out.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Stated {
    settings: BTreeMap<String, String>,
    overrides: Vec<String>,
    places: Places,
}

impl Stated {
    /// Lists the settings of a table. `overrides` are the environment variables that set some of
    /// them.
    pub(super) fn new(root: &Table, overrides: Vec<String>, places: Places) -> Self {
        let mut settings = BTreeMap::new();
        table("", root, &mut settings);
        Self {
            settings,
            overrides,
            places,
        }
    }

    /// Where a setting was written, or else the table that holds it.
    pub fn place(&self, setting: &str) -> Place {
        self.places.of(setting)
    }

    /// These findings, one in a line, each with its place in `file`.
    pub fn located(&self, file: &str, findings: &[Finding]) -> String {
        let lines = findings.iter().map(|finding| {
            let at = self.place(&finding.setting).within(file);
            format!("{at}: {finding}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    /// The first 16 hex digits of a SHA-256. Replicas with the same settings have the same digest,
    /// whatever the order of the settings and wherever they come from.
    pub fn digest(&self) -> String {
        let mut digest = Context::new(&SHA256);
        for (name, value) in &self.settings {
            for text in [name, value] {
                // Add the length, so that two different lists of texts never give the same bytes.
                digest.update(&(text.len() as u64).to_be_bytes());
                digest.update(text.as_bytes());
            }
        }
        let digest = digest.finish();
        let shown = digest.as_ref().iter().take(SHOWN);
        shown.map(|byte| format!("{byte:02x}")).collect()
    }

    /// The names of the settings that differ, or that only one of the two has. Never a value.
    pub fn changed(&self, since: &Self) -> Vec<String> {
        let all = self.settings.keys().chain(since.settings.keys());
        let differs = |name: &&String| self.settings.get(*name) != since.settings.get(*name);
        let mut names: Vec<_> = all.filter(differs).cloned().collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// The names of the environment variables that set some of the settings.
    pub fn overrides(&self) -> &[String] {
        &self.overrides
    }
}

/// Shows names only, because values may be secret.
impl fmt::Debug for Stated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.settings.keys()).finish()
    }
}

fn table(path: &str, table: &Table, settings: &mut BTreeMap<String, String>) {
    for (key, value) in table {
        let path = match path {
            "" => key.clone(),
            path => format!("{path}.{key}"),
        };
        self::value(path, value, settings);
    }
}

/// Adds the settings of a value. A list of tables has settings of its own; any other list is one
/// setting.
#[expect(clippy::wildcard_enum_match_arm, reason = "toml's values")]
fn value(path: String, value: &Value, settings: &mut BTreeMap<String, String>) {
    match value {
        Value::Table(inner) => table(&path, inner, settings),
        Value::Array(items) if items.iter().any(Value::is_table) => {
            for (i, item) in items.iter().enumerate() {
                self::value(format!("{path}[{i}]"), item, settings);
            }
        }
        other => {
            settings.insert(path, other.to_string());
        }
    }
}

#[cfg(test)]
mod tests;
