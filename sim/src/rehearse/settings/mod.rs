//! Which settings the simulated routers have, and what becomes of all others.

mod table;

use std::collections::BTreeMap;

use serde::Serialize;
use toml::{Table, Value};

pub use self::table::Fate;
use self::table::{FATES, REGISTRY_FATES, fate};
use super::folder::Side;

/// Settings that aren't part of the simulated traffic, for the same reason.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct NotSimulated {
    /// What takes their place.
    pub instead: Instead,
    /// Why.
    pub why: String,
    /// The settings, as `cellway check` names them, or the fields of the registry.
    pub settings: Vec<String>,
}

/// What takes the place of a setting that the simulated routers don't have.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Instead {
    /// Nothing: a rehearsal doesn't show what it does.
    Nothing,
    /// Only the decisions: they are made with it.
    Decisions,
    /// Something of the simulator's own.
    StandIn,
}

/// What becomes of a setting of `cellway.toml`, named without the numbers of list entries.
/// `None`: nobody has thought of it.
pub fn fate_of(setting: &str) -> Option<Fate> {
    fate(FATES, setting)
}

/// Collects what isn't simulated.
#[derive(Debug, Default)]
pub(super) struct Left(BTreeMap<(Instead, String), Vec<String>>);

impl Left {
    pub(super) fn add(&mut self, instead: Instead, why: &str, setting: &str) {
        let settings = self.0.entry((instead, why.to_owned())).or_default();
        if !settings.iter().any(|known| known == setting) {
            settings.push(setting.to_owned());
        }
    }

    pub(super) fn all(self) -> Vec<NotSimulated> {
        let all = self.0.into_iter();
        all.map(|((instead, why), settings)| NotSimulated {
            instead,
            why,
            settings,
        })
        .collect()
    }
}

/// Notes all settings of a side that the simulated routers don't have.
pub(super) fn note_left(side: &Side, left: &mut Left) {
    let mut note = |fates, prefix: &str, path: &str, plain: &str| {
        let (instead, why) = match fate(fates, plain) {
            Some(Fate::Carried) => return,
            Some(Fate::StandIn(why)) => (Instead::StandIn, why),
            Some(Fate::Decided(why)) => (Instead::Decisions, why),
            Some(Fate::Left(why)) => (Instead::Nothing, why),
            None => (Instead::Nothing, "the simulator doesn't know it"),
        };
        left.add(instead, why, &format!("{prefix}{path}"));
    };
    leaves(
        "",
        "",
        &Value::Table(side.table.clone()),
        &mut |path, plain| {
            note(FATES, "", path, plain);
        },
    );
    let mut seen = std::collections::BTreeSet::new();
    fields("", &side.document, &mut |plain| {
        // A registry has too many entries to name each.
        if seen.insert(plain.to_owned()) {
            note(REGISTRY_FATES, "the registry's ", plain, plain);
        }
    });
    if !side.tenants.is_empty() {
        note(REGISTRY_FATES, "the registry's ", "tenants", "tenants");
    }
}

/// Calls `visit` with the name of each setting, with the numbers of list entries and without.
fn leaves(path: &str, plain: &str, value: &Value, visit: &mut impl FnMut(&str, &str)) {
    let inside = |of: &str, name: &str| match of {
        "" => name.to_owned(),
        of => format!("{of}.{name}"),
    };
    match value {
        Value::Table(table) => {
            for (name, value) in table {
                leaves(&inside(path, name), &inside(plain, name), value, visit);
            }
        }
        Value::Array(list) if list.iter().any(Value::is_table) => {
            for (at, value) in list.iter().enumerate() {
                leaves(&format!("{path}[{at}]"), plain, value, visit);
            }
        }
        Value::String(_)
        | Value::Integer(_)
        | Value::Float(_)
        | Value::Boolean(_)
        | Value::Datetime(_)
        | Value::Array(_) => visit(path, plain),
    }
}

/// The same for a registry, without numbers.
fn fields(plain: &str, value: &serde_json::Value, visit: &mut impl FnMut(&str)) {
    use serde_json::Value as Json;
    match value {
        // What is in there is written by whoever runs the cells.
        Json::Object(_) if plain.ends_with("annotations") => visit(plain),
        Json::Object(table) => {
            for (name, value) in table {
                let inside = match plain {
                    "" => name.clone(),
                    plain => format!("{plain}.{name}"),
                };
                fields(&inside, value, visit);
            }
        }
        Json::Array(list) if list.iter().any(Json::is_object) => {
            list.iter().for_each(|value| fields(plain, value, visit));
        }
        Json::Null | Json::Bool(_) | Json::Number(_) | Json::String(_) | Json::Array(_) => {
            visit(plain);
        }
    }
}

/// The settings that the simulated routers have, as the file has them.
pub(super) fn carried(table: &Table) -> Table {
    kept("", table)
}

fn kept(plain: &str, table: &Table) -> Table {
    let mut kept_here = Table::new();
    for (name, value) in table {
        let path = match plain {
            "" => name.clone(),
            plain => format!("{plain}.{name}"),
        };
        let list = value.as_array();
        let list = list.filter(|list| list.iter().any(Value::is_table));
        let carries = || fate(FATES, &path) == Some(Fate::Carried);
        let value = match (value, list) {
            (Value::Table(inner), _) => {
                let inner = kept(&path, inner);
                (!inner.is_empty() || carries()).then_some(Value::Table(inner))
            }
            (_, Some(list)) => {
                let tables = list.iter().filter_map(Value::as_table);
                let tables: Vec<_> = tables.map(|inner| kept(&path, inner)).collect();
                let any = carries() || tables.iter().any(|table| !table.is_empty());
                any.then(|| Value::Array(tables.into_iter().map(Value::Table).collect()))
            }
            (plain, None) => carries().then(|| plain.clone()),
        };
        if let Some(value) = value {
            kept_here.insert(name.clone(), value);
        }
    }
    kept_here
}

#[cfg(test)]
mod tests;
