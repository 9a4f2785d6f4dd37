//! How a router drains.

use std::time::Duration;

/// How long the steps of a drain take: the settings `runtime.drain_delay_secs`,
/// `runtime.drain_idle_secs` and `runtime.drain_secs`.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DrainTimes {
    /// How long the router still takes connections after it has told its load balancer, through
    /// `/readyz`, that it isn't ready.
    pub delay: Duration,
    /// After the delay: how long a connection without a request in flight stays open. HTTP/1.1 can
    /// announce that a connection will close only in an answer, so the router waits for one more
    /// request.
    pub idle: Duration,
    /// After the delay: how long requests in flight may take.
    pub deadline: Duration,
}

impl DrainTimes {
    /// How long the whole drain may take.
    pub fn total(&self) -> Duration {
        self.delay.saturating_add(self.deadline)
    }
}

impl Default for DrainTimes {
    fn default() -> Self {
        Duration::from_secs(30).into()
    }
}

/// A drain with this deadline, without a delay, and with the default time for idle connections.
impl From<Duration> for DrainTimes {
    fn from(deadline: Duration) -> Self {
        Self {
            delay: Duration::ZERO,
            idle: Duration::from_secs(5),
            deadline,
        }
    }
}
