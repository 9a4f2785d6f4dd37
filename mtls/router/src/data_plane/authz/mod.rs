//! Authorizes a request by its header, for the proxy path and for external authorization.
//!
//! [`authorize`] takes the credentials out of the header, sanitizes it and decides.
//! [`stamp`](stamp()) sets the headers that tell the cell about an allowed request. Neither knows
//! of bodies or connections.

mod explain;
mod keys;
mod refused;
mod stamp;

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use cellway_core::headers::HeaderRules;
use cellway_core::identify::Memo;
use cellway_core::policy::PolicyId;
use cellway_core::rate_limit::Rate;
use cellway_core::{
    Allow, Credentials, Decision, Evidence, Now, Outcome, Reason, Recorder, decide, headers,
};
use cellway_env::Env;
use http::HeaderValue;
use http::request::Parts;

use self::keys::KeyWaiters;
pub(crate) use self::refused::Refused;
pub(crate) use self::stamp::stamp;
use crate::data_plane::buckets::Buckets;
use crate::data_plane::client::Client;
use crate::data_plane::explained::Explained;
use crate::data_plane::origin::Origin;
use crate::data_plane::record::Record;
use crate::data_plane::replay_cache::ShardedReplayCache;
use crate::data_plane::target;
use crate::data_plane::well_formed::RequestRefused;
use crate::lock::lock_uncontended;
use crate::observe::Reporter;
use crate::observe::event::{Asked, Event, Phase, Sink};
use crate::settings::{ListenerSettings, Routed};
use crate::shares::Holders;
use crate::view::{Loaded, View, ViewCell};

/// What requests are decided with: one worker's memory of tokens and waiting requests, and the
/// router's used authorizations.
#[derive(Debug)]
pub(crate) struct Authorizer<E, S> {
    views: Arc<ViewCell>,
    reporter: Reporter<E, S>,
    holders: Arc<Holders>,
    buckets: Arc<Buckets>,
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
        buckets: Arc<Buckets>,
        replay_cache: Arc<ShardedReplayCache>,
        seed: u64,
    ) -> Self {
        Self {
            views,
            reporter,
            holders,
            buckets,
            replay_cache,
            memo: Mutex::new(Memo::new(Memo::CAPACITY_DEFAULT, seed)),
            waiters: KeyWaiters::default(),
        }
    }
}

/// A request to authorize: everything that is known about it besides its header.
pub(crate) struct Case<'a, E: Env, S> {
    pub(crate) authorizer: &'a Authorizer<E, S>,
    /// The position of its listener, and the listener's name.
    pub(crate) listener: usize,
    pub(crate) name: &'a str,
    /// The client whose certificate was verified, if there is one.
    pub(crate) client: Option<&'a Client>,
    /// Where the client connects from. `None` if the connection isn't the client's own and the
    /// client's address is unknown.
    pub(crate) origin: Option<Origin>,
    pub(crate) request_id: &'a HeaderValue,
    /// When its header was complete.
    pub(crate) began: Now,
    /// Spreads requests over equal endpoints.
    pub(crate) spread: u64,
    /// Whether the router forwards it if it is allowed. If an Envoy asks, the Envoy forwards it.
    pub(crate) forwards: bool,
    /// Whether its method and path are known. A check by an Envoy may leave them out. Then it can
    /// be decided only if nothing depends on them.
    pub(crate) has_target: bool,
    /// What the access log says about it, if it says anything.
    pub(crate) record: Option<&'a Record>,
    /// Takes the steps of the decision, if an operator asks for them.
    pub(crate) explained: &'a Explained,
}

impl<E: Env, S: Sink> Case<'_, E, S> {
    /// Notes for the access log that the request leaves this phase.
    fn ends(&self, phase: Phase) {
        if let Some(record) = self.record {
            let now = self.authorizer.reporter.clock().mono();
            record.ends(phase, now.since(self.began.mono));
        }
    }

    /// Takes one of the explanations that the router may give.
    pub(crate) fn takes_explanation(&self, rate: Rate) -> bool {
        let buckets = &self.authorizer.buckets;
        let now = self.authorizer.reporter.now().mono;
        buckets
            .take(buckets.named("explain"), rate, now.into())
            .is_ok()
    }

    /// Emits an event about the request.
    pub(crate) fn tell(&self, event: &Event<'_>) {
        self.authorizer.reporter.emit(event);
    }
}

impl<E: Env, S> Case<'_, E, S> {
    /// The client's address, for events.
    pub(crate) fn peer(&self) -> Option<SocketAddr> {
        self.origin.map(|origin| origin.address)
    }
}

/// Decides the request, and sanitizes its header: no field of the client with one of the router's
/// names is left.
///
/// `checked` is the result of checking the request's form. The caller makes that check before the
/// framing fields are removed here. If it failed, this returns that refusal.
///
/// Returns the view that decided, which may be newer than `view` if the request waited for keys.
/// Stamp the request with the returned view, so that the names that are removed and set are the
/// same.
pub(crate) async fn authorize<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: Loaded,
    checked: Result<(), Box<RequestRefused>>,
    parts: &mut Parts,
) -> (Loaded, Result<Allow, Refused>) {
    let (credentials, wait) = match first(case, &view, checked, parts) {
        Ok((_, Outcome::Done(decision))) => return (view, settle(decision)),
        Ok((credentials, Outcome::Wait(wait))) => (credentials, wait),
        Err(refused) => return (view, Err(refused)),
    };
    let policy = Arc::clone(&view.snapshot.policy);
    drop(view);
    case.ends(Phase::Decide);
    // Boxed, because few requests wait, and otherwise every request's future would be larger.
    let waited = Box::pin(keys::wait(case, &policy, &wait)).await;
    case.ends(Phase::Keys);
    let view = case.authorizer.views.load();
    let decided = waited
        .map_err(|why| tell(case, &view, parts, &credentials, why))
        .and_then(|()| after_waiting(case, &view, &policy.headers, credentials, parts));
    (view, decided)
}

/// Decides a new request, or says which keys it needs.
fn first<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    checked: Result<(), Box<RequestRefused>>,
    parts: &mut Parts,
) -> Result<(Credentials, Outcome), Refused> {
    let credentials = sanitize(view, parts)?;
    checked?;
    let settings = view.config.settings.explain.as_ref();
    explain::ask(case, settings, credentials.explain.as_deref());
    reverify_client(case, view, case.began)
        .map_err(|why| tell(case, view, parts, &credentials, why))?;
    let outcome = once(case, view, parts, &credentials, false)?;
    Ok((credentials, outcome))
}

/// Decides a request that waited for keys, by the view of now. Meanwhile, a reload may have changed
/// the bundle and renamed the headers: `before` has the names by which `credentials` were taken.
fn after_waiting<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    before: &HeaderRules,
    credentials: Credentials,
    parts: &mut Parts,
) -> Result<Allow, Refused> {
    let rules = view.config.header_rules();
    let credentials = rules.renamed(before, credentials, sanitize(view, parts)?);
    reverify_client(case, view, case.authorizer.reporter.now())
        .map_err(|why| tell(case, view, parts, &credentials, why))?;
    match once(case, view, parts, &credentials, true)? {
        Outcome::Done(decision) => settle(decision),
        // A request waits only once. `decide` never asks for a second wait.
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

/// Verifies the client's chain again if the settings have changed since it was last verified, or if
/// a revocation list has become stale. Otherwise an open connection could still be trusted after
/// its CA was removed from the bundle.
fn reverify_client<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    now: Now,
) -> Result<(), Refused> {
    let Some(client) = case.client else {
        return Ok(());
    };
    let config = &view.config;
    let verify = |chain: &[_]| config.verify_chain(case.listener, chain);
    let verified = client.reverify(config, now.unix, verify);
    verified.map_err(Refused::chain)
}

/// The route of the request, and with it the policy that decides it.
fn routed<'a, E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &'a View,
    path: &str,
    credentials: &Credentials,
) -> Result<Routed<'a>, Refused> {
    let config = &view.config;
    let routed = route(config.listener(case.listener), path, credentials)?;
    let auth = config.settings.policy.auth(routed.policy);
    let goes_by_target = || config.has_routes(case.listener) || auth.rules.is_some();
    if !case.has_target && goes_by_target() {
        return Err(Refused::new(
            Reason::BadRequest,
            "the listener's rules or routes need a method and a path; send both",
        ));
    }
    Ok(routed)
}

/// The route of a request for this path and query.
///
/// # Errors
/// The listener has routes, and it isn't clear which one the request has.
pub(super) fn route<'a>(
    listener: &'a ListenerSettings,
    path: &str,
    credentials: &Credentials,
) -> Result<Routed<'a>, Refused> {
    let ambiguous = |detail| Refused::new(Reason::AmbiguousRequest, detail);
    if credentials.overrides_request && !listener.routes.is_empty() {
        return Err(ambiguous(
            "a header names another method, path or content type",
        ));
    }
    let routed = listener.route_of(path);
    routed.map_err(|why| ambiguous(why.detail()))
}

/// Asks core once, and emits the result.
fn once<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    parts: &Parts,
    credentials: &Credentials,
    waited: bool,
) -> Result<Outcome, Refused> {
    let authorizer = case.authorizer;
    let path = target::path_and_query(parts);
    let routed = routed(case, view, path, credentials)
        .map_err(|why| tell(case, view, parts, credentials, why))?;
    let policy = routed.policy;
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
    let mut steps = case.explained.recorder();
    if let Some(steps) = &mut steps {
        let listener = view.config.listener(case.listener);
        steps.pass("route", || listener.describe(&routed));
    }
    let snapshot = &view.snapshot;
    let outcome = match &mut steps {
        None => {
            let mut memo = lock_uncontended(&authorizer.memo);
            decide(snapshot, &evidence, now, &mut memo, &mut ())
        }
        // Without the memo, which would hide how the token was verified.
        Some(steps) => decide(snapshot, &evidence, now, &mut Memo::disabled(), steps),
    };
    let Outcome::Done(decision) = outcome else {
        return Ok(outcome);
    };
    let decision = authorizer.replay_cache.settle(decision, now);
    if let Some(steps) = steps {
        case.explained.decided(steps, &decision);
    }
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

/// Emits the denial of a request that was refused before core was asked.
fn tell<E: Env, S: Sink>(
    case: &Case<'_, E, S>,
    view: &View,
    parts: &Parts,
    credentials: &Credentials,
    mut refused: Refused,
) -> Refused {
    let authorizer = case.authorizer;
    let config = &view.config;
    // An ambiguous path matches no route, so the event has the listener's own policy.
    let listener = config.listener(case.listener);
    let routed = config.routed(case.listener, target::path_and_query(parts));
    let policy = routed.as_ref().map_or(listener.policy, |it| it.policy);
    let decision = Decision::Deny(refused.as_denial());
    if let Some(mut steps) = case.explained.recorder() {
        if let Ok(routed) = &routed {
            steps.pass("route", || listener.describe(routed));
        }
        steps.fail("request", || refused.detail.to_owned());
        case.explained.decided(steps, &decision);
    }
    let at = (authorizer.reporter.now(), false);
    told(case, view, policy, parts, credentials, at, &decision);
    refused.told = true;
    refused
}

/// Emits a decision. `waited` says whether the request waited for keys.
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
    let mut asked = Asked::new(snapshot, name, parts, credentials, certificate, decision);
    let started = || case.record?.started_trace();
    asked.trace_id = asked.trace_id.or_else(started);
    authorizer.reporter.emit_at(
        now,
        &Event::Decided {
            asked: &asked,
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
    if let Decision::Allow(allow) = decision {
        fails_over_to(case, allow);
    }
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

/// Reports that a request goes to another cell than its placement assigns, if it does.
pub(crate) fn fails_over_to<E: Env, S: Sink>(case: &Case<'_, E, S>, allow: &Allow) {
    let Some(failed_over) = &allow.failed_over else {
        return;
    };
    case.authorizer.reporter.emit(&Event::FailedOver {
        listener: case.name,
        request_id: case.request_id.to_str().unwrap_or_default(),
        from: failed_over.cells.last().map(|cell| &cell.id),
        cell: &allow.cell.id,
        fallback: failed_over.fallback.as_ref(),
        reason: failed_over.reason,
    });
}
