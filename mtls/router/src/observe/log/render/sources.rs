//! Lines about cells, and about the sources of keys and registry.

use cellway_core::Snapshot;
use cellway_core::control::Notice;
use cellway_core::health::{HealthNotice, ProbeFailure};
use cellway_core::keys::{JwksError, KeyNotice, Skipped};
use cellway_core::policy::{IssuerId, Policy};
use cellway_core::registry::RegistryNotice;

use super::{Line, micros, millis};
use crate::observe::event::{Event, SpanOutcome};

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other events are rendered elsewhere; tests render each"
)]
pub(super) fn body(line: Line, event: &Event<'_>) -> Line {
    match event {
        Event::CellConnected {
            cell,
            endpoint,
            took,
        } => line
            .show("cell", cell)
            .str("endpoint", endpoint)
            .num("us", micros(*took)),
        Event::Spans {
            count,
            outcome,
            error,
        } => {
            let why = (*outcome != SpanOutcome::Sent).then(|| outcome.as_str());
            let error = error.map(ToString::to_string);
            line.num("count", *count).opt("why", why, Line::str).opt(
                "error",
                error.as_deref(),
                Line::str,
            )
        }
        Event::CellFailed {
            cell,
            endpoint,
            reason,
            error,
        } => line
            .show("cell", cell)
            .str("endpoint", endpoint)
            .str("reason", reason.as_str())
            .str("error", error),
        Event::CircuitChanged {
            cell,
            endpoint,
            request_id,
            change: _,
        } => line
            .show("cell", cell)
            .str("endpoint", endpoint)
            .str("request_id", request_id),
        Event::EndpointChecked {
            cell,
            endpoint,
            failure,
            error,
        } => line
            .show("cell", cell)
            .str("endpoint", endpoint)
            .opt("reason", failure.map(ProbeFailure::as_str), Line::str)
            .opt("error", *error, Line::str),
        Event::CellRetry {
            cell,
            endpoint,
            request_id,
            why,
            granted: _,
        } => line
            .show("cell", cell)
            .str("endpoint", endpoint)
            .str("request_id", request_id)
            .str("reason", why.as_str()),
        Event::CellHedge {
            cell,
            endpoint,
            request_id,
            end,
        } => line
            .show("cell", cell)
            .opt("endpoint", *endpoint, Line::str)
            .str("request_id", request_id)
            .str("result", end.as_str()),
        Event::FailedOver {
            listener,
            request_id,
            from,
            cell,
            fallback,
            reason,
        } => line
            .str("listener", listener)
            .str("request_id", request_id)
            .opt("from", *from, Line::show)
            .show("cell", cell)
            .opt("fallback", *fallback, Line::show)
            .str("reason", reason.as_str()),
        Event::KeysRequested { issuer, forced } => {
            line.show("issuer", issuer).flag("forced", *forced)
        }
        Event::SourceFailed { source, error } => line.str("source", source).show("error", error),
        Event::KeptRefused { file, error } | Event::KeepFailed { file, error } => {
            line.str("file", file).str("error", error)
        }
        Event::Published { snapshot } => published(line, snapshot),
        Event::Notice { notice, policy } => happened(line, notice, policy),
        _ => line,
    }
}

fn published(line: Line, snapshot: &Snapshot) -> Line {
    let registry = snapshot.registry.as_ref();
    let version = registry.map(|registry| registry.version());
    line.num("epoch", snapshot.epoch)
        .opt("registry_version", version, Line::num)
        .flag("registry_stale", snapshot.registry_stale)
}

fn happened(line: Line, notice: &Notice, policy: &Policy) -> Line {
    match notice {
        Notice::Keys { issuer, notice } => keys(line, *issuer, notice, policy),
        Notice::Registry(notice) => registry(line, notice),
        Notice::CellKeysRefused { cell, refused } => keys_refused(line.show("cell", cell), refused),
        Notice::Health(notice) => health(line, notice),
    }
}

fn keys(line: Line, issuer: IssuerId, notice: &KeyNotice, policy: &Policy) -> Line {
    let name = policy.issuers.get(usize::from(issuer.0));
    let line = line.opt("issuer", name.map(|issuer| &issuer.name), Line::show);
    match notice {
        KeyNotice::Fetched { keys, skipped, .. } => line
            .num("keys", *keys as u64)
            .num("skipped", skipped.len() as u64)
            .opt("skipped_why", why_skipped(skipped).as_deref(), Line::str),
        KeyNotice::Restored { keys, age } => line
            .num("keys", *keys as u64)
            .num("age_secs", age.as_secs()),
        KeyNotice::Refused(refused) => keys_refused(line, refused),
        KeyNotice::Failed(failed) => line.show("error", failed),
    }
}

fn keys_refused(line: Line, refused: &JwksError) -> Line {
    line.str("reason", refused.reason.as_str())
        .str("error", &refused.detail)
        .opt(
            "skipped_why",
            why_skipped(&refused.skipped).as_deref(),
            Line::str,
        )
}

/// The first few keys that were skipped, each with its reason.
fn why_skipped(skipped: &[Skipped]) -> Option<String> {
    const NAMED_MAX: usize = 8;
    let named = skipped.iter().take(NAMED_MAX);
    let named: Vec<String> = named.map(ToString::to_string).collect();
    (!named.is_empty()).then(|| named.join("; "))
}

fn registry(line: Line, notice: &RegistryNotice) -> Line {
    match notice {
        RegistryNotice::Applied {
            version,
            cells,
            tenants,
            restored,
        } => line
            .num("version", *version)
            .num("cells", *cells as u64)
            .num("tenants", *tenants as u64)
            .flag("restored", *restored),
        RegistryNotice::Refused(refused) => line
            .str("reason", refused.reason.as_str())
            .str("error", &refused.detail),
        RegistryNotice::FetchFailed {
            failure,
            consecutive,
        } => line
            .str("reason", failure.problem.as_str())
            .str("error", &failure.detail)
            .num("consecutive", (*consecutive).into()),
        RegistryNotice::StatusAging { left } => line.num("left_secs", left.as_secs()),
        RegistryNotice::Stale
        | RegistryNotice::Fresh
        | RegistryNotice::StatusExpired
        | RegistryNotice::StatusCurrent => line,
    }
}

fn health(line: Line, notice: &HealthNotice) -> Line {
    match notice {
        HealthNotice::Ejected {
            cell,
            url,
            duration,
            last,
            ..
        } => line
            .show("cell", cell)
            .str("endpoint", url)
            .str("reason", last.as_str())
            .num("ejected_ms", millis(*duration)),
        HealthNotice::Unhealthy { cell, url, why, .. } => line
            .show("cell", cell)
            .str("endpoint", url)
            .str("reason", why.as_str())
            .show("error", why),
        HealthNotice::Returned { cell, url, .. } | HealthNotice::Healthy { cell, url, .. } => {
            line.show("cell", cell).str("endpoint", url)
        }
    }
}
