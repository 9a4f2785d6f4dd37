//! Which line an event becomes.

use std::time::Duration;

use cellway_core::control::Notice;
use cellway_core::health::HealthNotice;
use cellway_core::keys::{KeyNotice, KeysRefused, Skipped};
use cellway_core::policy::{IssuerId, Policy};
use cellway_core::registry::RegistryNotice;
use cellway_core::{Decision, LeftOut, Snapshot, Unix};

use super::line::Line;
use super::{Level, Subjects};
use crate::event::{Event, SealOutcome};

/// The line for an event; `None` if it is less severe than `least`.
pub fn render(at: Unix, event: &Event<'_>, least: Level, subjects: &Subjects) -> Option<String> {
    let (level, _) = heading(event);
    (level <= least).then(|| line(at, event, subjects, 0))
}

/// The line of an event; `repeated` lines like it were left out before it.
pub(super) fn line(at: Unix, event: &Event<'_>, subjects: &Subjects, repeated: u64) -> String {
    let (level, name) = heading(event);
    let line = body(Line::new(at, level, name), event, subjects);
    let repeated = (repeated > 0).then_some(repeated);
    line.opt("repeated", repeated, Line::num).end()
}

/// How severe an event is, and its name.
pub fn heading(event: &Event<'_>) -> (Level, &'static str) {
    use Level::{Debug, Error, Info, Warn};
    match event {
        Event::Listening { .. } => (Info, "listening"),
        Event::OpenedEmpty { .. } => (Warn, "opened_without_registry"),
        Event::AcceptFailed { .. } => (Error, "accept_failed"),
        Event::ConnectionAccepted { .. } => (Debug, "connection_accepted"),
        Event::ConnectionRefused { .. } => (Warn, "connection_refused"),
        Event::ConnectionClosed { .. } => (Debug, "connection_closed"),
        Event::TlsRefused { .. } => (Info, "tls_refused"),
        Event::Decided { decision, .. } => match decision {
            Decision::Allow(_) => (Debug, "authz_allow"),
            Decision::Deny(_) => (Info, "authz_deny"),
        },
        Event::CellBound { bound, .. } => match (bound.refused, bound.denies()) {
            (None, _) => (Debug, "cba_allow"),
            (Some(_), Some(_)) => (Info, "cba_deny"),
            (Some(_), None) => (Info, "cba_would_deny"),
        },
        Event::Envelope { outcome, .. } => match outcome {
            SealOutcome::Sealed => (Debug, "envelope_sealed"),
            SealOutcome::NoKey | SealOutcome::TooLarge => (Warn, "envelope_failed"),
        },
        Event::Responded { .. } => (Debug, "responded"),
        Event::StreamClosed { .. } => (Info, "stream_closed"),
        Event::Preflight { .. } => (Debug, "cors_preflight"),
        Event::ShareRefused { news, .. } => match news {
            true => (Warn, "share_refused"),
            false => (Debug, "share_refused"),
        },
        Event::CellConnected { .. } => (Debug, "cell_connected"),
        Event::CellFailed { .. } => (Warn, "cell_failed"),
        Event::CellRetry { granted: true, .. } => (Debug, "cell_retry"),
        Event::CellRetry { granted: false, .. } => (Warn, "cell_retry_refused"),
        Event::Published { .. } => (Debug, "published"),
        Event::Notice { notice, .. } => match notice {
            Notice::Keys { notice, .. } => keys_heading(notice),
            Notice::Registry(notice) => registry_heading(notice),
            Notice::CellKeysRefused { .. } => (Warn, "cell_keys_refused"),
            Notice::Health(HealthNotice::Ejected { .. }) => (Warn, "endpoint_ejected"),
            Notice::Health(HealthNotice::Returned { .. }) => (Info, "endpoint_returned"),
        },
        Event::KeysRequested { .. } => (Debug, "keys_requested"),
        Event::SourceFailed { .. } => (Warn, "source_failed"),
        Event::KeptRefused { .. } => (Warn, "kept_refused"),
        Event::KeepFailed { .. } => (Error, "keep_failed"),
        Event::Insecure { .. } => (Warn, "insecure_policy"),
        Event::ConfigWarning { .. } => (Warn, "config_warning"),
        Event::Reloaded => (Info, "reloaded"),
        Event::ReloadRefused { .. } => (Error, "reload_refused"),
        Event::Draining { .. } => (Info, "draining"),
        Event::Drained { .. } => (Info, "drained"),
    }
}

fn keys_heading(notice: &KeyNotice) -> (Level, &'static str) {
    match notice {
        KeyNotice::Fetched { changed: true, .. } => (Level::Info, "keys_changed"),
        KeyNotice::Fetched { changed: false, .. } => (Level::Debug, "keys_confirmed"),
        KeyNotice::Restored { .. } => (Level::Info, "keys_restored"),
        KeyNotice::Refused(_) => (Level::Error, "keys_refused"),
        KeyNotice::Failed(_) => (Level::Warn, "keys_fetch_failed"),
    }
}

fn registry_heading(notice: &RegistryNotice) -> (Level, &'static str) {
    match notice {
        RegistryNotice::Applied { .. } => (Level::Info, "registry_applied"),
        RegistryNotice::Refused(_) => (Level::Error, "registry_refused"),
        RegistryNotice::FetchFailed { .. } => (Level::Warn, "registry_fetch_failed"),
        RegistryNotice::Stale => (Level::Warn, "registry_stale"),
        RegistryNotice::Fresh => (Level::Info, "registry_fresh"),
        RegistryNotice::StatusAging { .. } => (Level::Warn, "tenant_status_aging"),
        RegistryNotice::StatusExpired => (Level::Error, "tenant_status_expired"),
        RegistryNotice::StatusCurrent => (Level::Info, "tenant_status_current"),
    }
}

fn body(line: Line, event: &Event<'_>, subjects: &Subjects) -> Line {
    match event {
        Event::Listening { listener, address } => {
            line.str("listener", listener).show("address", address)
        }
        Event::OpenedEmpty { waited } => line.num("waited_ms", millis(*waited)),
        Event::AcceptFailed { listener, error } => {
            line.str("listener", listener).show("error", error)
        }
        Event::ConnectionAccepted { listener, peer }
        | Event::ConnectionRefused { listener, peer } => {
            line.str("listener", listener).show("peer", peer)
        }
        Event::ConnectionClosed { listener, why } => {
            line.str("listener", listener).str("reason", why.as_str())
        }
        Event::ShareRefused {
            listener,
            resource,
            share,
            cell,
            tenant,
            news: _,
        } => line
            .str("listener", listener)
            .str("resource", resource.as_str())
            .str("share", share.as_str())
            .opt("cell", *cell, Line::show)
            .opt("tenant", *tenant, Line::show),
        Event::TlsRefused {
            listener,
            peer,
            reason,
        } => line
            .str("listener", listener)
            .show("peer", peer)
            .str("reason", reason.as_str()),
        Event::Decided { .. } => decided(line, event, subjects),
        Event::CellBound { .. } => cell_bound(line, event),
        Event::Envelope {
            listener,
            request_id,
            cell,
            form,
            outcome,
            kid,
        } => line
            .str("listener", listener)
            .str("request_id", request_id)
            .show("cell", cell)
            .str("form", form.as_str())
            .str("outcome", outcome.as_str())
            .opt("kid", *kid, Line::str),
        Event::Responded { .. } => responded(line, event),
        Event::StreamClosed {
            listener,
            request_id,
            tenant,
            subject,
            reason,
        } => line
            .str("listener", listener)
            .str("request_id", request_id)
            .opt("tenant", *tenant, Line::show)
            .subject(*subject, subjects)
            .str("reason", reason.as_str()),
        Event::Preflight {
            listener,
            request_id,
            covered,
        } => line
            .str("listener", listener)
            .str("request_id", request_id)
            .flag("allowed", *covered),
        Event::CellConnected { cell, endpoint } => {
            line.show("cell", cell).str("endpoint", endpoint)
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
        Event::Published { snapshot } => published(line, snapshot),
        Event::Notice { notice, policy } => happened(line, notice, policy),
        Event::KeysRequested { issuer, forced } => {
            line.show("issuer", issuer).flag("forced", *forced)
        }
        Event::SourceFailed { source, error } => line.str("source", source).show("error", error),
        Event::KeptRefused { file, error } | Event::KeepFailed { file, error } => {
            line.str("file", file).str("error", error)
        }
        Event::Insecure { policy } => line.show("policy", policy),
        Event::ConfigWarning { finding } => line
            .str("setting", &finding.setting)
            .str("problem", &finding.problem)
            .str("fix", &finding.fix),
        Event::Reloaded => line,
        Event::ReloadRefused { error } => line.str("error", error),
        Event::Draining { deadline } => line.num("deadline_ms", millis(*deadline)),
        Event::Drained { abandoned } => line.num("abandoned", *abandoned as u64),
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

fn decided(line: Line, event: &Event<'_>, subjects: &Subjects) -> Line {
    let Event::Decided {
        listener,
        request_id,
        mode,
        asked,
        decision,
        registry_version,
        waited,
        forwards: _,
    } = event
    else {
        return line;
    };
    let line = line
        .str("listener", listener)
        .str("policy", asked.policy.as_str())
        .str("request_id", request_id)
        .opt("trace_id", asked.trace_id, Line::str)
        .str("method", asked.method)
        .str("mode", mode.as_str())
        .str("reason", decision.reason().as_str())
        .opt("rule", decision.rule(), Line::str);
    // The tenant is who pays, not who calls.
    let line = match decision {
        Decision::Allow(allow) => line
            .opt("tenant", allow.identity.tenant.as_ref(), Line::show)
            .subject(allow.identity.subject.as_ref(), subjects)
            .opt("issuer", allow.identity.proof.jwt.as_ref(), Line::show)
            .opt(
                "vouched_by",
                allow.identity.proof.routing_key.as_ref(),
                Line::show,
            )
            .show("cell", &allow.cell.id),
        Decision::Deny(deny) => {
            let status = deny.class.status().map(|status| status.as_u16().into());
            line.opt("status", status, Line::num)
                .str("detail", deny.detail)
                .opt("left_out", left_out(&deny.left_out).as_deref(), Line::str)
                .opt("tenant", deny.tenant.as_ref(), Line::show)
                .subject(deny.subject.as_ref(), subjects)
                .opt("issuer", asked.hint.issuer, Line::show)
                .opt("kid", asked.hint.kid.as_deref(), Line::str)
        }
    };
    line.list("credentials", asked.schemes.names())
        .opt("registry_version", *registry_version, Line::num)
        .flag("waited", *waited)
}

/// What a role or scope that is missing may be among.
fn left_out(left_out: &LeftOut) -> Option<String> {
    (!left_out.is_nothing()).then(|| left_out.to_string())
}

fn cell_bound(line: Line, event: &Event<'_>) -> Line {
    let Event::CellBound {
        listener,
        request_id,
        bound,
        decision,
    } = event
    else {
        return line;
    };
    let line = line
        .str("listener", listener)
        .str("request_id", request_id)
        .str("mode", bound.mode.as_str())
        // As claimed, where something is refused; always a cell of the registry.
        .opt("source", bound.source.as_ref(), Line::show);
    let line = match decision {
        Decision::Allow(allow) => line.show("cell", &allow.cell.id),
        Decision::Deny(_) => line,
    };
    match bound.refused {
        None => line,
        Some(refused) => line
            .str("reason", refused.reason.as_str())
            .str("detail", refused.detail),
    }
}

fn responded(line: Line, event: &Event<'_>) -> Line {
    let Event::Responded {
        listener,
        request_id,
        status,
        owner,
        reason,
        cell,
        latency,
        duration,
        bytes,
        complete,
    } = event
    else {
        return line;
    };
    line.str("listener", listener)
        .str("request_id", request_id)
        .opt("status", status.map(u64::from), Line::num)
        .str("owner", owner.as_str())
        .opt("reason", reason.map(|reason| reason.as_str()), Line::str)
        .opt("cell", *cell, Line::show)
        .num("latency_us", micros(*latency))
        .num("duration_us", micros(*duration))
        .num("bytes", *bytes)
        .flag("complete", *complete)
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

fn keys_refused(line: Line, refused: &KeysRefused) -> Line {
    line.str("reason", refused.reason.as_str())
        .str("error", &refused.detail)
        .opt(
            "skipped_why",
            why_skipped(&refused.skipped).as_deref(),
            Line::str,
        )
}

/// The first few keys that aren't used, each with its reason.
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
            cell, url, rest, ..
        } => line
            .show("cell", cell)
            .str("endpoint", url)
            .num("rest_ms", millis(*rest)),
        HealthNotice::Returned { cell, url, .. } => line.show("cell", cell).str("endpoint", url),
    }
}

fn micros(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
