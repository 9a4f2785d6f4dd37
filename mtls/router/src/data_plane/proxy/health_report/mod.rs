//! Reports how an exchange with an endpoint went, as an event and to control.

use std::io::ErrorKind;

use cellway_core::Reason;
use cellway_core::health::{Cause, FailingAnswers, Outcome};
use cellway_env::Env;
use http::Response;
use http_body::Body;

use super::report::Report;
use crate::data_plane::incoming::HttpError;
use crate::data_plane::pool::{Change, EndpointPool, Failed, Lease};
use crate::observe::event::{CircuitChange, Event, Sink};
use crate::shares::HolderTag;
use crate::view::ToControl;

/// The field of a gRPC answer that has its status.
const GRPC_STATUS: &str = "grpc-status";

/// The detail for a client whose cell gave a malformed answer. What exactly is wrong concerns operators.
pub(super) const MALFORMED: &str =
    "the cell's answer is malformed or over the limits; the router's log says why";

/// How much has failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Scope {
    /// An attempt to make a connection, or a new one before anything was sent on it.
    Connection,
    /// An exchange, because of how long it took or what the endpoint sent, or because its connection ended.
    /// If others had requests there too, it's whoever notices first.
    Exchange,
    /// A connection that ended, or an attempt to make one that was refused, of which another request has
    /// reported the failure. It counts once, however many requests wait for it.
    Known,
    /// One stream. The endpoint has ended it, and its connection works.
    Stream,
}

impl Scope {
    /// Of an exchange that broke off with this error. Call it only to report the failure.
    pub(super) fn of(error: &HttpError, lease: &Lease) -> Self {
        match error.http2() {
            Some(http2) if is_stream_reset(http2) => Self::Stream,
            // Only this stream: the router has reset it because of what came, or the cell has refused it.
            Some(http2) if http2.is_reset() || http2.is_go_away() && http2.is_remote() => {
                Self::Exchange
            }
            Some(_) | None if error.is_user() || error.is_malformed() => Self::Exchange,
            Some(_) | None => Self::of_connection(lease),
        }
    }

    /// Of the connection. Call it only to report the failure.
    pub(super) fn of_connection(lease: &Lease) -> Self {
        match lease.fails() {
            true => Self::Exchange,
            false => Self::Known,
        }
    }

    /// Of an attempt to connect. `is_known`: another request has reported it.
    pub(super) fn of_attempt(is_known: bool) -> Self {
        match is_known {
            true => Self::Known,
            false => Self::Connection,
        }
    }

    /// What has failed, if the request is one of this holder.
    pub(super) fn failed(self, holder: HolderTag) -> Failed {
        match self {
            Self::Exchange | Self::Stream => Failed::Exchange(holder),
            Self::Connection | Self::Known => Failed::Connection,
        }
    }
}

/// Whether the endpoint has ended the stream and nothing else.
pub(super) fn is_stream_reset(error: &h2::Error) -> bool {
    error.is_reset() && error.is_remote()
}

/// Reports that an exchange failed. Returns what that says about the endpoint; `None`: nothing.
pub(super) fn failed<E: Env, S: Sink>(
    report: &Report<E, S>,
    pool: &EndpointPool,
    (reason, scope): (Reason, Scope),
    error: &str,
) -> Option<Outcome> {
    let worker = &report.connection.worker;
    if let Some(cell) = report.cell() {
        worker.reporter.emit(&Event::CellFailed {
            cell: &cell.id,
            endpoint: pool.endpoint.url.as_str(),
            reason,
            error,
        });
    }
    let outcome = outcome_of(reason, scope)?;
    if scope != Scope::Known {
        if outcome.cause() == Some(Cause::Connection) {
            let settings = worker.views.load().config.settings.upstream.breaker;
            let what = scope.failed(report.holder());
            if pool.breaker.connection_failed(settings, what) == Change::Opened {
                circuit_changed(report, pool, CircuitChange::Opened);
            }
        }
        tell(report, pool, outcome);
    }
    Some(outcome)
}

/// What the header of an answer says about the endpoint. `None`: nothing.
pub(super) fn outcome<B: Body>(
    failing: &FailingAnswers,
    response: &Response<B>,
) -> Option<Outcome> {
    // A gRPC answer without messages has its status in the header (`Trailers-Only`). Only an answer
    // without a body is searched for it.
    let grpc = (response.body().is_end_stream())
        .then(|| response.headers().get(GRPC_STATUS))
        .flatten();
    let grpc = grpc.and_then(|value| value.to_str().ok()?.parse().ok());
    failing.outcome(response.status(), grpc)
}

/// Reports that the cell answered, with this outcome.
pub(super) fn answered<E: Env, S: Sink>(
    report: &Report<E, S>,
    pool: &EndpointPool,
    outcome: Option<Outcome>,
) {
    let began = (report.connection.worker.reporter.clock()).instant(report.began.mono);
    pool.breaker.heard(report.holder(), began);
    match outcome {
        Some(Outcome::Success) if pool.breaker.succeeded() == Change::None => {}
        Some(outcome) => tell(report, pool, outcome),
        None => {}
    }
}

/// Tells control about an outcome, and the endpoint's breaker about a failing answer. Control gets every
/// failure, and the first success after one. To send it every success would wake it for each request.
pub(super) fn tell<E: Env, S: Sink>(report: &Report<E, S>, pool: &EndpointPool, outcome: Outcome) {
    let views = &report.connection.worker.views;
    if outcome.cause() == Some(Cause::Answer) {
        pool.breaker.answer_failed();
    }
    let told = views.tell(ToControl::Outcome {
        endpoint: pool.endpoint.id,
        outcome,
    });
    if !told && outcome.cause().is_none() {
        // Control's inbox is full. Failures are reported as long as there are any, and this success
        // is reported again with the next answer.
        pool.breaker.is_not_told();
    }
}

/// Reports that a breaker has changed.
pub(super) fn circuit_changed<E: Env, S: Sink>(
    report: &Report<E, S>,
    pool: &EndpointPool,
    change: CircuitChange,
) {
    if let Some(cell) = report.cell() {
        report
            .connection
            .worker
            .reporter
            .emit(&Event::CircuitChanged {
                cell: &cell.id,
                endpoint: pool.endpoint.url.as_str(),
                request_id: report.request_id(),
                change,
            });
    }
}

/// The failure that counts against the endpoint. `None` if the endpoint isn't the cause: a limit of
/// the router, a client that stopped, or the time limit of the whole exchange.
#[expect(
    clippy::wildcard_enum_match_arm,
    reason = "only what a cell does is held against it"
)]
fn outcome_of(reason: Reason, scope: Scope) -> Option<Outcome> {
    match reason {
        Reason::CellUnreachable | Reason::CellUntrusted => Some(Outcome::ConnectFailed),
        Reason::CellTimeoutConnect | Reason::CellTimeoutTls | Reason::CellTimeoutHeader => {
            Some(Outcome::TimedOut)
        }
        Reason::CellReset if scope == Scope::Stream => Some(Outcome::StreamReset),
        Reason::CellReset | Reason::CellProtocolError => Some(Outcome::Reset),
        // The connection works, and the cell speaks for itself.
        Reason::CellRefused => Some(Outcome::Refused),
        _ => None,
    }
}

/// Maps an error to a reason.
pub(super) fn reason(error: &HttpError) -> Reason {
    match error.is_malformed() || breaks_http2(error) {
        true => Reason::CellProtocolError,
        false => Reason::CellReset,
    }
}

/// Whether the router ended the stream or the connection because of what the cell sent: either h2
/// did, or the code in front of it that counts header blocks.
fn breaks_http2(error: &HttpError) -> bool {
    error.http2().is_some_and(h2::Error::is_library)
        || (error.io()).is_some_and(|error| error.kind() == ErrorKind::InvalidData)
}

#[cfg(test)]
mod tests;
