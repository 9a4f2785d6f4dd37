//! `[[traffic]]`: how the requests of a listener or a route are forwarded.

use std::sync::Arc;
use std::time::Duration;

use cellway_core::words::suggestion;

use super::error::ConfigError;
use super::report::Reporter;
use super::schema::TrafficTable;
use crate::settings::{TotalTimeout, TrafficSettings};

/// All `[[traffic]]` tables, by name.
pub(super) struct TrafficTables(Vec<Arc<TrafficSettings>>);

impl TrafficTables {
    /// Checks the tables.
    pub(super) fn new<F: FnMut(ConfigError)>(
        tables: &[TrafficTable],
        report: &mut Reporter<F>,
    ) -> Self {
        for (i, table) in tables.iter().enumerate() {
            let setting = || format!("traffic[{i}].name");
            if table.name.is_empty() {
                report.mistake(setting(), "is empty", "name it");
            }
            if tables[..i].iter().any(|other| other.name == table.name) {
                let problem = format!("another [[traffic]] has the name `{}` too", table.name);
                let fix = "give each [[traffic]] its own name";
                report.mistake(setting(), problem, fix);
            }
        }
        let checked = tables.iter().enumerate();
        Self(
            checked
                .map(|(i, table)| Arc::new(settings(i, table, report)))
                .collect(),
        )
    }

    /// What the setting names. Without a name: the table that is called "default", or else one that
    /// leaves everything to `[upstream]`.
    pub(super) fn find<F: FnMut(ConfigError)>(
        &self,
        setting: String,
        name: Option<&str>,
        report: &mut Reporter<F>,
    ) -> Arc<TrafficSettings> {
        let wanted = name.unwrap_or(TrafficSettings::DEFAULT);
        if let Some(found) = self.0.iter().find(|table| *table.name == *wanted) {
            return found.clone();
        }
        if let Some(name) = name {
            let names = self.0.iter().map(|table| &*table.name);
            let fix = suggestion(name, "[[traffic]] tables", names);
            report.mistake(setting, format!("unknown [[traffic]] \"{name}\""), fix);
        }
        Arc::default()
    }
}

fn settings<F: FnMut(ConfigError)>(
    i: usize,
    table: &TrafficTable,
    report: &mut Reporter<F>,
) -> TrafficSettings {
    let mut ms = |key: &str, ms: Option<u64>| {
        ms.map(|ms| report.ms(format!("traffic[{i}].{key}"), Some(ms), Duration::ZERO))
    };
    TrafficSettings {
        name: table.name.as_str().into(),
        header_timeout: ms("header_timeout_ms", table.header_timeout_ms),
        idle_timeout: ms("idle_timeout_ms", table.idle_timeout_ms),
        total_timeout: match table.total_timeout_ms {
            Some(0) => TotalTimeout::Off,
            limit => {
                (ms("total_timeout_ms", limit)).map_or_else(Default::default, TotalTimeout::After)
            }
        },
    }
}
