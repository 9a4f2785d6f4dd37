//! Waits for an issuer's keys. The time and the number of waiting requests are bounded.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use cellway_core::policy::{IssuerId, Policy};
use cellway_core::{KeyWait, Reason, Snapshot};
use cellway_env::Env;
use tokio::time::{Instant, timeout_at};

use super::{Case, Refused};
use crate::lock::lock_uncontended;
use crate::observe::event::{Event, Sink, Wait};
use crate::shares::{Bound, Holder, LimitRefused, Resource, Share, Stake};
use crate::view::{ToControl, View};

/// The most requests of one worker that wait for one issuer's keys at a time. More are answered
/// with 503, so that an identity provider that is down can't fill the router with waiting requests.
const KEY_WAITERS_MAX: usize = 1024;

/// The share of these that one client address may have while no other has any, in percent.
const ADDRESS_SHARE: u8 = 50;

/// Waits until the issuer's keys are fetched again, until the time limit, or until a reload takes
/// the issuer away. `policy` is the one that asks for the wait.
pub(super) async fn wait<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    policy: &Arc<Policy>,
    wait: &KeyWait,
) -> Result<(), Refused> {
    let authorizer = case.authorizer;
    let overloaded = |detail| Refused::new(Reason::Overloaded, detail);
    let holder = case.origin.map_or(Holder::NOBODY, |origin| {
        origin.holder(&authorizer.holders, Share::Address)
    });
    let waiting = authorizer.waiters.enter(wait.issuer, holder);
    let _waiting = waiting.map_err(|(full, bound)| match full {
        LimitRefused::All | LimitRefused::Nearly => {
            overloaded("too many requests wait for this issuer's keys")
        }
        LimitRefused::Share(share) => {
            tell(case, &bound, share);
            overloaded("too many requests from this address wait for this issuer's keys")
        }
    })?;
    let views = &authorizer.views;
    let told = views.tell(ToControl::UnknownKey {
        issuer: wait.issuer,
        policy: Arc::clone(policy),
        kid: wait.kid.clone(),
    });
    if !told {
        return Err(overloaded("too many requests ask for keys"));
    }
    let is_newer = |view: &View| {
        let epoch = epoch(&view.snapshot, policy, wait.issuer);
        epoch.is_none_or(|epoch| epoch > wait.seen)
    };
    let fetched = views.until(|view| is_newer(view).then_some(()));
    let began = Instant::now();
    // A timeout isn't an error here. Core is asked again and decides what it means.
    let _ = timeout_at(authorizer.reporter.clock().instant(wait.until), fetched).await;
    case.tell(&Event::Waited {
        request_id: case.request_id.to_str().unwrap_or_default(),
        what: Wait::Keys,
        cell: None,
        time: began.elapsed(),
    });
    Ok(())
}

/// The epoch of the keys of the issuer that `policy` calls `issuer`. `None` if the snapshot's policy
/// has no such issuer.
fn epoch(snapshot: &Snapshot, policy: &Policy, issuer: IssuerId) -> Option<u64> {
    let issuer = snapshot.policy.same_issuer(policy, issuer)?;
    let keys = snapshot.keys.issuer(issuer);
    Some(keys.map_or(0, |keys| keys.epoch))
}

fn tell<E: Env, S: Sink>(case: &Case<'_, E, S>, bound: &Bound, share: Share) {
    let now = case.authorizer.reporter.now();
    let event = Event::ShareRefused {
        listener: case.name,
        resource: Resource::KeyWaiters,
        share,
        peer: case.peer(),
        cell: None,
        placement: None,
        tenant: None,
        news: bound.is_news(now.mono),
    };
    case.authorizer.reporter.emit_at(now, &event);
}

/// The requests that wait for each issuer's keys, counted by client address.
#[derive(Debug, Default)]
pub(super) struct KeyWaiters(Mutex<BTreeMap<IssuerId, Arc<Bound>>>);

impl KeyWaiters {
    fn enter(
        &self,
        issuer: IssuerId,
        holder: Holder,
    ) -> Result<Waiting, (LimitRefused, Arc<Bound>)> {
        let mut waiters = lock_uncontended(&self.0);
        let bound = waiters.entry(issuer).or_default().clone();
        drop(waiters);
        let stake = Stake {
            share: Share::Address,
            holder,
            percent: ADDRESS_SHARE,
        };
        match bound.take(KEY_WAITERS_MAX, &[stake]) {
            Ok(()) => Ok(Waiting { bound, holder }),
            Err(full) => Err((full, bound)),
        }
    }
}

struct Waiting {
    bound: Arc<Bound>,
    holder: Holder,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        self.bound.give_back([self.holder]);
    }
}

#[cfg(test)]
mod tests;
