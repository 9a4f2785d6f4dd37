//! A router's settings: plain values, already checked. They come from the configuration file, or
//! from a few lines of Rust in a test or a service.

mod access_log;
mod admin;
mod drain;
mod explain;
mod listener;
mod log;
mod rate;
mod registry_location;
mod sources;
mod trace;
mod traffic;
mod upstream;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cellway_core::policy::Policy;
use serde::{Deserialize, Serialize};

pub use self::access_log::AccessLog;
pub use self::admin::AdminTls;
pub use self::drain::DrainTimes;
pub use self::explain::ExplainSettings;
pub use self::listener::{
    Callers, ClientCertificate, ClientTimeouts, ListenerRoute, ListenerSettings, ListenerTls,
    Routed, Serves,
};
pub use self::log::{Level, LogSettings, Output, SubjectForm};
pub use self::rate::{RateRule, RateScope, RateSettings};
pub use self::registry_location::RegistryLocation;
pub use self::sources::{FetchSettings, RegistrySettings, Sources};
pub use self::trace::{OtlpSettings, TraceSettings};
pub use self::traffic::{Priority, TotalTimeout, TrafficSettings};
pub use self::upstream::{
    AnswerLimits, BreakerSettings, CellLimits, CellShares, CellTimeouts, KEEPALIVE_MIN,
    UpstreamSettings,
};
use crate::finding::Finding;

/// How long the listeners wait for the first registry by default.
pub(crate) const OPEN_WAIT_DEFAULT: Duration = Duration::from_secs(30);

/// Everything a [`Router`](crate::Router) is told.
#[derive(Clone, Debug)]
pub struct RouterSettings {
    /// The listeners.
    pub listeners: Vec<ListenerSettings>,
    /// How callers are identified and what they may do: issuers, policies, SAN templates, header
    /// names.
    pub policy: Arc<Policy>,
    /// The trusted CAs for client certificates. Listeners that ask for certificates need them.
    pub trust_bundle: Option<Pem>,
    /// Trust domains with their own bundles. Only these CAs are trusted for the domain's names, and
    /// they are trusted for nothing else.
    pub domain_bundles: Vec<DomainBundle>,
    /// Revocation of client certificates.
    pub revocation: RevocationSettings,
    /// How cells are reached.
    pub upstream: UpstreamSettings,
    /// Where keys and the registry come from, and where last-known-good copies are kept.
    pub sources: Sources,
    /// `[envelope]`: signed envelopes that prove to cells who the caller is. `None`: none.
    pub envelope: Option<EnvelopeSettings>,
    /// `[log.access]`: which requests the access log has.
    pub access_log: AccessLog,
    /// The rest of `[log]`. `None` if the process that embeds the router has a log of its own.
    pub log: Option<LogSettings>,
    /// `[trace]`: traces that the router starts. `None`: trace fields pass as they are.
    pub trace: Option<TraceSettings>,
    /// `[explain]`: operators who may ask for the explanation of a request. `None`: nobody may.
    pub explain: Option<ExplainSettings>,
    /// `[admin.tls]`: who may use the admin listener. `None`: clients on this machine.
    pub admin_tls: Option<AdminTls>,
    /// `[rate_limits]`: what applies to all rate limits.
    pub rate_limits: RateSettings,
    /// Warnings about the settings themselves, from whoever read them. They are reported together with
    /// those about files.
    pub warnings: Vec<Finding>,
}

/// `[envelope]`
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EnvelopeSettings {
    /// Their form.
    pub form: EnvelopeForm,
    /// The issuer that they name. It must be the same at all replicas.
    pub issuer: Box<str>,
    /// The folder of the keys, with its index.
    pub keys: String,
    /// How long each is valid.
    pub lifetime: Duration,
    /// How long services may cache the published keys. A new key waits this long before it signs.
    pub jwks_max_age: Duration,
}

/// The form of envelopes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum EnvelopeForm {
    /// A JWS that a private key signs. The public keys are published.
    #[default]
    Jws,
    /// Six headers with an HMAC. Router and cell share the key.
    Hmac,
    /// The six headers that cells behind older tenant routers expect. Router and cell share the
    /// key.
    Compatible,
}

impl EnvelopeForm {
    /// The name in configurations, metrics and logs.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Jws => "jws",
            Self::Hmac => "hmac",
            Self::Compatible => "compatible",
        }
    }

    /// Whether the router shares a separate key with each cell.
    pub const fn is_shared(self) -> bool {
        match self {
            Self::Jws => false,
            Self::Hmac | Self::Compatible => true,
        }
    }
}

/// The CAs of a trust domain.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct DomainBundle {
    /// The SPIFFE trust domain.
    pub trust_domain: String,
    /// Its CAs.
    pub bundle: Pem,
}

/// How revoked client certificates are recognized.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct RevocationSettings {
    /// The lists, PEM or DER. Without any, nothing is revoked.
    pub lists: Vec<Pem>,
    /// Whether a stale list is still used. Otherwise the certificates that it covers are refused.
    pub stale_allowed: bool,
    /// Whether a certificate is accepted if its issuer has no list.
    pub missing_allowed: bool,
}

impl RouterSettings {
    /// Whether any client certificates are trusted.
    pub fn trusts_clients(&self) -> bool {
        self.trust_bundle.is_some() || !self.domain_bundles.is_empty()
    }
}

/// PEM text, or the file that holds it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Pem {
    /// A file, read through the environment's store at start and at every reload.
    File(String),
    /// The text itself.
    Text(Bytes),
}

impl From<String> for Pem {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

/// A certificate chain and its private key.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct KeyPair {
    /// The leaf first, then intermediates.
    pub certificate: Pem,
    /// PKCS#8, SEC1 or PKCS#1.
    pub key: Pem,
}
