//! Answers to clients: the cell's sanitized answers, and the router's own.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use cellway_core::headers::{self, HeaderRules};
use cellway_core::{Challenge, Class, Steps};
use cellway_env::Env;
use http::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, DATE, RETRY_AFTER, WWW_AUTHENTICATE,
};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Version};
use http_body::Body;

use super::cell_body::{CellBody, First};
use super::forward::Answered;
use super::health_report::{self, Scope};
use super::report::Report;
use super::response_body::ResponseBody;
use super::trailers::Trailers;
use super::unread::Announced;
use super::{Refused, grpc};
use crate::active_config::ActiveConfig;
use crate::data_plane::body::Turn;
use crate::data_plane::buckets::secs_up;
use crate::envelope;
use crate::observe::event::{Owner, Sink};

/// The form in which the client expects an answer of the router.
pub(crate) struct Wants {
    pub(crate) grpc: bool,
    /// Whether the client uses HTTP/1.x, where an answer can say that the connection closes.
    closable: bool,
    /// Whether the connection closes after the answer.
    closes: bool,
    /// Which of an answer's trailers the client gets.
    pub(super) trailers: Trailers,
}

impl Wants {
    /// For gRPC or for other clients. The connection stays open.
    pub(crate) fn new(grpc: bool) -> Self {
        Self {
            grpc,
            closable: false,
            closes: false,
            trailers: Trailers::None,
        }
    }

    pub(crate) fn of(request: &Parts) -> Self {
        Self {
            grpc: headers::is_grpc(&request.headers),
            closable: request.version < Version::HTTP_2,
            closes: false,
            trailers: Trailers::of(request),
        }
    }

    /// For a request that came to the router itself. `switches`: it is an extended CONNECT.
    ///
    /// gRPC needs HTTP/2. A CONNECT is no call either: the status of a gRPC answer is 200, and would tell
    /// its client that the router has switched (RFC 9110, section 9.3.6; RFC 8441, section 5).
    pub(super) fn of_own(request: &Parts, switches: bool) -> Self {
        let connects = switches || request.method == Method::CONNECT;
        let wants = Self::of(request);
        let grpc = wants.grpc && request.version == Version::HTTP_2 && !connects;
        Self { grpc, ..wants }
    }

    /// Sets whether the connection closes after the answer.
    pub(crate) fn closing(self, closes: bool) -> Self {
        Self { closes, ..self }
    }
}

/// Takes what of an answer's body came together with its header.
///
/// # Errors
/// The body is broken already, so the client gets nothing of the answer.
pub(super) fn begun<E: Env, S: Sink>(
    report: &Report<E, S>,
    mut answered: Answered,
) -> Result<(Answered, First), Refused> {
    let has_body = answered.framing.has_body();
    let body = answered.response.body_mut();
    // Some cells send a body where there is none, as after HEAD. It concerns nobody.
    if !has_body || body.is_end_stream() {
        return Ok((answered, None));
    }
    // Whoever sends the body polls it again, and is woken.
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(body).poll_frame(&mut cx) {
        Poll::Pending => Ok((answered, None)),
        Poll::Ready(None) => Ok((answered, Some(None))),
        Poll::Ready(Some(Ok(frame))) => Ok((answered, Some(Some(frame)))),
        Poll::Ready(Some(Err(error))) => {
            let (lease, reason) = (&answered.lease, health_report::reason(&error));
            let what = (reason, Scope::of(&error, lease));
            health_report::failed(report, &lease.pool, what, &error.to_string());
            let detail =
                "the cell's answer broke off right after its header; the router's log says why";
            Err(Refused::new(reason, detail))
        }
    }
}

/// Forwards the cell's answer, without the fields that must not be forwarded.
pub(super) fn from_cell<E: Env, S: Sink>(
    mut report: Report<E, S>,
    config: Arc<ActiveConfig>,
    (answered, first): (Answered, First),
    announced: Announced,
    trailers: Trailers,
) -> Response<ResponseBody<E, S>> {
    let (mut parts, incoming) = answered.response.into_parts();
    parts.version = Version::HTTP_11;
    parts.extensions.clear();
    if let Some(switched) = &answered.switched {
        switched.write(&mut parts.status, &mut parts.headers);
    }
    let now = report.answered(parts.status, Owner::Cell);
    if !parts.headers.contains_key(DATE) {
        let date = report.connection.worker.date.at(now.unix);
        parts.headers.insert(DATE, date);
    }
    let rules = config.header_rules();
    own(&report, rules, Owner::Cell, &mut parts.headers);
    if let Some(cors) = &report.cors {
        cors.write(&mut parts.headers);
    }
    if let Some(quota) = &report.quota {
        quota.write(&mut parts.headers);
    }
    if let Some(switched) = answered.switched {
        let stall = config.listener(report.connection.listener).timeouts.stall;
        let held = (answered.lease, answered.permit);
        switched.start(report, held, [answered.idle, stall]);
        return Response::from_parts(parts, ResponseBody::none());
    }
    let early = answered.progress.as_ref();
    if early.is_some_and(|progress| progress.turn() != Turn::Done) {
        report.connection.activity.leaves_unread();
        if announced.ends_connection() {
            parts
                .headers
                .insert(CONNECTION, HeaderValue::from_static("close"));
        }
    }
    let mut framing = answered.framing;
    let over = first.is_none() && incoming.is_end_stream();
    trailers.prepare(&mut parts.headers, &mut framing, over);
    let grpc = !report.connection.activity.is_http1() && headers::is_grpc(&parts.headers);
    if grpc && !over {
        // If it breaks off, it ends with a status, and then it has another length.
        parts.headers.remove(CONTENT_LENGTH);
    }
    let body = CellBody {
        first,
        incoming,
        config,
        framing,
        lease: answered.lease,
        permit: answered.permit,
        progress: answered.progress,
        idle: answered.idle,
        total: answered.total,
        timer: None,
        gives_up: announced.is_given_up(),
        grpc,
    };
    Response::from_parts(parts, ResponseBody::cell(report, body))
}

/// What is returned for a client that went away while it sent its request. No answer is reported.
pub(super) fn for_nobody<E: Env, S: Sink>(report: Report<E, S>) -> Response<ResponseBody<E, S>> {
    drop(report);
    let mut response = Response::new(ResponseBody::none());
    *response.status_mut() = StatusCode::BAD_REQUEST;
    response
}

/// Makes the router's own answer.
pub(crate) fn from_router<E: Env, S: Sink>(
    mut report: Report<E, S>,
    rules: &HeaderRules,
    refused: &Refused,
    wants: &Wants,
) -> Response<ResponseBody<E, S>> {
    let reason = refused.reason;
    let status = refused
        .class
        .status()
        .unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let (status, text) = match wants.grpc {
        true => (StatusCode::OK, Bytes::new()),
        false => (status, json(&report, refused)),
    };
    let now = report.answered(status, Owner::Router);
    report.refused(refused);

    let mut response = Response::new(());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(DATE, report.connection.worker.date.at(now.unix));
    if wants.grpc {
        grpc_answer(refused, headers);
    } else {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CONTENT_LENGTH, HeaderValue::from(text.len()));
    }
    let ends = matches!(
        reason.class(),
        Class::BadRequest | Class::HeadersTooLarge | Class::RequestTimeout | Class::NotImplemented
    );
    if (ends || wants.closes) && wants.closable {
        // Either it isn't clear where this request ends, or its end is too far away to read up to
        // it.
        report.connection.activity.leaves_unread();
        headers.insert(CONNECTION, HeaderValue::from_static("close"));
    }
    say_why(&report, rules, refused, headers);
    if let Some(cors) = &report.cors {
        cors.write(headers);
    }
    response.map(|()| ResponseBody::router(report, text))
}

pub(super) fn preflight<E: Env, S: Sink>(
    mut report: Report<E, S>,
    rules: &HeaderRules,
    headers: HeaderMap,
) -> Response<ResponseBody<E, S>> {
    let status = StatusCode::NO_CONTENT;
    let now = report.answered(status, Owner::Router);
    let mut response = Response::new(());
    *response.status_mut() = status;
    *response.headers_mut() = headers;
    let headers = response.headers_mut();
    headers.insert(DATE, report.connection.worker.date.at(now.unix));
    own(&report, rules, Owner::Router, headers);
    response.map(|()| ResponseBody::router(report, Bytes::new()))
}

/// Adds to an answer that the connection closes after it, if it does.
pub(crate) fn closing<B>(mut response: Response<B>, closes: bool) -> Response<B> {
    if closes {
        let close = HeaderValue::from_static("close");
        response.headers_mut().insert(CONNECTION, close);
    }
    response
}

/// Answers with the page of envelopes' public keys, or says that there is none.
pub(crate) fn envelope_keys<E: Env, S: Sink>(
    mut report: Report<E, S>,
    config: &ActiveConfig,
    request: &Parts,
) -> Response<ResponseBody<E, S>> {
    let now = report.connection.worker.reporter.now();
    let sealer = config.sealer.as_ref();
    let page = envelope::page(sealer, &request.method, &request.headers, now);
    let rules = config.header_rules();
    let now = report.answered(page.status, Owner::Router);
    let mut response = Response::new(());
    *response.status_mut() = page.status;
    *response.headers_mut() = page.headers;
    let headers = response.headers_mut();
    headers.insert(DATE, report.connection.worker.date.at(now.unix));
    own(&report, rules, Owner::Router, headers);
    response.map(|()| ResponseBody::router(report, page.body))
}

/// Adds the reason in the form that the client reads.
pub(crate) fn say_why<E: Env, S: Sink>(
    report: &Report<E, S>,
    rules: &HeaderRules,
    refused: &Refused,
    headers: &mut HeaderMap,
) {
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    if let Some(challenge) = challenge(refused) {
        headers.insert(WWW_AUTHENTICATE, challenge);
    }
    if let Some(after) = refused.retry_after {
        headers.insert(RETRY_AFTER, HeaderValue::from(secs_up(after).max(1)));
    }
    if let Some(quota) = refused.quota.as_ref().or(report.quota.as_ref()) {
        quota.write(headers);
    }
    own(report, rules, Owner::Router, headers);
    headers.insert(
        rules.reason(),
        HeaderValue::from_static(refused.reason.as_str()),
    );
}

/// Adds who made the answer, and the request's id.
fn own<E: Env, S: Sink>(
    report: &Report<E, S>,
    rules: &HeaderRules,
    owner: Owner,
    headers: &mut HeaderMap,
) {
    let owner = HeaderValue::from_static(owner.as_str());
    headers.insert(rules.owner(), owner);
    headers.insert(rules.request_id(), report.request_id.clone());
    let explanation = report.explained.field();
    // The explanation has the cell that was decided. After a failover, another one gets the request.
    if report.explains || explanation.is_some() {
        explain(report, rules, headers);
    }
    if let Some(explanation) = explanation {
        headers.insert(rules.explanation(), explanation);
        // A cache must not give it to clients that have no token.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    }
}

/// Tells the client how the request was routed.
fn explain<E: Env, S: Sink>(report: &Report<E, S>, rules: &HeaderRules, headers: &mut HeaderMap) {
    if let Some(cell) = report.cell() {
        headers.insert(rules.cell(), cell.id.header_value().clone());
    }
    if let Some(failover) = report.failover() {
        let failover = HeaderValue::from_static(failover.as_str());
        headers.insert(rules.failover(), failover);
    }
    // If the router answers, its own reason is set after this one.
    if let Some(allowed) = report.allowed {
        let reason = HeaderValue::from_static(allowed.as_str());
        headers.insert(rules.reason(), reason);
    }
}

/// The JSON body with the reason.
pub(crate) fn json<E: Env, S: Sink>(report: &Report<E, S>, refused: &Refused) -> Bytes {
    #[derive(serde::Serialize)]
    struct Page<'a> {
        error: Error<'a>,
    }
    #[derive(serde::Serialize)]
    struct Error<'a> {
        reason: &'static str,
        owner: &'static str,
        request_id: &'a str,
        detail: &'static str,
        #[serde(skip_serializing_if = "Option::is_none")]
        explanation: Option<&'a Steps>,
    }
    let page = Page {
        error: Error {
            reason: refused.reason.as_str(),
            owner: Owner::Router.as_str(),
            request_id: report.request_id(),
            detail: refused.detail,
            explanation: report.explained.steps(),
        },
    };
    let mut text = serde_json::to_vec(&page).unwrap_or_default();
    text.push(b'\n');
    text.into()
}

/// Adds the gRPC status. A gRPC client reads only this status and not HTTP's (grpc/grpc,
/// `doc/PROTOCOL-HTTP2.md`, "Trailers-Only").
fn grpc_answer(refused: &Refused, headers: &mut HeaderMap) {
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    grpc::status(refused.class, refused.reason, headers);
}

/// The value of `WWW-Authenticate`. It has no error code if no credential came (RFC 6750, section
/// 3).
fn challenge(refused: &Refused) -> Option<HeaderValue> {
    use cellway_core::Reason;
    let text = match refused.challenge {
        Challenge::None => return None,
        Challenge::Certificate => "Certificate realm=\"cellway\"",
        Challenge::RoutingKey => "RoutingKey realm=\"cellway\"",
        Challenge::Bearer if refused.reason == Reason::MissingToken => "Bearer realm=\"cellway\"",
        Challenge::Bearer => {
            return HeaderValue::try_from(format!(
                "Bearer realm=\"cellway\", error=\"invalid_token\", error_description=\"{}\"",
                refused.reason
            ))
            .ok();
        }
    };
    Some(HeaderValue::from_static(text))
}
