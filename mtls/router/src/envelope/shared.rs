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
mod tests {
    use super::*;

    fn key(kid: &str, cell: &str, seed: u8, from: u64) -> (Unix, HmacKey) {
        let key = HmacKey::new(kid, cell, &[seed; 32]).unwrap();
        (Unix::from_secs(from), key)
    }

    #[test]
    fn each_cell_has_its_own_key_and_each_key_its_time() {
        let keys = vec![
            key("b2", "b", 3, 900),
            key("a1", "a", 1, 500),
            key("b1", "b", 2, 0),
        ];
        let keys = SharedKeys::new(keys).unwrap();
        let used = |cell: &str, secs| {
            let key = keys.of(&Text::new(cell).unwrap(), Unix::from_secs(secs));
            key.map(HmacKey::kid)
        };
        assert_eq!(used("a", 0), Some("a1"), "there is no other");
        assert_eq!(used("b", 899), Some("b1"));
        assert_eq!(used("b", 900), Some("b2"));
        assert_eq!(used("c", 900), None);
        assert_eq!(keys.cells(), 2);
    }

    #[test]
    fn one_secret_for_two_cells_is_refused() {
        let refused = |keys| SharedKeys::new(keys).unwrap_err();
        let error = refused(vec![key("a1", "a", 1, 0), key("b1", "b", 1, 0)]);
        assert!(
            error.contains("the same secret") && error.contains("(cell a)"),
            "{error}"
        );
        // Zeros after a secret don't make it a different one for HMAC.
        let padded = HmacKey::new("b1", "b", &[&[1; 32][..], &[0; 8]].concat()).unwrap();
        let error = refused(vec![key("a1", "a", 1, 0), (Unix::from_secs(0), padded)]);
        assert!(error.contains("the same secret"), "{error}");
        let error = refused(vec![key("a1", "a", 1, 0), key("a1", "a", 2, 9)]);
        assert!(error.contains("twice"), "{error}");
        let error = refused(vec![key("a1", "a", 1, 9), key("a2", "a", 2, 9)]);
        assert!(error.contains("the same sign_from"), "{error}");
        assert_eq!(refused(vec![]), "names no key");
    }
}
