//! Sends a request on a connection, and waits for the header of its answer.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::task::Poll;

use cellway_core::http1::{AnswerHead, HEAD_BYTES_MAX};
use cellway_core::{Reason, headers};
use cellway_env::Env;
use http::{Request, Response};
use tokio::time::{Instant, timeout};

use super::hedge::{Heard, Raced};
use super::rewrite::{for_http1, for_http2};
use super::timing::Then;
use super::{Attempt, Forwarding};
use crate::data_plane::body::{Places, RequestBody};
use crate::data_plane::http1::Http1Connection;
use crate::data_plane::http2::{Http2Sender, Rest, Sending, StreamBytes};
use crate::data_plane::incoming::{HttpError, Incoming};
use crate::data_plane::outlasting::Outlasting;
use crate::data_plane::pool::{ConnectError, Lease, Sender};
use crate::data_plane::proxy::health_report;
use crate::data_plane::proxy::spare::Spare;
use crate::data_plane::well_formed::{list_size, pseudo_size};
use crate::observe::event::{Phase, Sink};

/// What is known of an answer besides its header. All but the first field is about HTTP/2.
#[derive(Default)]
struct Besides {
    /// Whether the stream was opened. Until then the cell has got nothing of the request.
    opened: bool,
    /// Whether any part of an answer came.
    heard: bool,
    /// The stream, if the cell agreed to switch the protocol.
    tunnel: Option<Box<StreamBytes>>,
    /// What is still to be sent of the body when the answer has begun. Boxed, because few requests have it.
    rest: Option<Box<Sending<RequestBody>>>,
}

/// Why a request can't be sent in the form that the connection needs.
type Unfit = (Reason, &'static str);

const UNSENDABLE: Unfit = (
    Reason::BadRequest,
    "the request's host and path don't make a URI that can be sent to the cell",
);

/// An HTTP/2 cell might not take a header of this size. Some close the connection then, which others use too.
const TOO_LARGE: Unfit = (
    Reason::HeadersTooLarge,
    "with the router's own fields the header has more than 64 KiB, which is too much for HTTP/2 cells",
);

/// What a cell does with such a header isn't known: it may reset the stream, or close the connection.
const OVER_CELLS_LIMIT: Unfit = (
    Reason::HeadersTooLarge,
    "with the router's own fields the header is larger than the cell takes (SETTINGS_MAX_HEADER_LIST_SIZE)",
);

/// Every HTTP/2 server takes a header of this size, so smaller ones are sent before the cell has said what it
/// takes.
const TAKEN_BY_ALL: usize = 4 * 1024;

impl<E: Env, S: Sink> Forwarding<'_, E, S> {
    /// Sends the request on this connection. Puts it back if nothing of it was sent, or if it is to
    /// be sent again.
    pub(super) fn send(
        &mut self,
        mut lease: Lease,
        slot: &mut Option<Request<RequestBody>>,
    ) -> impl Future<Output = Attempt> + Send {
        async move {
            if let Some(http2) = slot
                .as_ref()
                .and_then(|it| Self::waits_for_greeting(&lease, it))
            {
                // Boxed, because few requests wait for that.
                Box::pin(self.greeted(http2)).await;
            }
            if let Err((reason, why)) = self.prepare(&lease, slot.as_mut()) {
                return Attempt::Failed(reason, why);
            }
            // Borrowed from the slot, because a borrowed local would make the future larger.
            let spare = (slot.as_mut())
                .and_then(|request| self.resends.spare(&lease, request, || self.places()));
            let hedging = self.hedge(&lease, slot.as_ref());
            let mut besides = Besides::default();
            let then = Then {
                spare: spare.as_ref(),
                budget: &lease.pool.budget,
            };
            let raced = match &mut lease.sender {
                Sender::H1(http1) => {
                    besides.opened = true;
                    let asking = self.ask_http1(http1, slot);
                    self.race(&then, hedging, pin!(asking)).await
                }
                Sender::H2(stream) => {
                    let asking = self.ask_http2(stream.http2(), slot, &mut besides);
                    self.race(&then, hedging, pin!(asking)).await
                }
            };
            if let Some(rest) = besides.rest.take() {
                self.send_rest(&mut lease, rest);
            }
            self.report.ends(Phase::Cell);
            let sent = match raced {
                Raced::First(heard) => heard,
                Raced::Alone(heard, at, failed) => {
                    self.resends.used_beside(at, failed);
                    heard
                }
                Raced::Second(second) => {
                    *slot = None;
                    return self.second_serves(lease, besides.opened, second);
                }
            };
            self.ended(sent, slot, (lease, spare, besides))
        }
    }

    /// Handles the end of an attempt. Puts the request back if it may be sent again.
    fn ended(
        &mut self,
        sent: Heard,
        slot: &mut Option<Request<RequestBody>>,
        (mut lease, spare, besides): (Lease, Option<Spare>, Besides),
    ) -> Attempt {
        match sent {
            Ok(Ok(answer)) => {
                // Of one that is declined, it isn't asked whether it can be passed on.
                let spare = spare.filter(|_| answer.fit.is_none());
                *slot = spare.and_then(|spare| self.declined(&answer.response, &mut lease, spare));
                if slot.is_some() {
                    return Attempt::Again;
                }
                if let Sender::H1(http1) = &mut lease.sender {
                    drop(http1.take_head());
                }
                self.accept(answer, besides.tunnel, lease)
            }
            Ok(Err(error)) if slot.is_some() => {
                lease.retire();
                Attempt::Unsent(ConnectError::new(health_report::reason(&error), error))
            }
            Ok(Err(error)) => {
                let spare = spare.filter(|_| !besides.heard);
                let (attempt, again) = self.broken(&mut lease, &error, spare);
                *slot = again;
                attempt
            }
            Err(reason) if !besides.opened => {
                lease.unanswered();
                self.never_sent(reason)
            }
            Err(reason) => {
                let (attempt, again) = self.overdue(reason, &mut lease, spare);
                *slot = again;
                attempt
            }
        }
    }

    /// Sends the rest of the body while the answer comes, for as long as there is the lease. A cell need not
    /// take it, but then its stream must not stay open.
    fn send_rest(&self, lease: &mut Lease, mut rest: Box<Sending<RequestBody>>) {
        let Sender::H2(stream) = &lease.sender else {
            return;
        };
        // It counts until the body is sent, even if the answer ends before.
        let stream = stream.clone();
        let (mut tie, outlasting) = Outlasting::new();
        lease.is_outlasted_by(outlasting);
        self.report.connection.worker.env.spawn(async move {
            let sent = poll_fn(|cx| match Pin::new(&mut rest).poll(cx) {
                Poll::Ready(()) => Poll::Ready(true),
                Poll::Pending => tie.poll_gone(cx).map(|()| false),
            });
            match sent.await {
                true => tie.completes(),
                false => rest.cancel(),
            }
            drop(stream);
        });
    }

    /// Rewrites the header for the connection. The error says why that isn't possible.
    pub(super) fn prepare(
        &self,
        lease: &Lease,
        request: Option<&mut Request<RequestBody>>,
    ) -> Result<(), Unfit> {
        let request = request.ok_or(UNSENDABLE)?;
        let (url, upgrade) = (&lease.pool.endpoint.url, self.upgrade.as_deref());
        match &lease.sender {
            Sender::H1(_) => for_http1(request, url, upgrade).ok_or(UNSENDABLE)?,
            Sender::H2(stream) => {
                let forwarding = &self.report.connection.forwarding;
                for_http2(request, url, forwarding, upgrade).ok_or(UNSENDABLE)?;
                let size = list_size(request.headers());
                if size > HEAD_BYTES_MAX {
                    return Err(TOO_LARGE);
                }
                if size + pseudo_size(request) > stream.http2().header_list_max() {
                    return Err(OVER_CELLS_LIMIT);
                }
            }
        }
        if let (true, Some(total)) = (self.has_deadline, self.total) {
            let left = total.saturating_duration_since(Instant::now());
            let value = headers::grpc_timeout_value(left);
            request.headers_mut().insert(headers::GRPC_TIMEOUT, value);
        }
        Ok(())
    }

    /// The HTTP/2 connection, if the cell has to say how large a header it takes before it gets this one.
    pub(super) fn waits_for_greeting<'b>(
        lease: &'b Lease,
        request: &Request<RequestBody>,
    ) -> Option<&'b Http2Sender> {
        let Sender::H2(stream) = &lease.sender else {
            return None;
        };
        let http2 = stream.http2();
        let waits = !http2.is_greeted() && list_size(request.headers()) > TAKEN_BY_ALL;
        waits.then_some(http2)
    }

    /// Waits until the cell has said what it takes. A cell that doesn't say it in time gets the request
    /// anyway.
    pub(super) async fn greeted(&self, http2: &Http2Sender) {
        let _ = timeout(self.timeouts().connect, http2.greeted()).await;
    }

    /// The places for kept bodies, and the holders that this request's place is counted for.
    fn places(&self) -> Places {
        let shares = self.config.settings.upstream.limits.shares;
        Places {
            bound: self.report.connection.worker.kept_bodies.clone(),
            stakes: self.permit.stakes(shares),
        }
    }

    /// Sends the request over HTTP/1.1. It is still in the slot if nothing of it was sent.
    fn ask_http1(
        &self,
        http1: &mut Http1Connection,
        slot: &mut Option<Request<RequestBody>>,
    ) -> impl Future<Output = Result<Response<Incoming>, HttpError>> {
        async move {
            http1.begin(slot).map_err(HttpError::Answer)?;
            let mut hear = |interim, bytes| {
                if self.hears_interims && self.allowance.takes(bytes) {
                    self.pass_on(interim);
                }
            };
            let head = poll_fn(|cx| http1.poll_answer(cx, &mut hear)).await?;
            Ok(self.answer_of(http1, head))
        }
    }

    /// The answer with this header. Its body has the connection's reading side.
    pub(super) fn answer_of(
        &self,
        http1: &mut Http1Connection,
        head: AnswerHead,
    ) -> Response<Incoming> {
        let mut response = Response::new(Incoming::Empty);
        if let Some((body, rest)) = http1.take_body() {
            *response.body_mut() = body.into();
            // The answer may end without the rest.
            if let Some(rest) = rest {
                self.report.connection.worker.env.spawn(rest);
            }
        }
        *response.status_mut() = head.status;
        *response.version_mut() = head.version;
        *response.headers_mut() = head.headers;
        response
    }

    /// Sends the request over HTTP/2. It is still in the slot if nothing of it was sent.
    async fn ask_http2(
        &self,
        http2: &Http2Sender,
        slot: &mut Option<Request<RequestBody>>,
        besides: &mut Besides,
    ) -> Result<Response<Incoming>, HttpError> {
        let mut exchange = http2.send(slot).await?;
        besides.opened = true;
        let mut hear = |interim| self.hear(interim);
        let answer = poll_fn(|cx| exchange.poll_answer(cx, &mut hear)).await;
        besides.heard = exchange.has_heard();
        match exchange.into_rest() {
            Rest::Body(body) if answer.is_ok() => besides.rest = Some(Box::new(body)),
            Rest::Switched(stream) => besides.tunnel = Some(Box::new(stream)),
            Rest::Nothing | Rest::Body(_) | Rest::Connect(_) => {}
        }
        answer
    }
}
