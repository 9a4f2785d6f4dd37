//! What changes at routers and in the world, apart from single requests.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "one kind of change names its host differently"
)]

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

/// Something that changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Change {
    /// When, since the start.
    pub at: Duration,
    /// The host where it changed.
    pub host: String,
    /// What.
    pub what: Changed,
}

/// What changed.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Changed {
    /// The control plane publishes a good registry.
    Published {
        /// Its version.
        version: u64,
        /// What is new in it, in words.
        news: String,
    },
    /// A router decides on this registry version from now on.
    Applied {
        /// The version.
        version: u64,
    },
    /// A router has another key set of an issuer.
    Keys {
        /// The issuer.
        issuer: String,
        /// How many keys can be used.
        keys: usize,
        /// It comes from the router's disk.
        restored: bool,
    },
    /// A router thinks otherwise of an endpoint.
    Endpoint {
        /// The endpoint's host.
        endpoint: String,
        /// What is wrong with it.
        trouble: Trouble,
        /// It begins; otherwise it is over.
        begins: bool,
    },
    /// A host starts, for the first time or again.
    Started {
        /// Whether it was started before.
        again: bool,
    },
    /// A host crashes.
    Crashed,
    /// Something is trusted, or serves with a certificate, from now on.
    Trust {
        /// What, in words.
        text: String,
    },
    /// A router reports something else.
    Noted {
        /// The event's name.
        kind: String,
        /// All of it, in words.
        text: String,
    },
    /// A router reports an error.
    Error {
        /// The event's name.
        kind: String,
        /// All of it, in words.
        text: String,
    },
}

/// Why a router doesn't use an endpoint.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Trouble {
    /// It was ejected.
    Ejected,
    /// Its health checks fail.
    Unhealthy,
    /// Its breaker is open.
    Breaker,
}

impl Trouble {
    /// What a router thinks of the endpoint meanwhile, in words.
    pub fn state(self) -> &'static str {
        match self {
            Self::Ejected => "ejected",
            Self::Unhealthy => "failing its checks",
            Self::Breaker => "behind an open breaker",
        }
    }
}

impl Change {
    /// What changed, with its host, in words.
    pub fn sentence(&self) -> String {
        let Self { host, what, .. } = self;
        match what {
            // The events of routers in timelines have no verb at times.
            Changed::Noted { .. } | Changed::Error { .. } => format!("{host}: {what}"),
            _ => format!("{host} {what}"),
        }
    }
}

/// A sentence without its subject, which is the host.
impl fmt::Display for Changed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Published { version, news } => {
                write!(f, "publishes registry version {version}: {news}")
            }
            Self::Applied { version } => write!(f, "applies registry version {version}"),
            Self::Keys {
                issuer,
                keys,
                restored,
            } => {
                let from = if *restored { ", from its disk" } else { "" };
                write!(f, "has a new key set of {issuer} (keys: {keys}){from}")
            }
            Self::Endpoint {
                endpoint,
                trouble,
                begins,
            } => match (trouble, begins) {
                (Trouble::Ejected, true) => write!(f, "ejects {endpoint}"),
                (Trouble::Ejected, false) => write!(f, "returns {endpoint}"),
                (Trouble::Unhealthy, true) => write!(f, "finds that checks of {endpoint} fail"),
                (Trouble::Unhealthy, false) => write!(f, "finds that checks of {endpoint} succeed"),
                (Trouble::Breaker, true) => write!(f, "opens the breaker of {endpoint}"),
                (Trouble::Breaker, false) => write!(f, "closes the breaker of {endpoint}"),
            },
            Self::Started { again: false } => f.write_str("starts"),
            Self::Started { again: true } => f.write_str("starts again"),
            Self::Crashed => f.write_str("crashes"),
            Self::Trust { text } | Self::Noted { text, .. } | Self::Error { text, .. } => {
                f.write_str(text)
            }
        }
    }
}
