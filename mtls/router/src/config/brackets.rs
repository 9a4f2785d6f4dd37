//! `[traffic]` where `[[traffic]]` is meant, and the reverse: the most common mistakes in TOML.
//!
//! Whether a setting is a list of tables is known only to serde. So the value is changed into the
//! other form, and if serde then accepts it, or finds a mistake inside of it, that was the mistake.

use serde::de::DeserializeOwned;
use toml::Value;

use super::error::ConfigError;
use super::misfit::{Misfit, read};
use super::tree::{Step, Tree, name_of};

/// Changes a table into a list with this table, or a list of tables into its first table, if that
/// is what serde's message about the setting is about. The rest of the tables can then be checked
/// too.
pub(super) fn repair<T: DeserializeOwned>(
    tree: &mut Tree,
    steps: &[Step],
    message: &str,
) -> Option<ConfigError> {
    let value = tree.value_at(steps)?;
    if value.is_table() && message.ends_with("expected a sequence") {
        let mut entry = steps.to_vec();
        entry.push(Step::Index(0));
        let fix = format!("write it as [[{}]]: there may be several", header(steps));
        return attempt::<T>(tree, steps, &entry, Tree::wrap, "is a table", fix);
    }
    // serde takes the first entry of a list for the first member of a table.
    let (_, list) = steps.split_last()?;
    let is_of_tables = |value: &mut Value| {
        let list = value.as_array();
        list.is_some_and(|list| list.iter().all(Value::is_table))
    };
    if steps.last() != Some(&Step::Index(0)) || !tree.value_at(list).is_some_and(is_of_tables) {
        return None;
    }
    let fix = format!("write it as [{}]: there is only one", header(list));
    attempt::<T>(tree, list, list, Tree::unwrap, "is a list of tables", fix)
}

/// Changes the setting, and undoes that if serde refuses the whole of `changed` then.
fn attempt<T: DeserializeOwned>(
    tree: &mut Tree,
    setting: &[Step],
    changed: &[Step],
    change: fn(&mut Tree, &[Step]),
    problem: &str,
    fix: String,
) -> Option<ConfigError> {
    let mut other = tree.clone();
    change(&mut other, setting);
    if read::<T>(&other.root).is_err_and(|Misfit { steps, .. }| steps == changed) {
        return None;
    }
    let name = name_of(setting);
    let place = tree.place(&name);
    *tree = other;
    Some(ConfigError {
        place,
        setting: name,
        problem: problem.to_owned(),
        fix,
    })
}

/// The setting as a header names it, without positions in lists.
pub(super) fn header(steps: &[Step]) -> String {
    let keys = steps.iter().filter_map(|step| match step {
        Step::Key(key) => Some(key.as_str()),
        Step::Index(_) => None,
    });
    keys.collect::<Vec<_>>().join(".")
}
