//! Requests that the router answers itself, before any decision. No cell may answer them, and they
//! need no credential.

use cellway_env::Env;
use http::HeaderMap;
use http::request::Parts;

use super::forward::Outgoing;
use super::unread::{self, Announced};
use super::{Answer, Report, answer};
use crate::active_config::ActiveConfig;
use crate::data_plane::well_formed::RequestRefused;
use crate::envelope;
use crate::observe::event::{Event, Sink};

/// A request that the router answers early.
pub(super) enum Early {
    /// A request for the page of envelopes' public keys.
    EnvelopeKeys,
    /// A preflight, with the fields of its answer.
    Preflight(HeaderMap),
}

impl Early {
    /// `None` if the request must be decided.
    pub(super) fn of<E: Env, S: Sink>(
        report: &Report<E, S>,
        checked: &Result<(), Box<RequestRefused>>,
        request: &Parts,
    ) -> Option<Self> {
        if checked.is_err() {
            return None;
        }
        if envelope::is_asked(&request.uri) {
            return Some(Self::EnvelopeKeys);
        }
        let (headers, covered) = report.cors.as_ref()?.preflight(request)?;
        report.connection.worker.reporter.emit(&Event::Preflight {
            listener: &report.connection.name,
            peer: report.connection.origin.address,
            request_id: report.request_id(),
            covered,
        });
        Some(Self::Preflight(headers))
    }

    /// Answers the request, whose body nobody reads.
    pub(super) async fn serve<E: Env, S: Sink>(
        self,
        report: Report<E, S>,
        outgoing: Outgoing,
        announced: Announced,
        config: &ActiveConfig,
    ) -> Answer<E, S> {
        let (body, progress) = (outgoing.body.boxed(), outgoing.progress.as_deref());
        let settled = unread::settle(&report.connection, announced, body, progress);
        let closes = settled.decided().await;
        answer::closing(self.answer(report, config, &outgoing.parts), closes)
    }

    fn answer<E: Env, S: Sink>(
        self,
        report: Report<E, S>,
        config: &ActiveConfig,
        request: &Parts,
    ) -> Answer<E, S> {
        match self {
            Self::EnvelopeKeys => answer::envelope_keys(report, config, request),
            Self::Preflight(headers) => answer::preflight(report, config.header_rules(), headers),
        }
    }
}
