//! What to write instead of a value that serde doesn't accept, where its own message doesn't say it.

use cellway_core::words::{closest, quoted};
use serde::de::DeserializeOwned;
use toml::Value;

use super::elsewhere::elsewhere;
use super::error::ConfigError;
use super::probe::{self, known};
use super::tree::{Step, Tree, name_of};

/// The mistake in better words than serde's. `None` if serde's will do.
pub(super) fn better<T: DeserializeOwned>(
    tree: &mut Tree,
    steps: &[Step],
    message: &str,
) -> Option<ConfigError> {
    let (problem, fix) = if let Some(name) = quoted(message, "unknown field ") {
        let problem = format!("unknown setting `{name}`");
        (problem, misplaced::<T>(name, steps, message)?)
    } else if message.starts_with("unknown variant ") {
        return None;
    } else {
        not_a_word::<T>(tree, steps).or_else(|| word_for_table::<T>(tree, steps, message))?
    };
    let setting = name_of(steps);
    Some(ConfigError {
        place: tree.place(&setting),
        setting,
        problem,
        fix,
    })
}

/// The words of a setting, as they are written.
pub(super) fn one_of(words: &[String]) -> String {
    let words: Vec<_> = words.iter().map(|word| format!("\"{word}\"")).collect();
    match words.as_slice() {
        [only] => only.clone(),
        words => format!("one of {}", words.join(", ")),
    }
}

/// A setting that another table has.
fn misplaced<T: DeserializeOwned>(name: &str, steps: &[Step], message: &str) -> Option<String> {
    let belongs = elsewhere::<T>(steps)?;
    Some(match closest(name, &known(message)) {
        Some(close) => format!("{belongs}; or did you mean `{close}`?"),
        None => belongs,
    })
}

/// A value of another type where a word belongs.
fn not_a_word<T: DeserializeOwned>(tree: &mut Tree, steps: &[Step]) -> Option<(String, String)> {
    let words = probe::words::<T>(tree, steps);
    if words.is_empty() {
        return None;
    }
    let problem = match tree.value_at(steps)? {
        Value::Table(_) => "is a table".to_owned(),
        Value::Array(_) => "is a list".to_owned(),
        // An environment variable without quotes.
        Value::String(text) => format!("is {text}"),
        other @ (Value::Integer(_) | Value::Float(_) | Value::Boolean(_) | Value::Datetime(_)) => {
            format!("is {other}")
        }
    };
    Some((problem, format!("write {}", one_of(&words))))
}

/// A word where a table belongs that has a setting with this word.
fn word_for_table<T: DeserializeOwned>(
    tree: &mut Tree,
    steps: &[Step],
    message: &str,
) -> Option<(String, String)> {
    let Some((Step::Key(table), _)) = steps.split_last() else {
        return None;
    };
    let is_for_table = message.contains(", expected struct ");
    let word = tree.value_at(steps)?.as_str().filter(|_| is_for_table)?;
    let word = word.to_owned();
    let name = probe::setting_with_word::<T>(tree, steps, &word)?;
    let fix = format!("write {table} = {{ {name} = \"{word}\" }}");
    Some((format!("{word:?} is a string"), fix))
}
