//! Forwarding of requests that ask to switch the protocol.

use cellway_core::Reason;
use cellway_env::Env;
use http::Response;

use super::{Answered, Forwarding, Outgoing};
use crate::data_plane::body::Framing;
use crate::data_plane::http2::StreamBytes;
use crate::data_plane::incoming::Incoming;
use crate::data_plane::pool::{Lease, Sender};
use crate::data_plane::proxy::upgrade::{CellEnd, NotSwitched, Switched};
use crate::data_plane::well_formed::RequestRefused;
use crate::envelope;
use crate::observe::event::Sink;

impl Outgoing {
    /// Checks that no page of the router's own is asked for with an extended CONNECT: it can only be
    /// answered by switching.
    pub(in crate::data_plane::proxy) fn switches_at_a_cell(
        &self,
    ) -> Result<(), Box<RequestRefused>> {
        let is_connect = self.upgrade.as_ref().is_some_and(|it| it.is_from_http2());
        match is_connect && envelope::is_asked(&self.parts.uri) {
            true => Err(Box::new(RequestRefused {
                reason: Reason::UpgradeNotAllowed,
                detail: "this page is the router's own and has no other protocol",
            })),
            false => Ok(()),
        }
    }
}

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// The cell's agreement to switch the protocol.
    pub(super) fn switched(
        mut self,
        response: Response<Incoming>,
        cell: CellEnd,
        lease: Lease,
    ) -> Answered {
        let http2 = matches!(lease.sender, Sender::H2(_));
        let upgrade = self.upgrade.take();
        Answered {
            switched: upgrade.map(|upgrade| Box::new(Switched::new(upgrade, cell, http2))),
            ..self.answered(response, Framing::none(), lease)
        }
    }

    /// Whether the cell agrees to switch the protocol, if it was asked to. `tunnel` is its stream if
    /// it does so over HTTP/2.
    pub(super) fn agreed(
        &self,
        response: &mut Response<Incoming>,
        tunnel: Option<Box<StreamBytes>>,
        lease: &Lease,
    ) -> Result<Option<CellEnd>, NotSwitched> {
        let Some(upgrade) = &self.upgrade else {
            return Ok(None);
        };
        let agreed = match &lease.sender {
            Sender::H1(_) => upgrade.agreed_by_http1(response)?,
            Sender::H2(_) => upgrade.agreed_by_http2(response, tunnel)?,
        };
        if agreed.is_some() {
            let rules = self.config.header_rules();
            Switched::sanitize(rules, response.headers_mut())
                .map_err(|why| (Reason::CellProtocolError, why))?;
        }
        Ok(agreed)
    }
}
