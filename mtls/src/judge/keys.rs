//! Waiting for an issuer's keys, bounded in time and in number.

use std::collections::BTreeMap;
use std::sync::Mutex;

use cellway_core::policy::IssuerId;
use cellway_core::{KeyWait, Reason, Snapshot};
use tokio::time::timeout_at;

use super::Refused;
use crate::env::Env;
use crate::event::Sink;
use crate::live::private;
use crate::shared::ToControl;
use crate::worker::WorkerState;

/// Most requests of one worker that wait for one issuer's keys at a time. More are answered 503:
/// an identity provider that is down must not fill the router with waiting requests.
const KEY_WAITERS_MAX: usize = 1024;

/// Waits until the issuer's keys have been fetched once more, or until it is too late.
pub(super) async fn wait<E: Env, S: Sink>(
    worker: &WorkerState<E, S>,
    wait: &KeyWait,
) -> Result<(), Refused> {
    let common = &worker.common;
    let overloaded = |detail| Refused::new(Reason::Overloaded, detail);
    let Some(_waiting) = worker.waiters.enter(wait.issuer) else {
        return Err(overloaded("too many requests wait for this issuer's keys"));
    };
    let told = common.shared.tell(ToControl::UnknownKey {
        issuer: wait.issuer,
        kid: wait.kid.clone(),
    });
    if !told {
        return Err(overloaded("too many requests ask for keys"));
    }
    let fetched = async {
        loop {
            let mut published = std::pin::pin!(common.shared.published().notified());
            published.as_mut().enable();
            if epoch(&common.shared.snapshot(), wait.issuer) > wait.seen {
                return;
            }
            published.await;
        }
    };
    // Too late isn't an error here: the core, asked again, says what that means.
    let _ = timeout_at(common.clock.instant(wait.until), fetched).await;
    Ok(())
}

fn epoch(snapshot: &Snapshot, issuer: IssuerId) -> u64 {
    snapshot.keys.issuer(issuer).map_or(0, |keys| keys.epoch)
}

/// How many requests wait for each issuer's keys.
#[derive(Debug, Default)]
pub(crate) struct KeyWaiters(Mutex<BTreeMap<IssuerId, usize>>);

impl KeyWaiters {
    fn enter(&self, issuer: IssuerId) -> Option<Waiting<'_>> {
        let mut waiters = private(&self.0);
        let count = waiters.entry(issuer).or_default();
        if *count >= KEY_WAITERS_MAX {
            return None;
        }
        *count += 1;
        Some(Waiting {
            waiters: self,
            issuer,
        })
    }
}

struct Waiting<'a> {
    waiters: &'a KeyWaiters,
    issuer: IssuerId,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(count) = private(&self.waiters.0).get_mut(&self.issuer) {
            *count -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiters_are_bounded_for_each_issuer_alone() {
        let waiters = KeyWaiters::default();
        let all: Vec<_> = (0..KEY_WAITERS_MAX)
            .map(|_| waiters.enter(IssuerId(0)).unwrap())
            .collect();
        assert!(waiters.enter(IssuerId(0)).is_none());
        assert!(waiters.enter(IssuerId(1)).is_some());
        drop(all);
        assert!(waiters.enter(IssuerId(0)).is_some());
    }
}
