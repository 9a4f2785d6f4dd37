//! Reads typed tables from a tree of values, and finds every mistake of form in one pass.
//!
//! serde stops at the first mistake. So this module notes the mistake, removes the setting (or adds
//! one that was missing), and calls serde again until it succeeds. If there were mistakes, the
//! result serves only for further checks: a configuration with mistakes is never used.

use std::collections::{BTreeMap, BTreeSet};

use cellway_core::words::{closest, quoted, seen, wanted};
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::brackets;
use super::error::{ConfigError, Place};
use super::hints::{self, one_of};
use super::misfit::{Misfit, read};
use super::numbers;
use super::probe::{self, known};
use super::tree::{Step, Tree, name_of};
use super::units;

/// The most mistakes that are reported.
const ERRORS_MAX: usize = 64;

/// Reads the tree as a `T`. Mistakes go to `errors`; `None` if no `T` could be made at all.
pub(crate) fn shape<T: DeserializeOwned>(
    tree: &mut Tree,
    errors: &mut Vec<ConfigError>,
) -> Option<T> {
    let mut removed = BTreeSet::new();
    let mut as_string: BTreeMap<String, String> = BTreeMap::new();
    let mut stand_ins: BTreeMap<String, usize> = BTreeMap::new();
    // Each round fixes one setting, after at most one try for each stand-in.
    for _ in 0..ERRORS_MAX * 8 {
        let Misfit { steps, message } = match read::<T>(&tree.root) {
            Ok(made) => return Some(made),
            Err(misfit) => misfit,
        };
        let message = &*message;
        let missing = quoted(message, "missing field ");
        let unknown = quoted(message, "unknown field ");
        let setting = name_of(&steps);
        if let Some(misplaced) = brackets::repair::<T>(tree, &steps, message) {
            errors.push(misplaced);
            continue;
        }
        if let Some(tried) = stand_ins.get_mut(&setting) {
            *tried += 1;
            tree.put(&steps, stand_in(*tried)?);
            continue;
        }
        if missing.is_some() {
            if !removed.contains(&setting) {
                let words = probe::words::<T>(tree, &steps);
                let mut missing = mistake(tree, &setting, message);
                if !words.is_empty() {
                    missing.fix = format!("add it: {}", one_of(&words));
                }
                errors.push(missing);
            }
            stand_ins.insert(setting, 0);
            tree.put(&steps, stand_in(0)?);
            continue;
        }
        if let Some(raw) = tree.take_raw(&setting) {
            // The variable's text was parsed as a number or another type, but the setting may need
            // a string.
            tree.put(&steps, Value::String(raw));
            as_string.insert(setting, message.to_owned());
            continue;
        }
        // It doesn't accept a string either, so report the first error.
        let first = as_string.remove(&setting);
        let message = first.as_deref().unwrap_or(message);
        let better = hints::better::<T>(tree, &steps, message);
        let belongs_elsewhere = better.is_some() && unknown.is_some();
        errors.push(better.unwrap_or_else(|| mistake(tree, &setting, message)));
        if errors.len() >= ERRORS_MAX {
            return None;
        }
        if let Some(number) = numbers::stand_in(message) {
            tree.replace_number(&steps, number);
            continue;
        }
        // The value of a mistyped name is meant for the right name, so that one isn't reported as
        // missing.
        if unknown.is_some()
            && !belongs_elsewhere
            && let Some(close) = meant(message)
            && tree.rename(&steps, close)
        {
            removed.insert(setting);
            continue;
        }
        removed.insert(remove(tree, steps)?);
    }
    None
}

/// Removes the setting and returns the name of what it removed. For an entry of a list that is the
/// whole list: removing only the entry would renumber the others.
fn remove(tree: &mut Tree, mut steps: Vec<Step>) -> Option<String> {
    while matches!(steps.last(), Some(Step::Index(_))) {
        steps.pop();
    }
    tree.remove(&steps).then(|| name_of(&steps))
}

/// The values to try for a missing setting, so that the rest can be checked.
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

fn mistake(tree: &Tree, setting: &str, message: &str) -> ConfigError {
    let (mut problem, mut fix) = explain(message);
    if message == NO_ADDRESS
        && let Some(text) = tree.text(setting)
    {
        problem = format!("{text:?} is not an address with a port");
        if text.contains(|c: char| c.is_ascii_alphabetic()) && !text.starts_with('[') {
            problem = format!("{text:?}: host names are not accepted here");
            let port = text
                .rsplit(':')
                .next()
                .filter(|port| port.parse::<u16>().is_ok());
            let port = port.unwrap_or("8443");
            fix = format!("use an IP address, such as 127.0.0.1:{port}");
        } else if let Some(port) = text.strip_prefix(':') {
            fix = format!("write 0.0.0.0:{port} for all addresses, or 127.0.0.1:{port}");
        }
    }
    if let (Place::Variable(_), Some(example)) = (tree.place(setting), as_variable(message)) {
        fix = format!("{fix}, such as {example}");
    } else if let ("expected a list", Some(text)) = (fix.as_str(), tree.text(setting)) {
        fix = format!("write it as a list: [{text:?}]");
    }
    let written = tree.text(setting);
    let is_number = written.is_none_or(|text| text.parse::<u64>().is_ok());
    if let Some(advice) = units::advice(setting, written) {
        fix = match (fix.as_str(), is_number) {
            (NUMBER, true) if written.is_some() => format!("write {advice}, without quotes"),
            (NUMBER, _) => format!("write {advice}"),
            (NUMBER_OR_OFF, _) => format!("write {advice}, or \"off\""),
            _ => fix,
        };
    }
    let number = numbers::fix(message);
    ConfigError {
        place: tree.place(setting),
        setting: setting.to_owned(),
        problem,
        // What says the unit too is better for a fraction.
        fix: number
            .filter(|number| number != numbers::WHOLE || fix == NUMBER)
            .unwrap_or(fix),
    }
}

/// The standard library's error for an invalid socket address.
const NO_ADDRESS: &str = "invalid socket address syntax";

/// How to write an address.
const ADDRESS: &str = "write it as address:port, such as \"127.0.0.1:8443\"";

/// How to write the type that the message expects in an environment variable.
fn as_variable(message: &str) -> Option<&'static str> {
    match message.rsplit_once("expected ")?.1 {
        "a sequence" => Some("'[\"jwt\"]' (a list in TOML)"),
        "a boolean" => Some("true"),
        _ => None,
    }
}

/// The known name that the unknown one was probably meant to be.
fn meant(message: &str) -> Option<&str> {
    let name = quoted(message, "unknown field ")?;
    closest(name, &known(message))
}

/// What a count or a time must be.
const WHOLE: &str = "a whole number, 0 or more";
/// What to do about a value that isn't a whole number.
const NUMBER: &str = "expected a whole number, 0 or more";
/// The same for a time that may be turned off.
const NUMBER_OR_OFF: &str = "expected a number of seconds, \"off\"";

/// The kind of value that serde expected, in plain words.
fn kind(expected: &str) -> &str {
    match expected {
        "u8" | "u16" | "u32" | "u64" | "usize" => WHOLE,
        other => wanted(other),
    }
}

/// Turns serde's message into what is wrong and what to do.
fn explain(message: &str) -> (String, String) {
    if message.starts_with("missing field") {
        return ("is missing".to_owned(), "add it".to_owned());
    }
    for (kind, what) in [("unknown field ", "setting"), ("unknown variant ", "value")] {
        let Some(name) = quoted(message, kind) else {
            continue;
        };
        let known = known(message);
        let fix = match closest(name, &known) {
            Some(candidate) => format!("did you mean `{candidate}`?"),
            None if known.is_empty() => "remove it".to_owned(),
            None => format!("known here: {}", known.join(", ")),
        };
        return (format!("unknown {what} `{name}`"), fix);
    }
    if message == NO_ADDRESS {
        let problem = "is not an address with a port";
        return (problem.to_owned(), ADDRESS.to_owned());
    }
    if let Some(forms) = message.strip_prefix(FORMS) {
        return ("has the wrong form".to_owned(), format!("expected {forms}"));
    }
    match message.split_once(", expected ") {
        Some((problem, "socket address")) => {
            let problem = problem.trim_start_matches("invalid type: ");
            (format!("is {}", seen(problem)), ADDRESS.to_owned())
        }
        Some((problem, expected)) => {
            if let Some(text) = problem.strip_prefix("invalid type: string ") {
                return (
                    format!("{text} is a string"),
                    format!("expected {}", kind(expected)),
                );
            }
            let found = ["invalid type: ", "invalid value: "]
                .iter()
                .find_map(|begins| problem.strip_prefix(begins));
            let problem = match found {
                Some(found) => format!("is {}", seen(found)),
                None => problem.to_owned(),
            };
            (problem, format!("expected {}", kind(expected)))
        }
        None => (message.to_owned(), String::new()),
    }
}

/// The start of the messages for settings that may have one of several forms. (For an untagged
/// enum, serde's message is only its `expecting` text.)
const FORMS: &str = "one of: ";
