//! Checks the cells of a document.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::entries::{RawCell, RawDrain, RawEndpoint};
use super::error::Mistakes;
use super::{Registry, RegistryError};
use crate::cell::{Cell, CellDrain, CellState, Endpoint, EndpointId, EndpointUrl, San, Scheme};
use crate::ranked::Ranked;
use crate::text::Text;
use crate::time::Unix;

/// The checked cells by id, and the first unused endpoint id.
pub(super) struct Cells {
    pub(super) cells: Vec<Arc<Cell>>,
    /// The ids of those with mistakes. A reference to one of them is not a mistake.
    pub(super) broken: BTreeSet<String>,
    pub(super) next_endpoint: u32,
}

/// Checks the cells, and gives every endpoint an id: the one that it had in `previous`, or else one
/// that was never used.
pub(super) fn check(
    raw: Vec<RawCell>,
    list: &str,
    previous: Option<&Registry>,
    mistakes: &mut Mistakes,
) -> Cells {
    let mut checked = Cells {
        cells: Vec::with_capacity(raw.len()),
        broken: BTreeSet::new(),
        next_endpoint: previous.map_or(0, |previous| previous.next_endpoint),
    };
    let mut seen = BTreeMap::new();
    for (at, raw) in raw.into_iter().enumerate() {
        let path = format!("{list}[{at}]");
        let old = previous.and_then(|previous| previous.cell(&raw.id));
        let id = raw.id.clone();
        if let Some(first) = seen.insert(id.clone(), at) {
            mistakes.invalid(format!("{path}.id {id:?} is also that of {list}[{first}]"));
            continue;
        }
        let cell = check_cell(raw, &path, old, &mut checked.next_endpoint);
        let Some(cell) = mistakes.take(cell) else {
            checked.broken.insert(id);
            continue;
        };
        checked.cells.push(match old {
            Some(old) if **old == cell => Arc::clone(old),
            _ => Arc::new(cell),
        });
    }
    checked.cells.sort_by(|a, b| a.id.cmp(&b.id));
    checked
}

fn check_cell(
    raw: RawCell,
    path: &str,
    old: Option<&Arc<Cell>>,
    next_endpoint: &mut u32,
) -> Result<Cell, RegistryError> {
    let invalid = |what: String| Err(RegistryError::invalid(format!("{path}.{what}")));
    let weight = raw.weight.unwrap_or(1);
    if !(1..=Cell::WEIGHT_MAX).contains(&weight) {
        return invalid(format!("weight must be 1 to {}", Cell::WEIGHT_MAX));
    }
    if raw.endpoints.len() > Ranked::ENDPOINTS_MAX {
        return invalid(format!("endpoints: at most {}", Ranked::ENDPOINTS_MAX));
    }
    if raw.endpoints.is_empty() && raw.state.takes_traffic() {
        let state = raw.state.as_str();
        return invalid(format!("endpoints: a cell that is {state} needs one"));
    }
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(raw.endpoints.len());
    for (at, raw) in raw.endpoints.into_iter().enumerate() {
        let path = format!("{path}.endpoints[{at}]");
        let (url, san) = check_endpoint(&raw, &path)?;
        if let Some(first) = endpoints.iter().position(|other| other.url == url) {
            return invalid(format!(
                "endpoints[{at}].url is also that of endpoints[{first}]"
            ));
        }
        let known = old.and_then(|old| {
            old.endpoints
                .iter()
                .find(|it| it.url == url && it.san == san)
        });
        let id = match known {
            Some(known) => known.id,
            None => fresh_id(next_endpoint)?,
        };
        endpoints.push(Endpoint { id, url, san });
    }
    Ok(Cell {
        id: text(&raw.id, path, "id")?,
        tier: text(&raw.tier, path, "tier")?,
        region: text(&raw.region, path, "region")?,
        state: raw.state,
        drain: check_drain(raw.drain.as_ref(), raw.state)
            .map_err(|why| RegistryError::invalid(format!("{path}.drain {why}")))?,
        weight,
        endpoints,
        annotations: raw.annotations,
    })
}

/// What `drain` says. An error follows the field's name.
fn check_drain(
    raw: Option<&RawDrain>,
    state: CellState,
) -> Result<Option<CellDrain>, &'static str> {
    let Some(raw) = raw else {
        return Ok(None);
    };
    if state != CellState::Draining {
        return Err("is only for a cell whose state is draining");
    }
    match (raw.percent, raw.from, raw.until) {
        (Some(percent @ 0..=100), None, None) => Ok(Some(CellDrain::Percent(percent))),
        (Some(_), None, None) => Err("has a percent that is not 0 to 100"),
        (None, Some(from), Some(until)) if from < until => Ok(Some(CellDrain::Between(
            Unix::from_secs(from),
            Unix::from_secs(until),
        ))),
        (None, Some(_), Some(_)) => Err("must end (until) after it begins (from)"),
        _ => Err("must have percent, or both from and until (seconds since 1970)"),
    }
}

fn check_endpoint(
    raw: &RawEndpoint,
    path: &str,
) -> Result<(EndpointUrl, Option<San>), RegistryError> {
    let invalid = |field: &str, why: &str| RegistryError::invalid(format!("{path}.{field} {why}"));
    let url = EndpointUrl::parse(&raw.url);
    let url = url.map_err(|why| invalid("url", &instead_of(&raw.url, why)))?;
    let Some(san) = &raw.san else {
        return Ok((url, None));
    };
    if url.scheme() != Scheme::Https {
        return Err(invalid("san", "is only for https endpoints"));
    }
    let san = San::parse(san).map_err(|why| invalid("san", why))?;
    Ok((url, Some(san)))
}

/// What is wrong with a URL, with what was found and what was probably meant.
fn instead_of(url: &str, why: &str) -> String {
    match url.split_once("://") {
        Some(("grpc", _)) => format!("{why}, found \"grpc\"; gRPC without TLS is h2c"),
        Some(("grpcs", _)) => format!("{why}, found \"grpcs\"; gRPC with TLS is https"),
        Some(("https" | "http" | "h2c", _)) => why.to_owned(),
        Some((scheme, _)) => format!("{why}, found {scheme:?}"),
        // It may hold a password.
        None if url.contains('@') => why.to_owned(),
        None => format!("{why}, found {url:?}"),
    }
}

fn fresh_id(next: &mut u32) -> Result<EndpointId, RegistryError> {
    let id = EndpointId(*next);
    *next = next.checked_add(1).ok_or_else(|| {
        RegistryError::invalid("this process has seen 2^32 endpoints: restart it")
    })?;
    Ok(id)
}

/// A `Text`, or a message with the path of the field.
pub(super) fn text(value: &str, path: &str, field: &str) -> Result<Text, RegistryError> {
    Text::new(value).map_err(|why| RegistryError::invalid(format!("{path}.{field} {why}")))
}
