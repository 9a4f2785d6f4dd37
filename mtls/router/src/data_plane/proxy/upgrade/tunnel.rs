//! A connection after a switch of protocols: bytes pass between client and cell until one of them
//! closes, or the caller's right to it ends.
//!
//! A tunnel has the same rules as a request. It holds its place at the cell and in its holders'
//! shares, and it is an open stream: it ends when its tenant is suspended, and when its certificate
//! is revoked or expires; by a setting also when its token expires. In a drain it is told to close.
//!
//! A Close frame tells both sides that a WebSocket ends: with 1008 a client whose right has ended,
//! otherwise with 1001. Both then have [`CLOSE_WITHIN`] to answer. In a drain the cell is told first,
//! and the client after the cell's last message or after [`ANSWER_WITHIN`]: what the client sent
//! before is still answered. Other protocols have no such message, so they are cut; in a drain they
//! may last until its deadline.

use std::future::{Future, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};
use std::time::Duration;

use cellway_core::websocket::{CloseCode, close_frame};
use cellway_core::{Reason, Unix};
use cellway_env::Env;
use tokio::time::{Instant, Sleep, sleep_until};

use super::CellEnd;
use super::end::End;
use super::flow::{Broken, Flow};
use crate::data_plane::pool::{Lease, RequestPermit};
use crate::data_plane::proxy::health_report::{self, Scope};
use crate::data_plane::proxy::report::Report;
use crate::data_plane::streams::Side;
use crate::observe::event::{Closed, Event, Sink, TunnelEnd, TunnelProtocol};

/// How long both ends of a WebSocket may take to close after they were told to. Less than
/// [`STREAMS_CLOSED_WITHIN`](crate::data_plane::streams::STREAMS_CLOSED_WITHIN).
const CLOSE_WITHIN: Duration = Duration::from_secs(1);

/// How long a cell that was told to close may still answer earlier messages, before the router tells
/// the client itself. Together with [`CLOSE_WITHIN`] less than
/// [`STREAMS_CLOSED_WITHIN`](crate::data_plane::streams::STREAMS_CLOSED_WITHIN).
const ANSWER_WITHIN: Duration = Duration::from_millis(500);

/// When a tunnel ends by itself.
#[derive(Clone, Copy, Debug)]
pub(in crate::data_plane::proxy) struct Ends {
    /// How long no bytes may move.
    pub(in crate::data_plane::proxy) idle: Duration,
    /// How long the client may read nothing although bytes wait for it.
    pub(in crate::data_plane::proxy) stall: Duration,
    /// When the caller's token expires, if the tunnel ends with it.
    pub(in crate::data_plane::proxy) token: Option<Unix>,
}

/// A connection after a switch.
pub(in crate::data_plane::proxy) struct Tunnel<E: Env, S: Sink> {
    report: Report<E, S>,
    lease: Lease,
    _permit: RequestPermit,
    ends: Ends,
    /// From the client to the cell.
    up: Flow,
    /// From the cell to the client.
    down: Flow,
    /// Whether the connection's end was noticed.
    told: bool,
    /// Until when both ends may close. Set when the tunnel ends.
    closing: Option<Instant>,
    /// When the client is told, if only the cell was told yet.
    tells_client: Option<Instant>,
    /// Whether both ends have switched, and that was reported.
    opened: bool,
    /// Why it ends. `None` until that is known, or if its task is dropped.
    end: Option<TunnelEnd>,
}

impl<E: Env, S: Sink> Tunnel<E, S> {
    pub(in crate::data_plane::proxy) fn new(
        report: Report<E, S>,
        (lease, permit): (Lease, RequestPermit),
        ends: Ends,
        websocket: bool,
    ) -> Self {
        Self {
            report,
            lease,
            _permit: permit,
            ends,
            up: Flow::new(websocket),
            down: Flow::new(websocket),
            told: false,
            closing: None,
            tells_client: None,
            opened: false,
            end: None,
        }
    }

    /// Passes bytes until the tunnel ends.
    pub(super) async fn run(mut self, client: impl Future<Output = Option<End>>, cell: CellEnd) {
        // The client is gone before it got the answer.
        let Some(client) = client.await else {
            return;
        };
        self.opens();
        self.pass(client, cell.switched()).await;
    }

    fn opens(&mut self) {
        self.opened = true;
        let connection = &self.report.connection;
        connection.worker.reporter.emit(&Event::TunnelOpened {
            listener: &connection.name,
            peer: connection.origin.address,
            request_id: self.report.request_id(),
            protocol: self.protocol(),
        });
    }

    fn protocol(&self) -> TunnelProtocol {
        match self.up.is_websocket() {
            true => TunnelProtocol::WebSocket,
            false => TunnelProtocol::Other,
        }
    }

    /// Notes why the tunnel ends. Only the first reason counts.
    fn ends_by(&mut self, end: TunnelEnd) {
        self.end.get_or_insert(end);
    }

    async fn pass(&mut self, mut client: End, mut cell: End) {
        let connection = self.report.connection.clone();
        let mut ending = pin!(connection.ending.begun());
        let mut timer = pin!(sleep_until(self.next(Instant::now())));
        poll_fn(|cx| {
            self.poll_refused(cx);
            if !self.told
                && let Poll::Ready(why) = ending.as_mut().poll(cx)
            {
                self.told = true;
                self.connection_ends(why);
                // The reason may be that of the stream.
                self.poll_refused(cx);
            }
            if self.poll_bytes(cx, &mut client, &mut cell).is_ready() {
                return Poll::Ready(());
            }
            self.poll_timer(cx, timer.as_mut())
        })
        .await;
    }

    /// Ends the tunnel if its caller has no right to it any more.
    fn poll_refused(&mut self, cx: &Context<'_>) {
        let stream = self.report.stream.as_ref();
        if let (Some(stream), None) = (stream, self.closing)
            && let Poll::Ready(reason) = stream.poll_closed(Side::Answer, cx)
        {
            self.ends_by(TunnelEnd::Refused);
            self.close(CloseCode::PolicyViolation, Some(reason));
        }
    }

    /// The client's connection is about to close.
    fn connection_ends(&mut self, why: Closed) {
        if why == Closed::CertificateExpired {
            self.refuse(Reason::CertificateExpired);
        } else if self.up.is_websocket() {
            let changed = why == Closed::ListenerChanged;
            self.ends_by(match changed {
                true => TunnelEnd::ListenerChanged,
                false => TunnelEnd::Drain,
            });
            self.close_after_answers();
        }
        // Another protocol can't be told, so it may last until the connection is cut.
    }

    /// Ends the tunnel because the right to it has ended.
    fn refuse(&mut self, reason: Reason) {
        match &self.report.stream {
            Some(stream) => stream.close(&self.report.connection.worker.reporter, reason),
            None => {
                self.ends_by(TunnelEnd::Refused);
                self.close(CloseCode::PolicyViolation, Some(reason));
            }
        }
    }

    /// Starts to close both ends. Only the first reason counts.
    fn close(&mut self, to_client: CloseCode, reason: Option<Reason>) {
        if self.closing.is_some() {
            return;
        }
        let down = self.down.close(close_frame(to_client, None));
        let up = self.tell_cell();
        self.report.reason = reason;
        let within = if up && down {
            CLOSE_WITHIN
        } else {
            Duration::ZERO
        };
        self.closing = Some(Instant::now() + within);
    }

    /// Starts to close a WebSocket that has lost no right. The client is told after the cell's answers
    /// to what it has sent, usually by the cell's own Close frame.
    fn close_after_answers(&mut self) {
        if self.closing.is_some() {
            return;
        }
        self.tell_cell();
        let tells_client = Instant::now() + ANSWER_WITHIN;
        self.tells_client = Some(tells_client);
        self.closing = Some(tells_client + CLOSE_WITHIN);
    }

    /// `false` if the protocol has no message for it.
    fn tell_cell(&mut self) -> bool {
        let mut mask = [0; 4];
        self.report.connection.worker.env.fill(&mut mask);
        self.up.close(close_frame(CloseCode::GoingAway, Some(mask)))
    }

    /// Ends the tunnel at once, because one end doesn't read.
    fn cut(&mut self, end: TunnelEnd, reason: Reason) {
        self.ends_by(end);
        self.report.reason = Some(reason);
        self.closing = Some(Instant::now());
    }

    /// Passes bytes both ways. Ready when the tunnel is over.
    fn poll_bytes(&mut self, cx: &mut Context<'_>, client: &mut End, cell: &mut End) -> Poll<()> {
        let up = self
            .up
            .poll(cx, Pin::new(&mut *client), Pin::new(&mut *cell));
        let down = self.down.poll(cx, Pin::new(cell), Pin::new(client));
        match (up, down) {
            (Poll::Ready(Ok(())), Poll::Ready(Ok(()))) => {
                self.report.complete = true;
                self.ends_by(TunnelEnd::Closed);
                Poll::Ready(())
            }
            (Poll::Ready(Err(Broken::To(error))), _)
            | (_, Poll::Ready(Err(Broken::From(error)))) => {
                self.cell_is_gone(&error);
                Poll::Ready(())
            }
            // The client is gone.
            (Poll::Ready(Err(Broken::From(_))), _) | (_, Poll::Ready(Err(Broken::To(_)))) => {
                self.ends_by(TunnelEnd::ClientGone);
                Poll::Ready(())
            }
            (Poll::Pending | Poll::Ready(Ok(())), Poll::Pending)
            | (Poll::Pending, Poll::Ready(Ok(()))) => Poll::Pending,
        }
    }

    /// The bytes of the cell's end broke.
    fn cell_is_gone(&mut self, error: &io::Error) {
        let http2 = error.get_ref().and_then(|it| it.downcast_ref());
        let scope = match http2.is_some_and(health_report::is_stream_reset) {
            true => Scope::Stream,
            false => Scope::of_connection(&self.lease),
        };
        self.cell_broke(scope, &error.to_string());
    }

    fn cell_broke(&mut self, scope: Scope, error: &str) {
        self.ends_by(TunnelEnd::CellGone);
        if self.closing.is_none() {
            let reason = Reason::CellReset;
            health_report::failed(&self.report, &self.lease.pool, (reason, scope), error);
            self.report.reason = Some(reason);
        }
    }

    fn poll_timer(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut Sleep>) -> Poll<()> {
        if self.closing.is_some() || self.is_half_closed() {
            let next = self.next(Instant::now());
            if next < timer.deadline() {
                timer.as_mut().reset(next);
            }
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if self.closing.is_some_and(|until| until <= now) {
                self.breaks_off();
                return Poll::Ready(());
            }
            if self.tells_client.take_if(|at| *at <= now).is_some() {
                self.down.close(close_frame(CloseCode::GoingAway, None));
            } else if self.closing.is_none() {
                self.check_limits(now);
            }
            // What was begun goes on at once.
            cx.waker().wake_by_ref();
            timer.as_mut().reset(self.next(now));
        }
        Poll::Pending
    }

    /// Resets the client's connection if its client has not read all of it, or if the bytes can't tell it
    /// that it has lost its right.
    fn breaks_off(&self) {
        let activity = &self.report.connection.activity;
        let untold = self.end == Some(TunnelEnd::Refused) && !self.down.is_websocket();
        if activity.is_http1() && (untold || self.down.is_blocked()) {
            activity.break_off();
        }
    }

    /// Ends the tunnel if one of its limits is reached.
    fn check_limits(&mut self, now: Instant) {
        let Ends { idle, stall, token } = self.ends;
        let unix = self.report.connection.worker.env.unix_now();
        let moved = self.moved();
        if self.is_half_closed() && moved + CLOSE_WITHIN <= now {
            self.report.complete = self.up.has_closed() && self.down.has_closed();
            self.ends_by(TunnelEnd::Closed);
            self.closing = Some(now);
        } else if token.is_some_and(|expires| expires <= unix) {
            self.refuse(Reason::ExpiredToken);
        } else if self.down.is_blocked() && self.down.moved() + stall <= now {
            self.cut(TunnelEnd::ClientStalled, Reason::ClientStalled);
        } else if self.up.is_blocked() && self.up.moved() + idle <= now {
            self.cut(TunnelEnd::CellStalled, Reason::CellTimeoutIdle);
        } else if moved + idle <= now {
            self.ends_by(TunnelEnd::Idle);
            self.close(CloseCode::GoingAway, Some(Reason::CellTimeoutIdle));
        }
    }

    /// Whether one side of a WebSocket has ended. The other one ends then too: WebSocket has no
    /// half-closed connections (RFC 6455, section 7.1.1).
    fn is_half_closed(&self) -> bool {
        self.up.is_websocket() && (self.up.is_done() || self.down.is_done())
    }

    fn moved(&self) -> Instant {
        self.up.moved().max(self.down.moved())
    }

    /// When to check the limits again. No limit that begins meanwhile is nearer than the shortest.
    fn next(&self, now: Instant) -> Instant {
        if let Some(until) = self.closing {
            return self.tells_client.unwrap_or(until);
        }
        let Ends { idle, stall, token } = self.ends;
        let moved = self.moved();
        let look = match self.is_half_closed() {
            true => moved + CLOSE_WITHIN,
            false => (moved + idle).min(now + idle.min(stall)),
        };
        let unix = self.report.connection.worker.env.unix_now();
        match token {
            Some(expires) => look.min(now + expires.since(unix)),
            None => look,
        }
    }
}

/// Reports the end of a tunnel, even if its task is dropped because its connection is cut.
impl<E: Env, S: Sink> Drop for Tunnel<E, S> {
    fn drop(&mut self) {
        self.report.bytes = self.down.bytes();
        if let Some(record) = &self.report.record {
            record.tunneled(self.up.bytes());
        }
        if !self.opened {
            return;
        }
        let connection = &self.report.connection;
        let cut = || match connection.activity.is_stalled() {
            true => TunnelEnd::ClientStalled,
            false => TunnelEnd::Cut,
        };
        connection.worker.reporter.emit(&Event::TunnelEnded {
            listener: &connection.name,
            peer: connection.origin.address,
            request_id: self.report.request_id(),
            protocol: self.protocol(),
            end: self.end.unwrap_or_else(cut),
        });
    }
}
