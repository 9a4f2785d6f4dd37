//! The parts of a router's settings, one for each group that invariants look at together.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use cellway_core::health::CheckSettings;
use cellway_router::settings::RateRule;

/// How long a router uses an issuer's keys and accepts its tokens.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct IssuerTimes {
    /// The least time between two key fetches that unknown keys force.
    pub key_cooldown: Duration,
    /// How long a router uses a key set before it fetches it again.
    pub key_fresh: Duration,
    /// How much longer it uses the set if it can't fetch it.
    pub key_stale: Duration,
    /// The longest time between two tries to fetch it, with jitter.
    pub key_retry: Duration,
    /// How far in the future the start of a token may be.
    pub leeway: Duration,
}

/// How old a router lets what it knows from the registry become.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RegistryTimes {
    /// How old a tenant's status may be, plus the time of a fetch.
    pub status_max_age: Duration,
    /// How soon it follows the control plane if no fault is in the way.
    pub within: Duration,
}

/// When the signature of a routing key is valid.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct SignatureTimes {
    /// How old it may be.
    pub max_age: Duration,
    /// How far in the future it may be.
    pub skew: Duration,
}

/// How a router drains.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct DrainTimes {
    /// How long it waits for requests in flight.
    pub deadline: Duration,
    /// How long it takes connections before that.
    pub delay: Duration,
    /// How long connections without a request stay open.
    pub idle: Duration,
}

/// How long a router waits for clients and cells.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct Timeouts {
    /// How long it waits for the header of a cell's answer.
    pub header: Duration,
    /// How long a client may read nothing of an answer.
    pub stall: Duration,
    /// How long it waits for a body that has stopped.
    pub body_grace: Duration,
    /// How long it tries further endpoints of a cell.
    pub failover: Duration,
    /// How long it may try to connect to endpoints of a cell, the first one included.
    pub connects: Duration,
    /// How long an attempt that arrived, and further ones that may not arrive, can take before the last
    /// one begins to wait for a header. Zero if no request is sent again that a cell has.
    pub tries: Duration,
}

/// How a router uses endpoints that may not be well.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct HealthSettings {
    /// How long it may take an endpoint for bad that is well again: in an open breaker, in an ejection, or
    /// until its checks have succeeded.
    pub knows_late: Duration,
    /// Below how many percent of usable endpoints a cell's requests go to all of them.
    pub panic_percent: usize,
    /// Whether a cell's requests are refused if none of its endpoints is usable.
    pub fails_without_usable: bool,
    /// How long the share of an endpoint grows after it has come back.
    pub slow_start: Duration,
    /// How it checks endpoints. For each cell the first that names it counts.
    pub checks: Vec<Arc<CheckSettings>>,
}

/// When a router ejects endpoints.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct OutlierSettings {
    /// How many failures of connections in a row eject an endpoint.
    pub connection_failures: u32,
    /// How many failing answers in a row eject an endpoint.
    pub answer_failures: u32,
    /// The statuses of answers that count as failures of an endpoint.
    pub statuses: BTreeSet<u16>,
    /// The gRPC statuses that do, in answers without a message.
    pub grpc_statuses: BTreeSet<u8>,
    /// How many percent of a cell's endpoints may be ejected at once.
    pub ejected_percent_max: usize,
    /// How long the first ejection of an endpoint lasts, and the longest.
    pub ejection: [Duration; 2],
    /// How much longer each following ejection lasts.
    pub ejection_factor: u32,
}

/// When circuit breakers open, and how long they stay open.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct BreakerSettings {
    /// How many failures in a row open a breaker.
    pub failures: u32,
    /// How long a breaker stays open before a request probes.
    pub open: Duration,
}

/// Which requests a router sends again.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RetrySettings {
    /// How many percent of a cell's answered requests it may send again.
    pub percent: u32,
    /// Whether it may send an idempotent request again that a cell has processed.
    pub processed: bool,
    /// Whether it may send a safe request without a body to a second endpoint while the first one still
    /// works on it.
    pub hedges: bool,
}

/// How long envelopes and their keys are valid.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct EnvelopeTimes {
    /// How long an envelope is valid.
    pub lifetime: Duration,
    /// How long services may keep the published keys of envelopes.
    pub keys_max_age: Duration,
}

/// How many requests may be in flight, and over how many connections.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct LimitSettings {
    /// How many requests to a cell.
    pub requests_max: usize,
    /// How many connections to a cell may be open.
    pub connections_max: usize,
    /// How many requests to one endpoint of a cell.
    pub places: usize,
    /// How many of these anybody may have. Shares may leave a caller one.
    pub places_for_all: usize,
    /// The percentage of them that one tenant may have if all are free.
    pub tenant_share: usize,
}

/// How requests wait for a cell at its limit.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct QueueSettings {
    /// The clients whose requests have high priority.
    pub high_priority: BTreeSet<String>,
    /// How many requests without high priority may wait for a cell.
    pub room: usize,
    /// How many requests of high priority may wait for a cell.
    pub high_room: usize,
    /// How long a request may wait for a cell.
    pub wait: Duration,
}

/// How many requests may come in a time.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RateSettings {
    /// The rate limits of each `[[traffic]]`, by its name.
    pub rules: BTreeMap<String, Vec<RateRule>>,
    /// The `[[traffic]]` of each client's requests.
    pub traffic: BTreeMap<String, String>,
    /// How many routers share each rate limit.
    pub shared_by: u32,
}
