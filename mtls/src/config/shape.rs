//! From a tree of values to typed tables, with every mistake of form found in one pass.
//!
//! serde stops at the first mistake. So the mistake is written down, the setting taken out (or, if
//! it was missing, one put in), and serde asked again, until it is content. What it then makes is
//! good for further checks only: a configuration with mistakes is never used.

use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde_path_to_error::Segment;
use toml::{Table, Value};

use super::error::ConfigError;
use super::tree::{Step, Tree, name_of};

/// After so many mistakes the rest goes unsaid.
const ERRORS_MAX: usize = 64;

/// Reads the tree as a `T`. Mistakes go to `errors`; `None` if no `T` could be made at all.
pub(crate) fn shape<T: DeserializeOwned>(
    tree: &mut Tree,
    errors: &mut Vec<ConfigError>,
) -> Option<T> {
    let mut removed = BTreeSet::new();
    let mut stand_ins: BTreeMap<String, usize> = BTreeMap::new();
    // Each round mends one setting, in at most as many tries as there are stand-ins.
    for _ in 0..ERRORS_MAX * 8 {
        let value = Value::Table(tree.root.clone());
        let error = match serde_path_to_error::deserialize::<_, T>(value) {
            Ok(made) => return Some(made),
            Err(error) => error,
        };
        let mut steps = steps(error.path());
        let message = error.inner().message().to_owned();
        let missing = quoted(&message, "missing field ");
        if let Some(field) = missing.or_else(|| quoted(&message, "unknown field "))
            && steps.last() != Some(&Step::Key(field.to_owned()))
        {
            steps.push(Step::Key(field.to_owned()));
        }
        let setting = name_of(&steps);
        if let Some(tried) = stand_ins.get_mut(&setting) {
            *tried += 1;
            tree.put(&steps, stand_in(*tried)?);
            continue;
        }
        if missing.is_some() {
            if !removed.contains(&setting) {
                errors.push(mistake(tree, &setting, &message));
            }
            stand_ins.insert(setting, 0);
            tree.put(&steps, stand_in(0)?);
            continue;
        }
        if let Some(raw) = tree.take_raw(&setting) {
            // The variable's text was read as a number or the like; the setting wants a string.
            if message.starts_with("invalid type") {
                tree.put(&steps, Value::String(raw));
                continue;
            }
        }
        errors.push(mistake(tree, &setting, &message));
        if errors.len() >= ERRORS_MAX {
            return None;
        }
        // A bad entry of a list takes the list with it: taking it out alone would renumber others.
        while matches!(steps.last(), Some(Step::Index(_))) {
            steps.pop();
        }
        if !tree.remove(&steps) {
            return None;
        }
        removed.insert(name_of(&steps));
    }
    None
}

/// What to try in the place of a missing setting, so that the rest can be checked.
fn stand_in(tried: usize) -> Option<Value> {
    Some(match tried {
        0 => Value::String("127.0.0.1:0".to_owned()),
        1 => Value::Integer(1),
        2 => Value::Boolean(false),
        3 => Value::Array(Vec::new()),
        4 => Value::Table(Table::new()),
        _ => return None,
    })
}

fn steps(path: &serde_path_to_error::Path) -> Vec<Step> {
    path.iter()
        .filter_map(|segment| match segment {
            Segment::Seq { index } => Some(Step::Index(*index)),
            Segment::Map { key } => Some(Step::Key(key.clone())),
            Segment::Enum { .. } | Segment::Unknown => None,
        })
        .collect()
}

/// The name between the first pair of backticks of a message that begins so.
fn quoted<'m>(message: &'m str, begins: &str) -> Option<&'m str> {
    message.strip_prefix(begins)?.split('`').nth(1)
}

fn mistake(tree: &Tree, setting: &str, message: &str) -> ConfigError {
    let (problem, mut fix) = explain(message);
    // `[listener]` for `[[listener]]` is TOML's commonest slip.
    let whole = !setting.contains('.');
    if whole && problem == "is of the wrong type: a table" && fix == "expected a list" {
        fix = format!("write it as [[{setting}]]: there may be several");
    }
    ConfigError {
        place: tree.place(setting),
        setting: setting.to_owned(),
        problem,
        fix,
    }
}

/// serde's words turned into what is wrong and what to do.
fn explain(message: &str) -> (String, String) {
    if message.starts_with("missing field") {
        return ("is missing".to_owned(), "add it".to_owned());
    }
    for (kind, what) in [("unknown field ", "setting"), ("unknown variant ", "value")] {
        let Some(name) = quoted(message, kind) else {
            continue;
        };
        let known: Vec<&str> = message.split('`').skip(3).step_by(2).collect();
        let close = known
            .iter()
            .map(|&candidate| (distance(name, candidate), candidate))
            .min()
            .filter(|(distance, _)| *distance <= name.len().div_ceil(3));
        let fix = match close {
            Some((_, candidate)) => format!("did you mean `{candidate}`?"),
            None if known.is_empty() => "remove it".to_owned(),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("`{name}` is no known {what}"), fix);
    }
    if message == "invalid socket address syntax" {
        let fix = "write it as address:port, such as 127.0.0.1:8443";
        return ("is no socket address".to_owned(), fix.to_owned());
    }
    if let Some(forms) = message.strip_prefix(FORMS) {
        return ("has the wrong form".to_owned(), format!("expected {forms}"));
    }
    match message.split_once(", expected ") {
        Some((problem, expected)) => {
            let problem = match problem {
                "invalid type: map" => "is of the wrong type: a table".to_owned(),
                "invalid type: sequence" => "is of the wrong type: a list".to_owned(),
                other => other.replace("invalid type:", "is of the wrong type:"),
            };
            let expected = match expected {
                "u16" | "u32" | "u64" | "usize" => "a whole number, 0 or more",
                "a sequence" => "a list",
                "a map" => "a table",
                other if other.starts_with("struct ") => "a table",
                other => other,
            };
            (problem, format!("expected {expected}"))
        }
        None => (message.to_owned(), String::new()),
    }
}

/// How the messages of settings begin that may have one of several forms (serde's `expecting` of
/// an untagged enum is its whole message).
const FORMS: &str = "one of: ";

/// How many letters differ (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
