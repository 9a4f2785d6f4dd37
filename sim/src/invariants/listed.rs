//! A list in the registry, over its versions: suspended tenants, or revoked subjects.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::SettingsInForce;

/// What each registry version lists, and since when each entry is listed.
#[derive(Debug)]
pub(super) struct Listed<K> {
    versions: BTreeMap<u64, BTreeSet<K>>,
    /// The entries of the newest version, and since when each is listed without a gap.
    since: BTreeMap<K, Duration>,
}

impl<K: Ord + Clone> Listed<K> {
    pub(super) fn new() -> Self {
        Self {
            versions: BTreeMap::new(),
            since: BTreeMap::new(),
        }
    }

    /// A version with these entries is published.
    pub(super) fn published(&mut self, at: Duration, version: u64, entries: &BTreeSet<K>) {
        self.since.retain(|entry, _| entries.contains(entry));
        for entry in entries {
            self.since.entry(entry.clone()).or_insert(at);
        }
        self.versions.insert(version, entries.clone());
    }

    /// The entries of a version.
    pub(super) fn in_version(&self, version: u64) -> Option<&BTreeSet<K>> {
        self.versions.get(&version)
    }

    /// Since when an entry is listed, if that is so long ago that no router may still decide with an
    /// older registry.
    pub(super) fn known_everywhere(
        &self,
        entry: &K,
        settings: &SettingsInForce,
        router: &str,
        decided_at: Duration,
    ) -> Option<Duration> {
        let since = *self.since.get(entry)?;
        let max_age = settings.most(router, [since, decided_at], |it| it.registry.status_max_age);
        (decided_at > since.saturating_add(max_age)).then_some(since)
    }
}
