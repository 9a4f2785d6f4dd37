//! `CELLWAY__SECTION__KEY` environment variables, which override the file.

use toml::{Table, Value};

use super::error::{ConfigError, Place};
use super::tree::{Step, Tree};

/// The prefix of our variables. Other `CELLWAY_*` names are ignored, because Kubernetes sets some
/// (`CELLWAY_SERVICE_HOST`, for a service called `cellway`).
const PREFIX: &str = "CELLWAY__";

/// Stands for bytes that are not UTF-8. No setting needs this character.
const NOT_TEXT: char = char::REPLACEMENT_CHARACTER;

/// Applies the overrides among `variables` to the file's settings.
///
/// A name is split at `__` and lower-cased: `CELLWAY__LISTENER__0__BIND`. A number is a position in
/// a list, from 0. The number after the last one adds an entry. A value is parsed as TOML if it is
/// TOML (`8`, `true`, `["a"]`), and is a string otherwise.
pub(crate) fn overlay(
    tree: &mut Tree,
    variables: impl IntoIterator<Item = (String, String)>,
    errors: &mut Vec<ConfigError>,
) {
    let mut overrides = Vec::new();
    for (name, raw) in variables {
        let Some(rest) = name.strip_prefix(PREFIX) else {
            continue;
        };
        if name.contains(NOT_TEXT) || raw.contains(NOT_TEXT) {
            errors.push(ConfigError {
                place: Place::Variable(name),
                setting: String::new(),
                problem: "is not UTF-8 text".to_owned(),
                fix: "write it as UTF-8, or unset it".to_owned(),
            });
            continue;
        }
        match steps(rest) {
            Some(steps) => overrides.push((steps, name, raw)),
            None => errors.push(mistake(
                &name,
                "has an empty part or begins with a number".to_owned(),
            )),
        }
    }
    // Sort by list position, and a table before its settings, because the environment has no fixed
    // order.
    overrides.sort();
    for (steps, name, raw) in overrides {
        if let Err(problem) = tree.set(&steps, &name, &raw, value(&raw)) {
            errors.push(mistake(&name, problem));
        }
    }
}

/// The names of the overrides among `variables`, sorted.
pub(crate) fn ours(variables: &[(String, String)]) -> Vec<String> {
    let names = variables.iter().map(|(name, _)| name);
    let mut ours: Vec<_> = names
        .filter(|name| name.starts_with(PREFIX))
        .cloned()
        .collect();
    ours.sort_unstable();
    ours
}

fn mistake(name: &str, problem: String) -> ConfigError {
    ConfigError {
        place: Place::Variable(name.to_owned()),
        setting: String::new(),
        problem,
        fix: format!("write it as {PREFIX}SECTION__KEY or {PREFIX}LIST__0__KEY"),
    }
}

fn steps(name: &str) -> Option<Vec<Step>> {
    let steps: Option<Vec<_>> = name
        .split("__")
        .map(|part| match part.parse() {
            Ok(index) => Some(Step::Index(index)),
            Err(_) if part.is_empty() => None,
            Err(_) => Some(Step::Key(part.to_ascii_lowercase())),
        })
        .collect();
    steps.filter(|steps| matches!(steps.first(), Some(Step::Key(_))))
}

fn value(raw: &str) -> Value {
    let text = || Value::String(raw.to_owned());
    // Only one line is parsed, so that a value can't add further settings.
    if raw.contains('\n') {
        return text();
    }
    match toml::from_str::<Table>(&format!("value = {raw}")) {
        Ok(mut table) => match table.remove("value") {
            Some(Value::Datetime(_)) | None => text(),
            Some(value) => value,
        },
        Err(_) => text(),
    }
}
