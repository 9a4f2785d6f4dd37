//! Lines about requests.

use cellway_core::{Decision, LeftOut};

use super::{Line, Subjects, micros};
use crate::observe::event::{Event, ExplainAnswer, Responded};

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other events are rendered elsewhere; tests render each"
)]
pub(super) fn body(line: Line, event: &Event<'_>, subjects: &Subjects) -> Line {
    match event {
        Event::Decided { .. } => decided(line, event, subjects),
        Event::CellBound { .. } => cell_bound(line, event),
        Event::Responded(it) => responded(line, it),
        Event::Waited {
            request_id,
            what,
            cell,
            time,
        } => line
            .str("request_id", request_id)
            .str("for", what.as_str())
            .opt("cell", *cell, Line::show)
            .num("us", micros(*time)),
        Event::ExplainAsked {
            listener,
            peer,
            request_id,
            answer,
        } => {
            let why = (*answer != ExplainAnswer::Given).then(|| answer.as_str());
            line.str("listener", listener)
                .opt("peer", *peer, Line::addr)
                .str("request_id", request_id)
                .opt("why", why, Line::str)
        }
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
        Event::StreamClosed {
            listener,
            peer,
            request_id,
            tenant,
            subject,
            reason,
        } => line
            .str("listener", listener)
            .addr("peer", *peer)
            .str("request_id", request_id)
            .opt("tenant", *tenant, Line::show)
            .subject(*subject, subjects)
            .str("reason", reason.as_str()),
        Event::Preflight {
            listener,
            peer,
            request_id,
            covered,
        } => line
            .str("listener", listener)
            .addr("peer", *peer)
            .str("request_id", request_id)
            .flag("allowed", *covered),
        _ => line,
    }
}

fn decided(line: Line, event: &Event<'_>, subjects: &Subjects) -> Line {
    let Event::Decided {
        listener,
        peer,
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
        .opt("peer", *peer, Line::addr)
        .str("policy", asked.policy.as_str())
        .str("request_id", request_id)
        .opt("trace_id", asked.trace_id, Line::str)
        .str("method", asked.method)
        .str("mode", mode.as_str())
        .str("reason", decision.reason().as_str())
        .opt("rule", decision.rule(), Line::str);
    // The tenant isn't hashed: it names a customer, not a person.
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

/// The unusable values of the credentials that were left out, as text. If a role or scope is
/// missing, the reason may be here.
fn left_out(left_out: &LeftOut) -> Option<String> {
    (!left_out.is_nothing()).then(|| left_out.to_string())
}

fn cell_bound(line: Line, event: &Event<'_>) -> Line {
    let Event::CellBound {
        listener,
        peer,
        request_id,
        bound,
        decision,
    } = event
    else {
        return line;
    };
    let line = line
        .str("listener", listener)
        .opt("peer", *peer, Line::addr)
        .str("request_id", request_id)
        .str("mode", bound.mode.as_str())
        // If the authorization is refused, this is only a claim, but always a cell of the registry.
        .opt("source", bound.source.as_ref(), Line::show);
    let line = match decision {
        Decision::Allow(allow) => line.show("cell", &allow.cell.id),
        Decision::Deny(_) => line,
    };
    match &bound.refused {
        None => line,
        Some(refused) => line
            .str("reason", refused.reason.as_str())
            .str("detail", refused.detail),
    }
}

fn responded(line: Line, responded: &Responded<'_>) -> Line {
    let Responded {
        listener,
        peer,
        request_id,
        status,
        owner,
        reason,
        detail,
        told: _,
        cell,
        failover,
        latency,
        duration,
        bytes,
        complete,
        // Only the access log shows it.
        exchange: _,
    } = responded;
    line.str("listener", listener)
        .addr("peer", *peer)
        .str("request_id", request_id)
        .opt("status", status.map(u64::from), Line::num)
        .str("owner", owner.as_str())
        .opt("reason", reason.map(|reason| reason.as_str()), Line::str)
        .opt("detail", *detail, Line::str)
        .opt("cell", *cell, Line::show)
        .opt("failover", failover.map(|it| it.as_str()), Line::str)
        .num("latency_us", micros(*latency))
        .num("duration_us", micros(*duration))
        .num("bytes", *bytes)
        .flag("complete", *complete)
}
