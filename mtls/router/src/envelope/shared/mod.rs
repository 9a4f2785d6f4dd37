//! Keys that the router shares with cells. Each key belongs to one cell.

use std::collections::BTreeMap;

use cellway_core::envelope::HmacKey;
use cellway_core::{Text, Unix};

/// The most keys in a folder, over all cells.
pub(super) const SHARED_KEYS_MAX: usize = 2048;

/// Each cell's keys, in the order in which they are used.
#[derive(Debug, Default)]
pub(super) struct SharedKeys(BTreeMap<Text, Vec<(Unix, HmacKey)>>);

impl SharedKeys {
    /// Sorts the keys by cell. Each comes with the time from which it is used.
    ///
    /// # Errors
    /// What is wrong with the keys together.
    pub(super) fn new(keys: Vec<(Unix, HmacKey)>) -> Result<Self, String> {
        if keys.is_empty() {
            return Err("names no key".to_owned());
        }
        if keys.len() > SHARED_KEYS_MAX {
            return Err(format!("names more than {SHARED_KEYS_MAX} keys"));
        }
        for (i, (_, key)) in keys.iter().enumerate() {
            let mut earlier = keys[..i].iter();
            if earlier.clone().any(|(_, other)| other.kid() == key.kid()) {
                return Err(format!("names key `{}` twice", key.kid()));
            }
            // A cell that has another cell's key could seal envelopes that the other cell accepts.
            if let Some((_, other)) = earlier.find(|(_, other)| other.is_same_secret(key)) {
                let (one, two) = (other.kid(), key.kid());
                return Err(format!(
                    "keys `{one}` (cell {}) and `{two}` (cell {}) are the same secret; give each \
                     cell, and each kid, its own",
                    other.cell(),
                    key.cell()
                ));
            }
        }
        let mut cells: BTreeMap<Text, Vec<_>> = BTreeMap::new();
        for (from, key) in keys {
            cells
                .entry(key.cell().clone())
                .or_default()
                .push((from, key));
        }
        for keys in cells.values_mut() {
            keys.sort_by_key(|(from, _)| *from);
            if let Some(two) = keys.windows(2).find(|two| two[0].0 == two[1].0) {
                let (one, two) = (two[0].1.kid(), two[1].1.kid());
                return Err(format!("keys `{one}` and `{two}` have the same sign_from"));
            }
        }
        Ok(Self(cells))
    }

    /// The key that is used for this cell now: the last one that has started, or else the first.
    pub(super) fn of(&self, cell: &Text, now: Unix) -> Option<&HmacKey> {
        let keys = self.0.get(cell)?;
        let begun = keys.iter().rposition(|(from, _)| *from <= now);
        keys.get(begun.unwrap_or(0)).map(|(_, key)| key)
    }

    /// How many cells have a key.
    pub(super) fn cells(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests;
