//! From a request's header to a decision, waiting for keys where that may help.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::Ordering;

use cellway_core::policy::IssuerId;
use cellway_core::{
    Allow, Challenge, Credentials, Decision, Evidence, KeyWait, Outcome, Reason, Snapshot, headers,
};
use http::Request;
use tokio::time::timeout_at;

use super::report::Report;
use super::{Refused, RequestBody, check};
use crate::env::Env;
use crate::event::{Event, Sink};
use crate::live::private;
use crate::shared::ToControl;

/// Most requests of one worker that wait for one issuer's keys at a time. More are answered 503:
/// an identity provider that is down must not fill the router with waiting requests.
const KEY_WAITERS_MAX: usize = 1024;

/// Stamps that say who is calling. HTTP/2 doesn't index them: they vary from request to request, so
/// that each would push another out of the table, and a guess at one could be checked by its size
/// (RFC 7541, section 7.1).
const IDENTITY: [&str; 5] = ["tenant", "sub", "workspace", "org", "roles"];

/// Decides the request, and leaves in it what may be forwarded: nothing of the client's
/// under the router's names, and the router's own words stamped.
pub(super) async fn decide<E: Env, S: Sink>(
    report: &Report<E, S>,
    request: &mut Request<RequestBody>,
    spread: u64,
) -> Result<Allow, Refused> {
    // Looked at before the framing headers are taken away, and answered after.
    let checked = check::check(request);
    let shared = &report.connection.worker.common.shared;
    let (credentials, outcome) = {
        // One snapshot for both: what is removed and what is stamped must have the same names.
        let snapshot = shared.snapshot();
        let credentials = headers::sanitise(&snapshot.policy.headers, request.headers_mut());
        checked.map_err(|detail| Refused::new(Reason::BadRequest, detail))?;
        judge_again(report)?;
        let outcome = once(report, &snapshot, request, &credentials, spread, false)?;
        (credentials, outcome)
    };
    let wait = match outcome {
        Outcome::Done(decision) => return settle(decision),
        Outcome::Wait(wait) => wait,
    };
    // Boxed: few requests wait, and all would carry the room for it.
    Box::pin(wait_for_keys(report, &wait)).await?;
    // A reload may have changed the bundle and renamed the router's headers meanwhile.
    judge_again(report)?;
    let snapshot = shared.snapshot();
    headers::sanitise(&snapshot.policy.headers, request.headers_mut());
    match once(report, &snapshot, request, &credentials, spread, true)? {
        Outcome::Done(decision) => settle(decision),
        // Waiting once is the bound; `decide` promises not to ask again.
        Outcome::Wait(_) => Err(Refused::new(
            Reason::JwksUnreachable,
            "keys did not come in time",
        )),
    }
}

fn settle(decision: Decision) -> Result<Allow, Refused> {
    match decision {
        Decision::Allow(allow) => Ok(allow),
        Decision::Deny(deny) => Err(Refused {
            reason: deny.reason,
            detail: deny.detail,
            challenge: deny.challenge,
            retry_after: deny.retry_after,
        }),
    }
}

/// Verifies the client's chain again if settings have changed since it was: a connection must not
/// carry an authority past the bundle that no longer names it.
fn judge_again<E: Env, S: Sink>(report: &Report<E, S>) -> Result<(), Refused> {
    let connection = &report.connection;
    let Some(client) = &connection.client else {
        return Ok(());
    };
    let live = connection.worker.common.live.load();
    if connection.judged.load(Ordering::Relaxed) == live.epoch {
        return Ok(());
    }
    let tls = live.server_tls.get(connection.listener);
    match tls.and_then(Option::as_ref) {
        Some(tls) if tls.still_accepts(&client.chain) => {
            connection.judged.store(live.epoch, Ordering::Relaxed);
            Ok(())
        }
        _ => Err(Refused {
            challenge: Challenge::Certificate,
            ..Refused::new(
                Reason::CertificateUntrusted,
                "the client certificate is no longer trusted",
            )
        }),
    }
}

/// Asks the core once, tells the sink what it said, and stamps what may pass.
fn once<E: Env, S: Sink>(
    report: &Report<E, S>,
    snapshot: &Snapshot,
    request: &mut Request<RequestBody>,
    credentials: &Credentials,
    spread: u64,
    waited: bool,
) -> Result<Outcome, Refused> {
    let connection = &report.connection;
    let worker = &connection.worker;
    let policy = worker
        .common
        .live
        .load()
        .policy(connection.listener, snapshot)
        .ok_or_else(|| Refused::new(Reason::Overloaded, "the policy is being replaced"))?;
    let evidence = Evidence {
        policy,
        method: request.method(),
        path: request
            .uri()
            .path_and_query()
            .map_or("/", |path| path.as_str()),
        credentials,
        peer: connection.client.as_ref().map(|client| &client.certificate),
        spread,
        waited,
    };
    let now = match waited {
        false => report.began,
        true => worker.common.clock.now(),
    };
    let mut memo = private(&worker.memo);
    let outcome = cellway_core::decide(snapshot, &evidence, now, &mut memo, &mut ());
    drop(memo);
    let Outcome::Done(decision) = &outcome else {
        return Ok(outcome);
    };
    worker.sink.emit(
        now,
        &Event::Decided {
            listener: &connection.name,
            mode: snapshot.policy.auth(policy).mode,
            request_id: report.request_id(),
            decision,
            registry_version: snapshot
                .registry
                .as_ref()
                .map(|registry| registry.version()),
            waited,
        },
    );
    if let Decision::Allow(allow) = decision {
        let stamps = snapshot
            .policy
            .headers
            .stamps(allow, report.request_id.clone());
        for ((name, mut value), short) in stamps.into_iter().zip(headers::STAMP_NAMES) {
            if IDENTITY.contains(&short) && !value.is_empty() {
                value.set_sensitive(true);
            }
            request.headers_mut().insert(name, value);
        }
        request.body_mut().stamped_by(&snapshot.policy);
    }
    Ok(outcome)
}

/// Waits until the issuer's keys have been fetched once more, or until it is too late.
async fn wait_for_keys<E: Env, S: Sink>(
    report: &Report<E, S>,
    wait: &KeyWait,
) -> Result<(), Refused> {
    let worker = &report.connection.worker;
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

fn epoch(snapshot: &cellway_core::Snapshot, issuer: IssuerId) -> u64 {
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
