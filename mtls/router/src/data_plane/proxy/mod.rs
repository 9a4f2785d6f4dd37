//! Serves one request: sanitize, authorize, admit, stamp, forward.

mod again;
pub(crate) mod answer;
mod candidates;
mod cell_body;
mod circuit;
mod cors;
mod early;
mod forward;
mod grpc;
mod health_report;
mod own_span;
mod report;
mod response_body;
mod share;
mod spare;
mod trace;
mod trailers;
mod unread;
mod upgrade;

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;

use cellway_core::{Allow, Reason};
use cellway_env::Env;
use http::request::Parts;
use http::{Request, Response, Version};
use http_body::Body;

pub use self::again::RESENDS_MAX;
use self::answer::Wants;
use self::cors::Grant;
use self::early::Early;
use self::forward::{Outgoing, forward};
pub(crate) use self::report::Report;
pub(crate) use self::response_body::ResponseBody;
pub(crate) use self::unread::{Announced, settle_rest};
use crate::active_config::ActiveConfig;
use crate::data_plane::authz::{Refused, authorize, stamp};
use crate::data_plane::connection::Connection;
use crate::data_plane::incoming::Incoming;
use crate::data_plane::rates::{self, Limits};
use crate::data_plane::streams::{Side, Stream};
use crate::data_plane::target;
use crate::data_plane::turns::Turns;
use crate::data_plane::well_formed::{self, RequestRefused};
use crate::observe::event::{Phase, Sink};
use crate::view::View;

/// The answer to a client.
pub(crate) type Answer<E, S> = Response<ResponseBody<E, S>>;

/// The number of fields that the router adds to most requests.
const FIELDS_ADDED: usize = 16;

/// Serves one request. This is not an `async fn`, because the arguments of an `async fn` are moved
/// once more, and a request's future is moved and allocated often.
pub(crate) fn serve<E: Env, S: Sink>(
    connection: Arc<Connection<E, S>>,
    request: Request<Incoming>,
    turns: Turns,
) -> impl Future<Output = Answer<E, S>> + Send {
    let (request_id, spread) = connection.worker.next_id();
    let mut outgoing = Outgoing::new(&connection.worker.env, request);
    let upgrade = outgoing.upgrade.as_ref();
    let connects = upgrade.is_some_and(|upgrade| upgrade.is_from_http2());
    let wants = Wants::of_own(&outgoing.parts, connects);
    let old = outgoing.parts.version == Version::HTTP_10;
    connection.activity.ends_answers_by_closing(old);
    let mut report = Report::new(connection, &outgoing.parts.method, request_id, turns);
    async move {
        let announced = Announced::of(&outgoing.parts);
        let view = report.connection.worker.views.load();
        let Looked { checked, outdated } = look(&mut report, &view.config, &outgoing, spread);
        if let Some(early) = Early::of(&report, &checked, &outgoing.parts) {
            let config = view.config.clone();
            drop(view);
            // Boxed, because few requests are, and otherwise every request's future would be larger.
            return Box::pin(early.serve(report, outgoing, announced, &config)).await;
        }
        let epoch = view.config.epoch;
        let (view, decided) =
            authorize(&report.case(spread), view, checked, &mut outgoing.parts).await;
        if view.config.epoch != epoch {
            // A reload while the request waited for keys: the answer follows the new settings too.
            report.is_under(&view.config, &outgoing.parts);
        }
        // The view isn't held while the request waits for a cell or a client, because its snapshot
        // holds a whole registry.
        let config = view.config.clone();
        let progress = outgoing.progress.clone();
        let decided =
            decided.and_then(|allow| prepare(&mut report, spread, &view, allow, &mut outgoing));
        drop(view);
        report.ends(Phase::Decide);
        // The request's body, if no cell got it.
        let mut unsent = None;
        let refused = {
            let answered = match decided {
                Ok(allow) => {
                    let forwarding = pin!(forward(
                        &report,
                        (&allow, spread),
                        &config,
                        outgoing,
                        &mut unsent
                    ));
                    unless_closed(report.stream.as_deref(), forwarding).await
                }
                Err(refused) => {
                    unsent = outgoing.into_unsent();
                    Err(refused)
                }
            };
            if let Some(progress) = &progress {
                progress.stop_keeping();
            }
            match answered.and_then(|answered| answer::begun(&report, answered)) {
                Ok(begun) => {
                    return answer::from_cell(report, config, begun, announced, wants.trailers);
                }
                Err(refused) => refused,
            }
        };
        let settled = unread::settle(&report.connection, announced, unsent, progress.as_deref());
        let closes = settled.decided().await;
        if progress.is_some_and(|progress| progress.has_lost_client()) {
            return answer::for_nobody(report);
        }
        let wants = wants.closing(closes || outdated);
        answer::from_router(report, config.header_rules(), &refused, &wants)
    }
}

/// What is known of a request before the decision.
struct Looked {
    /// Whether it may be decided.
    checked: Result<(), Box<RequestRefused>>,
    /// Whether its connection was accepted under settings that would refuse it now.
    outdated: bool,
}

/// Begins the report of a request, and checks its form.
fn look<E: Env, S: Sink>(
    report: &mut Report<E, S>,
    config: &Arc<ActiveConfig>,
    outgoing: &Outgoing,
    spread: u64,
) -> Looked {
    let (parts, body) = (&outgoing.parts, outgoing.progress.as_ref());
    report.begins(config, (parts, body), spread);
    let accepted = report.connection.accepted(config);
    let outdated = accepted.is_err();
    let known = |host: &_| report.connection.forwarding.knows(host);
    let checked = accepted
        .and_then(|()| well_formed::check(parts, known))
        .and_then(|()| outgoing.switches_at_a_cell());
    report.cors = Grant::of(config, report.connection.listener, parts);
    Looked { checked, outdated }
}

/// Makes an allowed request ready for its cell: its header, its body and its place among the open
/// streams.
///
/// # Errors
/// A rate limit is used up, or the body is too long, or the request can't be stamped. It must not
/// reach the cell.
fn prepare<E: Env, S: Sink>(
    report: &mut Report<E, S>,
    spread: u64,
    view: &View,
    allow: Allow,
    outgoing: &mut Outgoing,
) -> Result<Allow, Refused> {
    // First, so that the request counts as one of this cell's even if it ends here.
    report.goes_to(&allow);
    let (config, parts) = (&view.config, &mut outgoing.parts);
    let traffic = config.traffic(report.connection.listener, target::path_and_query(parts));
    let limits = Limits {
        allow: &allow,
        traffic: Some(traffic),
        shared_by: config.settings.rate_limits.shared_by,
    };
    let worker = &report.connection.worker;
    let name = &report.connection.name;
    let quota = rates::admit(&limits, &worker.buckets, &worker.reporter, name)?;
    report.quota = quota.filter(|_| traffic.rate_fields).map(Box::new);
    let body_bytes_max = traffic.body_bytes_max;
    if body_bytes_max.is_some_and(|most| outgoing.body.size_hint().lower() > most) {
        let detail = "the request's body is longer than body_bytes_max of its route";
        return Err(Refused::new(Reason::BodyTooLarge, detail));
    }
    // Reserve room once for the forwarding fields, the stamps, an envelope and what HTTP needs.
    parts.headers.reserve(FIELDS_ADDED);
    if let Some(settings) = &config.settings.trace {
        trace::set(report, settings, &mut parts.headers, spread);
    }
    // Set these before the stamps, because a stamp may have the name of a forwarding field.
    set_forwarding(&report.connection, config, parts);
    let stamped = stamp(&report.case(spread), config, &allow, parts);
    report.opens(&allow, view);
    outgoing.body.passes(
        &config.settings.policy,
        report.stream.clone(),
        &report.connection.activity,
        body_bytes_max,
    );
    stamped?;
    settle_upgrade(outgoing, view, &allow, report.connection.listener)?;
    if outgoing.upgrade.is_some() {
        report.passes_upgrade();
    }
    Ok(allow)
}

/// Chooses the protocol that the cell is asked to switch to, if the request asks for one.
///
/// # Errors
/// It is an extended CONNECT for a protocol that isn't allowed. Other requests for such a protocol
/// are forwarded without it (RFC 9110, section 7.8).
fn settle_upgrade(
    outgoing: &mut Outgoing,
    view: &View,
    allow: &Allow,
    listener: usize,
) -> Result<(), Refused> {
    let Some(upgrade) = &mut outgoing.upgrade else {
        return Ok(());
    };
    let traffic = view
        .config
        .traffic(listener, target::path_and_query(&outgoing.parts));
    if upgrade.choose(&traffic.upgrades) {
        if traffic.upgrades_end_with_token {
            upgrade.ends_with(&allow.identity.proof.token);
        }
    } else if upgrade.is_from_http2() {
        return Err(Refused::new(
            Reason::UpgradeNotAllowed,
            "the :protocol of this CONNECT is not in the list `upgrades` of the route's traffic",
        ));
    } else {
        outgoing.upgrade = None;
    }
    Ok(())
}

/// Sets the forwarding fields for the cell as the listener's settings say.
fn set_forwarding<E: Env, S: Sink>(
    connection: &Connection<E, S>,
    config: &ActiveConfig,
    parts: &mut Parts,
) {
    let mode = config.listener(connection.listener).forwarded;
    // Cloning only counts a reference.
    let host = target::host(&parts.headers).cloned();
    let authority = target::authority(&parts.uri, host.as_ref());
    let forwarding = &connection.forwarding;
    forwarding.set(mode, authority, &mut parts.headers);
}

/// Waits for the answer, unless the request's stream is closed meanwhile.
fn unless_closed<T>(
    stream: Option<&Stream>,
    mut forwarding: Pin<&mut impl Future<Output = Result<T, Refused>>>,
) -> impl Future<Output = Result<T, Refused>> {
    poll_fn(move |cx| {
        let closed = stream.map_or(Poll::Pending, |it| it.poll_closed(Side::Answer, cx));
        match (closed, stream) {
            (Poll::Ready(reason), Some(stream)) => Poll::Ready(Err(Refused {
                challenge: stream.challenge(reason),
                ..Refused::new(reason, CLOSED)
            })),
            _ => forwarding.as_mut().poll(cx),
        }
    })
}

/// The detail for a request whose stream is closed while it waits for its answer: because of a new
/// registry, or because its certificate expired, was revoked or isn't trusted any more.
const CLOSED: &str =
    "the request was allowed, but its caller is refused by now; the reason says why";

#[cfg(test)]
mod tests;
