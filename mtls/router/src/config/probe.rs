//! Asks serde which settings and words it knows, with values that it refuses.
//!
//! serde has no list of the settings of a table or of the words of an enum, but its messages about
//! unknown ones name all of them.

use cellway_core::words::quoted;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

use super::misfit::{Misfit, read};
use super::tree::{Step, Tree, name_of};

/// The words that a setting accepts. Empty if its values are no words.
pub(super) fn words<T: DeserializeOwned>(tree: &Tree, steps: &[Step]) -> Vec<String> {
    let mut tree = tree.clone();
    tree.replace(steps, Value::String(String::new()));
    refused::<T>(&tree, steps, "unknown variant ")
}

/// The settings of the table at this place. Empty if no table with fixed settings belongs there.
pub(super) fn settings<T: DeserializeOwned>(tree: &Tree, steps: &[Step]) -> Vec<String> {
    let mut tree = tree.clone();
    let nameless = Table::from_iter([(String::new(), Value::Boolean(false))]);
    tree.replace(steps, Value::Table(nameless));
    let mut inside = steps.to_vec();
    inside.push(Step::Key(String::new()));
    refused::<T>(&tree, &inside, "unknown field ")
}

/// The only setting of the table at this place that accepts this word.
pub(super) fn setting_with_word<T: DeserializeOwned>(
    tree: &Tree,
    steps: &[Step],
    word: &str,
) -> Option<String> {
    let mut empty = tree.clone();
    empty.replace(steps, Value::Table(Table::new()));
    let mut found = settings::<T>(tree, steps).into_iter().filter(|name| {
        let mut inside = steps.to_vec();
        inside.push(Step::Key(name.clone()));
        words::<T>(&empty, &inside).iter().any(|it| it == word)
    });
    found.next().filter(|_| found.next().is_none())
}

/// The names that a message lists as known.
pub(super) fn known(message: &str) -> Vec<&str> {
    message.split('`').skip(3).step_by(2).collect()
}

/// The names that serde lists when it refuses this setting for a reason that begins so.
fn refused<T: DeserializeOwned>(tree: &Tree, refused: &[Step], reason: &str) -> Vec<String> {
    match read::<T>(&tree.root) {
        Err(Misfit { steps, message })
            if quoted(&message, reason) == Some("") && name_of(&steps) == name_of(refused) =>
        {
            known(&message).into_iter().map(str::to_owned).collect()
        }
        _ => Vec::new(),
    }
}
