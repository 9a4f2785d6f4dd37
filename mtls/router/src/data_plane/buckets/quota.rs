//! What a client is told about a rate limit.

use std::time::Duration;

use cellway_core::rate_limit::RateLimit;
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::settings::RateScope;

/// The fields of draft-ietf-httpapi-ratelimit-headers-10.
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");

/// What a client is told about a limit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Quota {
    /// Which kind of limit it is.
    pub(crate) scope: RateScope,
    /// The whole limit, for all routers that share it.
    pub(crate) limit: RateLimit,
    /// How many more requests may come at once at this router.
    pub(crate) remaining: u64,
    /// How long until the bucket is full again.
    pub(crate) reset: Duration,
}

impl Quota {
    /// Sets the `RateLimit` fields. A cell's own fields of these names stay, because they are about
    /// its own limits.
    pub(crate) fn write(&self, headers: &mut HeaderMap) {
        let Self {
            scope,
            limit,
            remaining,
            reset,
        } = self;
        let scope = scope.as_str();
        let reset_secs = secs_up(*reset);
        let policy = format!(
            "\"{scope}\";q={};w={}",
            limit.requests(),
            limit.window_secs()
        );
        let state = format!("\"{scope}\";r={remaining};t={reset_secs}");
        for (name, value) in [(RATE_LIMIT_POLICY, policy), (RATE_LIMIT, state)] {
            if let Ok(value) = HeaderValue::try_from(value) {
                headers.append(name, value);
            }
        }
    }
}

/// The duration in seconds, rounded up, so that a client that waits this long doesn't come too early.
pub(crate) fn secs_up(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}
