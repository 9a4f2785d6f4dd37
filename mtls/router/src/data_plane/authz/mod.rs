//! From a request's header to a decision, however the request came: by the proxy path, or described
//! by another proxy that asks.
//!
//! [`authorize`] takes out the credentials, sanitizes and decides; [`stamp`](stamp()) writes into an
//! allowed request what its cell is told. Neither knows a body or a connection.

mod keys;
mod refused;
mod stamp;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cellway_core::identify::Memo;
use cellway_core::policy::PolicyId;
use cellway_core::{Allow, Credentials, Decision, Evidence, Now, Outcome, Reason, headers};
use cellway_env::Env;
use http::HeaderValue;
use http::request::Parts;

use self::keys::KeyWaiters;
pub(crate) use self::refused::Refused;
pub(crate) use self::stamp::stamp;
use crate::data_plane::client::Client;
use crate::data_plane::origin::Origin;
use crate::data_plane::replay_cache::ShardedReplayCache;
use crate::data_plane::target;
use crate::data_plane::well_formed::Unfit;
use crate::lock::lock_uncontended;
use crate::observe::Reporter;
use crate::observe::event::{Asked, Event, Sink};
use crate::shares::Holders;
use crate::view::{Loaded, View, ViewCell};

/// What requests are decided with: one worker's memory of tokens and waiting requests, and the
/// router's used authorizations.
#[derive(Debug)]
pub(crate) struct Authorizer<E, S> {
    views: Arc<ViewCell>,
    reporter: Reporter<E, S>,
    holders: Arc<Holders>,
    replay_cache: Arc<ShardedReplayCache>,
    memo: Mutex<Memo>,
    waiters: KeyWaiters,
}

impl<E: Env, S: Sink> Authorizer<E, S> {
    /// `seed` is the key of the memo's hash.
    pub(crate) fn new(
        views: Arc<ViewCell>,
        reporter: Reporter<E, S>,
        holders: Arc<Holders>,
        replay_cache: Arc<ShardedReplayCache>,
        seed: u64,
    ) -> Self {
        Self {
            views,
            reporter,
            holders,
            replay_cache,
            memo: Mutex::new(Memo::new(Memo::CAPACITY_DEFAULT, seed)),
            waiters: KeyWaiters::default(),
        }
    }
}

/// A request that is to be judged: what is known of it besides its header.
pub(crate) struct Case<'a, E: Env, S> {
    pub(crate) authorizer: &'a Authorizer<E, S>,
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

/// Decides the request, and leaves in its header what may be forwarded: nothing of the client's
/// under the router's names.
///
/// `checked` says whether the request is fit to be decided at all. It is looked at before the
/// framing fields are taken away here, and answered after.
///
/// Returns the view that decided. It is another one than `view` if the request waited for keys. What
/// is removed and what is stamped must have the same names, so stamp by the returned one.
pub(crate) async fn authorize<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: Loaded,
    checked: Result<(), Box<Unfit>>,
    parts: &mut Parts,
) -> (Loaded, Result<Allow, Refused>) {
    let (credentials, wait) = match first(case, &view, checked, parts) {
        Ok((_, Outcome::Done(decision))) => return (view, settle(decision)),
        Ok((credentials, Outcome::Wait(wait))) => (credentials, wait),
        Err(refused) => return (view, Err(refused)),
    };
    drop(view);
    // Boxed: few requests wait, and all would carry the room for it.
    let waited = Box::pin(keys::wait(case, &wait)).await;
    let view = case.authorizer.views.load();
    let decided = waited
        .map_err(|why| tell(case, &view, parts, &credentials, why))
        .and_then(|()| after_waiting(case, &view, &credentials, parts));
    (view, decided)
}

/// Decides a request that has just come, or says which keys it needs.
fn first<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    checked: Result<(), Box<Unfit>>,
    parts: &mut Parts,
) -> Result<(Credentials, Outcome), Refused> {
    let credentials = sanitize(view, parts)?;
    checked?;
    reverify_client(case, view).map_err(|why| tell(case, view, parts, &credentials, why))?;
    let outcome = once(case, view, parts, &credentials, false)?;
    Ok((credentials, outcome))
}

/// Decides a request that has waited for keys. A reload may have changed the bundle and renamed the
/// router's headers meanwhile.
fn after_waiting<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    credentials: &Credentials,
    parts: &mut Parts,
) -> Result<Allow, Refused> {
    reverify_client(case, view).map_err(|why| tell(case, view, parts, credentials, why))?;
    sanitize(view, parts)?;
    match once(case, view, parts, credentials, true)? {
        Outcome::Done(decision) => settle(decision),
        // Waiting once is the bound; `decide` promises not to ask again.
        Outcome::Wait(_) => Err(Refused::new(
            Reason::JwksUnreachable,
            "the issuer's keys did not arrive in time",
        )),
    }
}

fn sanitize(view: &View, parts: &mut Parts) -> Result<Credentials, Refused> {
    headers::sanitize(view.config.header_rules(), &mut parts.headers)
        .map_err(|why| Refused::new(Reason::BadRequest, why.detail()))
}

fn settle(decision: Decision) -> Result<Allow, Refused> {
    match decision {
        Decision::Allow(allow) => Ok(allow),
        Decision::Deny(deny) => Err(deny.into()),
    }
}

/// Verifies the client's chain again if settings have changed since it was, or a revocation list has
/// become stale: a connection must not carry an authority past the bundle that no longer names it.
fn reverify_client<E: Env, S: Sink>(case: &Case<'_, E, S>, view: &View) -> Result<(), Refused> {
    let Some(client) = case.client else {
        return Ok(());
    };
    let config = &view.config;
    let verify = |chain: &[_]| config.verify_chain(case.listener, chain);
    let judged = client.reverify(config, case.began.unix, verify);
    judged.map_err(Refused::chain)
}

/// The policy that the request is decided by.
fn policy<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    path: &str,
    credentials: &Credentials,
) -> Result<PolicyId, Refused> {
    let ambiguous = |detail| Refused::new(Reason::AmbiguousRequest, detail);
    let config = &view.config;
    let has_routes = config.has_routes(case.listener);
    if credentials.overrides_request && has_routes {
        return Err(ambiguous(
            "a header names another method, path or content type",
        ));
    }
    let policy = config
        .policy(case.listener, path)
        .map_err(|why| ambiguous(why.detail()))?;
    let goes_by_target = || has_routes || config.settings.policy.auth(policy).rules.is_some();
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
    view: &View,
    parts: &Parts,
    credentials: &Credentials,
    waited: bool,
) -> Result<Outcome, Refused> {
    let authorizer = case.authorizer;
    let path = target::path_and_query(parts);
    let policy = policy(case, view, path, credentials)
        .map_err(|why| tell(case, view, parts, credentials, why))?;
    let evidence = Evidence {
        policy,
        method: &parts.method,
        authority: target::authority(&parts.uri, target::host(&parts.headers)),
        path,
        credentials,
        peer: case.client.map(|client| &client.certificate),
        spread: case.spread,
        waited,
    };
    let now = match waited {
        false => case.began,
        true => authorizer.reporter.now(),
    };
    let mut memo = lock_uncontended(&authorizer.memo);
    let outcome = cellway_core::decide(&view.snapshot, &evidence, now, &mut memo, &mut ());
    drop(memo);
    let Outcome::Done(decision) = outcome else {
        return Ok(outcome);
    };
    let decision = authorizer.replay_cache.settle(decision, now);
    told(
        case,
        view,
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
    view: &View,
    parts: &Parts,
    credentials: &Credentials,
    mut refused: Refused,
) -> Refused {
    let authorizer = case.authorizer;
    let config = &view.config;
    // A path with two readings has no route, so the event names the listener's own policy.
    let picked = config.policy(case.listener, target::path_and_query(parts));
    let policy = picked.unwrap_or_else(|_| config.listener(case.listener).policy);
    let decision = Decision::Deny(refused.as_denial());
    let at = (authorizer.reporter.now(), false);
    told(case, view, policy, parts, credentials, at, &decision);
    refused.told = true;
    refused
}

/// Tells the sink of a decision, made at this time, after waiting for keys or without.
fn told<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    policy: PolicyId,
    parts: &Parts,
    credentials: &Credentials,
    (now, waited): (Now, bool),
    decision: &Decision,
) {
    let authorizer = case.authorizer;
    let request_id = case.request_id.to_str().unwrap_or_default();
    let snapshot = &view.snapshot;
    let auth = snapshot.policy.auth(policy);
    let certificate = case.client.is_some();
    let name = &auth.name;
    authorizer.reporter.emit_at(
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
        authorizer.reporter.emit_at(
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
