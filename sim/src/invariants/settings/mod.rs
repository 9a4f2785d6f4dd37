//! The settings that routers run with, and when.

mod tables;

use std::collections::BTreeMap;
use std::time::Duration;

pub use tables::{
    BreakerSettings, DrainTimes, EnvelopeTimes, HealthSettings, IssuerTimes, LimitSettings,
    OutlierSettings, QueueSettings, RateSettings, RegistryTimes, RetrySettings, SignatureTimes,
    Timeouts,
};

/// The settings of a router that invariants depend on, as the router's own reader resolves them, with
/// its defaults.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
#[non_exhaustive]
pub struct RouterSettings {
    /// The keys and tokens of issuers.
    pub issuer: IssuerTimes,
    /// The registry.
    pub registry: RegistryTimes,
    /// The signatures of routing keys.
    pub routing_key: SignatureTimes,
    /// How soon it follows its configuration file.
    pub reload_within: Duration,
    /// How long its listeners wait for the first registry.
    pub open_wait: Duration,
    /// How it drains.
    pub drain: DrainTimes,
    /// How long it waits for clients and cells.
    pub timeouts: Timeouts,
    /// How it uses endpoints that may not be well.
    pub health: HealthSettings,
    /// When it ejects endpoints.
    pub outlier: OutlierSettings,
    /// When circuit breakers open.
    pub breaker: BreakerSettings,
    /// What it may send again.
    pub retries: RetrySettings,
    /// How long envelopes are valid.
    pub envelope: EnvelopeTimes,
    /// How many requests may be in flight.
    pub limits: LimitSettings,
    /// How requests wait for a cell.
    pub queue: QueueSettings,
    /// How many requests may come in a time.
    pub rates: RateSettings,
    /// The most bytes of a body of each client's route, if it has a limit.
    pub body_max: BTreeMap<String, u64>,
    /// Whether WebSockets end with the tokens that opened them.
    pub upgrades_end_with_token: bool,
}

impl RouterSettings {
    /// The most bytes of a body that this client may send.
    pub(super) fn body_max_of(&self, client: &str) -> u64 {
        self.body_max.get(client).copied().unwrap_or(u64::MAX)
    }
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
