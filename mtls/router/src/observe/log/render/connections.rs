//! Lines about listeners, their clients' connections, and limits.

use super::{Line, millis};
use crate::observe::event::Event;

#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "the other events are rendered elsewhere; tests render each"
)]
pub(super) fn body(line: Line, event: &Event<'_>) -> Line {
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
            line.str("listener", listener).addr("peer", *peer)
        }
        Event::ConnectionClosed { listener, why } => {
            line.str("listener", listener).str("reason", why.as_str())
        }
        Event::TlsRefused {
            listener,
            peer,
            reason,
        } => line
            .str("listener", listener)
            .addr("peer", *peer)
            .str("reason", reason.as_str()),
        Event::ShareRefused {
            listener,
            peer,
            resource,
            share,
            cell,
            placement,
            tenant,
            news: _,
        } => line
            .str("listener", listener)
            .opt("peer", *peer, Line::addr)
            .str("resource", resource.as_str())
            .str("share", share.as_str())
            .opt("cell", *cell, Line::show)
            .opt("placement", *placement, Line::show)
            .opt("tenant", *tenant, Line::show),
        Event::AdminDenied { peer } => line.addr("peer", *peer),
        Event::RateLimited {
            listener,
            scope,
            placement,
            tenant,
            news: _,
        } => line
            .str("listener", listener)
            .str("limit", scope.as_str())
            .opt("placement", *placement, Line::show)
            .opt("tenant", *tenant, Line::show),
        Event::TunnelOpened {
            listener,
            peer,
            request_id,
            protocol,
        } => line
            .str("listener", listener)
            .addr("peer", *peer)
            .str("request_id", request_id)
            .str("protocol", protocol.as_str()),
        Event::TunnelEnded {
            listener,
            peer,
            request_id,
            protocol,
            end,
        } => line
            .str("listener", listener)
            .addr("peer", *peer)
            .str("request_id", request_id)
            .str("protocol", protocol.as_str())
            .str("end", end.as_str()),
        _ => line,
    }
}
