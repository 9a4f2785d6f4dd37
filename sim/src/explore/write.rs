//! Writes a scenario as text of a few lines: each host, client and fault is one line.

use std::fmt::Write;

use toml::{Table, Value};

/// The fields that come first in a line, in this order.
const FIRST: [&str; 8] = [
    "at", "for", "kind", "target", "between", "name", "id", "tenant",
];

/// The text of a scenario.
pub fn text(scenario: &Table) -> String {
    let mut text = String::new();
    let is_section = |value: &Value| value.is_table();
    let order = ["about", "duration", "tick", "engine", "fault"];
    let (mut top, sections): (Vec<_>, Vec<_>) =
        scenario.iter().partition(|(_, value)| !is_section(value));
    top.sort_by_key(|(key, _)| order.iter().position(|it| it == key));
    for (key, value) in top {
        entry(&mut text, key, value);
    }
    let order = ["world", "router", "workload", "expect"];
    let mut sections = sections;
    sections.sort_by_key(|(key, _)| order.iter().position(|it| it == key));
    for (key, value) in sections {
        let Some(table) = value.as_table().filter(|table| !table.is_empty()) else {
            continue;
        };
        let _ = write!(text, "\n[{key}]\n");
        for (key, value) in table {
            entry(&mut text, key, value);
        }
    }
    text
}

/// The longest line of a list with one table.
const LINE_MAX: usize = 100;

/// A field. A list of tables has a line for each.
fn entry(text: &mut String, key: &str, value: &Value) {
    if value.as_array().is_some_and(Vec::is_empty) {
        // As if it weren't there.
        return;
    }
    // Writing to a string can't fail.
    let list = value
        .as_array()
        .filter(|list| list.iter().any(Value::is_table));
    let line = inline(value);
    let _ = match list {
        Some(list) if list.len() > 1 || line.len() > LINE_MAX => {
            let lines = list.iter().map(|each| format!("  {},\n", inline(each)));
            writeln!(text, "{key} = [\n{}]", lines.collect::<String>())
        }
        _ => writeln!(text, "{key} = {line}"),
    };
}

/// A value in one line.
fn inline(value: &Value) -> String {
    if let Value::Table(table) = value {
        let mut fields: Vec<_> = table.iter().collect();
        let place = |key: &str| FIRST.iter().position(|first| *first == key);
        fields.sort_by_key(|(key, _)| place(key).unwrap_or(FIRST.len()));
        let fields = fields
            .iter()
            .map(|(key, value)| format!("{key} = {}", inline(value)));
        return format!("{{ {} }}", fields.collect::<Vec<_>>().join(", "));
    }
    match value.as_array() {
        Some(list) => {
            let list: Vec<_> = list.iter().map(inline).collect();
            format!("[{}]", list.join(", "))
        }
        None => value.to_string(),
    }
}
