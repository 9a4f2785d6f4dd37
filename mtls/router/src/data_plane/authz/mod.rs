//! From a request's header to a decision, however the request came: by the proxy path, or described
//! by another proxy that asks.
//!
//! [`authorize`] takes out the credentials, sanitizes and decides; [`stamp`](stamp()) writes into an
//! allowed request what its cell is told. Neither knows a body or a connection.

mod asked;
mod keys;
mod refused;
mod stamp;

use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::Guard;
use cellway_core::policy::PolicyId;
use cellway_core::{
    Allow, Credentials, Decision, Evidence, Now, Outcome, Reason, Snapshot, headers,
};
use cellway_env::Env;
use http::HeaderValue;
use http::header::HOST;
use http::request::Parts;

pub use self::asked::{Asked, Schemes};
pub(crate) use self::keys::KeyWaiters;
pub(crate) use self::refused::Refused;
pub(crate) use self::stamp::stamp;
use crate::data_plane::connection::{Client, Origin};
use crate::data_plane::proxy::check::Unfit;
use crate::data_plane::worker::WorkerState;
use crate::lock::lock_uncontended;
use crate::observe::event::{Event, Sink};

/// A request that is to be judged: what is known of it besides its header.
pub(crate) struct Case<'a, E: Env, S> {
    pub(crate) worker: &'a WorkerState<E, S>,
    /// By which listener it came, and that listener's name.
    pub(crate) listener: usize,
    pub(crate) name: &'a str,
    /// Whose client certificate stands behind it.
    pub(crate) client: Option<&'a Client>,
    /// Where the client connects from. `None` if the connection isn't the client's and the client's
    /// address is unknown.
    pub(crate) origin: Option<Origin>,
    pub(crate) request_id: &'a HeaderValue,
    /// When its header was whole.
    pub(crate) began: Now,
    /// Spreads requests over equal endpoints.
    pub(crate) spread: u64,
    /// The router forwards it if it may pass. An Envoy that asks does so itself.
    pub(crate) forwards: bool,
    /// Whether the request's method and path are known. A check request may lack them; then it can
    /// be decided only if nothing depends on them.
    pub(crate) has_target: bool,
}

impl<E: Env, S> Case<'_, E, S> {
    /// The client's address, for events.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.origin.map(|origin| origin.address)
    }
}

/// A request that may pass.
pub(crate) struct Authorized {
    pub(crate) allow: Allow,
    /// On which that was decided. What is removed and what is stamped must have the same names, so
    /// stamp by this; and don't hold it over an `await`.
    pub(crate) snapshot: Guard<Arc<Snapshot>>,
}

/// Decides the request, and leaves in its header what may be forwarded: nothing of the client's
/// under the router's names.
///
/// `checked` says whether the request is fit to be decided at all. It is looked at before the
/// framing fields are taken away here, and answered after.
pub(crate) async fn authorize<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    checked: Result<(), Box<Unfit>>,
    parts: &mut Parts,
) -> Result<Authorized, Refused> {
    let shared = &case.worker.common.snapshots;
    let (credentials, wait) = {
        let snapshot = shared.snapshot();
        let credentials = sanitize(&snapshot, parts)?;
        checked?;
        reverify_client(case).map_err(|why| tell(case, &snapshot, parts, &credentials, why))?;
        match once(case, &snapshot, parts, &credentials, false)? {
            Outcome::Done(decision) => return settle(decision, snapshot),
            Outcome::Wait(wait) => (credentials, wait),
        }
    };
    // Boxed: few requests wait, and all would carry the room for it.
    let waited = Box::pin(keys::wait(case, &wait)).await;
    let snapshot = shared.snapshot();
    // A reload may have changed the bundle and renamed the router's headers meanwhile.
    waited
        .and_then(|()| reverify_client(case))
        .map_err(|why| tell(case, &snapshot, parts, &credentials, why))?;
    sanitize(&snapshot, parts)?;
    match once(case, &snapshot, parts, &credentials, true)? {
        Outcome::Done(decision) => settle(decision, snapshot),
        // Waiting once is the bound; `decide` promises not to ask again.
        Outcome::Wait(_) => Err(Refused::new(
            Reason::JwksUnreachable,
            "the issuer's keys did not arrive in time",
        )),
    }
}

fn sanitize(snapshot: &Snapshot, parts: &mut Parts) -> Result<Credentials, Refused> {
    headers::sanitize(&snapshot.policy.headers, &mut parts.headers)
        .map_err(|why| Refused::new(Reason::BadRequest, why.detail()))
}

fn settle(decision: Decision, snapshot: Guard<Arc<Snapshot>>) -> Result<Authorized, Refused> {
    match decision {
        Decision::Allow(allow) => Ok(Authorized { allow, snapshot }),
        Decision::Deny(deny) => Err(deny.into()),
    }
}

/// Verifies the client's chain again if settings have changed since it was, or a revocation list has
/// become stale: a connection must not carry an authority past the bundle that no longer names it.
fn reverify_client<E: Env, S: Sink>(case: &Case<'_, E, S>) -> Result<(), Refused> {
    let Some(client) = case.client else {
        return Ok(());
    };
    let active = case.worker.common.active.load();
    let verify = |chain: &[_]| active.verify_chain(case.listener, chain);
    let judged = client.reverify(&active, case.began.unix, verify);
    judged.map_err(Refused::chain)
}

/// Host and port, whichever way they are said. Where both ways are used they say the same, or the
/// request is refused before it comes here.
fn authority(parts: &Parts) -> &str {
    let host = || parts.headers.get(HOST)?.to_str().ok();
    let authority = parts.uri.authority().map(|authority| authority.as_str());
    authority.or_else(host).unwrap_or_default()
}

/// The path and query as they came.
pub(crate) fn target(parts: &Parts) -> &str {
    parts.uri.path_and_query().map_or("/", |path| path.as_str())
}

/// The policy that the request is decided by.
fn policy<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    snapshot: &Snapshot,
    path: &str,
    credentials: &Credentials,
) -> Result<PolicyId, Refused> {
    let ambiguous = |detail| Refused::new(Reason::AmbiguousRequest, detail);
    let active = case.worker.common.active.load();
    if credentials.overrides_request && active.has_routes(case.listener) {
        return Err(ambiguous(
            "a header names another method, path or content type",
        ));
    }
    let policy = active
        .policy(case.listener, path)
        .map_err(|why| ambiguous(why.detail()))?;
    let policy = policy
        .and_then(|id| active.policy_in(snapshot, id))
        .ok_or_else(|| Refused::new(Reason::Overloaded, "the configuration is being reloaded"))?;
    let goes_by_target =
        || active.has_routes(case.listener) || snapshot.policy.auth(policy).rules.is_some();
    if !case.has_target && goes_by_target() {
        return Err(Refused::new(
            Reason::BadRequest,
            "the listener's rules or routes need a method and a path; send both",
        ));
    }
    Ok(policy)
}

/// Asks the core once, and tells the sink what it said.
fn once<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    snapshot: &Snapshot,
    parts: &Parts,
    credentials: &Credentials,
    waited: bool,
) -> Result<Outcome, Refused> {
    let worker = case.worker;
    let path = target(parts);
    let policy = policy(case, snapshot, path, credentials)
        .map_err(|why| tell(case, snapshot, parts, credentials, why))?;
    let evidence = Evidence {
        policy,
        method: &parts.method,
        authority: authority(parts),
        path,
        credentials,
        peer: case.client.map(|client| &client.certificate),
        spread: case.spread,
        waited,
    };
    let now = match waited {
        false => case.began,
        true => worker.common.clock.now(),
    };
    let mut memo = lock_uncontended(&worker.memo);
    let outcome = cellway_core::decide(snapshot, &evidence, now, &mut memo, &mut ());
    drop(memo);
    let Outcome::Done(decision) = outcome else {
        return Ok(outcome);
    };
    let decision = worker.common.replay_cache.settle(decision, now);
    told(
        case,
        snapshot,
        policy,
        parts,
        credentials,
        (now, waited),
        &decision,
    );
    Ok(Outcome::Done(decision))
}

/// Tells the sink of a request that was refused before the core was asked.
fn tell<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    snapshot: &Snapshot,
    parts: &Parts,
    credentials: &Credentials,
    mut refused: Refused,
) -> Refused {
    let worker = case.worker;
    let active = worker.common.active.load();
    // Where the path has two readings no route is its own, and the listener's policy stands for it.
    let picked = active.policy(case.listener, target(parts));
    let policy = picked.unwrap_or_else(|_| active.own_policy(case.listener));
    if let Some(policy) = policy.and_then(|id| active.policy_in(snapshot, id)) {
        let decision = Decision::Deny(refused.as_denial());
        let at = (worker.common.clock.now(), false);
        told(case, snapshot, policy, parts, credentials, at, &decision);
        refused.told = true;
    }
    refused
}

/// Tells the sink of a decision, made at this time, after waiting for keys or without.
fn told<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    snapshot: &Snapshot,
    policy: PolicyId,
    parts: &Parts,
    credentials: &Credentials,
    (now, waited): (Now, bool),
    decision: &Decision,
) {
    let worker = case.worker;
    let request_id = case.request_id.to_str().unwrap_or_default();
    let auth = snapshot.policy.auth(policy);
    let certificate = case.client.is_some();
    let name = &auth.name;
    worker.sink.emit(
        now,
        &Event::Decided {
            asked: &Asked::new(snapshot, name, parts, credentials, certificate, decision),
            listener: case.name,
            peer: case.peer(),
            mode: auth.mode,
            request_id,
            decision,
            forwards: case.forwards,
            registry_version: snapshot
                .registry
                .as_ref()
                .map(|registry| registry.version()),
            waited,
        },
    );
    if let Some(bound) = decision.cell_bound() {
        worker.sink.emit(
            now,
            &Event::CellBound {
                listener: case.name,
                peer: case.peer(),
                request_id,
                bound,
                decision,
            },
        );
    }
}
