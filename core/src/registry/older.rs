//! The cells of the older form of the document: `{"data": [cells]}`.
//!
//! Control planes that use it have their own schema, and a router needs only a part of it. So
//! unknown fields are ignored in the document, in its cells and in their endpoints. Fields that
//! assign tenants, such as `pinned_tenants`, are read, because ignoring them would send a tenant to
//! another cell. `placements`, `tenants` and `revocations` are the lists of the current form, with
//! the same strict rules.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny};

use super::RegistryError;
use super::entries::{RawCell, RawEndpoint, RawTenants};
use super::error::Mistakes;
use crate::cell::CellState;
use crate::text::Text;

#[derive(Deserialize)]
#[serde(expecting = "a table of id and what belongs to the cell")]
pub(super) struct OlderCell {
    id: String,
    tier: Option<String>,
    region: Option<String>,
    state: Option<CellState>,
    weight: Option<u32>,
    endpoints: Option<Vec<OlderEndpoint>>,
    /// Tenants that go only to this cell.
    pinned_tenants: Option<Vec<String>>,
    #[serde(default, deserialize_with = "notes")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "expected a URL, or a table of url and san")]
enum OlderEndpoint {
    Url(String),
    Full { url: String, san: Option<String> },
}

/// Annotations: strings, and whole numbers as their digits. Other values are ignored.
fn notes<'de, D: Deserializer<'de>>(deserializer: D) -> Result<BTreeMap<String, String>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Note {
        Text(String),
        Whole(u64),
        Other(IgnoredAny),
    }
    let notes = Option::<BTreeMap<String, Note>>::deserialize(deserializer)?;
    let text = |(name, note)| match note {
        Note::Text(text) => Some((name, text)),
        Note::Whole(number) => Some((name, number.to_string())),
        Note::Other(_) => None,
    };
    Ok(notes.into_iter().flatten().filter_map(text).collect())
}

/// Adds the tenants that cells list in `pinned_tenants`.
pub(super) fn pin(cells: &mut [OlderCell], tenants: &mut RawTenants<'_>, mistakes: &mut Mistakes) {
    let mut seen = BTreeSet::new();
    for (at, cell) in cells.iter_mut().enumerate() {
        for (nth, id) in cell.pinned_tenants.take().into_iter().flatten().enumerate() {
            let place = format!("data[{at}].pinned_tenants[{nth}]");
            if let Err(why) = Text::check(&id) {
                mistakes.invalid(format!("{place} {why}"));
            } else if !seen.insert(id.clone()) {
                mistakes.invalid(format!("{place}: tenant {id:?} is pinned twice"));
            } else {
                tenants.pin(id, cell.id.clone());
            }
        }
    }
}

/// Converts a cell to the current form. See the documentation of the parent module.
pub(super) fn modernize(older: OlderCell, at: usize) -> Result<RawCell, RegistryError> {
    let note = |name: &str| older.annotations.get(name).cloned();
    let invalid = |what: &str| RegistryError::invalid(format!("data[{at}]{what}"));
    let state = match (older.state, note("state")) {
        (Some(state), _) => state,
        (None, None) => CellState::Active,
        (None, Some(name)) => {
            state_of(&name).ok_or_else(|| invalid(".annotations.state isn't a state of a cell"))?
        }
    };
    let weight = match (older.weight, note("weight")) {
        (None, Some(weight)) => {
            let weight = weight.parse();
            Some(weight.map_err(|_| invalid(".annotations.weight isn't a whole number"))?)
        }
        (weight, _) => weight,
    };
    let san = note("san");
    let endpoints = match (older.endpoints, note("endpoint")) {
        (Some(endpoints), _) => endpoints,
        (None, Some(url)) => vec![OlderEndpoint::Url(url)],
        (None, None) => Vec::new(),
    };
    let endpoint = |endpoint| match endpoint {
        OlderEndpoint::Url(url) => RawEndpoint {
            url,
            san: san.clone(),
        },
        OlderEndpoint::Full { url, san } => RawEndpoint { url, san },
    };
    Ok(RawCell {
        tier: (older.tier.or_else(|| note("tier")))
            .ok_or_else(|| invalid(" has no tier, and no annotation of that name"))?,
        region: (older.region.or_else(|| note("region")))
            .ok_or_else(|| invalid(" has no region, and no annotation of that name"))?,
        state,
        drain: None,
        weight,
        endpoints: endpoints.into_iter().map(endpoint).collect(),
        id: older.id,
        annotations: older.annotations,
    })
}

fn state_of(name: &str) -> Option<CellState> {
    let mut all = CellState::ALL.iter();
    all.find(|state| state.as_str() == name).copied()
}
