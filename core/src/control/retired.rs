//! Where replaced registries wait until no request holds them.
//!
//! Whoever drops the last reference to a million tenants pays for freeing them. That must not be
//! a request: control keeps a reference of its own, looks now and then whether it is the last,
//! and then hands it to the driver to be dropped elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::registry::Registry;
use crate::time::Mono;

/// How often to look. Requests hold a snapshot for microseconds while they decide.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// Most registries that wait. A burst of more hands the oldest out early: at worst a request frees
/// what it doesn't share with its successor.
const WAITING_MAX: usize = 64;

/// A part of old snapshots. Dropping it frees memory and does nothing else.
#[derive(Debug)]
pub struct Retired(#[allow(dead_code, reason = "held only to be dropped")] Arc<Registry>);

#[derive(Debug, Default)]
pub(super) struct RetiredRegistries {
    waiting: Vec<Arc<Registry>>,
    /// Held by nobody else, for the driver to drop.
    free: VecDeque<Retired>,
    look_at: Option<Mono>,
}

impl RetiredRegistries {
    pub(super) fn handle_retired(&mut self, registry: Arc<Registry>, now: Mono) {
        self.waiting.push(registry);
        self.look_at.get_or_insert(now.after(LOOK_INTERVAL));
    }

    pub(super) fn poll_timeout(&self) -> Option<Mono> {
        self.look_at
    }

    /// Looks at what waits, when it is time to.
    pub(super) fn handle_timeout(&mut self, now: Mono) {
        if self.look_at.is_none_or(|at| at > now) {
            return;
        }
        let mut excess = self.waiting.len().saturating_sub(WAITING_MAX);
        let (idle, held): (Vec<_>, _) = self.waiting.drain(..).partition(|registry| {
            let early = excess > 0;
            excess = excess.saturating_sub(1);
            early || Arc::strong_count(registry) == 1
        });
        self.free.extend(idle.into_iter().map(Retired));
        self.waiting = held;
        self.look_at = (!self.waiting.is_empty()).then(|| now.after(LOOK_INTERVAL));
        debug_assert!(
            self.waiting.len() <= WAITING_MAX,
            "retired registries are bounded"
        );
    }

    /// A registry that nobody else holds any more.
    pub(super) fn poll_output(&mut self) -> Option<Retired> {
        self.free.pop_front()
    }
}
