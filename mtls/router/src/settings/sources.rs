//! `[registry]` and `[fetch]`: where documents come from, and how they are fetched.

use std::time::Duration;

use cellway_core::registry::{RegistryLimits, RegistryTiming};
use cellway_env::fetch::{Proxies, Reach};

use super::{KeyPair, Pem, RegistryLocation};

/// Where keys and the registry come from, and where last-known-good copies are kept. (The policy
/// says where each issuer's keys are.)
#[derive(Clone, Debug)]
pub struct Sources {
    /// Where cells, placements and tenants come from.
    pub registry: RegistrySettings,
    /// How identity providers and the control plane are reached: `[fetch]`.
    pub fetch: FetchSettings,
    /// The folder of last-known-good documents. `None`: none are kept.
    pub state: Option<String>,
}

impl Sources {
    /// Sources with this registry, no last-known-good documents, and defaults for the rest.
    pub fn new(registry: RegistryLocation) -> Self {
        Self {
            registry: RegistrySettings {
                location: registry,
                timing: RegistryTiming::default(),
                limits: RegistryLimits::default(),
            },
            fetch: FetchSettings::default(),
            state: None,
        }
    }
}

/// `[registry]`
#[derive(Clone, Debug)]
pub struct RegistrySettings {
    /// Where it comes from.
    pub location: RegistryLocation,
    /// When it is fetched, and how long an answer may be used.
    pub timing: RegistryTiming,
    /// How large a document may be, and how much smaller than the previous one.
    pub limits: RegistryLimits,
}

/// `[fetch]`
#[derive(Clone, Debug)]
pub struct FetchSettings {
    /// The CAs of the sources' certificates. `None`: the CAs that the system trusts.
    pub bundle: Option<Pem>,
    /// The router's client certificate, for sources that ask for one.
    pub identity: Option<KeyPair>,
    /// The time limit for a whole fetch, from connecting to the last byte.
    pub total_timeout: Duration,
    /// The forward proxy, and which sources are reached through it.
    pub proxies: Proxies,
}

impl FetchSettings {
    /// How sources are reached.
    pub fn reach(&self) -> Reach {
        Reach {
            total_timeout: self.total_timeout,
            proxies: self.proxies.clone(),
        }
    }
}

impl Default for FetchSettings {
    /// The system's CAs, no certificate, 10 s, no proxy.
    fn default() -> Self {
        Self {
            bundle: None,
            identity: None,
            total_timeout: Duration::from_secs(10),
            proxies: Proxies::default(),
        }
    }
}
