//! Sets the headers that tell a cell about an allowed request.

use std::ops::Range;

use cellway_core::envelope::{self, EnvelopeContents};
use cellway_core::headers::{self, HeaderRules};
use cellway_core::{Allow, Reason};
use cellway_env::Env;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue};

use super::{Case, Refused};
use crate::active_config::ActiveConfig;
use crate::envelope::{SealError, Sealed};
use crate::observe::event::{Event, SealOutcome, Sink};

/// The positions in [`headers::STAMP_NAMES`] of the stamps that say who is calling. HTTP/2 doesn't
/// index them. They differ from request to request, so each would push another entry out of the table,
/// and an attacker could check a guess by the size of the result (RFC 7541, section 7.1).
const IDENTITY: Range<usize> = 1..6;
const _: () = {
    let [_, tenant, subject, workspace, org, roles, ..] = headers::STAMP_NAMES;
    let first = (tenant.as_bytes(), subject.as_bytes(), workspace.as_bytes());
    assert!(matches!(first, (b"tenant", b"sub", b"workspace")));
    assert!(matches!(
        (org.as_bytes(), roles.as_bytes()),
        (b"org", b"roles")
    ));
};

/// Sets the router's own headers on a request that [`authorize`](super::authorize) allowed, with
/// the names that were sanitized. An envelope is only for the cell that was decided. Before the request
/// is sent to another cell, core decides on that one and the request is stamped again.
///
/// # Errors
/// The request needs an envelope and none can be sealed. The request must not reach the cell.
pub(crate) fn stamp<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    config: &ActiveConfig,
    allow: &Allow,
    parts: &mut Parts,
) -> Result<(), Refused> {
    let rules = config.header_rules();
    let stamps = rules.stamps(allow, case.request_id.clone());
    for (at, (name, mut value)) in stamps.into_iter().enumerate() {
        if IDENTITY.contains(&at) && !value.is_empty() {
            value.set_sensitive(true);
        }
        parts.headers.insert(name, value);
    }
    if let Some(failed_over) = &allow.failed_over {
        let reason = HeaderValue::from_static(failed_over.reason.as_str());
        parts.headers.insert(rules.failover(), reason);
    }
    // An envelope says that the caller was verified, so other requests get none.
    if allow.reason == Reason::Verified {
        seal(case, config, allow, parts)?;
    }
    Ok(())
}

fn seal<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    config: &ActiveConfig,
    allow: &Allow,
    parts: &mut Parts,
) -> Result<(), Refused> {
    let Some(sealer) = &config.sealer else {
        return Ok(());
    };
    if !case.has_target {
        return Err(Refused::new(
            Reason::BadRequest,
            "an envelope needs a method and a path; send both",
        ));
    }
    // The time when the request came would be too early, because it may have waited for keys.
    let now = case.authorizer.reporter.now();
    let (request_id, cell) = (case.request_id.to_str().unwrap_or_default(), &allow.cell.id);
    let sealed = sealer.seal(
        &EnvelopeContents {
            issuer: sealer.issuer(),
            identity: &allow.identity,
            cell,
            placement_epoch: allow.placement_epoch,
            id: request_id,
            method: &parts.method,
            target: &envelope::target(&parts.uri),
            now: now.unix,
            lifetime: sealer.lifetime(),
        },
        now,
    );
    let (outcome, kid) = match &sealed {
        Ok(sealed) => (SealOutcome::Sealed, Some(sealed.kid())),
        Err(SealError::NoKey) => (SealOutcome::NoKey, None),
        Err(SealError::TooLarge) => (SealOutcome::TooLarge, sealer.kid(cell, now)),
    };
    let event = Event::Envelope {
        listener: case.name,
        request_id,
        cell,
        form: sealer.form(),
        outcome,
        kid,
    };
    case.authorizer.reporter.emit_at(now, &event);
    let sealed = sealed.map_err(Refused::envelope)?;
    set(&mut parts.headers, config.header_rules(), sealed);
    Ok(())
}

/// Sets an envelope's headers.
fn set(headers: &mut HeaderMap, rules: &HeaderRules, sealed: Sealed<'_>) {
    match sealed {
        Sealed::Jws(_, value) => {
            headers.insert(rules.envelope(), value);
        }
        Sealed::Hmac(_, values) => {
            set_all(headers, rules.envelope_hmac(), values);
        }
        Sealed::Compatible(_, values) => {
            set_all(headers, rules.envelope_compatible(), values);
        }
    }
}

/// Sets these headers. Those of an envelope for another cell are replaced.
fn set_all<const N: usize>(
    headers: &mut HeaderMap,
    names: &[HeaderName; N],
    values: [HeaderValue; N],
) {
    for (name, value) in names.iter().zip(values) {
        headers.insert(name, value);
    }
}
