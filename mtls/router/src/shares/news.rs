//! Which of many equal refusals are reported as news.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use cellway_core::Mono;

/// The shortest time between two refusals that are reported as news, in milliseconds.
const NEWS_INTERVAL_MS: u64 = 60_000;

/// When a refusal was last reported as news, in milliseconds of the timers' clock. 0 means never.
#[derive(Debug, Default)]
pub(crate) struct News(AtomicU64);

impl News {
    /// Whether to report a refusal as news, because the last one was at least a minute ago.
    pub(crate) fn is_due(&self, now: Mono) -> bool {
        let now = u64::try_from(now.since_origin().as_millis()).unwrap_or(u64::MAX - 1) + 1;
        let told = self.0.load(Relaxed);
        let due = told == 0 || now.saturating_sub(told) >= NEWS_INTERVAL_MS;
        due && (self.0)
            .compare_exchange(told, now, Relaxed, Relaxed)
            .is_ok()
    }
}
