//! From a document to a registry: every check, in one step.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;

use super::assign::assign;
use super::cell::{Cell, CellState};
use super::cells::{self, Cells};
use super::document::{Document, OlderCell, RawCell, RawPlacement, RawUnknownTenant};
use super::refused::{RefusedReason, RegistryFormat, RegistryLimits, RegistryRefused};
use super::revocations;
use super::{Base, Candidate, EndpointId, Parsed, Placement, Registry, UnknownTenant};
use crate::placement::rendezvous::Spread;
use crate::text::Text;

pub(super) fn parse(
    body: &[u8],
    format: RegistryFormat,
    previous: Option<&Registry>,
    limits: &RegistryLimits,
) -> Result<Parsed, RegistryRefused> {
    check_bytes(body, limits)?;
    let base = Base(previous.map(Registry::stamp));
    let digest = sha256(body);
    if previous.is_some_and(|previous| previous.digest == digest) {
        return Ok(Parsed::Unchanged(base));
    }
    let mut document = Document::read(body, format)?;
    if let Some(problem) = document.tenants.problem.take() {
        return Err(RegistryRefused::invalid(problem));
    }
    let version = check_version(&document, previous)?;
    let registry = build(document, version, digest, previous, limits)?;
    match previous {
        Some(previous)
            if (registry.version == previous.version || version.is_none())
                && registry.says_the_same_as(previous) =>
        {
            return Ok(Parsed::Unchanged(base));
        }
        Some(previous) if registry.version == previous.version => {
            let detail = format!(
                "version {} is current and says something else",
                previous.version
            );
            return Err(refused(RefusedReason::SameVersionOtherContent, detail));
        }
        _ => {}
    }
    Ok(Parsed::Changed(Box::new(Candidate { registry, base })))
}

fn refused(reason: RefusedReason, detail: impl Into<String>) -> RegistryRefused {
    RegistryRefused::new(reason, detail)
}

fn check_bytes(body: &[u8], limits: &RegistryLimits) -> Result<(), RegistryRefused> {
    // The index counts bytes of ids in 32 bits.
    let max = limits.document_bytes_max.min(u32::MAX as usize);
    if body.len() > max {
        let detail = format!("{} bytes; at most {max}", body.len());
        return Err(refused(RefusedReason::Oversized, detail));
    }
    if body.trim_ascii().is_empty() {
        return Err(refused(RefusedReason::Empty, "the document has no content"));
    }
    Ok(())
}

fn sha256(body: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digest = digest::digest(&digest::SHA256, body);
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// The version that the document names; `None` for the older form without one.
fn check_version(
    document: &Document<'_>,
    previous: Option<&Registry>,
) -> Result<Option<u64>, RegistryRefused> {
    let version = match document.version {
        Some(0) => return Err(RegistryRefused::invalid("version must be 1 or more")),
        None if document.data.is_none() => {
            return Err(RegistryRefused::invalid("missing field `version`"));
        }
        version => version,
    };
    match (version, previous) {
        (Some(version), Some(previous)) if version < previous.version => {
            let detail = format!("version {version} after version {}", previous.version);
            Err(refused(RefusedReason::OlderVersion, detail))
        }
        // Else a rollback could pass by leaving its version out.
        (None, Some(previous)) if previous.names_version => Err(RegistryRefused::invalid(
            "missing field `version`, which the current document has",
        )),
        _ => Ok(version),
    }
}

fn build(
    document: Document<'_>,
    version: Option<u64>,
    digest: [u8; 32],
    previous: Option<&Registry>,
    limits: &RegistryLimits,
) -> Result<Registry, RegistryRefused> {
    let is_older_form = document.data.is_some();
    let Cells {
        cells,
        next_endpoint,
    } = read_cells(document.cells, document.data, previous, limits)?;
    check_count(
        "placements",
        document.placements.len(),
        limits.placements_max,
    )?;
    let placements = read_placements(document.placements, &cells)?;
    check_count("tenants", document.tenants.items.len(), limits.tenants_max)?;
    let lost = Lost {
        cells: cells.len(),
        tenants: document.tenants.items.len(),
    };
    lost.check(previous, document.allow_shrink_from, limits)?;
    let default = match is_older_form {
        true => UnknownTenant::ByTier,
        false => UnknownTenant::Deny,
    };
    check_count(
        "revocations",
        document.revocations.len(),
        limits.revocations_max,
    )?;
    let revocations = revocations::read(document.revocations)?;
    let unknown = document.unknown_tenant;
    let unknown_tenant = read_unknown(unknown, default, &placements)?;
    let assigned = assign(document.tenants, &cells, &placements, previous)?;
    let names_version = version.is_some();
    let version = version.unwrap_or_else(|| previous.map_or(1, |it| it.version.saturating_add(1)));
    let mut registry = Registry {
        version,
        tenants_since: version,
        names_version,
        digest,
        tiers: by_tier(&cells),
        endpoints: by_endpoint(&cells),
        next_endpoint,
        cells,
        placements,
        assigned,
        unknown_tenant,
        revocations,
    };
    if let Some(previous) = previous.filter(|it| registry.says_the_same_of_tenants_as(it)) {
        registry.tenants_since = previous.tenants_since;
    }
    Ok(registry)
}

fn check_count(what: &str, count: usize, max: usize) -> Result<(), RegistryRefused> {
    match count > max {
        true => Err(refused(
            RefusedReason::Oversized,
            format!("{what}: {count}; at most {max}"),
        )),
        false => Ok(()),
    }
}

fn read_cells(
    cells: Option<Vec<RawCell>>,
    data: Option<Vec<OlderCell>>,
    previous: Option<&Registry>,
    limits: &RegistryLimits,
) -> Result<Cells, RegistryRefused> {
    let (list, raw) = match (cells, data) {
        (Some(cells), None) => ("cells", cells),
        (None, Some(data)) => {
            let modern = data.into_iter().enumerate();
            let modern = modern.map(|(at, older)| cells::modernise(older, at));
            ("data", modern.collect::<Result<_, _>>()?)
        }
        (None, None) => return Err(RegistryRefused::invalid("missing field `cells`")),
        (Some(_), Some(_)) => {
            return Err(RegistryRefused::invalid(
                "has `cells` and `data`; one of them goes",
            ));
        }
    };
    if raw.is_empty() {
        return Err(refused(RefusedReason::Empty, format!("{list} is empty")));
    }
    check_count(list, raw.len(), limits.cells_max)?;
    cells::check(raw, list, previous)
}

fn read_placements(
    raw: Vec<RawPlacement>,
    cells: &[Arc<Cell>],
) -> Result<Vec<Placement>, RegistryRefused> {
    let mut placements = BTreeMap::new();
    for (at, raw) in raw.into_iter().enumerate() {
        let placement = read_placement(raw, &format!("placements[{at}]"), cells)?;
        let id = placement.id.clone();
        if placements.insert(id.clone(), placement).is_some() {
            let detail = format!("placements[{at}].id {id:?} comes twice");
            return Err(RegistryRefused::invalid(detail));
        }
    }
    Ok(placements.into_values().collect())
}

fn read_placement(
    raw: RawPlacement,
    path: &str,
    all: &[Arc<Cell>],
) -> Result<Placement, RegistryRefused> {
    let invalid = |what: String| Err(RegistryRefused::invalid(format!("{path}.{what}")));
    let tier = cells::text(&raw.tier, path, "tier")?;
    if raw.cells.len() > Placement::CELLS_MAX {
        return invalid(format!("cells: at most {}", Placement::CELLS_MAX));
    }
    let mut members: Vec<Arc<Cell>> = Vec::with_capacity(raw.cells.len());
    for (at, id) in raw.cells.iter().enumerate() {
        let Ok(found) = all.binary_search_by(|cell| cell.id.as_str().cmp(id)) else {
            return invalid(format!("cells[{at}]: there is no cell {id:?}"));
        };
        let cell = &all[found];
        if cell.state == CellState::Retired {
            return invalid(format!("cells[{at}]: cell {id:?} is retired"));
        }
        if cell.tier != tier {
            let other = &cell.tier;
            return invalid(format!(
                "cells[{at}]: cell {id:?} has tier {other:?}, not {tier:?}"
            ));
        }
        if members.iter().any(|member| member.id == cell.id) {
            return invalid(format!("cells[{at}]: cell {id:?} comes twice"));
        }
        members.push(Arc::clone(cell));
    }
    match (members.len(), raw.stateless) {
        (0, _) => return invalid("cells is empty".into()),
        (1, _) | (_, true) => {}
        (_, false) => {
            return invalid("cells: only a stateless placement spreads over several".into());
        }
    }
    Ok(Placement {
        id: cells::text(&raw.id, path, "id")?,
        tier,
        stateless: raw.stateless,
        spread: Spread::new(members),
    })
}

fn read_unknown(
    raw: Option<RawUnknownTenant>,
    default: UnknownTenant,
    placements: &[Placement],
) -> Result<UnknownTenant, RegistryRefused> {
    let id = match raw {
        None => return Ok(default),
        Some(RawUnknownTenant::Deny) => return Ok(UnknownTenant::Deny),
        Some(RawUnknownTenant::ByTier) => return Ok(UnknownTenant::ByTier),
        Some(RawUnknownTenant::Placement(id)) => id,
    };
    match placements
        .iter()
        .find(|placement| *placement.id.as_str() == id)
    {
        Some(placement) => Ok(UnknownTenant::Placement(placement.id.clone())),
        None => Err(RegistryRefused::invalid(format!(
            "unknown_tenant.placement: there is no placement {id:?}"
        ))),
    }
}

fn by_tier(cells: &[Arc<Cell>]) -> BTreeMap<Text, Spread> {
    let mut tiers: BTreeMap<Text, Vec<Arc<Cell>>> = BTreeMap::new();
    for cell in cells {
        tiers
            .entry(cell.tier.clone())
            .or_default()
            .push(Arc::clone(cell));
    }
    let spread = |(tier, cells)| (tier, Spread::new(cells));
    tiers.into_iter().map(spread).collect()
}

fn by_endpoint(cells: &[Arc<Cell>]) -> Vec<(EndpointId, u32)> {
    let numbered = (0u32..).zip(cells);
    let of = |(at, cell): (u32, &Arc<Cell>)| -> Vec<_> {
        cell.endpoints
            .iter()
            .map(|endpoint| (endpoint.id, at))
            .collect()
    };
    let mut endpoints: Vec<_> = numbered.flat_map(of).collect();
    endpoints.sort_unstable();
    endpoints
}

/// How much a document has left, to be held against what there was.
struct Lost {
    cells: usize,
    tenants: usize,
}

impl Lost {
    /// A control plane that lost half its database says so in a perfectly valid document.
    fn check(
        &self,
        previous: Option<&Registry>,
        allowed_from: Option<u64>,
        limits: &RegistryLimits,
    ) -> Result<(), RegistryRefused> {
        let Some(previous) = previous else {
            return Ok(());
        };
        if allowed_from == Some(previous.version) {
            return Ok(());
        }
        let percent = usize::from(limits.shrink_percent_max);
        for (what, was, is) in [
            ("cells", previous.cells.len(), self.cells),
            ("tenants", previous.tenant_count(), self.tenants),
        ] {
            if was.saturating_sub(is).saturating_mul(100) > was.saturating_mul(percent) {
                let version = previous.version;
                let detail = format!(
                    "{is} {what} after {was}; a loss of more than {percent} % needs allow_shrink_from = {version}"
                );
                return Err(refused(RefusedReason::Shrunken, detail));
            }
        }
        Ok(())
    }
}
