//! A request's place at its cell: the holders and limits that count it, and the answer if there is no
//! place, or a holder has used up its share.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use cellway_core::{Allow, Reason};
use cellway_env::Env;
use tokio::time::Instant;

use super::{Refused, Report};
use crate::active_config::ActiveConfig;
use crate::data_plane::connection::Connection;
use crate::data_plane::pool::{Bulkhead, Capped, Claim, RequestPermit};
use crate::observe::event::{Event, Phase, Sink, Wait};
use crate::settings::{CellShares, Priority};
use crate::shares::{LimitRefused, Resource, Share, Stake, Stakes, Unadmitted};

/// The holders of an allowed request, each with its share.
///
/// Without a proved subject, the client's address counts as the caller. All requests without a proved
/// tenant count as one tenant: otherwise clients with many addresses could take every place, because
/// each new address is a caller with a share of its own.
fn stakes<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    allow: &Allow,
    shares: &CellShares,
) -> Stakes {
    let holders = &connection.worker.holders;
    let identity = allow.proved_identity();
    let tenant = allow.proved_tenant();
    let subject = identity.and_then(|identity| identity.subject.as_ref());
    let caller = match subject {
        Some(subject) => holders.named(Share::Caller, (tenant, subject)),
        None => connection.origin.holder(holders, Share::Caller),
    };
    let connection = holders.named(Share::Connection, connection.id);
    let tenant = holders.named(Share::Tenant, tenant);
    [
        Stake::new(Share::Connection, connection, shares.connection),
        Stake::new(Share::Caller, caller, shares.caller),
        Stake::new(Share::Tenant, tenant, shares.tenant),
    ]
}

/// Waits for a place at the cell, and under the limits of the request's tenant and placement, up to the
/// time limit of the whole exchange.
///
/// # Errors
/// There is none in time.
pub(super) fn admit<'a, E: Env, S: Sink>(
    report: &'a Report<E, S>,
    allow: &'a Allow,
    how: (&'a ActiveConfig, Priority),
    total: Option<Instant>,
) -> impl Future<Output = Result<RequestPermit, Refused>> + Send + 'a {
    let shared_by = how.0.settings.rate_limits.shared_by;
    let capped = report.connection.worker.pools.caps().of(allow, shared_by);
    admit_capped(report, allow, how, total, capped)
}

/// Waits for a place at another cell. The request gives back its place at the first one, and keeps its
/// places under the limits of its tenant and placement.
///
/// # Errors
/// There is none in time.
pub(super) async fn admit_elsewhere<E: Env, S: Sink>(
    report: &Report<E, S>,
    allow: &Allow,
    how: (&ActiveConfig, Priority),
    total: Option<Instant>,
    permit: &mut RequestPermit,
) -> Result<(), Refused> {
    permit.leaves_cell();
    let mut other = admit_capped(report, allow, how, total, None).await?;
    permit.moves_to(&mut other);
    *permit = other;
    Ok(())
}

async fn admit_capped<E: Env, S: Sink>(
    report: &Report<E, S>,
    allow: &Allow,
    (config, priority): (&ActiveConfig, Priority),
    total: Option<Instant>,
    capped: Option<Arc<Capped>>,
) -> Result<RequestPermit, Refused> {
    let bulkhead = report.connection.worker.pools.bulkhead(&allow.cell);
    let limits = &config.settings.upstream.limits;
    let stakes = stakes(&report.connection, allow, &limits.shares);
    let [_, caller, tenant] = stakes.map(|stake| stake.holder);
    report.is_of((allow.proved_tenant()).map_or(caller, |_| tenant));
    let claim = Claim {
        stakes: &stakes,
        priority,
        capped,
    };
    let mut waited_us = 0;
    let admitted = bulkhead.admit(limits, claim, total, &mut waited_us).await;
    if waited_us > 0 {
        let event = Event::Waited {
            request_id: report.request_id(),
            what: Wait::Place,
            cell: Some(&allow.cell.id),
            time: Duration::from_micros(waited_us.into()),
        };
        report.connection.worker.reporter.emit(&event);
    }
    report.ends(Phase::Queue);
    admitted.map_err(|Unadmitted { full, resource }| {
        if total.is_some_and(|total| total <= Instant::now()) {
            let detail = "the request waited for a place at the cell until total_timeout_ms or its gRPC deadline";
            return Refused::new(Reason::CellTimeoutTotal, detail);
        }
        refused(report, &bulkhead, allow, resource, full)
    })
}

/// The refusal if the cell is at its limit, or one of the request's holders has used up its share.
pub(super) fn refused<E: Env, S: Sink>(
    report: &Report<E, S>,
    bulkhead: &Bulkhead,
    allow: &Allow,
    resource: Resource,
    full: LimitRefused,
) -> Refused {
    if let LimitRefused::Share(share) = full {
        let worker = &report.connection.worker;
        let now = worker.reporter.now();
        let event = Event::ShareRefused {
            listener: &report.connection.name,
            resource,
            share,
            peer: Some(report.connection.origin.address),
            cell: Some(&allow.cell.id),
            placement: allow.placement.as_ref(),
            tenant: allow.proved_tenant(),
            news: match resource {
                Resource::TenantRequests | Resource::PlacementRequests => {
                    worker.pools.caps().is_news(resource, now.mono)
                }
                Resource::CellRequests
                | Resource::CellConnections
                | Resource::CellStreams
                | Resource::ListenerConnections
                | Resource::KeyWaiters => bulkhead.requests().is_news(now.mono),
            },
        };
        worker.reporter.emit_at(now, &event);
    }
    Refused::new(Reason::Overloaded, detail(allow, resource, full))
}

fn detail(allow: &Allow, resource: Resource, full: LimitRefused) -> &'static str {
    match resource {
        Resource::TenantRequests => {
            "the tenant has as many requests in flight as requests_max of its limits in the registry allows"
        }
        Resource::PlacementRequests => match full {
            LimitRefused::All | LimitRefused::Nearly | LimitRefused::Share(Share::Placement) => {
                "the placement has as many requests in flight as requests_max of its limits in the registry allows"
            }
            LimitRefused::Share(_) => {
                "this tenant has used up its share of the requests in flight of its placement"
            }
        },
        Resource::CellConnections => CONNECTIONS.of(allow, full),
        Resource::CellStreams => STREAMS.of(allow, full),
        Resource::CellRequests | Resource::ListenerConnections | Resource::KeyWaiters => {
            REQUESTS.of(allow, full)
        }
    }
}

/// What the details say about one of a cell's resources, by who has used it up. They are whole sentences,
/// so that a search finds them.
struct Details {
    all: &'static str,
    nearly: &'static str,
    connection: &'static str,
    caller: &'static str,
    tenant: &'static str,
    /// All requests without a verified tenant count as one.
    unverified: &'static str,
}

impl Details {
    fn of(&self, allow: &Allow, full: LimitRefused) -> &'static str {
        match full {
            LimitRefused::All => self.all,
            LimitRefused::Nearly => self.nearly,
            LimitRefused::Share(Share::Connection) => self.connection,
            LimitRefused::Share(Share::Caller | Share::Address) => self.caller,
            LimitRefused::Share(Share::Tenant | Share::Placement) => match allow.proved_tenant() {
                Some(_) => self.tenant,
                None => self.unverified,
            },
        }
    }
}

const CONNECTIONS: Details = Details {
    all: "the cell has as many connections as connections_max allows",
    nearly: "nearly all places for connections to the cell are taken",
    connection: "this connection has used up its share of the connections to the cell",
    caller: "this caller has used up its share of the connections to the cell",
    tenant: "this tenant has used up its share of the connections to the cell",
    unverified: "requests without a verified tenant have used up their share of the connections to the cell",
};

const STREAMS: Details = Details {
    all: "the cell has as many streams as it allows on its connections, and no more connections may be opened",
    nearly: "nearly all streams that the cell allows are taken",
    connection: "this connection has used up its share of the streams that the cell allows",
    caller: "this caller has used up its share of the streams that the cell allows",
    tenant: "this tenant has used up its share of the streams that the cell allows",
    unverified: "requests without a verified tenant have used up their share of the streams that the cell allows",
};

const REQUESTS: Details = Details {
    all: "the cell has as many requests in flight as requests_max or its adaptive limit allows",
    nearly: "nearly all places for requests to the cell are taken",
    connection: "this connection has used up its share of the requests in flight to the cell",
    caller: "this caller has used up its share of the requests in flight to the cell",
    tenant: "this tenant has used up its share of the requests in flight to the cell",
    unverified: "requests without a verified tenant have used up their share of the requests in flight to the cell",
};
