//! The state machines that make snapshots, behind one sans-IO interface.
//!
//! [`Control`] owns a [`KeySource`] for each issuer, the [`RegistrySource`] and the
//! [`HealthControl`]. It performs no IO: the driver reports what happened, does what it asks for,
//! and wakes it at the time that it names. The drive loop is described in the [crate's
//! documentation](crate#the-drive-loop).

mod output;
mod retired;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;

pub use self::output::{KeySourceId, Notice, Output, Wake};
pub use self::retired::Retired;
use self::retired::RetiredRegistries;
use crate::health::{
    EndpointHealth, HealthAction, HealthControl, HealthSettings, Outcome, ProbeFailure, ProbeId,
};
use crate::ids::IssuerId;
use crate::keys::{JwksFetchError, KeyAction, KeySource, KeyTable, RestoreError};
use crate::policy::{Issuer, Policy};
use crate::registry::{
    EndpointId, Parsed, Registry, RegistryAction, RegistryError, RegistryFetchError,
    RegistryFetched, RegistrySource, RegistryTiming,
};
use crate::snapshot::Snapshot;
use crate::time::{Mono, Now, Unix};

/// The settings of a [`Control`].
#[derive(Clone, Debug, Default)]
pub struct ControlSettings {
    /// When to ask the registry's source, and how long its answers are used.
    pub registry: RegistryTiming,
    /// When endpoints are ejected, and how they come back.
    pub health: HealthSettings,
}

/// Keeps the snapshot that requests are decided on.
///
/// Methods that begin with `handle_` take something in, those that begin with `poll_` give
/// something out, and the others only read. After any `handle_` call, and once at the start, drain
/// [`poll_output`](Self::poll_output) and then ask [`poll_timeout`](Self::poll_timeout); do both
/// before the next `handle_` call. A wake-up that comes too early does nothing.
#[derive(Debug)]
pub struct Control {
    policy: Arc<Policy>,
    keys: Vec<NamedSource>,
    next_source: u32,
    registry: RegistrySource,
    health: HealthControl,
    snapshot: Arc<Snapshot>,
    retired: RetiredRegistries,
    outputs: VecDeque<Output>,
    seed: u64,
}

/// One issuer's keys, under an id that survives reloads of the policy.
#[derive(Debug)]
struct NamedSource {
    id: KeySourceId,
    source: KeySource,
}

impl Control {
    /// Starts with this policy and nothing else. Every fetch is due at once: the first
    /// [`poll_timeout`](Self::poll_timeout) is `now`, which leaves the driver a moment to restore
    /// what was kept from an earlier run. `seed` spreads refreshes, so that a fleet doesn't fetch
    /// at the same time. It influences no decision.
    pub fn new(policy: Arc<Policy>, settings: ControlSettings, now: Now, seed: u64) -> Self {
        let health = HealthControl::new(settings.health, seed);
        let snapshot = Snapshot {
            epoch: 0,
            policy: Arc::clone(&policy),
            keys: Arc::default(),
            registry: None,
            cell_keys: Arc::default(),
            registry_stale: false,
            status_ages_at: None,
            status_expires_at: None,
            health: Arc::clone(health.view()),
        };
        let mut control = Self {
            keys: Vec::new(),
            next_source: 0,
            registry: RegistrySource::new(settings.registry, now, seed),
            health,
            snapshot: Arc::new(snapshot),
            retired: RetiredRegistries::default(),
            outputs: VecDeque::new(),
            policy,
            seed,
        };
        control.keys = control.sources_for(&[], now);
        control.settle(now);
        control
    }

    /// The answer to [`Output::FetchKeys`]. An answer for a source that a reload has removed is
    /// ignored.
    pub fn handle_keys(
        &mut self,
        now: Now,
        source: KeySourceId,
        answer: Result<Bytes, JwksFetchError>,
    ) {
        if let Some(named) = self.keys.iter_mut().find(|named| named.id == source) {
            named.source.handle_fetched(now, answer);
            self.settle(now);
        }
    }

    /// A token names a key that this issuer's set lacks, and a request waits for it.
    pub fn handle_unknown_key(&mut self, now: Now, issuer: IssuerId, kid: Option<&str>) {
        if let Some(named) = self.keys.get_mut(usize::from(issuer.0)) {
            named.source.handle_unknown_kid(now.mono, kid);
            self.settle(now);
        }
    }

    /// A key set that an earlier run saved.
    ///
    /// # Errors
    /// [`RestoreError`]; nothing has changed then.
    pub fn handle_restored_keys(
        &mut self,
        now: Now,
        source: KeySourceId,
        body: &[u8],
        fetched_at: Unix,
    ) -> Result<(), RestoreError> {
        let Some(named) = self.keys.iter_mut().find(|named| named.id == source) else {
            return Err(RestoreError::NotNeeded);
        };
        let restored = named.source.handle_restored(now, body, fetched_at);
        self.settle(now);
        restored
    }

    /// The answer to [`Output::FetchRegistry`] or [`Output::ParseRegistry`].
    pub fn handle_registry(
        &mut self,
        now: Now,
        answer: Result<RegistryFetched, RegistryFetchError>,
    ) {
        self.registry.handle_fetched(now, answer);
        self.settle(now);
    }

    /// A registry document that an earlier run saved, parsed without a previous registry.
    pub fn handle_restored_registry(
        &mut self,
        now: Now,
        parsed: Result<Parsed, RegistryError>,
        fetched_at: Unix,
    ) {
        self.registry.handle_restored(now, parsed, fetched_at);
        self.settle(now);
    }

    /// New intervals for the registry's source, from a reload.
    pub fn handle_registry_timing(&mut self, now: Now, timing: RegistryTiming) {
        self.registry.handle_timing(now, timing);
        self.settle(now);
    }

    /// New settings for the health of endpoints, from a reload.
    pub fn handle_health_settings(&mut self, now: Now, settings: HealthSettings) {
        self.health.handle_settings(now, settings);
        self.settle(now);
    }

    /// The operator asks for a refresh: fetches the registry now, whatever the interval, and the
    /// keys of all issuers whose last fetch failed.
    pub fn handle_refresh(&mut self, now: Now) {
        for named in &mut self.keys {
            named.source.handle_refresh(now.mono);
        }
        self.registry.handle_refresh(now);
        self.registry.handle_timeout(now);
        self.settle(now);
    }

    /// How an exchange with an endpoint went.
    pub fn handle_outcome(&mut self, now: Now, endpoint: EndpointId, outcome: Outcome) {
        self.health.handle_outcome(now, endpoint, outcome);
        self.settle(now);
    }

    /// The result of [`Output::Probe`].
    pub fn handle_probed(&mut self, now: Now, id: ProbeId, result: Result<(), ProbeFailure>) {
        self.health.handle_probed(now, id, result);
        self.settle(now);
    }

    /// A new policy, from a reload. Issuers that have not changed keep their keys. Issuers whose
    /// keys have a new source keep them until the first good set comes from there. One with another
    /// `iss` is another issuer. `keys` are the key sets of issuers with keys in files. They were
    /// read and checked together with the policy, so that no snapshot has the policy without them.
    pub fn handle_policy(&mut self, now: Now, policy: Arc<Policy>, keys: Vec<(IssuerId, Bytes)>) {
        let before = std::mem::replace(&mut self.policy, policy);
        self.keys = self.sources_for(&before.issuers, now);
        for (issuer, body) in keys {
            if let Some(named) = self.keys.get_mut(usize::from(issuer.0)) {
                named.source.handle_fetched(now, Ok(body));
            }
        }
        self.settle(now);
    }

    /// Does everything that is due.
    pub fn handle_timeout(&mut self, now: Now) {
        for named in &mut self.keys {
            named.source.handle_timeout(now.mono);
        }
        self.registry.handle_timeout(now);
        self.health.handle_timeout(now);
        self.settle(now);
    }

    /// The next thing that the driver has to do.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// What is known of the health of an endpoint, for operators.
    pub fn endpoint(&self, now: Now, endpoint: EndpointId) -> EndpointHealth {
        self.health.endpoint(now.mono, endpoint)
    }

    /// When to call [`handle_timeout`](Self::handle_timeout), and why.
    pub fn poll_timeout(&self) -> Option<(Mono, Wake)> {
        let keys = self
            .keys
            .iter()
            .zip(self.policy.issuer_ids())
            .filter_map(|(named, issuer)| {
                let (at, why) = named.source.poll_timeout()?;
                Some((at, Wake::Keys(issuer, why)))
            });
        let registry = self
            .registry
            .poll_timeout()
            .map(|(at, why)| (at, Wake::Registry(why)));
        let health = self
            .health
            .poll_timeout()
            .map(|(at, why)| (at, Wake::Health(why)));
        let free = self.retired.poll_timeout().map(|at| (at, Wake::Free));
        keys.chain(registry)
            .chain(health)
            .chain(free)
            .min_by_key(|(at, _)| *at)
    }

    /// The snapshot that was published last.
    pub fn snapshot(&self) -> &Arc<Snapshot> {
        &self.snapshot
    }

    /// What documents are validated against.
    pub fn registry(&self) -> Option<&Arc<Registry>> {
        self.registry.registry()
    }

    /// When and why the last document of the registry's source was refused. `None` if it was accepted.
    pub fn refused_registry(&self) -> Option<&(Unix, RegistryError)> {
        self.registry.refused()
    }

    /// The sources of this policy's issuers' keys, with the ids that fetches refer to.
    pub fn key_sources(&self) -> impl Iterator<Item = (KeySourceId, IssuerId, &Issuer)> {
        self.keys
            .iter()
            .zip(self.policy.issuer_ids())
            .map(|(named, issuer)| (named.id, issuer, self.policy.issuer(issuer)))
    }

    /// Sources for the current policy's issuers. Unchanged ones are taken from `before`; changed
    /// ones take over their keys.
    fn sources_for(&mut self, before: &[Issuer], now: Now) -> Vec<NamedSource> {
        let mut kept: Vec<Option<NamedSource>> = std::mem::take(&mut self.keys)
            .into_iter()
            .map(Some)
            .collect();
        let policy = Arc::clone(&self.policy);
        let source_for = |issuer: &Issuer| {
            let old = before.iter().position(|old| old.iss == issuer.iss);
            let old = old.and_then(|i| Some((before.get(i)?, kept.get_mut(i)?.take()?)));
            match old {
                Some((old, named)) if same_keys(old, issuer) => named,
                Some((_, named)) => self.new_source(issuer, Some(&named.source), now),
                None => self.new_source(issuer, None, now),
            }
        };
        policy.issuers.iter().map(source_for).collect()
    }

    /// It has a new id, so that answers to `old`'s fetches are ignored.
    fn new_source(&mut self, issuer: &Issuer, old: Option<&KeySource>, now: Now) -> NamedSource {
        let id = KeySourceId(self.next_source);
        self.next_source += 1;
        let jitter = self.seed.wrapping_add(u64::from(id.0) + 1);
        let (algorithms, timing) = (issuer.algorithms.clone(), issuer.timing);
        let source = match old {
            Some(old) => KeySource::in_place_of(old, algorithms, timing, now.mono, jitter),
            None => KeySource::new(algorithms, timing, now.mono, jitter),
        };
        NamedSource { id, source }
    }

    /// Drains the children and publishes a snapshot if what decisions read has changed.
    fn settle(&mut self, now: Now) {
        debug_assert!(
            self.outputs.is_empty(),
            "the driver drains the outputs of one input before it hands in the next"
        );
        let keys_changed = self.drain_keys();
        self.drain_registry(now);
        while let Some(action) = self.health.poll_output() {
            self.outputs.push_back(match action {
                HealthAction::Probe(probe) => Output::Probe(probe),
                HealthAction::Notice(notice) => Output::Notice(Notice::Health(notice)),
            });
        }
        self.publish(keys_changed);
        self.retired.handle_timeout(now.mono);
        while let Some(retired) = self.retired.poll_output() {
            self.outputs.push_back(Output::Free(retired));
        }
    }

    fn drain_keys(&mut self) -> bool {
        let mut changed = false;
        for (named, issuer) in self.keys.iter_mut().zip(self.policy.issuer_ids()) {
            let source = named.id;
            while let Some(action) = named.source.poll_output() {
                self.outputs.push_back(match action {
                    KeyAction::Fetch { forced } => Output::FetchKeys {
                        source,
                        issuer,
                        forced,
                    },
                    KeyAction::Save { body, fetched_at } => Output::SaveKeys {
                        source,
                        issuer,
                        body,
                        fetched_at,
                    },
                    KeyAction::Notice(notice) => Output::Notice(Notice::Keys { issuer, notice }),
                    KeyAction::Changed => {
                        changed = true;
                        continue;
                    }
                });
            }
        }
        changed
    }

    fn drain_registry(&mut self, now: Now) {
        while let Some(action) = self.registry.poll_output() {
            self.outputs.push_back(match action {
                RegistryAction::Fetch { validator } => Output::FetchRegistry { validator },
                RegistryAction::Parse { body, validator } => {
                    Output::ParseRegistry { body, validator }
                }
                RegistryAction::Save { body, fetched_at } => {
                    Output::SaveRegistry { body, fetched_at }
                }
                RegistryAction::Confirm { fetched_at } => Output::ConfirmRegistry { fetched_at },
                RegistryAction::Notice(notice) => Output::Notice(Notice::Registry(notice)),
                RegistryAction::Changed { retired } => {
                    if let Some(registry) = self.registry.registry() {
                        self.health.handle_registry(now, registry);
                    }
                    if let Some(retired) = retired {
                        self.retired.handle_retired(retired, now.mono);
                    }
                    continue;
                }
            });
        }
    }

    fn publish(&mut self, keys_changed: bool) {
        debug_assert_eq!(
            self.keys.len(),
            self.policy.issuers.len(),
            "each issuer of the policy has a source of keys"
        );
        let last = &*self.snapshot;
        let policy_changed = !Arc::ptr_eq(&last.policy, &self.policy);
        let registry = self.registry.registry();
        let unchanged = !keys_changed
            && !policy_changed
            && last.epoch > 0
            && same_registry(last.registry.as_ref(), registry)
            && last.registry_stale == self.registry.is_stale()
            && last.status_expires_at == self.registry.status_expires_at()
            && Arc::ptr_eq(&last.health, self.health.view());
        if unchanged {
            return;
        }
        let keys = if keys_changed || policy_changed || last.epoch == 0 {
            self.key_table(last.keys.epoch + 1)
        } else {
            Arc::clone(&last.keys)
        };
        let same_cells = same_registry(last.registry.as_ref(), registry);
        let cell_keys = if same_cells && !policy_changed {
            Arc::clone(&last.cell_keys)
        } else {
            let registry = registry.map(|registry| &**registry);
            Arc::new(last.cell_keys.follow(&self.policy.cba, registry))
        };
        for (cell, refused) in cell_keys.newly_refused(&last.cell_keys) {
            let notice = Notice::CellKeysRefused { cell, refused };
            self.outputs.push_back(Output::Notice(notice));
        }
        self.snapshot = Arc::new(Snapshot {
            epoch: last.epoch + 1,
            policy: Arc::clone(&self.policy),
            keys,
            registry: registry.cloned(),
            cell_keys,
            registry_stale: self.registry.is_stale(),
            status_ages_at: self.registry.status_ages_at(),
            status_expires_at: self.registry.status_expires_at(),
            health: Arc::clone(self.health.view()),
        });
        debug_assert_eq!(
            self.snapshot.keys.issuers.len(),
            self.snapshot.policy.issuers.len(),
            "a snapshot's keys are those of its own policy"
        );
        self.outputs
            .push_back(Output::Publish(Arc::clone(&self.snapshot)));
    }

    fn key_table(&self, epoch: u64) -> Arc<KeyTable> {
        let views = self.keys.iter().map(|named| named.source.view());
        Arc::new(KeyTable {
            epoch,
            issuers: views.cloned().collect(),
        })
    }
}

/// Whether keys fetched for one of these issuers are good for the other.
fn same_keys(a: &Issuer, b: &Issuer) -> bool {
    a.iss == b.iss && a.keys == b.keys && a.algorithms == b.algorithms && a.timing == b.timing
}

fn same_registry(a: Option<&Arc<Registry>>, b: Option<&Arc<Registry>>) -> bool {
    match (a, b) {
        (Some(a), Some(b)) => Arc::ptr_eq(a, b),
        (None, None) => true,
        (Some(_), None) | (None, Some(_)) => false,
    }
}
