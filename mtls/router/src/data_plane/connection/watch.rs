//! Runs a client's connection, and closes it at its time limits.
//!
//! Each connection has one timer. When it fires, the watch reads the notes in
//! [`Activity`](super::Activity).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use cellway_env::Env;
use tokio::sync::futures::Notified;
use tokio::time::{Instant, Sleep, sleep_until};

use super::Connection;
use crate::data_plane::activity::Phase;
use crate::data_plane::drain::Drain;
use crate::observe::event::{Closed, Sink};
use crate::settings::ClientTimeouts;

/// How long a connection without requests in flight may take to close after it is told to, and how
/// long before its certificate expires a connection is told to close.
const GRACE: Duration = Duration::from_secs(5);

/// How long a connection is idle before it frees what it doesn't need.
const REST_AFTER: Duration = Duration::from_secs(10);

/// The connection has ended because of an error.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Broken;

/// A connection of either version.
pub(super) trait Serving: Future<Output = Result<(), Broken>> {
    /// Tells the connection to close when its requests in flight are done.
    fn finish(self: Pin<&mut Self>);

    /// Frees the memory that an idle connection doesn't need. Its task must be polled next.
    fn rest(self: Pin<&mut Self>) {}
}

/// Runs the connection until it ends, and returns why it ended. If that cuts an answer, the connection is
/// reset.
pub(super) async fn run<C: Serving, E: Env, S: Sink>(
    serving: C,
    connection: &Connection<E, S>,
    timeouts: &ClientTimeouts,
) -> Closed {
    let drain = &connection.worker.drain;
    let mut changed = std::pin::pin!(drain.changed().notified());
    changed.as_mut().enable();
    let mut serving = std::pin::pin!(serving);
    let mut timer = std::pin::pin!(sleep_until(Instant::now()));
    let mut watch = Watch {
        connection,
        timeouts,
        ending: None,
        hard: None,
        leaves: false,
        rested: None,
    };
    watch.may_stay(serving.as_mut());
    let why = std::future::poll_fn(|cx| {
        if let Poll::Ready(result) = serving.as_mut().poll(cx) {
            return Poll::Ready(watch.ended(result));
        }
        // If the client reads nothing, nobody polls the body, so the body can't report that
        // it was closed.
        if connection.activity.is_cut() {
            return Poll::Ready(Closed::StreamClosed);
        }
        if connection.activity.is_reset() {
            return Poll::Ready(Closed::Error);
        }
        if watch.is_woken(changed.as_mut(), cx) {
            if drain.is_stopped() {
                return Poll::Ready(Closed::Drain);
            }
            watch.may_stay(serving.as_mut());
            if watch.leaves {
                timer.as_mut().reset(watch.next(Instant::now()));
            }
            if let Poll::Ready(result) = serving.as_mut().poll(cx) {
                return Poll::Ready(watch.ended(result));
            }
        }
        if watch.has_had_last_request() {
            watch.end(serving.as_mut(), Closed::Drain, None);
            if let Poll::Ready(result) = serving.as_mut().poll(cx) {
                return Poll::Ready(watch.ended(result));
            }
        }
        watch.timers(serving.as_mut(), timer.as_mut(), cx)
    })
    .await;
    // Asked before the connection is dropped, and its requests with it.
    if connection.activity.is_in_answer() {
        connection.activity.break_off();
    }
    why
}

struct Watch<'a, E: Env, S> {
    connection: &'a Connection<E, S>,
    timeouts: &'a ClientTimeouts,
    /// Why the connection was told to close.
    ending: Option<Closed>,
    /// When the connection is cut.
    hard: Option<Instant>,
    /// The router drains. The connection closes when its client knows that, or after some time
    /// without a request.
    leaves: bool,
    /// The start of the idle time in which it last freed what it doesn't need.
    rested: Option<Instant>,
}

impl<'a, E: Env, S: Sink> Watch<'a, E, S> {
    fn end<C: Serving>(&mut self, serving: Pin<&mut C>, why: Closed, hard: Option<Instant>) {
        if let Some(hard) = hard {
            self.hard = Some(self.hard.map_or(hard, |before| before.min(hard)));
        }
        if self.ending.is_none() {
            self.ending = Some(why);
            self.connection.ending.begin(why);
            serving.finish();
        }
    }

    /// Tells the connection to close if its listener would no longer accept it. If the router drains,
    /// the connection leaves.
    fn may_stay<C: Serving>(&mut self, serving: Pin<&mut C>) {
        let worker = &self.connection.worker;
        if worker.drain.is_draining() {
            self.leaves = true;
            // No further answer could tell a tunnel.
            self.connection.ending.begin(Closed::Drain);
        } else if self.connection.accepted(&worker.views.config()).is_err() {
            self.end(serving, Closed::ListenerChanged, None);
        }
    }

    fn drain(&self) -> &Drain {
        &self.connection.worker.drain
    }

    /// Whether the connection must now announce that it closes after the requests in flight. HTTP/2
    /// can do that at any time, but a client whose first request is still on the way would have to
    /// connect again. In HTTP/1.1 the next answer announces it, and closes the connection.
    fn has_had_last_request(&self) -> bool {
        let activity = &self.connection.activity;
        self.leaves && self.ending.is_none() && !activity.is_http1() && activity.has_had_request()
    }

    /// When a connection that leaves has been without a request for too long.
    fn left_idle_at(&self) -> Option<Instant> {
        let activity = &self.connection.activity;
        match activity.phase() {
            Phase::FirstByte | Phase::Idle if self.leaves => {
                self.drain().idle_until(activity.since())
            }
            Phase::FirstByte | Phase::Header | Phase::Busy | Phase::Idle => None,
        }
    }

    fn ended(&self, result: Result<(), Broken>) -> Closed {
        if self.connection.activity.is_cut() {
            return Closed::StreamClosed;
        }
        if result.is_err() && self.connection.activity.is_until_closed() {
            self.connection.activity.break_off();
        }
        match (self.ending, result) {
            (Some(why), _) => why,
            (None, Ok(())) if self.leaves => Closed::Drain,
            (None, Ok(())) => Closed::Client,
            (None, Err(_)) => Closed::Error,
        }
    }

    /// Whether a drain or a reload has woken the connection since the last check.
    fn is_woken(&self, mut changed: Pin<&mut Notified<'a>>, cx: &mut Context<'_>) -> bool {
        if changed.as_mut().poll(cx).is_pending() {
            return false;
        }
        changed.set(self.connection.worker.drain.changed().notified());
        // Poll it, because the next change must wake this task.
        let _ = changed.poll(cx);
        true
    }

    fn timers<C: Serving>(
        &mut self,
        mut serving: Pin<&mut C>,
        mut timer: Pin<&mut Sleep>,
        cx: &mut Context<'_>,
    ) -> Poll<Closed> {
        // The time limit for a header that has started is shorter than that of an idle connection.
        if self.connection.activity.phase() == Phase::Header
            && let Some(deadline) = self.connection.activity.deadline(self.timeouts)
            && deadline < timer.deadline()
        {
            timer.as_mut().reset(deadline);
        }
        while timer.as_mut().poll(cx).is_ready() {
            let now = Instant::now();
            if let Some(why) = self.overdue(serving.as_mut(), now) {
                return Poll::Ready(why);
            }
            let rests = self.rests(serving.as_mut(), now);
            timer.as_mut().reset(self.next(now));
            if (self.ending.is_some() || rests)
                && let Poll::Ready(result) = serving.as_mut().poll(cx)
            {
                return Poll::Ready(self.ended(result));
            }
        }
        Poll::Pending
    }

    /// Tells the connection to close if a time limit is over. Returns a reason if it must be cut
    /// now.
    fn overdue<C: Serving>(&mut self, serving: Pin<&mut C>, now: Instant) -> Option<Closed> {
        if self.hard.is_some_and(|hard| hard <= now) {
            return Some(self.ending.unwrap_or(Closed::Idle));
        }
        let activity = &self.connection.activity;
        if self.left_idle_at().is_some_and(|at| at <= now) {
            self.end(serving, Closed::Drain, Some(now + GRACE));
        } else if activity.deadline(self.timeouts).is_some_and(|at| at <= now) {
            match activity.phase() {
                Phase::FirstByte => return Some(Closed::FirstByteTimeout),
                Phase::Header => return Some(Closed::HeaderTimeout),
                Phase::Busy => {
                    activity.stall();
                    return Some(Closed::Stalled);
                }
                Phase::Idle => self.end(serving, Closed::Idle, Some(now + GRACE)),
            }
        } else if let Some(left) = self.certificate_left()
            && left <= GRACE
        {
            self.end(serving, Closed::CertificateExpired, Some(now + left));
        }
        None
    }

    /// Frees what an idle connection doesn't need, once in its idle time.
    fn rests<C: Serving>(&mut self, serving: Pin<&mut C>, now: Instant) -> bool {
        let since = self.connection.activity.idle_since();
        let due = self.ending.is_none()
            && since != self.rested
            && since.is_some_and(|since| since + REST_AFTER <= now);
        if due {
            self.rested = since;
            serving.rest();
        }
        due
    }

    /// When the connection may rest, if it goes on as it is.
    fn next_rest(&self, now: Instant) -> Option<Instant> {
        match self.connection.activity.idle_since() {
            // It doesn't rest when it is told to close.
            _ if self.ending.is_some() => None,
            since @ Some(_) if since == self.rested => None,
            since => Some(since.unwrap_or(now) + REST_AFTER),
        }
    }

    /// When to check again. Notes don't touch the timer, so the timer must fire before any deadline
    /// that a note could start meanwhile. No such deadline is nearer than the shortest timeout,
    /// except a header's, which is checked at each poll.
    fn next(&self, now: Instant) -> Instant {
        let idle = now + self.timeouts.idle.min(self.timeouts.stall);
        let idle = match self.leaves {
            true => self.drain().idle_until(now).map_or(idle, |at| at.min(idle)),
            false => idle,
        };
        let by_activity = match self.connection.activity.deadline(self.timeouts) {
            // It was already told to close. Only the cut is left.
            Some(deadline) if deadline <= now => idle,
            Some(deadline) => deadline.min(idle),
            None => idle,
        };
        let by_certificate = self
            .certificate_left()
            .map_or(idle, |left| now + left.saturating_sub(GRACE));
        let by_certificate = match self.ending {
            None => by_certificate,
            Some(_) => idle,
        };
        let by_drain = self.left_idle_at().filter(|at| now < *at);
        let rest = self.next_rest(now);
        [
            Some(by_activity),
            Some(by_certificate),
            by_drain,
            self.hard,
            rest,
        ]
        .into_iter()
        .flatten()
        .min()
        .unwrap_or(idle)
    }

    /// How long the client's chain is still valid.
    fn certificate_left(&self) -> Option<Duration> {
        let client = self.connection.client.as_ref()?;
        let now = self.connection.worker.env.unix_now();
        Some(client.ends().since(now))
    }
}
