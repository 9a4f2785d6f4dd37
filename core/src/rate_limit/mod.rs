//! Rate limits as token buckets, in integers and without state.
//!
//! A bucket is one number: the time at which it is full again if no more requests come (the
//! "theoretical arrival time" of the generic cell rate algorithm, ITU-T I.371). A request moves
//! that time by the interval between two requests. It is refused if the bucket would then need
//! longer than all its tokens take to come back. So a bucket needs no timer, and a bucket that is
//! full needs no memory.
//!
//! Times are microseconds since an origin that the caller chooses.

use std::fmt;
use std::num::NonZeroU32;
use std::time::Duration;

use serde::Deserialize;

/// A limit as it is configured: so many requests in so many seconds.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct RateLimit {
    requests: NonZeroU32,
    window_secs: NonZeroU32,
    burst: NonZeroU32,
}

/// A limit as a file or document writes it. It isn't checked yet.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(
    deny_unknown_fields,
    expecting = "a table of requests, window_secs and burst"
)]
pub struct RateLimitSpec {
    /// How many requests may come in each window.
    pub requests: u32,
    /// The window in seconds. Default: 1.
    #[serde(default)]
    pub window_secs: Option<u32>,
    /// How many may come at once after a quiet time. Default: `requests`.
    #[serde(default)]
    pub burst: Option<u32>,
}

/// What is wrong with a [`RateLimitSpec`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum RateLimitError {
    /// `requests` is 0.
    NoRequests,
    /// `window_secs` is 0.
    NoWindow,
    /// `burst` is 0.
    NoBurst,
    /// More than [`RateLimit::PER_SECOND_MAX`] requests a second.
    TooFast,
    /// A bucket with this burst would need more than [`RateLimit::REFILL_SECS_MAX`] to be full again.
    TooSlow,
    /// The same, and the burst is `requests` by default.
    WindowTooLong,
}

impl RateLimitError {
    /// The setting that is wrong.
    pub const fn setting(self) -> &'static str {
        match self {
            Self::NoRequests | Self::TooFast => "requests",
            Self::NoWindow | Self::WindowTooLong => "window_secs",
            Self::NoBurst | Self::TooSlow => "burst",
        }
    }
}

impl fmt::Display for RateLimitError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoRequests | Self::NoWindow | Self::NoBurst => f.write_str("must be 1 or more"),
            Self::TooFast => write!(
                f,
                "is more than {} requests per second",
                RateLimit::PER_SECOND_MAX
            ),
            Self::TooSlow => write!(
                f,
                "takes more than {} seconds to come back at this rate",
                RateLimit::REFILL_SECS_MAX
            ),
            Self::WindowTooLong => {
                write!(f, "is more than {} seconds", RateLimit::REFILL_SECS_MAX)
            }
        }
    }
}

impl std::error::Error for RateLimitError {}

impl RateLimit {
    /// The most requests per second. Intervals are whole microseconds, rounded up, so a limit is at
    /// most a tenth stricter than it says.
    pub const PER_SECOND_MAX: u32 = 100_000;
    /// The longest time after which an empty bucket is full again, in seconds.
    pub const REFILL_SECS_MAX: u32 = 86_400;

    /// Checks a limit.
    ///
    /// # Errors
    /// [`RateLimitError`] says which number is out of range.
    pub fn new(spec: RateLimitSpec) -> Result<Self, RateLimitError> {
        let requests = NonZeroU32::new(spec.requests).ok_or(RateLimitError::NoRequests)?;
        let window_secs =
            NonZeroU32::new(spec.window_secs.unwrap_or(1)).ok_or(RateLimitError::NoWindow)?;
        let burst =
            NonZeroU32::new(spec.burst.unwrap_or(spec.requests)).ok_or(RateLimitError::NoBurst)?;
        let [n, secs, most] = [requests, window_secs, burst].map(|it| u64::from(it.get()));
        if n > u64::from(Self::PER_SECOND_MAX) * secs {
            return Err(RateLimitError::TooFast);
        }
        if most * secs > u64::from(Self::REFILL_SECS_MAX) * n {
            return Err(match spec.burst {
                Some(_) => RateLimitError::TooSlow,
                None => RateLimitError::WindowTooLong,
            });
        }
        Ok(Self {
            requests,
            window_secs,
            burst,
        })
    }

    /// How many requests may come in each window.
    pub const fn requests(self) -> u32 {
        self.requests.get()
    }

    /// The window in seconds.
    pub const fn window_secs(self) -> u32 {
        self.window_secs.get()
    }

    /// How many requests may come at once after a quiet time.
    pub const fn burst(self) -> u32 {
        self.burst.get()
    }

    /// The part of the limit that one of `routers` equal routers may use. Each may always use at
    /// least one request at once, so a burst of fewer requests than routers is exceeded.
    pub fn shared_by(self, routers: NonZeroU32) -> Rate {
        let routers = u64::from(routers.get());
        let window = u64::from(self.window_secs()) * 1_000_000;
        Rate {
            interval: (window * routers).div_ceil(u64::from(self.requests())),
            burst: (u64::from(self.burst()) / routers).max(1),
        }
    }
}

/// `100 requests in 1 s, at most 50 at once`
impl fmt::Display for RateLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            requests,
            window_secs,
            burst,
        } = self;
        write!(
            f,
            "{requests} requests in {window_secs} s, at most {burst} at once"
        )
    }
}

/// A limit in the numbers that a bucket needs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Rate {
    /// The microseconds in which one token comes back.
    interval: u64,
    /// The most tokens of a bucket.
    burst: u64,
}

/// A bucket after a request took a token from it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Taken {
    /// When the bucket is full again.
    pub full_at: u64,
    /// How many more requests may come at once.
    pub remaining: u64,
    /// How long until the bucket is full again.
    pub full_after: Duration,
}

/// A bucket has no token left.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Empty {
    /// How long until it has one.
    pub retry_after: Duration,
    /// How long until it is full again.
    pub full_after: Duration,
}

impl Rate {
    /// The time that a bucket gets that needs longer than this rate allows to be full again, because it
    /// was emptied under a lower limit. `None` if it doesn't. `apart` is how far the clock readings of
    /// two callers may be apart, in microseconds.
    ///
    /// The bucket is empty then, and no emptier. Otherwise a limit that is raised would have no effect
    /// until everything had come back as slowly as under the old one.
    pub fn capped(self, full_at: u64, now: u64, apart: u64) -> Option<u64> {
        // A caller whose clock is ahead may have emptied it a moment ago.
        let most = now
            .saturating_add(self.interval * self.burst)
            .saturating_add(apart);
        (full_at > most).then_some(most)
    }

    /// Takes a token at `now` from a bucket that is full at `full_at`. A time in the past means
    /// that it is full.
    ///
    /// # Errors
    /// The bucket is empty. Its time must not be changed then.
    pub fn take(self, full_at: u64, now: u64) -> Result<Taken, Empty> {
        let refill = self.interval * self.burst;
        let missing = full_at.saturating_sub(now);
        let wanted = missing.saturating_add(self.interval);
        match refill.checked_sub(wanted) {
            Some(left) => Ok(Taken {
                full_at: now.saturating_add(wanted),
                remaining: left / self.interval,
                full_after: Duration::from_micros(wanted),
            }),
            None => Err(Empty {
                retry_after: Duration::from_micros(wanted - refill),
                full_after: Duration::from_micros(missing),
            }),
        }
    }
}

#[cfg(test)]
mod tests;
