//! Rate limits of `[[traffic]]`, and `[rate_limits]`.

use std::num::NonZeroU32;

use cellway_core::rate_limit::RateLimit;
use serde::Deserialize;

/// One rate limit of a [`TrafficSettings`](super::TrafficSettings).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateRule {
    /// Which requests share a bucket.
    pub per: RateScope,
    /// The limit of each bucket.
    pub limit: RateLimit,
    /// Whether it also applies to a tenant or placement with a limit of its own in the registry.
    /// Otherwise that limit replaces this one.
    pub always: bool,
}

/// Which requests a rate limit counts together.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RateScope {
    /// Those of one tenant. Requests without a verified tenant count as one tenant.
    Tenant,
    /// Those that one placement sends to its cells. Tenants with a cell of their own have none.
    Placement,
    /// All requests of the listeners and routes that use the `[[traffic]]`.
    Route,
}

impl RateScope {
    /// All values.
    pub const ALL: &'static [Self] = &[Self::Tenant, Self::Placement, Self::Route];

    /// The name in the configuration, metrics, logs and `RateLimit` fields.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Tenant => "tenant",
            Self::Placement => "placement",
            Self::Route => "route",
        }
    }
}

/// `[rate_limits]`: what applies to all rate limits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct RateSettings {
    /// How many equal routers share each limit. Each router grants its part.
    pub shared_by: NonZeroU32,
}

impl RateSettings {
    /// The most routers that may share a limit.
    pub const SHARED_BY_MAX: u32 = 1000;
}

impl Default for RateSettings {
    fn default() -> Self {
        Self {
            shared_by: NonZeroU32::MIN,
        }
    }
}
