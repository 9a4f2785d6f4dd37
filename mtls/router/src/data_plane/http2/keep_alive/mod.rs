//! Notices that the other end of a quiet HTTP/2 connection is gone, by pings (RFC 9113, section 6.7).

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use h2::{Ping, PingPong};
use tokio::time::{Instant, Sleep, sleep_until};

/// Pings the other end when nothing has come from it for some time.
pub(crate) struct KeepAlive {
    pings: PingPong,
    /// How long nothing comes before a ping is sent, and how long its answer may take.
    interval: Duration,
    timeout: Duration,
    /// When bytes last came.
    heard: Instant,
    /// Whether a ping is not answered yet. Then the timer is for its answer.
    asked: bool,
    timer: Pin<Box<Sleep>>,
}

impl KeepAlive {
    /// For a connection that has just begun.
    pub(crate) fn new(pings: PingPong, [interval, timeout]: [Duration; 2]) -> Self {
        let now = Instant::now();
        Self {
            pings,
            interval,
            timeout,
            heard: now,
            asked: false,
            timer: Box::pin(sleep_until(now + interval)),
        }
    }

    /// Notes that bytes came.
    pub(crate) fn heard(&mut self) {
        self.heard = Instant::now();
    }

    /// Ready when the other end has not answered a ping in time. The connection must be polled next.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        loop {
            if self.asked {
                match self.pings.poll_pong(cx) {
                    Poll::Ready(Ok(_)) => self.answered(),
                    // The connection has ended, and says so itself.
                    Poll::Ready(Err(_)) => return Poll::Pending,
                    Poll::Pending => return self.timer.as_mut().poll(cx),
                }
            }
            ready!(self.timer.as_mut().poll(cx));
            let due = self.heard + self.interval;
            let now = Instant::now();
            if now < due {
                self.timer.as_mut().reset(due);
            } else if self.pings.send_ping(Ping::opaque()).is_ok() {
                self.asked = true;
                self.timer.as_mut().reset(now + self.timeout);
            } else {
                return Poll::Pending;
            }
        }
    }

    fn answered(&mut self) {
        self.asked = false;
        self.heard();
        self.timer.as_mut().reset(self.heard + self.interval);
    }
}

#[cfg(test)]
mod tests;
