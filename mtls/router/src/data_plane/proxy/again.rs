//! Decides which requests may be sent again: those that were sent and got no byte of an answer.

use cellway_core::Reason;
use http::{Method, Request};

use super::health_report;
use super::spare::Spare;
use crate::data_plane::body::{Places, RequestBody};
use crate::data_plane::incoming::HttpError;
use crate::data_plane::pool::{Lease, Sender};
use crate::observe::event::Unserved;

/// The most times that one request is sent again.
pub const RESENDS_MAX: u8 = 3;

/// Whether the endpoint of a hedge that failed may have processed the request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum HedgeFailed {
    Unprocessed,
    MaybeProcessed,
}

impl From<Unserved> for HedgeFailed {
    fn from(why: Unserved) -> Self {
        match why.is_unprocessed() {
            true => Self::Unprocessed,
            false => Self::MaybeProcessed,
        }
    }
}

/// How often and after which failures one request may still be sent again.
#[derive(Clone, Copy, Debug)]
pub(super) struct Resends {
    /// Whether retries are on.
    allowed: bool,
    used: u8,
    /// Whether it was already sent again because its connection died. That happens only once.
    after_death: bool,
    /// Set if a cell may have processed it: how that attempt ended.
    may_be_processed: Option<Unserved>,
    /// Whether the endpoint of a hedge that failed may have processed it.
    beside: bool,
    /// The position of that endpoint in the cell's list, until the request is sent again.
    beside_at: Option<u8>,
    /// Whether the settings allow to send idempotent requests again that the cell may have processed.
    processed: bool,
    /// The same of those whose exchange broke off.
    resets: bool,
}

impl Resends {
    /// `percent` is the share of a cell's requests that may be sent again. `processed`: this one also
    /// if the cell may have processed it; `resets`: also if the exchange broke off.
    pub(super) fn new(percent: u8, processed: bool, resets: bool) -> Self {
        Self {
            allowed: percent > 0,
            used: 0,
            after_death: false,
            may_be_processed: None,
            beside: false,
            beside_at: None,
            processed,
            resets,
        }
    }

    /// Whether the request was already sent again.
    pub(super) fn any_used(self) -> bool {
        self.used > 0
    }

    /// Whether a cell may have processed the request although it is sent again. If so, no other cell
    /// may get it.
    pub(super) fn may_be_processed(self) -> bool {
        self.beside || self.may_be_processed.is_some()
    }

    /// The reason and the detail of the answer if no endpoint takes the request again, although a cell
    /// may have processed it.
    pub(super) fn last(self) -> Option<(Reason, &'static str)> {
        let Some(why) = self.may_be_processed else {
            return self.beside.then_some((
                Reason::CellReset,
                "the cell may have got the request in an attempt that failed, and no endpoint was left to \
                 send it to again",
            ));
        };
        match why {
            Unserved::TimedOut => Some((
                Reason::CellTimeoutHeader,
                "the cell took too long, and no endpoint was left to send the request to again",
            )),
            Unserved::Died | Unserved::Reset => Some((
                Reason::CellReset,
                "the cell closed the connection or reset the stream before it answered, and no endpoint was \
                 left to send the request to again",
            )),
            Unserved::Status => Some((
                Reason::CellDeclined,
                "the cell answered with a status of retry_statuses, and no endpoint was left to send the \
                 request to again",
            )),
            Unserved::Refused | Unserved::GoneAway => None,
        }
    }

    pub(super) fn any_left(self) -> bool {
        self.left() > 0
    }

    /// How many times the request may still be sent again.
    pub(super) fn left(self) -> u8 {
        match self.allowed {
            true => RESENDS_MAX.saturating_sub(self.used),
            false => 0,
        }
    }

    /// What is needed to send the request again, if that is allowed after this lease has sent it. The bytes
    /// that are read of its body are then kept.
    pub(super) fn spare(
        self,
        lease: &Lease,
        request: &mut Request<RequestBody>,
        places: impl FnOnce() -> Places,
    ) -> Option<Spare> {
        let wanted = match &lease.sender {
            Sender::H1(_) => self.survives_death(lease, request.method()) || self.processed,
            Sender::H2(_) => true,
        };
        if !wanted || !self.any_left() {
            request.body_mut().keep_no_more();
            return None;
        }
        request.body_mut().keep(places);
        Some(Spare::of(request, &lease.sender))
    }

    /// Whether the request may be sent again after it failed this way on this lease.
    pub(super) fn allows(self, why: Unserved, lease: &Lease, spare: &Spare) -> bool {
        self.any_left()
            && spare.is_complete()
            && match why {
                Unserved::Refused | Unserved::GoneAway => true,
                Unserved::Died => {
                    let method = spare.method(&lease.sender);
                    self.resets || method.is_some_and(|it| self.survives_death(lease, &it))
                }
                Unserved::Reset => self.resets,
                Unserved::TimedOut | Unserved::Status => self.processed,
            }
    }

    /// Whether the request may be sent again if the connection dies, without a setting: once, if it is
    /// idempotent (RFC 9110, section 9.2.2) and the connection was kept.
    fn survives_death(self, lease: &Lease, method: &Method) -> bool {
        was_kept(lease) && method.is_idempotent() && !self.after_death
    }

    /// Counts one retry.
    pub(super) fn used(&mut self, why: Unserved) {
        self.used = self.used.saturating_add(1);
        self.after_death |= why == Unserved::Died;
        if !why.is_unprocessed() {
            self.may_be_processed = Some(why);
        }
    }

    /// Counts a hedge that failed, at the endpoint with this position. After which failures the first
    /// attempt is made again stays as it was.
    pub(super) fn used_beside(&mut self, at: usize, failed: HedgeFailed) {
        self.used = self.used.saturating_add(1);
        self.beside_at = u8::try_from(at).ok();
        self.beside |= failed == HedgeFailed::MaybeProcessed;
    }

    /// The position of the endpoint at which a hedge has just failed.
    pub(super) fn take_beside(&mut self) -> Option<usize> {
        self.beside_at.take().map(usize::from)
    }
}

/// Whether the cell closed the connection in order, after it had served requests on it and just
/// before this request came (RFC 9113, section 6.8). Servers do that after some time or some number
/// of requests.
pub(super) fn closed_in_order(error: &HttpError, lease: &Lease) -> bool {
    let in_order = |error: &h2::Error| error.reason() == Some(h2::Reason::NO_ERROR);
    lease.has_served()
        && unserved(error, lease) == Some(Unserved::GoneAway)
        && error.http2().is_some_and(in_order)
}

/// Why the cell can't have served the request, or why it at least sent no answer to it. `None`
/// otherwise.
pub(super) fn unserved(error: &HttpError, lease: &Lease) -> Option<Unserved> {
    if error.http2().is_some() {
        return said(error);
    }
    let silent = match &lease.sender {
        Sender::H1(http1) => !http1.has_heard(),
        Sender::H2(_) => true,
    };
    // If the router ended the exchange because of what the cell sent, the cell has sent something.
    let died = !error.is_user() && health_report::reason(error) == Reason::CellReset;
    (died && silent).then_some(match was_kept(lease) {
        true => Unserved::Died,
        false => Unserved::Reset,
    })
}

/// The part of this that the cell has said about the request's HTTP/2 stream.
pub(super) fn said(error: &HttpError) -> Option<Unserved> {
    match error.http2()? {
        // RFC 9113, section 8.7. h2 reports the peer's GOAWAY only on streams after its last stream
        // id. The others continue, and get an IO error if the connection ends.
        error if error.is_remote() && error.is_go_away() => Some(Unserved::GoneAway),
        error if error.is_remote() && error.is_reset() => match error.reason() {
            Some(h2::Reason::REFUSED_STREAM) => Some(Unserved::Refused),
            Some(_) | None => Some(Unserved::Reset),
        },
        _ => None,
    }
}

/// Whether the connection wasn't opened for this request, so that the cell may just have closed it for its
/// age. If a new one dies, the cell itself has a problem.
fn was_kept(lease: &Lease) -> bool {
    match &lease.sender {
        Sender::H1(_) => lease.opened().is_none(),
        // Others may have waited for it with this request.
        Sender::H2(_) => lease.has_served(),
    }
}

/// The reason in the answer to a request that isn't sent again.
pub(super) fn reason(error: &HttpError, why: Option<Unserved>) -> Reason {
    match why {
        Some(Unserved::Refused | Unserved::GoneAway) => Reason::CellRefused,
        Some(Unserved::Died | Unserved::Reset | Unserved::TimedOut | Unserved::Status) | None => {
            health_report::reason(error)
        }
    }
}
