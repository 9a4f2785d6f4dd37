//! The holders that a request's place in a bulkhead is counted for, and the answer if one has used
//! up its share.

use cellway_core::{Allow, Reason};

use super::{Refused, Report};
use crate::connection::Connection;
use crate::env::Env;
use crate::event::{Event, Sink};
use crate::pool::{CellGate, Stakes};
use crate::settings::CellShares;
use crate::shares::{Full, Holder, Resource, Share, Stake};

/// The holders of an allowed request, each with its share.
///
/// All callers under a `disabled` policy have the same identity, so it is not a holder. There, and
/// without a verified caller, the client's address counts as the caller.
pub(super) fn stakes<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    allow: &Allow,
    shares: &CellShares,
) -> Stakes {
    let holders = &connection.worker.common.holders;
    let identity = match allow.reason {
        Reason::Insecure => None,
        _ => Some(&*allow.identity),
    };
    let tenant = identity.and_then(|identity| identity.tenant.as_ref());
    let subject = identity.and_then(|identity| identity.subject.as_ref());
    let caller = match subject {
        Some(subject) => holders.named(Share::Caller, (tenant, subject)),
        None => connection.origin.holder(holders, Share::Caller),
    };
    let connection = holders.named(Share::Connection, connection.id);
    let tenant = tenant.map_or(Holder::NOBODY, |it| holders.named(Share::Tenant, it));
    [
        Stake::new(Share::Connection, connection, shares.connection),
        Stake::new(Share::Caller, caller, shares.caller),
        Stake::new(Share::Tenant, tenant, shares.tenant),
    ]
}

/// The cell is at its limit, or one of the request's holders has used up its share.
pub(super) fn refused<E: Env, S: Sink>(
    report: &Report<E, S>,
    gate: &CellGate,
    allow: &Allow,
    resource: Resource,
    full: Full,
) -> Refused {
    if let Full::Share(share) = full {
        let worker = &report.connection.worker;
        let now = worker.common.clock.now();
        let event = Event::ShareRefused {
            listener: &report.connection.name,
            resource,
            share,
            peer: Some(report.connection.origin.address),
            cell: Some(&allow.cell.id),
            tenant: allow.identity.tenant.as_ref(),
            news: gate.requests().is_news(now.mono),
        };
        worker.sink.emit(now, &event);
    }
    Refused::new(Reason::Overloaded, detail(resource, full))
}

fn detail(resource: Resource, full: Full) -> &'static str {
    match (full, resource) {
        (Full::All, _) => "the cell has as many requests as it may",
        (Full::Share(Share::Connection), Resource::CellConnections) => {
            "this connection has its share of the connections to the cell"
        }
        (Full::Share(Share::Caller | Share::Address), Resource::CellConnections) => {
            "this caller has its share of the connections to the cell"
        }
        (Full::Share(Share::Tenant), Resource::CellConnections) => {
            "this tenant has its share of the connections to the cell"
        }
        (Full::Share(Share::Connection), _) => {
            "this connection has its share of the requests in flight to the cell"
        }
        (Full::Share(Share::Caller | Share::Address), _) => {
            "this caller has its share of the requests in flight to the cell"
        }
        (Full::Share(Share::Tenant), _) => {
            "this tenant has its share of the requests in flight to the cell"
        }
    }
}
