//! Parses a document into a registry, with every check.

use std::collections::BTreeMap;
use std::sync::Arc;

use aws_lc_rs::digest;

use super::assign::{Targets, assign};
use super::cells::{self, Cells};
use super::document::Document;
use super::entries::{RawCell, RawTenants, RawUnknownTenant};
use super::error::{Mistakes, RegistryError, RegistryErrorReason};
use super::limits::{RegistryFormat, RegistryLimits};
use super::older::{self, OlderCell};
use super::placements::{self, Placements};
use super::read::read;
use super::{Base, Candidate, EndpointId, Parsed, Registry, Revocations, UnknownTenant};
use super::{lines, revocations};
use crate::cell::Cell;
use crate::rendezvous::Spread;
use crate::text::Text;
use crate::words::suggestion;

pub(super) fn parse(
    body: &[u8],
    format: RegistryFormat,
    previous: Option<&Registry>,
    limits: &RegistryLimits,
) -> Result<Parsed, RegistryError> {
    checked(body, format, previous, limits).map_err(|mut refused| {
        lines::add(&mut refused, body, format);
        refused
    })
}

fn checked(
    body: &[u8],
    format: RegistryFormat,
    previous: Option<&Registry>,
    limits: &RegistryLimits,
) -> Result<Parsed, RegistryError> {
    check_bytes(body, limits)?;
    let base = Base(previous.map(Registry::stamp));
    let digest = sha256(body);
    if previous.is_some_and(|previous| previous.digest == digest) {
        return Ok(Parsed::Unchanged(base));
    }
    let mut document = read(body, format)?;
    let mut mistakes = Mistakes::default();
    for problem in std::mem::take(&mut document.tenants.problems) {
        mistakes.invalid(problem);
    }
    let version = mistakes.take(check_version(&document, previous)).flatten();
    let registry = build(document, version, digest, previous, limits, &mut mistakes);
    mistakes.none()?;
    let registry = registry.ok_or_else(|| RegistryError::invalid("can't be read"))?;
    match previous {
        Some(previous)
            if (registry.version == previous.version || version.is_none())
                && registry.has_same_content(previous) =>
        {
            return Ok(Parsed::Unchanged(base));
        }
        Some(previous) if registry.version == previous.version => {
            let detail = format!(
                "version {} was in use with other content: publish a change under a higher version",
                previous.version
            );
            return Err(refused(
                RegistryErrorReason::SameVersionOtherContent,
                detail,
            ));
        }
        _ => {}
    }
    Ok(Parsed::Changed(Box::new(Candidate { registry, base })))
}

fn refused(reason: RegistryErrorReason, detail: impl Into<String>) -> RegistryError {
    RegistryError::new(reason, detail)
}

fn check_bytes(body: &[u8], limits: &RegistryLimits) -> Result<(), RegistryError> {
    // The index counts bytes of ids in 32 bits.
    let max = limits.document_bytes_max.min(u32::MAX as usize);
    if body.len() > max {
        let detail = format!("{} bytes; at most {max}", body.len());
        return Err(refused(RegistryErrorReason::Oversized, detail));
    }
    if body.trim_ascii().is_empty() {
        return Err(refused(
            RegistryErrorReason::Empty,
            "the document has no content",
        ));
    }
    Ok(())
}

pub(super) fn sha256(body: &[u8]) -> [u8; 32] {
    let mut bytes = [0; 32];
    let digest = digest::digest(&digest::SHA256, body);
    bytes.copy_from_slice(digest.as_ref());
    bytes
}

/// The version that the document names; `None` for the older form without one.
fn check_version(
    document: &Document<'_>,
    previous: Option<&Registry>,
) -> Result<Option<u64>, RegistryError> {
    let version = match document.version {
        Some(0) => return Err(RegistryError::invalid("version must be 1 or more")),
        Some(version) if version > Registry::VERSION_MAX => {
            let detail = format!(
                "version is {version}; at most {} (2^53 - 1), so that a higher one can follow and \
                 every JSON library reads it exactly",
                Registry::VERSION_MAX
            );
            return Err(RegistryError::invalid(detail));
        }
        None if document.data.is_none() => {
            return Err(RegistryError::invalid("`version` is missing"));
        }
        version => version,
    };
    match (version, previous) {
        (Some(version), Some(previous)) if version < previous.version => {
            let detail = format!(
                "version {version} is older than version {}, the last one in use",
                previous.version
            );
            Err(refused(RegistryErrorReason::OlderVersion, detail))
        }
        // Otherwise a rollback could get through by omitting its version.
        (None, Some(previous)) if previous.names_version => Err(RegistryError::invalid(
            "`version` is missing, but the current document has one",
        )),
        _ => Ok(version),
    }
}

/// The checked lists of a document. The tenants' references are not resolved yet.
struct Lists<'a> {
    cells: Cells,
    placements: Placements,
    tenants: RawTenants<'a>,
    unknown_tenant: UnknownTenant,
    revocations: Revocations,
}

fn build(
    document: Document<'_>,
    version: Option<u64>,
    digest: [u8; 32],
    previous: Option<&Registry>,
    limits: &RegistryLimits,
    mistakes: &mut Mistakes,
) -> Option<Registry> {
    let lists = read_lists(document, previous, limits, mistakes)?;
    let Cells {
        cells,
        broken,
        next_endpoint,
    } = lists.cells;
    let Placements {
        placements,
        broken: broken_placements,
    } = lists.placements;
    let targets = Targets {
        cells: &cells,
        placements: &placements,
        broken: (&broken, &broken_placements),
    };
    let assigned = assign(lists.tenants, &targets, previous, mistakes);
    let next = previous.map_or(1, |previous| previous.version.saturating_add(1));
    let registry = Registry {
        version: version.unwrap_or(next),
        tenants_since: version.unwrap_or(next),
        names_version: version.is_some(),
        digest,
        tiers: by_tier(&cells),
        endpoints: by_endpoint(&cells),
        next_endpoint,
        cells,
        placements,
        assigned,
        unknown_tenant: lists.unknown_tenant,
        revocations: lists.revocations,
    };
    Some(since(registry, previous))
}

fn read_lists<'a>(
    mut document: Document<'a>,
    previous: Option<&Registry>,
    limits: &RegistryLimits,
    mistakes: &mut Mistakes,
) -> Option<Lists<'a>> {
    let default = match document.data {
        Some(_) => UnknownTenant::ByTier,
        None => UnknownTenant::Deny,
    };
    if let Some(cells) = &mut document.data {
        older::pin(cells, &mut document.tenants, mistakes);
    }
    let listed = document.cells.as_ref().map(Vec::len);
    let listed = listed.or(document.data.as_ref().map(Vec::len));
    // Without cells, every reference to one would be reported as a mistake.
    let cells = read_cells(document.cells, document.data, previous, limits, mistakes)?;
    let placements = ("placements", limits.placements_max);
    let placements = within(placements, document.placements, mistakes);
    let placements = placements::read(placements, &cells.cells, &cells.broken, mistakes);
    let tenants = document.tenants.listed();
    let bounded = check_count("tenants", tenants, limits.tenants_max);
    if mistakes.take(bounded).is_none() {
        document.tenants = RawTenants::default();
    }
    let lost = ShrinkCheck {
        cells: listed.unwrap_or_default(),
        tenants,
    };
    mistakes.take(lost.check(previous, document.allow_shrink_from, limits));
    let revocations = ("revocations", limits.revocations_max);
    let revocations = within(revocations, document.revocations, mistakes);
    let revocations = revocations::read(revocations, mistakes);
    let unknown = document.unknown_tenant;
    let unknown_tenant = read_unknown(unknown, default, &placements, mistakes);
    Some(Lists {
        cells,
        placements,
        tenants: document.tenants,
        unknown_tenant,
        revocations,
    })
}

/// Takes over when anything last changed for a tenant, if nothing has.
fn since(mut registry: Registry, previous: Option<&Registry>) -> Registry {
    if let Some(previous) = previous
        && registry.has_same_tenants(previous)
    {
        registry.tenants_since = previous.tenants_since;
    }
    registry
}

/// The list, or an empty one if it has too many entries, which is a mistake.
fn within<T>((what, max): (&str, usize), list: Vec<T>, mistakes: &mut Mistakes) -> Vec<T> {
    let bounded = check_count(what, list.len(), max);
    mistakes.take(bounded).map_or_else(Vec::new, |()| list)
}

fn check_count(what: &str, count: usize, max: usize) -> Result<(), RegistryError> {
    match count > max {
        true => Err(refused(
            RegistryErrorReason::Oversized,
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
    mistakes: &mut Mistakes,
) -> Option<Cells> {
    let (list, raw) = match (cells, data) {
        (Some(cells), None) => ("cells", cells),
        (None, Some(data)) => {
            let modern = data.into_iter().enumerate();
            let modern = modern.filter_map(|(at, older)| {
                let modern = older::modernize(older, at);
                mistakes.take(modern)
            });
            ("data", modern.collect())
        }
        (None, None) => {
            mistakes.invalid("`cells` is missing");
            return None;
        }
        (Some(_), Some(_)) => {
            mistakes.invalid("has `cells` and `data`; keep one of them");
            return None;
        }
    };
    if raw.is_empty() {
        mistakes.add(refused(
            RegistryErrorReason::Empty,
            format!("{list} is empty"),
        ));
        return None;
    }
    mistakes.take(check_count(list, raw.len(), limits.cells_max))?;
    Some(cells::check(raw, list, previous, mistakes))
}

fn read_unknown(
    raw: Option<RawUnknownTenant>,
    default: UnknownTenant,
    placements: &Placements,
    mistakes: &mut Mistakes,
) -> UnknownTenant {
    let id = match raw {
        None => return default,
        Some(RawUnknownTenant::Deny) => return UnknownTenant::Deny,
        Some(RawUnknownTenant::ByTier) => return UnknownTenant::ByTier,
        Some(RawUnknownTenant::Placement(id)) => id,
    };
    let Placements { placements, broken } = placements;
    if let Some(placement) = placements.iter().find(|it| *it.id.as_str() == id) {
        return UnknownTenant::Placement(placement.id.clone());
    }
    if !broken.contains(&id) {
        let known = placements.iter().map(|it| it.id.as_str());
        let known = suggestion(&id, "placements", known);
        mistakes.invalid(format!(
            "unknown_tenant.placement: unknown placement {id:?}; {known}"
        ));
    }
    default
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

/// Checks how many cells and tenants a document has lost.
struct ShrinkCheck {
    cells: usize,
    tenants: usize,
}

impl ShrinkCheck {
    /// A control plane that lost half its database still sends a valid document.
    fn check(
        &self,
        previous: Option<&Registry>,
        allowed_from: Option<u64>,
        limits: &RegistryLimits,
    ) -> Result<(), RegistryError> {
        let Some(previous) = previous else {
            return Ok(());
        };
        if allowed_from == Some(previous.version) {
            return Ok(());
        }
        let percent = usize::from(limits.shrink_percent_max);
        for (what, was, is) in [
            ("cell", previous.cells.len(), self.cells),
            ("tenant", previous.tenant_count(), self.tenants),
        ] {
            if was.saturating_sub(is).saturating_mul(100) > was.saturating_mul(percent) {
                let version = previous.version;
                let plural = if is == 1 { "" } else { "s" };
                let detail = format!(
                    "{is} {what}{plural} after {was}; a loss of more than {percent} % needs allow_shrink_from = {version}"
                );
                return Err(refused(RegistryErrorReason::Shrunken, detail));
            }
        }
        Ok(())
    }
}
