//! What is known of a run, and who knew what at a time.
#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "each question is about one kind of change"
)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::fact::Published;
use crate::record::{Change, Changed, Step, Trouble};
use crate::scenario::Scenario;

/// A run that is over.
#[derive(Clone, Copy)]
pub(crate) struct Scene<'a> {
    pub(crate) scenario: &'a Scenario,
    pub(crate) changes: &'a [Change],
    pub(crate) published: &'a [(Duration, Arc<Published>)],
    /// Steps of requests that only their router can name.
    pub(crate) nameless: &'a [Step],
}

impl<'a> Scene<'a> {
    /// The last change until `at` that `find` accepts.
    pub(super) fn last(&self, at: Duration, find: impl Fn(&Change) -> bool) -> Option<&'a Change> {
        let until = self.changes.partition_point(|change| change.at <= at);
        self.changes[..until].iter().rfind(|change| find(change))
    }

    /// The registry version that a router had, and since when.
    pub(super) fn applied(&self, router: &str, at: Duration) -> Option<(u64, Duration)> {
        let change = self.last(at, |change| {
            change.host == router && matches!(change.what, Changed::Applied { .. })
        })?;
        match change.what {
            Changed::Applied { version } => Some((version, change.at)),
            _ => None,
        }
    }

    /// The newest good registry until `at`, and when it was published.
    pub(super) fn newest(&self, at: Duration) -> Option<&'a (Duration, Arc<Published>)> {
        self.published.iter().rfind(|(since, _)| *since <= at)
    }

    /// The registry of this version.
    pub(super) fn registry(&self, version: u64) -> Option<&'a (Duration, Arc<Published>)> {
        self.published
            .iter()
            .find(|(_, said)| said.version == version)
    }

    /// The last change of a router's keys of an issuer.
    pub(super) fn keys(&self, router: &str, issuer: &str, at: Duration) -> Option<&'a Change> {
        self.last(at, |change| match &change.what {
            Changed::Keys { issuer: of, .. } => change.host == router && of == issuer,
            _ => false,
        })
    }

    /// The endpoints that a router didn't use at this time, why, and since when.
    pub(super) fn troubles(
        &self,
        router: &str,
        at: Duration,
    ) -> BTreeMap<(&'a str, Trouble), Duration> {
        let mut troubles = BTreeMap::new();
        for change in self.changes.iter().take_while(|change| change.at <= at) {
            if change.host != router {
                continue;
            }
            match &change.what {
                Changed::Endpoint {
                    endpoint,
                    trouble,
                    begins: true,
                } => {
                    troubles.insert((endpoint.as_str(), *trouble), change.at);
                }
                Changed::Endpoint {
                    endpoint, trouble, ..
                } => {
                    troubles.remove(&(endpoint.as_str(), *trouble));
                }
                Changed::Started { .. } => troubles.clear(),
                _ => {}
            }
        }
        troubles
    }

    /// Whether a host is a router.
    pub(super) fn is_router(&self, host: &str) -> bool {
        self.scenario.routers.iter().any(|router| router == host)
    }
}
