//! Hedging: a second attempt at another endpoint while the first one waits for its answer, if the settings
//! ask for it.
//!
//! The first answer that is no failure counts. The other attempt is cancelled, which says nothing about its
//! endpoint. If one attempt fails, the other goes on alone. If both fail, the request is where it would be if
//! only the first one had been made. The second attempt ends when the first one would have, with the whole of
//! `header_timeout_ms`. If the first one has less (`try_timeout_ms`), so has the second one as soon as the
//! first one has failed, if the request may then be sent to others.
//!
//! Interim answers of the second attempt aren't passed on, so a client gets none twice.

mod second;

use std::future::Future;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::registry::Cell;
use cellway_core::{Allow, Ranked, Reason, headers};
use cellway_env::Env;
use http::request::Parts;
use http::{Method, Request, Response};
use tokio::time::{Instant, sleep};

use self::second::{OwnTime, Patience, Second, broke, tell};
use super::timing::Then;
use super::{Attempt, Fit, Forwarding};
use crate::data_plane::body::RequestBody;
use crate::data_plane::incoming::{HttpError, Incoming};
use crate::data_plane::pool::{Lease, Sender};
use crate::data_plane::proxy::again::{self, HedgeFailed};
use crate::data_plane::proxy::spare::Copied;
use crate::observe::event::{Sink, Unserved};
use crate::settings::TrafficSettings;

/// How an attempt ended: with the header of an answer, with an error, or because it took too long.
pub(super) type Heard = Result<Result<Answer, HttpError>, Reason>;

/// The header of an answer.
pub(super) struct Answer {
    pub(super) response: Response<Incoming>,
    /// Whether it can be passed on, if that is known already because it had to be known which of two
    /// attempts counts.
    pub(super) fit: Option<Fit>,
}

impl From<Response<Incoming>> for Answer {
    fn from(response: Response<Incoming>) -> Self {
        Self {
            response,
            fit: None,
        }
    }
}

/// How the first attempt, or both, ended.
pub(super) enum Raced {
    /// There was no second one, or it was cancelled.
    First(Heard),
    /// The same, and the second one, at this position in the cell's list, failed in this way.
    Alone(Heard, usize, HedgeFailed),
    /// The second one is answered.
    Second(Box<Second>),
}

/// A request that may have two attempts at once, before its first one.
pub(super) struct Hedging {
    /// How long the first one has for itself.
    after: Duration,
    /// The cell, and its endpoints in the order of the decision.
    cell: Option<(Arc<Cell>, Ranked)>,
    /// The endpoints that the request has tried, one bit for each position.
    tried: u64,
    /// The head of the request as the first attempt sends it.
    head: Option<Copied>,
    /// Whether the first attempt is made over HTTP/2.
    http2: bool,
}

impl Hedging {
    /// Of a request that may be served twice without any effect: it is safe (RFC 9110, section 9.2.1) and
    /// nothing but its header is sent. `TRACE` is safe too, but it asks what one endpoint gets. `None` for
    /// all requests if the settings don't ask for it.
    pub(super) fn of(
        traffic: &TrafficSettings,
        request: &Parts,
        is_header_only: bool,
    ) -> Option<Box<Self>> {
        let after = traffic.hedge_after?;
        let method = &request.method;
        let is_safe = matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        let may = is_header_only && is_safe && !headers::is_grpc(&request.headers);
        may.then(|| {
            Box::new(Self {
                after,
                cell: None,
                tried: 0,
                head: None,
                http2: false,
            })
        })
    }

    /// Notes the cell that gets the request.
    pub(super) fn is_at(&mut self, allow: &Allow) {
        self.cell = Some((allow.cell.clone(), allow.endpoints));
        self.tried = 0;
    }

    /// Notes that the endpoint at this position is tried.
    pub(super) fn tries(&mut self, at: usize) {
        self.tried |= 1 << at;
    }
}

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// What is needed for a second attempt, if this one, which is about to be sent, is the first.
    pub(super) fn hedge(
        &mut self,
        lease: &Lease,
        request: Option<&Request<RequestBody>>,
    ) -> Option<Box<Hedging>> {
        let mut hedging = self.hedging.take()?;
        if !self.resends.any_left() {
            return None;
        }
        hedging.head = Some(Copied::of(request?));
        hedging.http2 = matches!(lease.sender, Sender::H2(_));
        Some(hedging)
    }

    /// Waits for the answer's header within the time limits, from another endpoint too if it takes long.
    pub(super) fn race(
        &self,
        then: &Then<'_>,
        hedging: Option<Box<Hedging>>,
        answer: Pin<&mut (impl Future<Output = Result<Response<Incoming>, HttpError>> + Send)>,
    ) -> impl Future<Output = Raced> + Send {
        async move {
            let first = async { (self.in_time(then, answer).await).map(|it| it.map(Answer::from)) };
            match hedging {
                None => Raced::First(first.await),
                // Boxed, because few requests get here.
                Some(hedging) => Box::pin(self.hedged(then, hedging, pin!(first))).await,
            }
        }
    }

    async fn hedged(
        &self,
        then: &Then<'_>,
        mut hedging: Box<Hedging>,
        mut first: Pin<&mut (impl Future<Output = Heard> + Send)>,
    ) -> Raced {
        let until = self.both_end(Instant::now());
        tokio::select! {
            biased;
            heard = first.as_mut() => return Raced::First(heard),
            () = sleep(hedging.after) => {}
        }
        let head = hedging.head.take();
        let request = head.and_then(|head| head.restore(RequestBody::empty()));
        let begun = match self.begin_second(&hedging) {
            Ok(begun) => begun,
            Err(end) => {
                tell(self.report, None, end);
                return Raced::First(first.await);
            }
        };
        let at = begun.at;
        let own = OwnTime::default();
        let patience = Patience { until, own: &own };
        let mut second = pin!(self.second(begun, request, patience));
        let failed = tokio::select! {
            biased;
            mut heard = first.as_mut() => match self.counts(&mut heard, hedging.http2) {
                true => return Raced::First(heard),
                false => heard,
            },
            answered = second.as_mut() => return match answered {
                Ok(second) => Raced::Second(second),
                Err(why) => Raced::Alone(first.await, at, why),
            },
        };
        if let Some(time) = self.try_timeout()
            && self.others_follow(&failed, then)
        {
            own.set(time);
        }
        match second.await {
            Ok(mut second) => {
                second.first = Some(failed);
                Raced::Second(second)
            }
            Err(why) => Raced::Alone(failed, at, why),
        }
    }

    /// When both attempts are over at the latest, if the first one began now.
    fn both_end(&self, now: Instant) -> Instant {
        let header = now + self.timeouts().header;
        self.total.map_or(header, |total| total.min(header))
    }

    /// Whether the request may be sent to a third endpoint if the second attempt fails like the first one
    /// did. If the connection of the first one died, only the connection knows, and the attempt holds it
    /// still. Then the second attempt has all the time that there is.
    fn others_follow(&self, failed: &Heard, then: &Then<'_>) -> bool {
        let why = match failed {
            Ok(Ok(answer)) => answer.fit.is_none().then_some(Unserved::Status),
            Ok(Err(error)) => again::said(error),
            Err(Reason::CellTimeoutHeader) => Some(Unserved::TimedOut),
            Err(_) => None,
        };
        let may = why.is_some_and(|why| match why {
            Unserved::Refused | Unserved::GoneAway | Unserved::TimedOut | Unserved::Status => true,
            Unserved::Died | Unserved::Reset => self.traffic.retry_resets,
        });
        may && self.resends.left() > 1 && then.may_follow()
    }

    /// Whether the first attempt was answered, and the answer is none to wait for the second one instead.
    fn counts(&self, heard: &mut Heard, http2: bool) -> bool {
        match heard {
            Ok(Ok(answer)) if !self.is_declined(&answer.response) => {
                let fit = self.fit(&mut answer.response, http2);
                answer.fit.insert(fit).is_ok()
            }
            Ok(_) | Err(_) => false,
        }
    }

    /// The answer to the second attempt is that of the request. Cancels the first one: its connection is
    /// `lease`, and `is_sent` says whether the request was sent on it.
    pub(super) fn second_serves(
        &mut self,
        mut lease: Lease,
        is_sent: bool,
        second: Box<Second>,
    ) -> Attempt {
        let Second {
            response,
            framing,
            lease: serves,
            permit,
            at,
            began,
            first,
        } = *second;
        if let Some(heard) = first {
            self.first_failed(&mut lease, is_sent, heard);
        }
        // If it still shows whether its endpoint works, it has shown nothing.
        self.probe = None;
        drop(lease);
        self.permit = permit;
        self.took(began, &response);
        if let Some(record) = &self.report.record {
            record.is_served_by(at);
            record.speaks(matches!(serves.sender, Sender::H2(_)));
        }
        let fit = Some(Ok(framing));
        self.accept(Answer { response, fit }, None, serves)
    }

    /// Reports what the failure of the first attempt says about its endpoint.
    fn first_failed(&mut self, lease: &mut Lease, is_sent: bool, heard: Heard) {
        match heard {
            Ok(Ok(answer)) => {
                lease.answered();
                match answer.fit {
                    Some(Err(why)) => self.failed(&lease.pool, Reason::CellProtocolError, why),
                    Some(Ok(_)) | None => self.heard(&answer.response, lease),
                }
            }
            Ok(Err(_)) if !is_sent => lease.retire(),
            Ok(Err(error)) => {
                if let Some(what) = broke(&error, lease) {
                    self.fails(&lease.pool, what, &error.to_string());
                }
            }
            Err(reason) => {
                lease.unanswered();
                if is_sent {
                    self.failed(&lease.pool, reason, reason.describe());
                }
            }
        }
    }
}
