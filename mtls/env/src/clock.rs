//! Both clocks of one router.

use std::time::Duration;

use cellway_core::{Mono, Now};
use tokio::time::Instant;

use crate::Env;

/// Turns the environment's clocks into [`Now`]. All tasks of a router share one origin, so that
/// their [`Mono`]s compare.
#[derive(Clone, Debug)]
pub struct Clock<E> {
    env: E,
    origin: Instant,
}

impl<E: Env> Clock<E> {
    /// A clock whose monotonic half starts now.
    pub fn new(env: E) -> Self {
        Self {
            env,
            origin: Instant::now(),
        }
    }

    /// Reads both clocks.
    pub fn now(&self) -> Now {
        Now {
            mono: self.mono(),
            unix: self.env.unix_now(),
        }
    }

    /// Reads the monotonic clock.
    pub fn mono(&self) -> Mono {
        Mono::from_origin(self.origin.elapsed())
    }

    /// The instant for a tokio timer. An instant that is too far in the future becomes one a year
    /// ahead.
    pub fn instant(&self, at: Mono) -> Instant {
        const FAR: Duration = Duration::from_secs(60 * 60 * 24 * 365);
        let since = at.since_origin();
        if since <= FAR {
            return self.origin + since;
        }
        self.origin + since.min(self.origin.elapsed() + FAR)
    }
}
