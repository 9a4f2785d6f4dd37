//! The public keys of cells, from the registry's annotations.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::keys::{Algorithm, JwksError, KeySet};
use crate::policy::CbaRules;
use crate::registry::Registry;
use crate::text::Text;

/// The key set of each cell that has one, read from the registry's annotations.
///
/// A part of snapshots. It follows the registry and the policy, and shares unchanged key sets with
/// the table before it. An annotation that can't be used affects only its own cell: the cell's
/// authorizations are refused, and the document stays valid.
#[derive(Debug, Default)]
pub struct CellKeys {
    /// The algorithms that the annotations were read with.
    algorithms: Vec<Algorithm>,
    cells: BTreeMap<Text, Arc<CellKeySet>>,
}

/// What one cell has published.
#[derive(Debug)]
pub struct CellKeySet {
    /// The annotation, to tell whether it has changed.
    text: Box<str>,
    keys: Result<KeySet, JwksError>,
}

impl CellKeys {
    /// The most bytes of one cell's annotation. A dozen RSA keys fit; a cell needs two during a
    /// rotation.
    pub const BYTES_MAX: usize = 16 << 10;

    /// Reads the annotations of a registry that is not in force, to check it.
    pub fn read(rules: &CbaRules, registry: &Registry) -> Self {
        Self::default().follow(rules, Some(registry))
    }

    /// The table for these rules and this registry. It shares unchanged key sets with this one.
    pub(crate) fn follow(&self, rules: &CbaRules, registry: Option<&Registry>) -> Self {
        let mut next = Self {
            algorithms: rules.algorithms.clone(),
            cells: BTreeMap::new(),
        };
        let (Some(annotation), Some(registry)) = (&rules.annotation, registry) else {
            return next;
        };
        let same_rules = self.algorithms == rules.algorithms;
        for cell in registry.cells() {
            let Some(text) = cell.annotations.get(&**annotation) else {
                continue;
            };
            let known = self
                .cells
                .get(&cell.id)
                .filter(|known| same_rules && *known.text == **text);
            let keys = match known {
                Some(known) => Arc::clone(known),
                None => Arc::new(CellKeySet::read(text, &rules.algorithms)),
            };
            next.cells.insert(cell.id.clone(), keys);
        }
        next
    }

    /// What this cell has published, if anything.
    pub fn cell(&self, id: &str) -> Option<&CellKeySet> {
        self.cells.get(id).map(|keys| &**keys)
    }

    /// Cells whose annotation can't be used, with the reason, by id.
    pub fn refused(&self) -> impl Iterator<Item = (&Text, &JwksError)> {
        let cells = self.cells.iter();
        cells.filter_map(|(cell, set)| Some((cell, set.keys.as_ref().err()?)))
    }

    /// How many cells have published keys that can be used.
    pub fn usable(&self) -> usize {
        self.cells.values().filter(|set| set.keys.is_ok()).count()
    }

    /// The cells of [`refused`](Self::refused) that are new since `before`.
    pub(crate) fn newly_refused(&self, before: &Self) -> Vec<(Text, JwksError)> {
        let new = |(cell, _): &(&Text, &JwksError)| {
            let (old, new) = (before.cells.get(*cell), self.cells.get(*cell));
            !old.zip(new).is_some_and(|(old, new)| Arc::ptr_eq(old, new))
        };
        let owned = |(cell, why): (&Text, &JwksError)| (cell.clone(), why.clone());
        self.refused().filter(new).map(owned).collect()
    }
}

impl CellKeySet {
    fn read(text: &str, algorithms: &[Algorithm]) -> Self {
        let keys = match text.len() > CellKeys::BYTES_MAX {
            true => Err(JwksError::oversized(text.len(), CellKeys::BYTES_MAX)),
            false => KeySet::parse(text.as_bytes(), algorithms),
        };
        Self {
            text: text.into(),
            keys,
        }
    }

    /// The keys.
    ///
    /// # Errors
    /// Why the annotation can't be used.
    pub fn keys(&self) -> Result<&KeySet, &JwksError> {
        self.keys.as_ref()
    }
}
