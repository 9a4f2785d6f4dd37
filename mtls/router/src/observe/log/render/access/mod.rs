//! The access log's line about a request.

use cellway_core::{Unix, trace};
use http::Version;

use super::{Line, Subjects, micros};
use crate::observe::asked::method;
use crate::observe::event::{Event, Exchange, Phase, Responded};
use crate::observe::log::Level;

/// The most characters of a path that are shown.
const PATH_MAX: usize = 256;

/// The access log's line about a request. `None` for other events, and if the request isn't logged.
pub fn access(at: Unix, event: &Event<'_>, subjects: &Subjects) -> Option<String> {
    let Event::Responded(Responded {
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
        exchange: Some(exchange),
    }) = event
    else {
        return None;
    };
    let read = |what| exchange.is_read.then_some(what);
    let line = Line::new(at, Level::Info, "request")
        .str("listener", listener)
        .addr("peer", *peer)
        .str("request_id", request_id)
        .opt(
            "trace_id",
            exchange.traceparent.and_then(trace::trace_id),
            Line::str,
        )
        .opt("method", read(method(exchange.method)), Line::str)
        .opt("path", read(shown(exchange.path)), Line::str)
        .str("protocol", protocol(exchange.version))
        .opt(
            "upgrade_ignored",
            exchange.upgrade_ignored.then_some(true),
            Line::flag,
        )
        .opt("route", exchange.applied.and_then(|it| it.route), Line::str)
        .opt("policy", exchange.applied.map(|it| it.policy), Line::show)
        .opt("traffic", exchange.applied.map(|it| it.traffic), Line::str)
        .opt("tenant", exchange.tenant, Line::show)
        .subject(exchange.subject, subjects)
        .opt("status", status.map(u64::from), Line::num)
        .str("owner", owner.as_str())
        .opt("reason", reason.map(|reason| reason.as_str()), Line::str)
        .opt("detail", *detail, Line::str)
        .opt("cell", *cell, Line::show)
        .opt("failover", failover.map(|it| it.as_str()), Line::str)
        .opt("endpoint", exchange.endpoint, Line::str)
        .opt("hedged_from", exchange.hedged_from, Line::str)
        .opt(
            "endpoint_protocol",
            exchange.endpoint_version.map(protocol),
            Line::str,
        )
        .num("attempts", exchange.attempts.into())
        .num("request_bytes", exchange.request_bytes)
        .num("bytes", *bytes)
        .flag("complete", *complete);
    let line = phases(line, exchange);
    let line = line
        .num("first_byte_us", micros(*latency))
        .num("total_us", micros(*duration));
    Some(line.end())
}

/// Where the time went. What didn't happen is left out.
fn phases(line: Line, exchange: &Exchange<'_>) -> Line {
    let line = line.opt("tls_us", exchange.tls.map(micros), Line::num);
    Phase::ALL.into_iter().fold(line, |line, phase| {
        let (key, always) = match phase {
            Phase::Decide => ("decide_us", true),
            Phase::Keys => ("keys_us", false),
            Phase::Queue => ("queue_us", false),
            Phase::Connect => ("connect_us", false),
            Phase::Cell => ("cell_us", false),
        };
        let took = micros(exchange.phases.of(phase));
        line.opt(key, (always || took > 0).then_some(took), Line::num)
    })
}

fn shown(path: &str) -> &str {
    let cut = path.char_indices().nth(PATH_MAX);
    cut.map_or(path, |(at, _)| &path[..at])
}

fn protocol(version: Version) -> &'static str {
    match version {
        Version::HTTP_10 => "HTTP/1.0",
        Version::HTTP_11 => "HTTP/1.1",
        _ => "HTTP/2",
    }
}

#[cfg(test)]
mod tests;
