//! Gets a connection for one attempt.

use std::sync::Arc;

use cellway_env::Env;
use tokio::time::timeout_at;

use super::Forwarding;
use crate::data_plane::pool::{Asks, ConnectError, EndpointPool, Lease, RequestPermit, Sender};
use crate::observe::event::{Event, Phase, Sink};
use crate::shares::{LimitRefused, Resource, Unadmitted};

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    pub(super) async fn lease(
        &self,
        pool: &Arc<EndpointPool>,
        fresh: bool,
    ) -> Result<Lease, ConnectError> {
        let leasing = self.suitable(pool, &self.permit, fresh);
        let lease = match self.connects_until() {
            None => leasing.await?,
            Some((until, _)) => {
                (timeout_at(until, leasing).await).unwrap_or_else(|_| Err(self.no_time_left()))?
            }
        };
        self.report.ends(Phase::Connect);
        if let Some(record) = &self.report.record {
            record.speaks(matches!(lease.sender, Sender::H2(_)));
        }
        self.tells_of_new(&lease);
        Ok(lease)
    }

    /// Reports the connection if it was opened for this request.
    pub(super) fn tells_of_new(&self, lease: &Lease) {
        if let Some(took) = lease.opened()
            && let Some(cell) = self.report.cell()
        {
            let reporter = &self.report.connection.worker.reporter;
            reporter.emit(&Event::CellConnected {
                cell: &cell.id,
                endpoint: lease.pool.endpoint.url.as_str(),
                took,
            });
        }
    }

    /// A connection for this request: if it asks to switch protocols, one on which the endpoint can be
    /// asked.
    pub(super) async fn suitable(
        &self,
        pool: &Arc<EndpointPool>,
        permit: &RequestPermit,
        fresh: bool,
    ) -> Result<Lease, ConnectError> {
        let env = &self.report.connection.worker.env;
        let asks = Asks {
            permit,
            priority: self.traffic.priority,
            fresh,
        };
        let lease = pool.lease(env, self.config, asks).await?;
        match (&self.upgrade, &lease.sender) {
            // Boxed, because few requests switch.
            (Some(_), Sender::H2(_)) => {
                Box::pin(pool.lease_to_switch(env, self.config, permit, lease)).await
            }
            (Some(_) | None, _) => Ok(lease),
        }
    }
}

/// Whether it says something about the cell that there is no connection, and not about the request's holders
/// or the number of its streams.
pub(super) fn is_of_cell(full: Option<Unadmitted>) -> bool {
    match full {
        None => true,
        Some(Unadmitted { full, resource }) => {
            full == LimitRefused::All && resource == Resource::CellConnections
        }
    }
}
