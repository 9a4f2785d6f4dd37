//! Replaced registries, kept until no request holds them.
//!
//! Dropping the last reference to a million tenants takes milliseconds. A request must not do that.
//! So control keeps a reference of its own, checks regularly whether it is the last, and then gives
//! it to the driver, which drops it elsewhere.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use crate::registry::Registry;
use crate::time::Mono;

/// How often to check. Requests hold a snapshot for microseconds while they decide.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// The most registries that are kept. If there are more, the oldest is given out early: at worst a
/// request frees the part that it doesn't share with its successor.
const WAITING_MAX: usize = 64;

/// A part of old snapshots. Dropping it frees memory and does nothing else.
#[derive(Debug)]
pub struct Retired(#[allow(dead_code, reason = "held only to be dropped")] Arc<Registry>);

#[derive(Debug, Default)]
pub(super) struct RetiredRegistries {
    waiting: Vec<Arc<Registry>>,
    /// Registries that nobody else holds, for the driver to drop.
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

    /// Checks the kept registries when that is due.
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
