//! The settings that routers run with, and when.

use std::collections::BTreeSet;
use std::time::Duration;

use cellway_core::rate_limit::RateLimit;

/// The settings of a router that invariants depend on, as the router's own reader resolves them, with
/// its defaults.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RouterSettings {
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
    /// How old a tenant's status may be, plus the time of a fetch.
    pub status_max_age: Duration,
    /// How soon it follows the control plane if no fault is in the way.
    pub registry_within: Duration,
    /// How old a routing key's signature may be.
    pub signature_max_age: Duration,
    /// How far in the future a routing key's signature may be.
    pub signature_skew: Duration,
    /// How soon it follows its configuration file.
    pub reload_within: Duration,
    /// How long its listeners wait for the first registry.
    pub open_wait: Duration,
    /// How long it waits for requests in flight when it drains.
    pub drain: Duration,
    /// How long it takes connections before that.
    pub drain_delay: Duration,
    /// How long connections without a request stay open in a drain.
    pub drain_idle: Duration,
    /// How long it waits for the header of a cell's answer.
    pub header_timeout: Duration,
    /// How long a client may read nothing of an answer.
    pub stall: Duration,
    /// How long it tries further endpoints of a cell.
    pub failover: Duration,
    /// How long it may try to connect to endpoints of a cell, the first one included.
    pub connects: Duration,
    /// How long it may take an endpoint for bad that is well again: in an open breaker, in an ejection, or
    /// until its checks have succeeded.
    pub knows_late: Duration,
    /// Below how many percent of usable endpoints a cell's requests go to all of them.
    pub panic_percent: usize,
    /// Whether a cell's requests are refused if none of its endpoints is usable.
    pub fails_without_usable: bool,
    /// How long the share of an endpoint grows after it has come back.
    pub slow_start: Duration,
    /// How many percent of a cell's answered requests it may send again.
    pub retry_percent: u32,
    /// Whether it may send an idempotent request again that a cell has processed.
    pub retries_processed: bool,
    /// Whether it may send a safe request without a body to a second endpoint while the first one still
    /// works on it.
    pub hedges: bool,
    /// How long an envelope is valid.
    pub envelope_lifetime: Duration,
    /// How long services may keep the published keys of envelopes.
    pub envelope_keys_max_age: Duration,
    /// How long it waits for a body that has stopped.
    pub body_grace: Duration,
    /// How many requests may be in flight to a cell.
    pub requests_max: usize,
    /// How many connections to a cell may be open.
    pub connections_max: usize,
    /// How many failures in a row open a breaker.
    pub breaker_failures: u32,
    /// How long a breaker stays open before a request probes.
    pub breaker_open: Duration,
    /// How many failures of connections in a row eject an endpoint.
    pub connection_failures: u32,
    /// How many failing answers in a row eject an endpoint.
    pub answer_failures: u32,
    /// The statuses of answers that count as failures of an endpoint.
    pub failing_statuses: BTreeSet<u16>,
    /// The gRPC statuses that do, in answers without a message.
    pub failing_grpc_statuses: BTreeSet<u8>,
    /// How many percent of a cell's endpoints may be ejected at once.
    pub ejected_percent_max: usize,
    /// How long the first ejection of an endpoint lasts, and the longest.
    pub ejection: [Duration; 2],
    /// How much longer each following ejection lasts.
    pub ejection_factor: u32,
    /// How many requests may be in flight to one endpoint of a cell.
    pub places: usize,
    /// How many of these anybody may have. Shares may leave a caller one.
    pub places_for_all: usize,
    /// The percentage of them that one tenant may have if all are free.
    pub tenant_share: usize,
    /// The clients whose requests have high priority.
    pub high_priority: BTreeSet<String>,
    /// How many requests without high priority may wait for a cell.
    pub queue_room: usize,
    /// How many requests of high priority may wait for a cell.
    pub high_room: usize,
    /// How long a request may wait for a cell.
    pub queue_wait: Duration,
    /// Whether WebSockets end with the tokens that opened them.
    pub upgrades_end_with_token: bool,
    /// The rate limit of each tenant, if the registry sets none.
    pub tenant_rate: Option<RateLimit>,
    /// How many routers share each rate limit.
    pub rates_shared_by: u32,
    /// Whether placements or routes have rate limits too.
    pub other_rates: bool,
}

/// The settings of all routers over time. A change may be in force as soon as it is written. The
/// settings before it may be in force until the router must have read the change.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct SettingsInForce(Vec<Period>);

/// A time in which a router may run with these settings.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Period {
    /// The router; `None`: all of them.
    pub router: Option<String>,
    /// When they were written, since the start of the run.
    pub from: Duration,
    /// When the router must have read the next ones.
    pub until: Duration,
    /// The settings.
    pub settings: RouterSettings,
}

impl SettingsInForce {
    /// `periods` are in the order of writing.
    pub fn new(periods: Vec<Period>) -> Self {
        Self(periods)
    }

    /// The same settings for all routers, all the time.
    pub fn always(settings: RouterSettings) -> Self {
        Self(vec![Period {
            router: None,
            from: Duration::ZERO,
            until: Duration::MAX,
            settings,
        }])
    }

    /// The settings that may be in force at a router at some moment of this time. For a host that is not
    /// a router, the settings of all routers.
    pub(super) fn during<'a>(
        &'a self,
        router: &'a str,
        [from, until]: [Duration; 2],
    ) -> impl Iterator<Item = &'a RouterSettings> {
        let of = move |it: &Period| it.router.as_ref().is_none_or(|of| of == router);
        let known = self.0.iter().any(of);
        let periods = self.0.iter();
        periods
            .filter(move |it| (!known || of(it)) && it.from <= until && from <= it.until)
            .map(|it| &it.settings)
    }

    /// The largest value of a setting that may be in force at a router during this time.
    pub fn most<T: Ord + Default>(
        &self,
        router: &str,
        time: [Duration; 2],
        setting: impl Fn(&RouterSettings) -> T,
    ) -> T {
        self.during(router, time)
            .map(setting)
            .max()
            .unwrap_or_default()
    }

    /// The smallest value of a setting that may be in force at a router during this time.
    pub fn least<T: Ord + Default>(
        &self,
        router: &str,
        time: [Duration; 2],
        setting: impl Fn(&RouterSettings) -> T,
    ) -> T {
        self.during(router, time)
            .map(setting)
            .min()
            .unwrap_or_default()
    }

    /// When a router must have read what is written to its disk at this time.
    pub fn read_by(&self, router: &str, at: Duration) -> Duration {
        at + self.most(router, [at; 2], |it| it.reload_within)
    }

    /// The value of a setting that a router reads when it starts at this time.
    pub fn at_start<T: Default>(
        &self,
        router: &str,
        at: Duration,
        setting: impl Fn(&RouterSettings) -> T,
    ) -> T {
        let of = |it: &&Period| it.router.as_ref().is_none_or(|of| of == router);
        let mut written = self.0.iter().filter(of).filter(|it| it.from <= at);
        written
            .next_back()
            .map(|it| setting(&it.settings))
            .unwrap_or_default()
    }

    /// All settings of all routers.
    pub fn all(&self) -> impl Iterator<Item = &RouterSettings> {
        self.0.iter().map(|it| &it.settings)
    }

    /// The largest value of a setting, over all routers and the whole run.
    pub fn longest(&self, setting: impl Fn(&RouterSettings) -> Duration) -> Duration {
        self.all().map(setting).max().unwrap_or_default()
    }
}

#[cfg(test)]
mod tests;
