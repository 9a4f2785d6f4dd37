//! What a running router would say about the change as a whole.

use std::collections::BTreeSet;

use serde::Serialize;
use serde_json::Value;
use toml::Value as Toml;

use super::folder::{Side, list};

/// Something to know about the change as a whole.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Note {
    /// Whether running routers would not take the change.
    pub refused: bool,
    /// What.
    pub text: String,
}

/// Settings that can't change while a router runs, with their tables.
const FOR_A_RESTART: [(&str, &[&str]); 6] = [
    ("registry", &["file", "url", "token_file"]),
    ("state", &["directory"]),
    ("admin", &["bind"]),
    ("health", &["bind"]),
    ("runtime", &["workers", "share_addresses"]),
    ("admin", &["tls"]),
];

/// All notes about a change.
pub(super) fn notes(old: &Side, new: &Side) -> Vec<Note> {
    let mut notes = Vec::new();
    if !new.has_registry_of(old)
        && let Some(why) = new.refused_after(old)
    {
        let text = format!(
            "running routers refuse the new registry and keep the old one: {why} (docs/registry.md)"
        );
        notes.push(Note {
            refused: true,
            text,
        });
    }
    let restart = for_a_restart(old, new);
    if !restart.is_empty() {
        let text = format!(
            "running routers refuse the new configuration and keep the old one until they are restarted: {} \
             can't change while a router runs",
            restart.join(", ")
        );
        notes.push(Note {
            refused: true,
            text,
        });
    }
    notes.extend(revocations(old, new));
    notes
}

/// The changed settings that need a restart.
fn for_a_restart(old: &Side, new: &Side) -> Vec<String> {
    let mut changed = Vec::new();
    let listeners = |side: &Side| -> Vec<(String, String)> {
        let listeners = side.settings.listeners.iter();
        listeners
            .map(|it| (it.name.to_string(), it.bind.to_string()))
            .collect()
    };
    let (before, after) = (listeners(old), listeners(new));
    if before.len() != after.len() {
        changed.push("the number of [[listener]]s".to_owned());
    }
    for (at, (was, is)) in before.iter().zip(&after).enumerate() {
        if was.0 != is.0 {
            changed.push(format!("listener[{at}].name"));
        }
        if was.1 != is.1 {
            changed.push(format!("listener[{at}].bind"));
        }
    }
    let value = |side: &Side, table: &str, name: &str| -> Option<Toml> {
        side.table.get(table)?.get(name).cloned()
    };
    for (table, names) in FOR_A_RESTART {
        for name in names {
            let (was, is) = (value(old, table, name), value(new, table, name));
            // A key pair may change; whether there is one may not.
            let differs = match *name {
                "tls" => was.is_some() != is.is_some(),
                _ => was != is,
            };
            if differs {
                changed.push(format!("{table}.{name}"));
            }
        }
    }
    changed
}

/// Revocations concern single credentials, which classes of tenants don't show.
fn revocations(old: &Side, new: &Side) -> Option<Note> {
    let entries = |side: &Side| -> BTreeSet<String> {
        let entries = list(&side.document, "revocations").iter();
        entries.map(Value::to_string).collect()
    };
    let (before, after) = (entries(old), entries(new));
    let [added, removed] = [
        after.difference(&before).count(),
        before.difference(&after).count(),
    ];
    if added + removed == 0 {
        return None;
    }
    let text = format!(
        "revocations: {added} added, {removed} removed; those of single subjects and tokens are in no class below"
    );
    Some(Note {
        refused: false,
        text,
    })
}
