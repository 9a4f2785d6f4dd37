//! Tests that the example file shows every setting of the schema.
//!
//! The settings come from the schema itself: serde reports an unknown field with a list of the
//! known ones.

use std::collections::BTreeSet;

use toml::{Table, Value};

use super::File;

const EXAMPLE: &str = include_str!("../../../../docs/cellway.example.toml");

/// A name that no field has.
const UNKNOWN: &str = "no-such-setting";

/// Settings that may be a word or a table. serde doesn't say which fields such a table has.
const WORD_OR_TABLE: [&str; 5] = [
    "trust.trust_domains.name",
    "trust.trust_domains.tenants",
    "trust.trust_domains.bundle",
    "routing_key.gateways.san",
    "routing_key.gateways.tenants",
];

/// Catches: a setting that is in the schema but not in the example.
#[test]
fn the_example_has_every_setting() {
    let known = every_setting();
    for some in ["log.level", "issuer.keys.fresh_secs", "policy.rule.grpc"] {
        assert!(known.contains(some), "{some} is missing in {known:?}");
    }
    let shown = shown();
    let missing: Vec<_> = known.difference(&shown).collect();
    assert!(missing.is_empty(), "not in the example: {missing:#?}");
}

/// The names of all settings, with those of the tables around them.
pub(crate) fn every_setting() -> BTreeSet<String> {
    let mut known = BTreeSet::from(WORD_OR_TABLE.map(str::to_owned));
    settings(&mut Vec::new(), &mut known);
    known
}

/// Adds the names of all settings below the table at `path`. Each step says whether it is a list.
fn settings(path: &mut Vec<(String, bool)>, known: &mut BTreeSet<String>) {
    for field in fields(path) {
        let names = path.iter().map(|(name, _)| name.as_str());
        let names: Vec<_> = names.chain([field.as_str()]).collect();
        known.insert(names.join("."));
        for is_list in [false, true] {
            path.push((field.clone(), is_list));
            settings(path, known);
            path.pop();
        }
    }
}

/// The fields of the table at `path`; none if no table is there.
fn fields(path: &[(String, bool)]) -> Vec<String> {
    let unknown = Table::from_iter([(UNKNOWN.to_owned(), Value::from(1))]);
    let value = path
        .iter()
        .rev()
        .fold(Value::from(unknown), |inner, (name, is_list)| {
            let inner = match is_list {
                true => Value::from(vec![inner]),
                false => inner,
            };
            Value::from(Table::from_iter([(name.clone(), inner)]))
        });
    let message = value.try_into::<File>().unwrap_err().to_string();
    let expected = message.strip_prefix(&format!("unknown field `{UNKNOWN}`, expected "));
    let expected = expected.and_then(|rest| rest.lines().next());
    let words = expected.unwrap_or_default().split('`').skip(1).step_by(2);
    words.map(str::to_owned).collect()
}

/// The settings of the example, also those in comments.
fn shown() -> BTreeSet<String> {
    let mut shown = BTreeSet::new();
    let mut table = String::new();
    for line in EXAMPLE.lines() {
        let line = line.strip_prefix("# ").unwrap_or(line);
        let header = line
            .strip_prefix('[')
            .and_then(|rest| rest.split(']').next());
        if let Some(name) = header {
            table = name.trim_start_matches('[').to_owned();
            shown.insert(table.clone());
        } else if let Ok(setting) = line.parse::<Table>() {
            add(&table, &setting, &mut shown);
        }
    }
    shown
}

fn add(of: &str, table: &Table, shown: &mut BTreeSet<String>) {
    for (name, value) in table {
        let name = match of {
            "" => name.clone(),
            of => format!("{of}.{name}"),
        };
        let entries = value.as_array().into_iter().flatten();
        for inner in entries.chain([value]).filter_map(Value::as_table) {
            add(&name, inner, shown);
        }
        shown.insert(name);
    }
}
