//! The state of a router's envelope keys, for `/readyz`.

use cellway_core::registry::Registry;
use cellway_core::{Now, Text};
use serde::Serialize;

use super::sealer::{Keys, Sealer};

/// The most cells that are named because they have no key.
const CELLS_NAMED_MAX: usize = 8;

/// The key that seals now, and the next one.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
#[non_exhaustive]
pub struct EnvelopeStatus {
    /// `jws`, `hmac` or `compatible`.
    pub form: &'static str,
    /// The id of the key that signs, in the form `jws`. In the other forms each cell has its own
    /// key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub signing_kid: Option<String>,
    /// The id of the key that signs next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_kid: Option<String>,
    /// When the next key starts to sign, in Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_from: Option<u64>,
    /// How many cells have a key, in the forms with shared keys.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cells_with_key: Option<usize>,
    /// The first few cells of the registry without a key. Requests for them are refused.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cells_without_key: Vec<String>,
}

impl EnvelopeStatus {
    pub(crate) fn new(sealer: &Sealer, registry: Option<&Registry>, now: Now) -> Self {
        let none = Self {
            form: sealer.form().as_str(),
            signing_kid: None,
            next_kid: None,
            next_from: None,
            cells_with_key: None,
            cells_without_key: Vec::new(),
        };
        match &sealer.keys {
            Keys::Jws(ring) => {
                let next = ring.next(now);
                Self {
                    signing_kid: Some(ring.signing(now).kid().to_owned()),
                    next_kid: next.map(|(key, _)| key.kid().to_owned()),
                    next_from: next.map(|(_, from)| from.as_secs()),
                    ..none
                }
            }
            Keys::Shared(_, keys) => Self {
                cells_with_key: Some(keys.cells()),
                cells_without_key: (registry.into_iter())
                    .flat_map(|registry| without_key(sealer, registry, now))
                    .take(CELLS_NAMED_MAX)
                    .map(Text::to_string)
                    .collect(),
                ..none
            },
        }
    }
}

/// The registry's cells that no envelope can be sealed for.
pub(crate) fn without_key<'a>(
    sealer: &'a Sealer,
    registry: &'a Registry,
    now: Now,
) -> impl Iterator<Item = &'a Text> {
    let cells = registry.cells().iter().map(|cell| &cell.id);
    cells.filter(move |cell| sealer.kid(cell, now).is_none())
}
